//! `[[listen]]`.

use std::net::SocketAddr;
use std::path::Path;

use ipnet::IpNet;

use super::Listener;
use super::heartbeat::{networks, not_empty};
use super::table::Table;
use super::tls::read_server_tls;
use super::value::{Parsed, integer_in, text_as};

pub(super) const KEYS: &[&str] = &["address", "tls", "proxy-protocol", "https-redirect"];

/// The keys of `proxy-protocol`.
pub(super) const PROXY_KEYS: &[&str] = &["from"];

/// Reads every `[[listen]]` out of the file at `path`, to whose folder certificates are relative.
pub(super) fn read_listeners(file: &Table<'_>, path: &Path) -> Vec<Listener> {
    let mut listeners: Vec<(Listener, usize)> = Vec::new();
    let tables = file.required_tables("listen", KEYS, "address = \"0.0.0.0:8080\"");
    for table in tables {
        let Some(listener) = read_listener(&table, path) else {
            continue;
        };
        let address = listener.address;
        let same = listeners.iter().find(|(other, _)| other.address == address);
        match same {
            Some((_, line)) if address.port() != 0 => {
                table.refuse("address", format!("is already a listener, at line {line}"));
            }
            _ => listeners.push((listener, table.line("address"))),
        }
    }
    if !file.has("listen") {
        file.missing(
            "listen",
            "write [[listen]] with address = \"0.0.0.0:8080\" in it",
        );
    }
    listeners
        .into_iter()
        .map(|(listener, _)| listener)
        .collect()
}

fn read_listener(table: &Table<'_>, path: &Path) -> Option<Listener> {
    let why = "write where to listen, such as address = \"0.0.0.0:8080\"";
    let address = table.require("address", why, text_as(address));
    let tls = read_server_tls(table, path);
    let proxy_from = read_proxy_from(table);
    let https_redirect = table.read("https-redirect", integer_in(1..=u16::MAX));
    if table.has("tls") && table.has("https-redirect") {
        let remedy =
            "does nothing beside tls: write it in the [[listen]] that clients come to without TLS";
        table.refuse("https-redirect", remedy);
    }
    Some(Listener {
        address: address?,
        tls,
        proxy_from,
        https_redirect,
    })
}

/// The networks that send PROXY headers.
fn read_proxy_from(listener: &Table<'_>) -> Vec<IpNet> {
    let Some(table) = listener.table("proxy-protocol", PROXY_KEYS) else {
        return Vec::new();
    };
    let why = "write who sends PROXY headers, such as from = [\"10.0.0.0/8\"]";
    match table.require("from", why, not_empty("")) {
        Some(()) => networks(&table, "from"),
        None => Vec::new(),
    }
}

pub(super) fn address(text: &str) -> Parsed<SocketAddr> {
    let remedy = "must be an IP address and a port, such as \"127.0.0.1:8080\", \"0.0.0.0:8080\" or \"[::]:8080\"";
    text.parse().map_err(|_| remedy.to_owned())
}
