//! `[resolver]`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use toml::de::DeValue;

use super::Resolver;
use super::table::Table;
use super::value::{DAY, Parsed, duration_within, positive_duration, text};

pub(super) const KEYS: &[&str] = &["nameservers", "timeout", "min-ttl", "max-ttl"];

/// The most name servers.
const MAX_SERVERS: usize = 8;

/// The port of name servers where none is written.
const PORT: u16 = 53;

/// The shortest time that a record is cached: no server is queried more often.
const MIN_TTL: Duration = Duration::from_millis(100);

/// Reads `[resolver]` out of the file.
pub(super) fn read_resolver(file: &Table<'_>) -> Resolver {
    let default = Resolver::default();
    let Some(table) = file.table("resolver", KEYS) else {
        return default;
    };
    let nameservers = table.list("nameservers", "[\"10.0.0.2\", \"127.0.0.1:5353\"]", server);
    if nameservers.len() > MAX_SERVERS {
        let remedy = format!(
            "must have at most {MAX_SERVERS} servers, not {}",
            nameservers.len()
        );
        table.refuse("nameservers", remedy);
    }
    let (timeout, ttl) = (
        table.read("timeout", positive_duration),
        duration_within(MIN_TTL..=DAY, "s"),
    );
    let (min_ttl, max_ttl) = (table.read("min-ttl", &ttl), table.read("max-ttl", &ttl));
    let max = max_ttl.unwrap_or_else(|| default.max_ttl.max(min_ttl.unwrap_or_default()));
    let min = min_ttl.unwrap_or_else(|| default.min_ttl.min(max));
    if min > max {
        let remedy = format!("must be no longer than max-ttl, which is {max:?}");
        table.refuse("min-ttl", remedy);
    }
    Resolver {
        nameservers,
        timeout: timeout.unwrap_or(default.timeout),
        min_ttl: min,
        max_ttl: max,
    }
}

/// An address, with a port where it is not 53.
fn server(value: &DeValue<'_>) -> Parsed<SocketAddr> {
    let text = text(value)?;
    let bare = text.parse::<IpAddr>();
    let bare = bare.map(|address| SocketAddr::new(address, PORT));
    bare.or_else(|_| text.parse()).map_err(|_| {
        "must be the address of a name server, with a port where it is not 53: such as \"10.0.0.2\" or \"[::1]:5353\""
            .to_owned()
    })
}
