//! The URL of a member.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::uri::Authority;

use super::name;
use super::value::Reading;

/// The example that mistakes show.
const FORM: &str = "http://host[:port][/path], such as \"http://127.0.0.1:9001\"";

/// Where a member is: `http://host[:port][/path]`, in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberUrl {
    /// Host and port as they go into `Host`.
    pub(super) authority: Authority,
    /// The host in lower case, an IPv6 address without its brackets.
    pub(super) host: String,
    /// The port; 80 where none is written.
    pub(super) port: u16,
    /// The path without a slash at its end; empty for `/`.
    pub(super) path: String,
}

impl MemberUrl {
    /// Host and port as an address, where the host is an IP address.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let host: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(host, self.port))
    }
}

/// Reads the URL of a member.
pub(super) fn member_url(text: &str) -> Reading<MemberUrl> {
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| format!("must be {FORM}"))?;
    check_scheme(scheme)?;
    check_parts(rest)?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = split_port(authority)?;
    let host = name::host(host).map_err(|remedy| format!("its host {remedy}"))?;
    let path = match path {
        "" => String::new(),
        path => name::path(path).map_err(|remedy| format!("its path {remedy}"))?,
    };
    Ok(MemberUrl {
        authority: as_authority(&host, port)?,
        host: host.trim_matches(['[', ']']).to_owned(),
        port,
        path: path.trim_end_matches('/').to_owned(),
    })
}

fn check_scheme(scheme: &str) -> Reading<()> {
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok(()),
        "https" | "h2" | "h2c" | "ws" | "wss" | "ajp" | "unix" | "fcgi" | "scgi" | "uwsgi" => Err(
            format!("`{scheme}` is not supported in this version yet: must be {FORM}"),
        ),
        _ => Err(format!(
            "`{scheme}` is no scheme known here: must be {FORM}"
        )),
    }
}

/// Refuses what other URLs have and a member's has not.
fn check_parts(rest: &str) -> Reading<()> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if let Some((user, _)) = authority.rsplit_once('@') {
        return Err(format!("must not name a user: leave out `{user}@`"));
    }
    if let Some(fragment) = rest.find('#') {
        return Err(format!(
            "must not have a fragment: leave out `{}`",
            &rest[fragment..]
        ));
    }
    match rest.find('?') {
        Some(query) => Err(format!(
            "must not have a query: leave out `{}`",
            &rest[query..]
        )),
        None => Ok(()),
    }
}

/// A host and perhaps a port, as they go into `Host`.
pub(super) fn host_field(text: &str) -> Reading<String> {
    let (host, port) = split_port(text)?;
    let host = name::host(host)?;
    as_authority(&host, port).map(|authority| authority.to_string())
}

/// The host as it is written and the port.
fn split_port(authority: &str) -> Reading<(&str, u16)> {
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Err(format!(
            "an IPv6 address stands in brackets: write [{authority}]"
        ));
    }
    let end_of_host = authority.find(']').map_or(0, |bracket| bracket + 1);
    let Some(colon) = authority[end_of_host..].find(':') else {
        return Ok((authority, 80));
    };
    let (host, port) = authority.split_at(end_of_host + colon);
    let digits = port[1..].bytes().all(|byte| byte.is_ascii_digit());
    match port[1..].parse() {
        Ok(number) if digits && number > 0 => Ok((host, number)),
        _ => Err(format!(
            "its port must be a number from 1 to 65535, not `{}`",
            &port[1..]
        )),
    }
}

fn as_authority(host: &str, port: u16) -> Reading<Authority> {
    let text = match port {
        80 => host.to_owned(),
        port => format!("{host}:{port}"),
    };
    Authority::try_from(text)
        .map_err(|error| format!("its host and port are no authority: {error}"))
}
