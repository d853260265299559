//! `[admin]`.

use super::Admin;
use super::listener::address;
use super::table::Table;
use super::value::text_as;

pub(super) const KEYS: &[&str] = &["address"];

/// Reads `[admin]` out of the file.
pub(super) fn read_admin(file: &Table<'_>) -> Option<Admin> {
    let table = file.table("admin", KEYS)?;
    let why = "write where to listen, such as address = \"127.0.0.1:8081\"";
    let address = table.require("address", why, text_as(address))?;
    Some(Admin { address })
}
