//! `[admin]`.

use std::path::Path;

use super::name;
use super::table::Table;
use super::value::{Parsed, text_as};
use super::{Admin, AdminAddress, Token};
use equipoise_file_watch as file_watch;

pub(super) const KEYS: &[&str] = &["address", "hosts", "token-file", "persist"];

/// How long a token is, in bytes.
const TOKEN_LENGTH: std::ops::RangeInclusive<usize> = 16..=4096;

/// The largest file that a token is read from, in bytes: some white space around it is fine.
const MAX_TOKEN_FILE: u64 = 64 * 1024;

/// Reads `[admin]` out of the file at `path`, to whose folder the token's file is relative.
pub(super) fn read_admin(file: &Table<'_>, path: &Path) -> Option<Admin> {
    let table = file.table("admin", KEYS)?;
    let why = "write where to listen, such as address = \"127.0.0.1:8081\"";
    let address = table.require("address", why, text_as(|text| address(text, path)));
    let token = table.read(
        "token-file",
        text_as(|file| token(&name::beside(path, file))),
    );
    let hosts = table.list("hosts", "[\"lb.example.com\"]", text_as(name::host));
    let persist = table.read("persist", text_as(|file| Ok(name::beside(path, file))));
    let address = address?;
    let is_open = matches!(address, AdminAddress::Tcp(tcp) if !tcp.ip().is_loopback());
    if is_open && !table.has("token-file") {
        let why = "other machines can connect here: write token-file = \"admin.token\", a file with a secret in it, or listen on 127.0.0.1";
        table.missing("token-file", why);
    }
    Some(Admin {
        address,
        token,
        hosts,
        persist,
    })
}

/// Where to listen, in the file at `path`.
fn address(text: &str, path: &Path) -> Parsed<AdminAddress> {
    let Some(file) = text.strip_prefix("unix:") else {
        let remedy = "must be an IP address and a port, such as \"127.0.0.1:8081\", or a socket file, such as \"unix:/run/equipoise/admin.sock\"";
        return text
            .parse()
            .map(AdminAddress::Tcp)
            .map_err(|_| remedy.to_owned());
    };
    let example = "\"unix:/run/equipoise/admin.sock\"";
    name::socket(path, file, example).map(AdminAddress::Unix)
}

/// The secret in a file, without the white space around it.
fn token(file: &Path) -> Parsed<Token> {
    let content = file_watch::read(file, MAX_TOKEN_FILE).map_err(|error| {
        format!(
            "must be a file that can be read: {}: {error}",
            file.display()
        )
    })?;
    let content = String::from_utf8_lossy(&content.bytes);
    let token = content.trim();
    let is_plain = token.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_plain || !TOKEN_LENGTH.contains(&token.len()) {
        let (least, most) = (TOKEN_LENGTH.start(), TOKEN_LENGTH.end());
        return Err(format!(
            "must be a file with {least} to {most} characters of visible ASCII in it"
        ));
    }
    Ok(Token(token.to_owned()))
}
