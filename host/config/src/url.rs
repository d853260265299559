//! The URL of a member.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use http::uri::Authority;

use super::name;
use super::value::Parsed;
use super::{Protocol, Upgrade};

/// The example that mistakes show.
const FORM: &str = "http://host[:port][/path], such as \"http://127.0.0.1:9001\"";

/// The form of a member's URL at a socket file.
const SOCKET_FORM: &str =
    "unix:/path|http://name[/path], such as \"unix:/run/app.sock|http://app.internal\"";

/// Where a member is: `scheme://host[:port][/path]`, perhaps with `unix:/path|` before it, in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberUrl {
    pub(super) scheme: Scheme,
    /// Host and port as they go into `Host`: without the port where it is the scheme's own.
    pub(super) authority: Authority,
    /// The host in lower case, an IPv6 address without its brackets.
    pub(super) host: String,
    /// The port; the scheme's own where none is written.
    pub(super) port: u16,
    /// The path without a slash at its end; empty for `/`.
    pub(super) path: String,
    /// The socket file that it listens at, instead of host and port.
    pub(super) socket: Option<PathBuf>,
}

/// The scheme of a member's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
    H2,
    H2c,
    Ws,
    Wss,
    Ajp,
}

impl MemberUrl {
    /// Host and port as an address, where the host is an IP address and the member is reached by it.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let host: IpAddr = self.host.parse().ok()?;
        let address = SocketAddr::new(host, self.port);
        self.socket.is_none().then_some(address)
    }
}

impl Scheme {
    const ALL: [(&str, Self); 7] = [
        ("http", Self::Http),
        ("https", Self::Https),
        ("h2", Self::H2),
        ("h2c", Self::H2c),
        ("ws", Self::Ws),
        ("wss", Self::Wss),
        ("ajp", Self::Ajp),
    ];

    fn read(text: &str) -> Parsed<Self> {
        let lower = text.to_ascii_lowercase();
        let known = Self::ALL.iter().find(|(name, _)| *name == lower);
        known
            .map(|(_, scheme)| *scheme)
            .ok_or_else(|| match lower.as_str() {
                "fcgi" | "scgi" | "uwsgi" | "ftp" => {
                    format!("`{text}` is not supported: must be {FORM}, or https, h2, h2c, ws, wss, ajp")
                }
                _ => format!(
                    "`{text}` is not a supported scheme: must be {FORM}, or https, h2, h2c, ws, wss, ajp"
                ),
            })
    }

    /// Whether TLS is spoken.
    pub(super) fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::H2 | Self::Wss)
    }

    /// What is spoken.
    pub(super) fn protocol(self) -> Protocol {
        match self {
            Self::Http | Self::Ws | Self::Wss => Protocol::Http1,
            Self::H2 | Self::H2c => Protocol::Http2,
            Self::Https => Protocol::Negotiated,
            Self::Ajp => Protocol::Ajp,
        }
    }

    /// What connections may become where nothing is said.
    pub(super) fn upgrade(self) -> Upgrade {
        match self {
            Self::Ws | Self::Wss => Upgrade::To(vec!["websocket".to_owned()]),
            _ => Upgrade::Never,
        }
    }

    /// The port where none is written.
    fn port(self) -> u16 {
        match self {
            Self::Ajp => 8009,
            _ if self.is_tls() => 443,
            _ => 80,
        }
    }
}

/// Reads the URL of a member; a socket file is relative to the folder of the file at `path`.
pub(super) fn member_url(text: &str, path: &Path) -> Parsed<MemberUrl> {
    let Some(("unix", rest)) = text.split_once(':') else {
        let url = url(text)?;
        check_service(text, &url)?;
        return Ok(url);
    };
    let (socket, rest) = rest
        .split_once('|')
        .ok_or_else(|| format!("must have a URL behind its file: {SOCKET_FORM}"))?;
    let socket = name::socket(path, socket, "\"unix:/run/app.sock|http://app.internal\"")?;
    Ok(MemberUrl {
        socket: Some(socket),
        ..url(rest)?
    })
}

/// Whether the host stands for a service (RFC 2782), such as `_web._tcp.app.internal`: its ports come with its SRV records.
fn is_service(host: &str) -> bool {
    host.starts_with('_')
}

/// Refuses a port that nothing would go by.
fn check_service(text: &str, url: &MemberUrl) -> Parsed<()> {
    let authority = text.split('/').nth(2).unwrap_or_default();
    match authority.split_once(':') {
        Some((host, port)) if is_service(&url.host) => Err(format!(
            "must have no port, since `{host}` stands for SRV records, which have theirs: leave out `:{port}`"
        )),
        _ => Ok(()),
    }
}

/// Reads an `http` URL of the same form.
pub(super) fn http_url(text: &str) -> Parsed<MemberUrl> {
    match url(text)? {
        url if url.scheme == Scheme::Http => Ok(url),
        _ => Err(format!("must be {FORM}")),
    }
}

fn url(text: &str) -> Parsed<MemberUrl> {
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| format!("must be {FORM}"))?;
    let scheme = Scheme::read(scheme)?;
    check_parts(rest)?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = split_port(authority, scheme.port())?;
    let host = name::host(host).map_err(|remedy| format!("its host {remedy}"))?;
    let path = match path {
        "" => String::new(),
        path => name::path(path).map_err(|remedy| format!("its path {remedy}"))?,
    };
    Ok(MemberUrl {
        scheme,
        authority: as_authority(&host, port, scheme.port())?,
        host: host.trim_matches(['[', ']']).to_owned(),
        port,
        path: path.trim_end_matches('/').to_owned(),
        socket: None,
    })
}

/// Refuses what other URLs have and a member's has not.
fn check_parts(rest: &str) -> Parsed<()> {
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
pub(super) fn host_field(text: &str) -> Parsed<String> {
    let default = Scheme::Http.port();
    let (host, port) = split_port(text, default)?;
    let host = name::host(host)?;
    as_authority(&host, port, default).map(|authority| authority.to_string())
}

/// The host as it is written and the port.
fn split_port(authority: &str, default: u16) -> Parsed<(&str, u16)> {
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Err(format!(
            "an IPv6 address stands in brackets: write [{authority}]"
        ));
    }
    let end_of_host = authority.find(']').map_or(0, |bracket| bracket + 1);
    let Some(colon) = authority[end_of_host..].find(':') else {
        return Ok((authority, default));
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

fn as_authority(host: &str, port: u16, default: u16) -> Parsed<Authority> {
    let text = match port {
        port if port == default => host.to_owned(),
        port => format!("{host}:{port}"),
    };
    Authority::try_from(text)
        .map_err(|error| format!("its host and port are no authority: {error}"))
}
