//! Host names, paths, cookie names, routes and files: what they are made of.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::value::Parsed;

/// The longest path of a socket file, in bytes: what the system takes.
const MAX_SOCKET_PATH: usize = 107;

/// A host: a name, an IPv4 address or an IPv6 address in brackets. In lower case and IPv6's short form.
pub(super) fn host(text: &str) -> Parsed<String> {
    let host = text.to_ascii_lowercase();
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').unwrap_or_default();
        return match address.parse::<Ipv6Addr>() {
            Ok(address) => Ok(format!("[{address}]")),
            Err(_) => Err("must contain an IPv6 address between [ and ], such as [::1]".to_owned()),
        };
    }
    if looks_like_ipv4(&host) && host.parse::<Ipv4Addr>().is_err() {
        return Err(format!(
            "`{text}` is not an IPv4 address: write four numbers from 0 to 255"
        ));
    }
    if is_host_name(&host) {
        Ok(host)
    } else {
        Err(
            "must be a host name of letters, digits, `-`, `_` and dots, such as shop.example.com"
                .to_owned(),
        )
    }
}

/// A domain of cookies: a host name. A dot before it means nothing and is dropped.
pub(super) fn domain(text: &str) -> Parsed<String> {
    host(text.strip_prefix('.').unwrap_or(text))
}

fn looks_like_ipv4(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_host_name(host: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(legal);
    let host = host.strip_suffix('.').unwrap_or(host);
    host.len() <= 253 && host.split('.').all(label)
}

/// A path: starts with `/`, runs of slashes count as one, one at the end is dropped except in `/` itself.
pub(super) fn path(text: &str) -> Parsed<String> {
    if !text.starts_with('/') {
        return Err(format!("must start with a slash: \"/{text}\""));
    }
    if let Some(part) = text.chars().find(|part| matches!(part, '?' | '#')) {
        return Err(format!(
            "must be a path alone, without `{part}` and what follows it"
        ));
    }
    if let Some(illegal) = text.chars().find(|part| !is_path_character(*part)) {
        return Err(format!(
            "must not contain {illegal:?} as it stands: write it percent-encoded"
        ));
    }
    if has_broken_escape(text) {
        return Err("must have two hexadecimal digits behind each `%`, such as %20".to_owned());
    }
    let segments: Vec<_> = text
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    if segments
        .iter()
        .any(|segment| matches!(*segment, "." | ".."))
    {
        return Err(
            "must not contain `.` or `..` as a segment: write the path they lead to".to_owned(),
        );
    }
    Ok(format!("/{}", segments.join("/")))
}

/// Whether a URL's path or query may hold the character as it stands.
pub(super) fn is_path_character(character: char) -> bool {
    character.is_ascii_graphic()
        && !matches!(
            character,
            '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}'
        )
}

/// Whether a `%` in a URL's path stands without its two digits.
pub(super) fn has_broken_escape(text: &str) -> bool {
    let mut behind = text.split('%').skip(1).map(str::as_bytes);
    behind.any(|part| part.len() < 2 || !part[..2].iter().all(u8::is_ascii_hexdigit))
}

/// Whether `path` lies at or below `prefix`, at a segment boundary; both in the form of [`path`].
pub(super) fn is_within(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether the text is a token of RFC 9110: the name of a header field, or of a cookie.
pub(super) fn is_token(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(legal)
}

/// The name of a header field, in lower case.
pub(super) fn field(text: &str) -> Parsed<String> {
    if is_token(text) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("must be the name of a header field: letters, digits and `-`".to_owned())
    }
}

/// A cookie's name: a token of RFC 9110.
pub(super) fn cookie_name(text: &str) -> Parsed<String> {
    if is_token(text) {
        Ok(text.to_owned())
    } else {
        Err(
            "must be a cookie name of letters, digits, `-`, `_` and dots, such as \"ROUTEID\""
                .to_owned(),
        )
    }
}

/// A member's route: what a cookie's value may hold, up to 63 bytes as in Apache.
pub(super) fn route(text: &str) -> Parsed<String> {
    match text.chars().find(|part| !is_cookie_character(*part)) {
        Some(illegal) => Err(format!(
            "must not contain {illegal:?}: it stands in a cookie's value"
        )),
        None if (1..64).contains(&text.len()) => Ok(text.to_owned()),
        None => Err(format!("must have 1 to 63 characters, not {}", text.len())),
    }
}

/// Whether a cookie's value may hold the character (RFC 6265, 4.1.1).
pub(super) fn is_cookie_character(character: char) -> bool {
    character.is_ascii_graphic() && !matches!(character, '"' | ',' | ';' | '\\')
}

/// A file that the configuration file names: relative to its folder.
pub(super) fn beside(configuration: &Path, file: &str) -> PathBuf {
    configuration.with_file_name("").join(file)
}

/// A file that the configuration file names and that is read; `example` stands in the mistake.
pub(super) fn file(configuration: &Path, file: &str, example: &str) -> Parsed<PathBuf> {
    if file.is_empty() || file.contains('\0') {
        return Err(format!("must be a file's name, such as {example}"));
    }
    Ok(beside(configuration, file))
}

/// A socket file that the configuration file names; `example` stands in the mistake.
pub(super) fn socket(configuration: &Path, file: &str, example: &str) -> Parsed<PathBuf> {
    if file.is_empty() || file.contains('\0') {
        return Err(format!("must name a file, such as {example}"));
    }
    let file = beside(configuration, file);
    match file.as_os_str().as_bytes().len() {
        ..=MAX_SOCKET_PATH => Ok(file),
        length => Err(format!(
            "must be a path of {MAX_SOCKET_PATH} bytes at most, not {length}: the system takes no longer ones for sockets"
        )),
    }
}
