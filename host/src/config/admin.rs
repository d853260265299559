//! `[admin]`.

use std::fs;
use std::path::Path;

use super::listener::address;
use super::name;
use super::table::Table;
use super::value::{Reading, text_as};
use super::{Admin, Token};

pub(super) const KEYS: &[&str] = &["address", "token-file", "persist"];

/// How long a token is, in bytes.
const LENGTH: std::ops::RangeInclusive<usize> = 16..=4096;

/// Reads `[admin]` out of the file at `path`, to whose folder the token's file is relative.
pub(super) fn read_admin(file: &Table<'_>, path: &Path) -> Option<Admin> {
    let table = file.table("admin", KEYS)?;
    let why = "write where to listen, such as address = \"127.0.0.1:8081\"";
    let address = table.require("address", why, text_as(address));
    let token = table.read(
        "token-file",
        text_as(|file| token(&name::beside(path, file))),
    );
    let persist = table.read("persist", text_as(|file| Ok(name::beside(path, file))));
    let address = address?;
    if !address.ip().is_loopback() && !table.has("token-file") {
        let why = "others than this machine can ask here: write token-file = \"admin.token\", a file with a secret in it, or listen on 127.0.0.1";
        table.missing("token-file", why);
    }
    Some(Admin {
        address,
        token,
        persist,
    })
}

/// The secret in a file, without the white space around it.
fn token(file: &Path) -> Reading<Token> {
    let content = fs::read_to_string(file).map_err(|error| {
        format!(
            "must be a file that can be read: {}: {error}",
            file.display()
        )
    })?;
    let token = content.trim();
    let is_plain = token.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_plain || !LENGTH.contains(&token.len()) {
        let (least, most) = (LENGTH.start(), LENGTH.end());
        return Err(format!(
            "must be a file with {least} to {most} characters of visible ASCII in it"
        ));
    }
    Ok(Token(token.to_owned()))
}
