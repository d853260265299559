//! `host` of a route: which hosts it is for.

use crate::name;
use crate::value::Parsed;

/// Hosts that a route is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// This host, in lower case, without port.
    Exact(String),
    /// `*.example.com`: every host below it at any depth, not itself. Holds `.example.com` in lower case.
    Below(String),
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

/// `shop.example.com` or `*.example.com`.
pub(super) fn host_pattern(text: &str) -> Parsed<HostPattern> {
    if text == "*" {
        return Err("leave it out for every host".to_owned());
    }
    let (below, host) = match text.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if host.contains('*') {
        return Err(
            "may have a star only as its first label, such as \"*.example.com\"".to_owned(),
        );
    }
    if !host.starts_with('[') && host.contains(':') || host.contains("]:") {
        return Err(
            "must be a host without a port: which listeners the route is for says `listener`"
                .to_owned(),
        );
    }
    let host = name::host(host)?;
    let host = host.strip_suffix('.').unwrap_or(&host);
    Ok(if below {
        HostPattern::Below(format!(".{host}"))
    } else {
        HostPattern::Exact(host.to_owned())
    })
}
