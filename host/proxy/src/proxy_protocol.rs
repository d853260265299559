//! The PROXY protocol, versions 1 and 2: a header at the start of a connection that tells the client's address.
//!
//! A proxy that forwards a connection puts a header before its first byte (HAProxy's `proxy-protocol.txt`): version 1 is a
//! line of text, version 2 is binary. Both are parsed strictly: what is no header of either version is an error, and never the
//! first bytes of a request. The caller has to trust the peer that sent it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use memchr::memchr;

use equipoise_config::ProxyVersion;

/// How a header of version 1 begins.
const V1_PREFIX: &[u8] = b"PROXY ";

/// The longest header of version 1 with its line end, in bytes.
const V1_MAX_LENGTH: usize = 107;

/// How a header of version 2 begins: with bytes that no protocol in text begins with.
const V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The bytes of a header of version 2 before its addresses.
const V2_FIXED_LENGTH: usize = 16;

/// The longest header of version 2 that is parsed, in bytes: addresses, and what else the peer says of the client.
const V2_MAX_LENGTH: usize = 4096;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// The start of a header, or nothing yet. Never so many bytes as 4 KiB.
    Incomplete,
    /// A header.
    Header {
        /// Its length in bytes; behind it the connection begins.
        length: usize,
        /// The client; `None` where the connection is the peer's own, or the client has no IP address.
        client: Option<SocketAddr>,
    },
    /// No header, with what is wrong.
    Malformed(&'static str),
}

/// Parses a header of either version from the first bytes of a connection.
pub fn parse(bytes: &[u8]) -> Parsed {
    let parsed = if bytes.first() == V2_SIGNATURE.first() {
        parse_v2(bytes)
    } else {
        parse_v1(bytes)
    };
    match parsed {
        Ok(Some((length, client))) => Parsed::Header { length, client },
        Ok(None) => Parsed::Incomplete,
        Err(reason) => Parsed::Malformed(reason),
    }
}

/// A header for a connection that `client` has made to `local`. Where one of both is of IPv4 and the other of IPv6, both are
/// written as IPv6.
pub(crate) fn encode(version: ProxyVersion, client: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let addresses = AddressPair::of(client, local);
    match version {
        ProxyVersion::V1 => encode_v1(addresses, client.port(), local.port()),
        ProxyVersion::V2 => encode_v2(addresses, client.port(), local.port()),
    }
}

/// A header's length and client; `None` while it is incomplete.
type ParseResult = Result<Option<(usize, Option<SocketAddr>)>, &'static str>;

fn parse_v1(bytes: &[u8]) -> ParseResult {
    let start = bytes.len().min(V1_PREFIX.len());
    if bytes[..start] != V1_PREFIX[..start] {
        return Err("not a PROXY header");
    }
    let within = &bytes[..bytes.len().min(V1_MAX_LENGTH)];
    let Some(end) = memchr(b'\n', within) else {
        return if bytes.len() < V1_MAX_LENGTH {
            Ok(None)
        } else {
            Err("the line does not end")
        };
    };
    let line = within[..end].strip_suffix(b"\r");
    let line = line.ok_or("the line ends in LF alone")?;
    let rest = line.strip_prefix(V1_PREFIX).ok_or("not a PROXY header")?;
    Ok(Some((end + 1, parse_v1_client(rest)?)))
}

/// The client in what stands behind `PROXY `.
fn parse_v1_client(rest: &[u8]) -> Result<Option<SocketAddr>, &'static str> {
    if rest == b"UNKNOWN" || rest.starts_with(b"UNKNOWN ") {
        return Ok(None);
    }
    let rest = str::from_utf8(rest).map_err(|_| "not UTF-8")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let [family, client, local, client_port, local_port] = fields[..] else {
        return Err("too few or too many fields");
    };
    let address: fn(&str) -> Option<IpAddr> = match family {
        "TCP4" => |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |text| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return Err("unknown address family"),
    };
    let (Some(client), Some(_)) = (address(client), address(local)) else {
        return Err("invalid address");
    };
    let (Some(port), Some(_)) = (parse_port(client_port), parse_port(local_port)) else {
        return Err("invalid port");
    };
    Ok(Some(SocketAddr::new(client, port)))
}

/// A port in digits alone, without zeros before it.
fn parse_port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_shortest = text == "0" || !text.starts_with('0');
    (is_plain && is_shortest).then(|| text.parse().ok())?
}

