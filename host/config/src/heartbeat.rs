//! `[heartbeat]`.

use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use toml::de::DeValue;

use super::Heartbeat;
use super::name;
use super::table::Table;
use super::value::{Parsed, text_as};

pub(super) const KEYS: &[&str] = &["listen", "from", "path"];

/// The example that mistakes show.
const NETWORKS: &str = "[\"10.0.0.0/8\", \"127.0.0.1\"]";

/// Reads `[heartbeat]` out of the file.
pub(super) fn read_heartbeat(file: &Table<'_>) -> Option<Heartbeat> {
    let table = file.table("heartbeat", KEYS)?;
    let path = table.read("path", text_as(name::path));
    if !file.has("admin") {
        check_without_admin(&table);
    }
    Some(Heartbeat {
        listen: table.read("listen", text_as(address)),
        from: read_from(&table),
        path: path.unwrap_or_else(|| "/heartbeat".to_owned()),
    })
}

/// Refuses a section that would receive nothing.
fn check_without_admin(table: &Table<'_>) {
    if table.has("path") {
        let remedy = "is a path of the admin listener: write [admin] with its address, too";
        table.refuse_dangling("path", remedy);
    } else if !table.has("listen") {
        let why = "write where datagrams come to, such as listen = \"239.0.0.1:27999\", or [admin] to take them by HTTP";
        table.missing("listen", why);
    }
}

fn read_from(table: &Table<'_>) -> Option<Vec<IpNet>> {
    if !table.has("from") {
        return None;
    }
    // An empty list would allow no sender.
    table.read(
        "from",
        not_empty(", or be left out for the members' addresses"),
    )?;
    Some(networks(table, "from"))
}

/// Refuses a list without networks; `or` is what else would be right.
pub(super) fn not_empty(or: &str) -> impl Fn(&DeValue<'_>) -> Parsed<()> {
    move |list| match list.as_array() {
        Some(networks) if networks.is_empty() => {
            Err(format!("must name a network, such as {NETWORKS}{or}"))
        }
        _ => Ok(()),
    }
}

/// A list of networks.
pub(super) fn networks(table: &Table<'_>, key: &str) -> Vec<IpNet> {
    table.list(key, NETWORKS, text_as(network))
}

fn address(text: &str) -> Parsed<SocketAddr> {
    let remedy = "must be the IP address of a multicast group or of this machine and a port, such as \"239.0.0.1:27999\"";
    text.parse().map_err(|_| remedy.to_owned())
}

/// `10.0.0.0/8`, or an address alone. IPv4 mapped into IPv6 is taken as IPv4, as it is in the addresses of senders.
pub(super) fn network(text: &str) -> Parsed<IpNet> {
    let form = "must be an IP network or address, such as \"10.0.0.0/8\" or \"127.0.0.1\"";
    let address = text.parse().map(|address: IpAddr| IpNet::from(address));
    let network: IpNet = address
        .or_else(|_| text.parse())
        .map_err(|_| form.to_owned())?;
    let first = network.trunc();
    if network != first {
        return Err(format!("must be a network's first address: write {first}"));
    }
    Ok(unmapped(network).unwrap_or(network))
}

fn unmapped(network: IpNet) -> Option<IpNet> {
    let IpNet::V6(network) = network else {
        return None;
    };
    let address = network.addr().to_ipv4_mapped()?;
    let prefix = network.prefix_len().checked_sub(96)?;
    Ipv4Net::new(address, prefix).ok().map(IpNet::V4)
}
