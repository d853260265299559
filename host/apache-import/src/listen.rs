//! Where clients connect to, and which server is for them there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::directive::Directive;
use super::report::{Fate, Report};
use super::server::Server;
use super::settings;

/// A listener, and the servers that are for its clients.
#[derive(Debug)]
pub(crate) struct Listener<'d> {
    /// As it is written in our file.
    pub(crate) address: SocketAddr,
    /// Places of virtual hosts, in their order: the first is for names that no other has. None: the main server is.
    pub(crate) hosts: Vec<usize>,
    pub(crate) is_tls: bool,
    pub(crate) by: Option<&'d Directive>,
}

/// The address of a virtual host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HostAddress {
    /// None: any.
    ip: Option<IpAddr>,
    /// None: any.
    port: Option<u16>,
}

/// The most listeners.
const MOST: usize = 100;

/// The listeners of a configuration with these virtual hosts. `given`: for one that says nothing of its own. `any`: what stands
/// for every address of the machine.
pub(crate) fn listeners<'d>(
    main: &Server<'d>,
    hosts: &[Server<'d>],
    given: &[SocketAddr],
    any: IpAddr,
    report: &mut Report,
) -> Vec<Listener<'d>> {
    let addresses: Vec<Vec<HostAddress>> = hosts.iter().map(|it| read_host(it, report)).collect();
    let mut places = said(main, hosts, report);
    let is_said = !places.is_empty();
    if is_said && !given.is_empty() {
        let text = "--listen is for a configuration without Listen: this one has its own";
        report.tell_all(Fate::Refused, None, text);
    }
    if !is_said {
        places = given
            .iter()
            .map(|it| {
                (
                    Some(it.ip()).filter(|ip| !ip.is_unspecified()),
                    it.port(),
                    None,
                )
            })
            .collect();
    }
    if places.is_empty() {
        places = of_hosts(&addresses);
        if !places.is_empty() {
            let text = "there is no Listen: the ports of the virtual hosts are listened on";
            report.tell_all(Fate::Differs, None, text);
        }
    }
    let relaxed = !is_said && !given.is_empty();
    let mut listeners: Vec<Listener<'d>> = Vec::new();
    for (ip, port, by) in places {
        let special = special_addresses(ip, port, &addresses);
        for ip in special.into_iter().map(Some).chain([ip]) {
            let address = SocketAddr::new(ip.unwrap_or(any), port);
            let is_known = listeners
                .iter()
                .any(|it| it.address == address && port != 0);
            if is_known || listeners.len() >= MOST {
                continue;
            }
            let mut here = at(ip, port, &addresses);
            if here.is_empty() && relaxed {
                here = first_port(&addresses);
            }
            let first = here.first().and_then(|place| hosts.get(*place));
            let is_tls = speaks_tls(first.unwrap_or(main)) || by.is_some_and(is_https);
            listeners.push(Listener {
                address,
                hosts: here,
                is_tls,
                by,
            });
        }
    }
    tell_unheard(hosts, &listeners, report);
    listeners
}

/// What `Listen` says: address, port and the directive.
type Places<'d> = Vec<(Option<IpAddr>, u16, Option<&'d Directive>)>;

fn said<'d>(main: &Server<'d>, hosts: &[Server<'d>], report: &mut Report) -> Places<'d> {
    let all = std::iter::once(main).chain(hosts);
    let directives = all.flat_map(|it| it.several("listen"));
    let mut places = Vec::new();
    for directive in directives {
        match parse(directive.word(0)) {
            Some((ip, port)) => {
                report.carried(directive);
                places.push((ip, port, Some(*directive)));
            }
            None => report.refused(directive, "is no address and port"),
        }
    }
    places
}

/// `80`, `10.0.0.1:80`, `[::1]:80`, `*:80`.
fn parse(text: &str) -> Option<(Option<IpAddr>, u16)> {
    if let Ok(port) = text.parse::<u16>() {
        return (port > 0).then_some((None, port));
    }
    if let Some(port) = text.strip_prefix("*:") {
        return Some((None, port.parse().ok()?));
    }
    let address: SocketAddr = text.parse().ok()?;
    // `0.0.0.0` is any of one kind, and stays so.
    Some((Some(address.ip()), address.port()))
}

/// Whether `Listen 443 https` says that TLS is spoken there.
fn is_https(directive: &Directive) -> bool {
    directive.word(1).eq_ignore_ascii_case("https")
}

/// Whether `SSLEngine` is on.
pub(crate) fn speaks_tls(server: &Server<'_>) -> bool {
    let by = server.single("sslengine");
    by.is_some_and(|by| by.switch() == Some(true))
}

/// The addresses of a virtual host.
fn read_host(host: &Server<'_>, report: &mut Report) -> Vec<HostAddress> {
    let Some(section) = host.section else {
        return Vec::new();
    };
    let mut addresses = Vec::new();
    for word in &section.words {
        match host_address(word) {
            Some(address) => addresses.push(address),
            None => {
                let text = format!(
                    "`{word}` would have to be looked up: write an address, or `*`, and the name as ServerName"
                );
                report.refused(section, text);
            }
        }
    }
    addresses
}

fn host_address(word: &str) -> Option<HostAddress> {
    if let Ok(ip) = word.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Some(HostAddress {
            ip: Some(ip),
            port: None,
        });
    }
    let (ip, port) = match word.rsplit_once(':') {
        Some((ip, "*")) => (ip, None),
        Some((ip, port)) => (ip, Some(port.parse().ok()?)),
        None => (word, None),
    };
    let ip = match ip {
        "*" => None,
        default if default.eq_ignore_ascii_case("_default_") => None,
        local if local.eq_ignore_ascii_case("localhost") => Some(Ipv4Addr::LOCALHOST.into()),
        address => Some(address.trim_matches(['[', ']']).parse().ok()?),
    };
    let is_any = |ip: &IpAddr| {
        *ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED) || *ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    Some(HostAddress {
        ip: ip.filter(|ip| !is_any(ip)),
        port,
    })
}