fn parse_v2(bytes: &[u8]) -> ParseResult {
    let start = bytes.len().min(V2_SIGNATURE.len());
    if bytes[..start] != V2_SIGNATURE[..start] {
        return Err("not a PROXY header");
    }
    let Some((&[.., command, family, high, low], rest)) =
        bytes.split_first_chunk::<V2_FIXED_LENGTH>()
    else {
        return Ok(None);
    };
    let announced = usize::from(u16::from_be_bytes([high, low]));
    let length = V2_FIXED_LENGTH + announced;
    if length > V2_MAX_LENGTH {
        return Err("too long");
    }
    let is_forwarded = match command {
        0x20 => false,
        0x21 => true,
        _ => return Err("unknown version or command"),
    };
    let addresses = match family {
        _ if !is_forwarded => 0,
        0x00 => 0,
        0x11 => 2 * 4 + 4,
        0x21 => 2 * 16 + 4,
        0x31 => 2 * 108,
        _ => return Err("unknown address family"),
    };
    if announced < addresses {
        return Err("too short for its addresses");
    }
    let Some(body) = rest.get(..announced) else {
        return Ok(None);
    };
    let client = match (is_forwarded, family, body) {
        (true, 0x11, &[a, b, c, d, _, _, _, _, high, low, ..]) => {
            let port = u16::from_be_bytes([high, low]);
            Some(SocketAddr::new([a, b, c, d].into(), port))
        }
        (true, 0x21, _) => parse_v2_client(body),
        _ => None,
    };
    Ok(Some((length, client)))
}

/// The client in the addresses of IPv6.
fn parse_v2_client(body: &[u8]) -> Option<SocketAddr> {
    let (client, rest) = body.split_first_chunk::<16>()?;
    let port = rest.get(16..)?.first_chunk()?;
    Some(SocketAddr::new((*client).into(), u16::from_be_bytes(*port)))
}

/// The addresses of both ends, of one family.
#[derive(Debug, Clone, Copy)]
enum AddressPair {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

impl AddressPair {
    fn of(client: SocketAddr, local: SocketAddr) -> Self {
        let as_v6 = |address| match address {
            IpAddr::V4(address) => Ipv4Addr::to_ipv6_mapped(&address),
            IpAddr::V6(address) => address,
        };
        match (client.ip().to_canonical(), local.ip().to_canonical()) {
            (IpAddr::V4(client), IpAddr::V4(local)) => Self::V4(client, local),
            (client, local) => Self::V6(as_v6(client), as_v6(local)),
        }
    }
}

fn encode_v1(addresses: AddressPair, client_port: u16, local_port: u16) -> Vec<u8> {
    let text = match addresses {
        AddressPair::V4(client, local) => format!("TCP4 {client} {local}"),
        AddressPair::V6(client, local) => format!("TCP6 {client} {local}"),
    };
    format!("PROXY {text} {client_port} {local_port}\r\n").into_bytes()
}

fn encode_v2(addresses: AddressPair, client_port: u16, local_port: u16) -> Vec<u8> {
    let (family, addresses) = match addresses {
        AddressPair::V4(client, local) => (0x11, [client.octets(), local.octets()].concat()),
        AddressPair::V6(client, local) => (0x21, [client.octets(), local.octets()].concat()),
    };
    // 12 or 36, which fit.
    let length = (addresses.len() + 4) as u16;
    let mut header = V2_SIGNATURE.to_vec();
    header.extend([0x21, family]);
    header.extend(length.to_be_bytes());
    header.extend(addresses);
    header.extend(client_port.to_be_bytes());
    header.extend(local_port.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VERSIONS: [ProxyVersion; 2] = [ProxyVersion::V1, ProxyVersion::V2];

    /// A header of version 2 with these bytes behind the fixed part.
    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&V2_SIGNATURE[..], &[command, family], &length, body].concat()
    }

    fn header(bytes: &[u8], client: Option<&str>) {
        let expected = Parsed::Header {
            length: bytes.len(),
            client: client.map(|client| client.parse().unwrap()),
        };
        assert_eq!(parse(bytes), expected, "{:?}", bytes.escape_ascii());
        let followed = [bytes, b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(parse(&followed), expected, "{:?}", bytes.escape_ascii());
    }

    #[test]
    fn version_1_says_who_the_client_is() {
        let table = [
            (
                "PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n",
                Some("192.0.2.1:56324"),
            ),
            (
                "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
                Some("255.255.255.255:65535"),
            ),
            ("PROXY TCP4 1.2.3.4 5.6.7.8 0 0\r\n", Some("1.2.3.4:0")),
            (
                "PROXY TCP6 2001:db8::1 ::1 56324 443\r\n",
                Some("[2001:db8::1]:56324"),
            ),
            (
                "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
                Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
            ),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN whatever there is\r\n", None),
            (
                "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
                None,
            ),
        ];
        for (line, client) in table {
            header(line.as_bytes(), client);
        }
    }

    #[test]
    fn what_is_nearly_version_1_is_malformed() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        let lines = [
            "GET / HTTP/1.1\r\n",
            "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY\r\n",
            "PROXY \r\n",
            "PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
            "PROXY TCP4 1.2.3.4\t5.6.7.8 1 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n",
            "PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n",
            "PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 00\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 -2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8  2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY TCP6 ::1%eth0 ::1 1 2\r\n",
            "PROXY TCP6 [::1] ::1 1 2\r\n",
            "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY TCP4 \u{e9} 5.6.7.8 1 2\r\n",
            &long,
        ];
        for line in lines {
            let parsed = parse(line.as_bytes());
            assert!(matches!(parsed, Parsed::Malformed(_)), "{line:?}");
        }
        assert_eq!(long.len(), V1_MAX_LENGTH + 1);
        let bad_text = parse(b"PROXY TCP4 \xff 5.6.7.8 1 2\r\n");
        assert!(matches!(bad_text, Parsed::Malformed(_)));
    }

