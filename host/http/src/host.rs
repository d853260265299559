//! What names a host: `Host` (RFC 9110, 7.2), and the authority of a target (RFC 3986, 3.2).

use memchr::{memchr, memrchr2};

use crate::syntax::alphanumeric_and;

/// The bytes of a registered name (RFC 3986, 3.2.2), but for the comma, which a list would have.
const NAME: [bool; 256] = alphanumeric_and(b"-._~%!$&'()*+;=");

/// The bytes of an address of IPv6.
const ADDRESS: [bool; 256] = {
    let mut table = [false; 256];
    let mut index = 0;
    let bytes = b"0123456789abcdefABCDEF:.";
    while index < bytes.len() {
        table[bytes[index] as usize] = true;
        index += 1;
    }
    table
};

/// Whether `value` is `uri-host [":" port]`: no user, no path, no list, not empty.
#[inline]
pub fn is_valid(value: &[u8]) -> bool {
    if let [b'[', rest @ ..] = value {
        return is_address(rest);
    }
    let end = value.iter().position(|&byte| !NAME[usize::from(byte)]);
    let end = end.unwrap_or(value.len());
    end > 0 && is_port(&value[end..])
}

/// Whether this is an address of IPv6, its closing bracket, and perhaps a port.
fn is_address(value: &[u8]) -> bool {
    let end = value.iter().position(|&byte| !ADDRESS[usize::from(byte)]);
    match end.map(|end| value.split_at(end)) {
        Some((address, [b']', port @ ..])) => !address.is_empty() && is_port(port),
        _ => false,
    }
}

/// Whether this is nothing, or a colon with a port behind it, which may be missing.
#[inline]
fn is_port(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// The host without its port.
pub fn without_port(value: &str) -> &str {
    &value[..port_at(value.as_bytes())]
}

/// Where the port begins, with its colon; the end where there is none.
pub fn port_at(value: &[u8]) -> usize {
    match memrchr2(b':', b']', value) {
        Some(colon) if value[colon] == b':' => colon,
        _ => value.len(),
    }
}

/// Whether two of them name the same host and port, where a port that is missing is the scheme's own: 443 with TLS, and 80
/// without.
pub fn is_same(one: &[u8], other: &[u8], is_tls: bool) -> bool {
    if one == other {
        return true;
    }
    let (one, other) = (split(one), split(other));
    let own = if is_tls { 443 } else { 80 };
    one.0.eq_ignore_ascii_case(other.0) && port(one.1, own) == port(other.1, own)
}

/// The host, and what begins with the colon of its port.
fn split(value: &[u8]) -> (&[u8], &[u8]) {
    let from = match value {
        [b'[', ..] => memchr(b']', value).map_or(value.len(), |end| end + 1),
        _ => 0,
    };
    let colon = memchr(b':', &value[from..]).map_or(value.len(), |at| from + at);
    match value {
        // What is behind the address belongs to neither, and is no port.
        [b'[', ..] => value.split_at(from),
        _ => value.split_at(colon),
    }
}

/// The number of `":" port`; `None` for one that is none.
fn port(text: &[u8], own: u32) -> Option<u32> {
    match text {
        [] | [b':'] => Some(own),
        [b':', digits @ ..] => std::str::from_utf8(digits).ok()?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_a_name_and_perhaps_a_port() {
        for host in [
            "a",
            "a:80",
            "a:",
            "A.b-c_d~%41",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:80",
            "[::ffff:1.2.3.4]:",
            "a:00080",
            "*",
            "a;b=c",
        ] {
            assert!(is_valid(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            ":80",
            "u@a",
            "a/b",
            "a,b",
            "a:b",
            "a b",
            "a:80:80",
            "a?b",
            "a#b",
            "a\\b",
            "[::1",
            "[]",
            "[::1]a",
            "[::1]80",
            "[g]",
            "http://a",
            "a:123456",
            "a\t",
            "\u{e9}",
            "a\"",
            "[::1]:80:80",
            "a[::1]",
            "<a>",
        ] {
            assert!(!is_valid(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn a_port_that_is_the_schemes_own_makes_no_difference() {
        let table = [
            ("a", "a", false, true),
            ("a", "A", false, true),
            ("a", "b", false, false),
            ("a:80", "a", false, true),
            ("a", "A:80", false, true),
            ("a:", "a", false, true),
            ("a:080", "a", false, true),
            ("a:80", "a", true, false),
            ("a:443", "a", true, true),
            ("a:443", "a", false, false),
            ("a:8080", "a", false, false),
            ("a:8080", "a:8080", false, true),
            ("[::1]:80", "[::1]", false, true),
            ("[::1]", "[::2]", false, false),
            ("[::A]", "[::a]:80", false, true),
        ];
        for (one, other, is_tls, expected) in table {
            for (one, other) in [(one, other), (other, one)] {
                let same = is_same(one.as_bytes(), other.as_bytes(), is_tls);
                assert_eq!(same, expected, "{one} {other} {is_tls}");
            }
        }
    }

    #[test]
    fn a_host_is_told_from_its_port() {
        for (value, host) in [
            ("a:80", "a"),
            ("a", "a"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(without_port(value), host);
        }
    }
}