/// Listeners for virtual hosts that stand alone.
fn of_hosts<'d>(addresses: &[Vec<HostAddress>]) -> Places<'d> {
    let mut places: Places<'d> = Vec::new();
    for address in addresses.iter().flatten() {
        if let Some(port) = address.port.filter(|port| *port > 0) {
            let is_known = places.iter().any(|it| (it.0, it.1) == (address.ip, port));
            if !is_known && places.len() < MOST {
                places.push((address.ip, port, None));
            }
        }
    }
    places
}

/// Addresses that virtual hosts name of a listener for all.
fn special_addresses(ip: Option<IpAddr>, port: u16, addresses: &[Vec<HostAddress>]) -> Vec<IpAddr> {
    let covers = |special: IpAddr| match ip {
        None => true,
        Some(listened) => listened.is_unspecified() && listened.is_ipv4() == special.is_ipv4(),
    };
    let mut special: Vec<IpAddr> = Vec::new();
    for address in addresses.iter().flatten() {
        let is_here = address.port.is_none_or(|it| it == port);
        if let Some(ip) = address.ip
            && is_here
            && covers(ip)
            && !special.contains(&ip)
        {
            special.push(ip);
        }
    }
    special
}

/// The virtual hosts for an address and port: those that name both, before those for any.
fn at(ip: Option<IpAddr>, port: u16, addresses: &[Vec<HostAddress>]) -> Vec<usize> {
    let ip = ip.filter(|ip| !ip.is_unspecified());
    let named = |ip: Option<IpAddr>, port: Option<u16>| {
        let of = |(place, all): (usize, &Vec<HostAddress>)| {
            let wanted = HostAddress { ip, port };
            all.contains(&wanted).then_some(place)
        };
        addresses
            .iter()
            .enumerate()
            .filter_map(of)
            .collect::<Vec<_>>()
    };
    let ranks = [
        (ip, Some(port)),
        (ip, None),
        (None, Some(port)),
        (None, None),
    ];
    let found = ranks.into_iter().map(|(ip, port)| named(ip, port));
    found
        .into_iter()
        .find(|it| !it.is_empty())
        .unwrap_or_default()
}

/// The virtual hosts of the port that is named first.
fn first_port(addresses: &[Vec<HostAddress>]) -> Vec<usize> {
    let port = addresses.iter().flatten().find_map(|it| it.port);
    let is_there = |(place, all): (usize, &Vec<HostAddress>)| {
        all.iter().any(|it| it.port == port).then_some(place)
    };
    addresses.iter().enumerate().filter_map(is_there).collect()
}

/// Tells of virtual hosts that no client comes to.
fn tell_unheard(hosts: &[Server<'_>], listeners: &[Listener<'_>], report: &mut Report) {
    for (place, host) in hosts.iter().enumerate() {
        let Some(section) = host.section else {
            continue;
        };
        match listeners.iter().any(|it| it.hosts.contains(&place)) {
            true => report.carried(section),
            false => {
                report.left_out(section, "no Listen is for it");
                settings::quiet(&section.children, report);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_apache_does() {
        for (text, expected) in [
            ("80", Some("any:80")),
            ("*:80", Some("any:80")),
            ("10.0.0.1:80", Some("10.0.0.1:80")),
            ("[::1]:443", Some("::1:443")),
            ("0", None),
            ("x:80", None),
            ("", None),
        ] {
            let shown = parse(text).map(|(ip, port)| {
                let ip = ip.map_or_else(|| "any".to_owned(), |ip| ip.to_string());
                format!("{ip}:{port}")
            });
            assert_eq!(shown.as_deref(), expected, "{text}");
        }
        let any = |port| Some(HostAddress { ip: None, port });
        let of = |ip: &str, port| {
            let ip = ip.parse().ok();
            Some(HostAddress { ip, port })
        };
        for (text, expected) in [
            ("*:80", any(Some(80))),
            ("*", any(None)),
            ("*:*", any(None)),
            ("_default_:443", any(Some(443))),
            ("0.0.0.0:80", any(Some(80))),
            ("10.0.0.1:80", of("10.0.0.1", Some(80))),
            ("[::1]:80", of("::1", Some(80))),
            ("10.0.0.1", of("10.0.0.1", None)),
            ("www.example.com:80", None),
        ] {
            assert_eq!(host_address(text), expected, "{text}");
        }
    }
}
