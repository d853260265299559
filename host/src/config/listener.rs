//! `[[listen]]`.

use std::net::SocketAddr;

use super::Listener;
use super::table::Table;
use super::value::{Reading, text_as};

pub(super) const KEYS: &[&str] = &["address"];

/// Reads every `[[listen]]` out of the file.
pub(super) fn read_listeners(file: &Table<'_>) -> Vec<Listener> {
    let mut listeners: Vec<(Listener, usize)> = Vec::new();
    let tables = file.some_tables("listen", KEYS, "address = \"0.0.0.0:8080\"");
    for table in tables {
        let why = "write where to listen, such as address = \"0.0.0.0:8080\"";
        let Some(address) = table.require("address", why, text_as(address)) else {
            continue;
        };
        let same = listeners.iter().find(|(other, _)| other.address == address);
        match same {
            Some((_, line)) if address.port() != 0 => {
                table.refuse("address", format!("is listened on already, by line {line}"));
            }
            _ => {
                let listener = Listener {
                    address,
                    tls: None,
                    proxy_from: Vec::new(),
                    https_redirect: None,
                };
                listeners.push((listener, table.line("address")));
            }
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

pub(super) fn address(text: &str) -> Reading<SocketAddr> {
    let remedy = "must be an IP address and a port, such as \"127.0.0.1:8080\", \"0.0.0.0:8080\" or \"[::]:8080\"";
    text.parse().map_err(|_| remedy.to_owned())
}