    #[test]
    fn version_2_says_who_the_client_is() {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0xdc, 4, 1, 187];
        let v6 = [
            Ipv6Addr::from_bits(0x2001_0db8 << 96 | 1).octets(),
            Ipv6Addr::LOCALHOST.octets(),
        ];
        let v6 = [&v6.concat()[..], &[0xdc, 4, 1, 187]].concat();
        header(&v2(0x21, 0x11, &v4), Some("192.0.2.1:56324"));
        header(&v2(0x21, 0x21, &v6), Some("[2001:db8::1]:56324"));
        let extended = [&v4[..], &[0xea, 0, 2, b'v', b'p']].concat();
        header(&v2(0x21, 0x11, &extended), Some("192.0.2.1:56324"));
        let longest = [&v4[..], &[0; V2_MAX_LENGTH - V2_FIXED_LENGTH - 12]].concat();
        header(&v2(0x21, 0x11, &longest), Some("192.0.2.1:56324"));
    }

    #[test]
    fn version_2_may_name_no_client() {
        header(&v2(0x20, 0x00, b""), None);
        header(&v2(0x20, 0x11, &[7; 12]), None);
        header(&v2(0x20, 0xff, b"anything"), None);
        header(&v2(0x21, 0x00, b""), None);
        header(&v2(0x21, 0x00, &[1, 0, 1, 2]), None);
        header(&v2(0x21, 0x31, &[b'/'; 216]), None);
    }

    #[test]
    fn what_is_nearly_version_2_is_malformed() {
        let headers = [
            v2(0x11, 0x11, &[0; 12]),
            v2(0x31, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x12, &[0; 12]),
            v2(0x21, 0x22, &[0; 36]),
            v2(0x21, 0x41, &[0; 12]),
            v2(0x21, 0x10, &[0; 12]),
            v2(0x21, 0x11, &[0; 11]),
            v2(0x21, 0x21, &[0; 35]),
            v2(0x21, 0x31, &[0; 215]),
            v2(0x20, 0x00, &[0; V2_MAX_LENGTH - V2_FIXED_LENGTH + 1]),
            b"\r\n\r\n\0\r\nQUIT\r".to_vec(),
            b"\r\nGET".to_vec(),
        ];
        for bytes in headers {
            let parsed = parse(&bytes);
            let shown = bytes.escape_ascii();
            assert!(matches!(parsed, Parsed::Malformed(_)), "{shown}");
        }
    }

    #[test]
    fn ends_of_two_families_are_written_as_ipv6() {
        let client = "192.0.2.1:1234".parse().unwrap();
        let local = "[2001:db8::1]:443".parse().unwrap();
        let line = encode(ProxyVersion::V1, client, local);
        let expected = "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1234 443\r\n";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
        let local = "[::ffff:10.0.0.1]:443".parse().unwrap();
        let line = encode(ProxyVersion::V1, client, local);
        let expected = "PROXY TCP4 192.0.2.1 10.0.0.1 1234 443\r\n";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_no_part_of_it_is(client: SocketAddr, local: SocketAddr) {
            for version in VERSIONS {
                let header = encode(version, client, local);
                let Parsed::Header { length, client: Some(read_back) } = parse(&header) else {
                    panic!("{version:?} {client} {local}: {:?}", parse(&header));
                };
                prop_assert_eq!(length, header.len());
                prop_assert_eq!(read_back.ip().to_canonical(), client.ip().to_canonical());
                prop_assert_eq!(read_back.port(), client.port());
                for cut in 0..header.len() {
                    prop_assert_eq!(parse(&header[..cut]), Parsed::Incomplete);
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic_or_wait_for_ever(
            start in proptest::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", &V2_SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11"]),
            rest in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let bytes = [start, &rest].concat();
            if let Parsed::Header { length, .. } = parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
            let padded = [&bytes[..], &[b'x'; V2_MAX_LENGTH]].concat();
            prop_assert!(parse(&padded[..V2_MAX_LENGTH]) != Parsed::Incomplete);
        }
    }
}
