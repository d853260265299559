//! What clients send that is not HTTP goes no further.

use std::io::ErrorKind;
use std::time::Duration;

use crate::admin;
use crate::harness::client::request;
use crate::harness::origin::State;
use crate::harness::proxy::server;
use crate::harness::{Client, Origin, Proxy, Response};
use crate::metrics::metrics;

/// Behind each malformed request, to see that what comes after it is not taken for one.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: lb.test\r\n\r\n";

/// A head that must be refused, and the status that it deserves.
type Row = (&'static [u8], u16);

/// Sends each head on a connection of its own: it is answered with its status, the answer says that the connection is closed,
/// and it is, no member hears of it, and nothing is counted against one.
#[track_caller]
fn refused(rows: &[Row]) {
    let (mut b1, mut proxy) = begin();
    let mut wrong = Vec::new();
    for (head, status) in rows {
        let mut client = proxy.client();
        // The proxy may have closed before everything is sent.
        let _ = client.try_send([head, SMUGGLED.as_bytes()].concat());
        let end = End::of(&mut client);
        if end != End::refused(*status) || b1.hits() > 0 {
            let (text, hits) = (shown(head), b1.hits());
            wrong.push(format!(
                "{text}: {end:?}, not {status}, at the member: {hits}"
            ));
            (b1, proxy) = begin();
        }
    }
    assert!(wrong.is_empty(), "not refused so:\n{}", wrong.join("\n"));
    assert_eq!(counted_against_members(&proxy), Vec::<String>::new());
    assert_eq!(server(&proxy.get("/")), "b1", "others are served");
}

fn begin() -> (Origin, Proxy) {
    let b1 = Origin::live("b1");
    let proxy = admin::start(&[&b1]).start();
    (b1, proxy)
}

/// How a client's connection ended.
#[derive(Debug, PartialEq, Eq)]
struct End {
    status: Result<u16, ErrorKind>,
    says_close: bool,
    is_closed: bool,
}

impl End {
    fn of(client: &mut Client) -> Self {
        let response = client.try_response("GET");
        let says_close = |it: &Response| it.field("connection") == Some("close");
        Self {
            says_close: response.as_ref().is_ok_and(says_close),
            status: response.map(|it| it.status()).map_err(|error| error.kind()),
            is_closed: client.is_closed(),
        }
    }

    fn refused(status: u16) -> Self {
        Self {
            status: Ok(status),
            says_close: true,
            is_closed: true,
        }
    }
}

/// The beginning of a head, for messages.
fn shown(head: &[u8]) -> String {
    let shown = head[..head.len().min(100)].escape_ascii();
    format!("\"{shown}\" of {} bytes", head.len())
}

/// What is counted of members' requests and errors that is not 0.
#[track_caller]
fn counted_against_members(proxy: &Proxy) -> Vec<String> {
    let text = metrics(proxy);
    let counted = text.lines().filter(|line| {
        let is_counter = line.starts_with("equipoise_member_errors_total{")
            || line.starts_with("equipoise_member_requests_total{")
            || line.starts_with("equipoise_member_consecutive_failures{");
        is_counter && !line.ends_with(" 0") && !line.ends_with(" 0.0")
    });
    assert!(text.contains("equipoise_member_errors_total{"), "{text}");
    counted.map(str::to_owned).collect()
}

const TWO_FRAMINGS: &[Row] = &[
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 5\r\ntransfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: identity\r\n\r\nhello", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX: 1\r\nCONTENT-LENGTH: 0\r\n\r\nhello", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: +5\r\n\r\nhello", 400),
];

const LENGTHS_THAT_ARE_NO_NUMBERS: &[Row] = &[
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5,5\r\n\r\nhello",
        400,
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
        400,
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nhello",
        400,
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        400,
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello",
        400,
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -0\r\n\r\nhello",
        400,
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
        400,
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\nhello",
        400,
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5e0\r\n\r\nhello",
        400,
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: five\r\n\r\nhello",
        400,
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\nhello",
        400,
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5;\r\n\r\nhello",
        400,
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"5\"\r\n\r\nhello",
        400,
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: _5\r\n\r\nhello",
        400,
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xd9\xa5\r\n\r\nhello",
        400,
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
        400,
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
        400,
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\x0b\r\n\r\nhello",
        400,
    ),
];

/// Those that could be another coding of IANA are not implemented; others are malformed.
const OTHER_CODINGS: &[Row] = &[
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun\r\n ked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
];

const OTHER_LINE_ENDS: &[Row] = &[
    (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    (
        b"GET / HTTP/1.1\r\nHost: a\r\nUseless:\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    (b"GET / HTTP/1.1\rHost: a\r\r", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n", 400),
    (b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", 400),
];

const MALFORMED_FIELDS: &[Row] = &[
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\t: 1\r\n\r\n", 400),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello",
        400,
    ),
    (b"GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX(Y): 1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\"X\": 1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\0: 1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa9: 1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", 400),
    (
        b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\tfolded\r\n\r\n",
        400,
    ),
    (b"GET / HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: \r\n \r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x0bb\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x1bb\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", 400),
];

const OTHER_THAN_ONE_HOST: &[Row] = &[
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nX: 1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nhost: b\r\n\r\n", 400),
    (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", 400),
    (b"GET http://a/ HTTP/1.1\r\n\r\n", 400),
];

const NO_REQUEST_LINES: &[Row] = &[
    (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 400),
    (b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET\r\nHost: a\r\n\r\n", 400),
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET ?q HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /a\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /a\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /a\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"G\0T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"* HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"HTTP/1.1 200 OK\r\nHost: a\r\n\r\n", 400),
];

const NO_PLACES: &[Row] = &[
    (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /#fragment HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /../a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"POST * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /a#b?c HTTP/1.1\r\nHost: a\r\n\r\n", 400),
];

const OTHER_HOSTS: &[Row] = &[
    (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http://a/ HTTP/1.1\r\nHost: a:8080\r\n\r\n", 400),
    (b"GET http://a,b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n", 400),
    (b"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http://[::1/ HTTP/1.1\r\nHost: [::1]\r\n\r\n", 400),
    (b"GET http://b/ HTTP/1.0\r\n\r\n", 400),
    (b"GET http://b/ HTTP/1.0\r\nHost: a\r\n\r\n", 400),
    (b"GET https://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http://a:443/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
];

const OTHER_VERSIONS: &[Row] = &[
    (b"GET /\r\n\r\n", 400),
    (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    (b"GET / HTTP/3.9\r\nHost: a\r\n\r\n", 505),
    (b"GET / HTTP/11\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1\r\nHost: a\r\n\r\n", 400),
    (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTPS/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/+1.1\r\nHost: a\r\n\r\n", 400),
    (b"PRI * HTTP/2.0\r\n\r\nXM\r\n\r\n", 505),
];

const NO_TEXT: &[Row] = &[
    (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", 400),
    (b"\0\0\0\0\r\n\r\n", 400),
    (b"\xff\xfe\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\xff: 1\r\n\r\n", 400),
];

#[test]
fn a_request_with_two_framings_is_refused() {
    refused(TWO_FRAMINGS);
}

#[test]
fn a_request_with_a_length_that_is_no_number_is_refused() {
    refused(LENGTHS_THAT_ARE_NO_NUMBERS);
}

#[test]
fn a_request_with_another_coding_than_chunked_is_refused() {
    refused(OTHER_CODINGS);
}

#[test]
fn a_request_with_lines_that_end_otherwise_is_refused() {
    refused(OTHER_LINE_ENDS);
}

#[test]
fn a_request_with_malformed_fields_is_refused() {
    refused(MALFORMED_FIELDS);
}

#[test]
fn a_request_that_names_no_host_or_several_is_refused() {
    refused(OTHER_THAN_ONE_HOST);
}

#[test]
fn a_request_line_that_is_none_is_refused() {
    refused(NO_REQUEST_LINES);
}

#[test]
fn a_target_that_is_no_place_is_refused() {
    refused(NO_PLACES);
}

#[test]
fn a_target_that_names_another_host_than_host_is_refused() {
    refused(OTHER_HOSTS);
}

#[test]
fn a_request_of_another_version_is_refused() {
    refused(OTHER_VERSIONS);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    refused(NO_TEXT);
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let rows = too_large();
    refused(&rows.each_ref().map(|(head, status)| (*head, *status)));
}

/// Heads beyond the bounds, which are 64 KiB and 100 fields.
fn too_large() -> [Row; 4] {
    let leaked = |head: String| &*head.into_bytes().leak();
    let long = "x".repeat(100_000);
    [
        (
            leaked(format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")),
            414,
        ),
        (
            leaked(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n")),
            431,
        ),
        (
            leaked(format!(
                "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
                "X: 1\r\n".repeat(100)
            )),
            431,
        ),
        (
            leaked(format!(
                "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
                format!("X: {}\r\n", "x".repeat(1_000)).repeat(80)
            )),
            431,
        ),
    ]
}

/// Every head that is refused here.
fn all_refused() -> Vec<Row> {
    let tables = [
        TWO_FRAMINGS,
        LENGTHS_THAT_ARE_NO_NUMBERS,
        OTHER_CODINGS,
        OTHER_LINE_ENDS,
        MALFORMED_FIELDS,
        OTHER_THAN_ONE_HOST,
        NO_REQUEST_LINES,
        NO_PLACES,
        OTHER_HOSTS,
        OTHER_VERSIONS,
        NO_TEXT,
        &too_large(),
    ];
    tables.concat()
}

/// Goal: what is refused is refused alike however it arrives. Method: every head that is refused whole, cut in two at several
/// places, the second piece sent a moment later.
#[test]
fn a_head_that_is_refused_is_refused_however_it_is_cut() {
    let (b1, proxy) = begin();
    let mut pieces = Vec::new();
    for (head, status) in all_refused() {
        let length = head.len();
        let mut cuts = vec![1, length / 3, length * 2 / 3, length - 1, length];
        cuts.dedup();
        pieces.extend(cuts.into_iter().map(|cut| (head, cut, status)));
    }
    let mut wrong = Vec::new();
    for batch in pieces.chunks(100) {
        let mut clients = Vec::new();
        for &(head, cut, _) in batch {
            let mut client = proxy.client();
            let _ = client.try_send(&head[..cut]);
            clients.push(client);
        }
        // Time to read them. What follows must not depend on it.
        std::thread::sleep(Duration::from_millis(50));
        for (client, (head, cut, _)) in clients.iter_mut().zip(batch) {
            let _ = client.try_send([&head[*cut..], SMUGGLED.as_bytes()].concat());
        }
        for (client, (head, cut, status)) in clients.iter_mut().zip(batch) {
            let end = End::of(client);
            if end != End::refused(*status) {
                let text = shown(head);
                wrong.push(format!("{text}, cut at {cut}: {end:?}, not {status}"));
            }
        }
    }
    let (count, all) = (wrong.len(), pieces.len());
    assert!(
        wrong.is_empty(),
        "{count} of {all} not refused so:\n{}",
        wrong.join("\n")
    );
    assert_eq!(b1.hits(), 0);
    assert_eq!(counted_against_members(&proxy), Vec::<String>::new());
    assert_eq!(server(&proxy.get("/")), "b1", "others are served");
}

/// The same for heads that come byte by byte: one of each table.
#[test]
fn a_head_that_is_refused_is_refused_byte_by_byte() {
    let (b1, proxy) = begin();
    let tables = [
        TWO_FRAMINGS,
        LENGTHS_THAT_ARE_NO_NUMBERS,
        OTHER_CODINGS,
        OTHER_LINE_ENDS,
        MALFORMED_FIELDS,
        OTHER_THAN_ONE_HOST,
        NO_REQUEST_LINES,
        NO_PLACES,
        OTHER_HOSTS,
        OTHER_VERSIONS,
        NO_TEXT,
    ];
    for (head, status) in tables.map(|table| table[1]) {
        let mut client = proxy.client();
        for byte in [head, SMUGGLED.as_bytes()].concat() {
            let _ = client.try_send([byte]);
        }
        assert_eq!(
            End::of(&mut client),
            End::refused(status),
            "{}",
            shown(head)
        );
    }
    assert_eq!(b1.hits(), 0);
    assert_eq!(server(&proxy.get("/")), "b1", "others are served");
}

/// Goal: a request is not found behind the start of HTTP/2. Method: there is one, where a frame should be.
#[test]
fn what_begins_as_http_2_and_goes_on_as_something_else_is_dropped() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    let _ = client.try_send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned() + SMUGGLED);
    assert!(client.try_response("GET").is_err());
    assert_eq!(b1.hits(), 0);
    assert_eq!(server(&proxy.get("/")), "b1");
}

#[test]
fn what_looks_odd_and_is_http_passes() {
    let table = [
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /"),
        ("GET / HTTP/1.1\r\nhOST:a\r\n\r\n", "GET /"),
        ("GET / HTTP/1.1\r\nHost:  \t a:80 \t\r\n\r\n", "GET /"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY:\t\r\n\r\n", "GET /"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX!#$%&'*+-.^_`|~9: 1\r\n\r\n",
            "GET /",
        ),
        ("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", "BREW /pot"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\nhello",
            "GET /",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \t Chunked \r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "POST /",
        ),
    ];
    for (raw, seen) in table {
        let [b1] = Origin::some();
        let proxy = Proxy::before(&[&b1]).start();
        let mut client = proxy.client();
        client.send(raw);
        let status = client.response().status();
        assert_eq!(status, 200, "{raw:?}");
        let request = b1.only_request();
        assert_eq!(request.head.start, format!("{seen} HTTP/1.1"));
        let body = if raw.contains("hello") { "hello" } else { "" };
        assert_eq!(request.body.text(), body, "{raw:?}");
    }
}

/// What browsers and programs send, though RFC 3986 has it encoded: other proxies pass it, too.
#[test]
fn odd_bytes_in_a_target_pass_as_they_came() {
    let targets: [&[u8]; 14] = [
        b"/?q={}|\"'<>^`\\",
        b"/a{b}",
        b"/a|b",
        b"/a\"b",
        b"/a<b>",
        b"/a^b",
        b"/a`b",
        b"/a\\b",
        b"/caf\xc3\xa9?x=\xc3\xa9",
        b"/caf\xe9?x=\xff\x80",
        b"/[a]?b[]=c",
        b"/a;b=c?d=%zz&e=%",
        b"/?a?b/c//d/../e",
        b"/?a=http://b/c",
    ];
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let mut wrong = Vec::new();
    for target in targets {
        let mut client = proxy.client();
        client.send([b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
        let status = client.try_response("GET").map(|it| it.status());
        let seen = b1.when("requests", |log| {
            Some(log.requests.last().map(|it| it.raw.clone()))
        });
        let line = [b"GET ", target, b" HTTP/1.1\r\n"].concat();
        if !matches!(status, Ok(200)) || !seen.as_ref().is_some_and(|it| it.starts_with(&line)) {
            let seen = seen.unwrap_or_default();
            let text = format!(
                "{}: {status:?}, the last seen: {}",
                shown(target),
                shown(&seen)
            );
            wrong.push(text);
        }
    }
    assert!(wrong.is_empty(), "not passed so:\n{}", wrong.join("\n"));
}

/// The same where the path is rewritten on the way.
#[test]
fn odd_bytes_pass_where_the_path_is_rewritten() {
    let [b1] = Origin::some();
    let routes = "[[route]]\npath = \"/app\"\nmember-path = \"/v2\"\nbalancer = \"cluster\"";
    let proxy = Proxy::before(&[&b1]).routes(routes).start();
    let mut client = proxy.client();
    client.send(b"GET /app/caf\xe9{b}|?q=<\xff> HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(server(&client.response()), "b1");
    let line = b"GET /v2/caf\xe9{b}|?q=<\xff> HTTP/1.1\r\n";
    let raw = b1.only_request().raw;
    assert!(raw.starts_with(line), "{}", shown(&raw));
}

/// RFC 9110, 9.3.7. It is about the server as a whole, which is us.
#[test]
fn options_of_the_whole_server_are_answered() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    let response = client.exchange("OPTIONS *", &[]);
    assert_eq!(response.status(), 200);
    let allow = response.field("allow").expect("Allow");
    for method in ["GET", "HEAD", "OPTIONS", "POST"] {
        assert!(allow.contains(method), "{allow}");
    }
    assert_eq!(response.body.length, 0);
    assert_eq!(server(&client.get("/")), "b1", "the connection goes on");
    assert_eq!(b1.hits(), 1);
}

#[test]
fn a_default_port_is_no_disagreement() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let table = [
        ("http://a:80/x", "a"),
        ("http://a/x", "a:80"),
        ("http://A:80/x", "a"),
        ("http://a:/x", "a"),
        ("http://a:080/x", "a:80"),
        ("http://[::1]:80/x", "[::1]"),
        ("http://a/x", "A"),
    ];
    for (number, (target, host)) in table.into_iter().enumerate() {
        let mut client = proxy.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(server(&client.response()), "b1", "{target} {host}");
        assert_eq!(b1.request(number).target(), "/x", "{target} {host}");
    }
}

/// RFC 9110, 8.6. Two of them would be refused by many a member.
#[test]
fn equal_lengths_reach_the_member_once() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let table = [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nX: 1\r\ncontent-length: 5\r\nCONTENT-LENGTH: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 005\r\n",
    ];
    for (number, lengths) in table.into_iter().enumerate() {
        let mut client = proxy.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{lengths}\r\nhello"));
        assert_eq!(server(&client.response()), "b1", "{lengths:?}");
        assert_eq!(server(&client.get("/")), "b1", "the connection goes on");
        let request = b1.request(2 * number);
        assert_eq!(request.head.all("content-length"), ["5"], "{lengths:?}");
        assert_eq!(request.body.text(), "hello", "{lengths:?}");
    }
}

/// Goal: a body is not taken for a request. Method: a body that looks like one, framed well.
#[test]
fn a_body_that_looks_like_a_request_stays_a_body() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    assert_eq!(server(&client.exchange_body("GET /", &[], SMUGGLED)), "b1");
    assert_eq!(server(&client.get("/next")), "b1");
    assert_eq!(b1.request(0).body.text(), SMUGGLED);
    assert_eq!(b1.request(1).target(), "/next");
    assert_eq!(b1.hits(), 2);
}

#[test]
fn what_came_before_a_malformed_request_is_answered() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    client.send(request("GET /", &[], "") + "GET / HTTP/1.1\nHost: a\r\n\r\n" + SMUGGLED);
    assert_eq!(server(&client.response()), "b1");
    assert_eq!(client.response().status(), 400);
    client.expect_closed();
    assert_eq!(b1.hits(), 1);
}

/// Goal: a client's malformed body is the client's fault: it gets 400, the member never gets a whole request, and is not
/// blamed. Method: the balancer does not forgive errors (`forcerecovery = false`), so that blame would show.
#[test]
fn a_malformed_chunk_is_the_clients_fault() {
    let bodies = [
        "x\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5_\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\r\n0\n\n",
        "5\r\nhello\r\n0\r\n\n",
        "5;\r\nhello\r\n0\r\n\r\n",
        "5;a=\u{1}\r\nhello\r\n0\r\n\r\n",
        "5;a=b\n\r\nhello\r\n0\r\n\r\n",
        "5;a=b\rc\r\nhello\r\n0\r\n\r\n",
        "5 a\r\nhello\r\n0\r\n\r\n",
        "5;;a\r\nhello\r\n0\r\n\r\n",
        "5;=a\r\nhello\r\n0\r\n\r\n",
        "5;a=\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\r\nhello\r\n0\r\n\r\n",
        "5;a b\r\nhello\r\n0\r\n\r\n",
        "5; \r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0;\r\n\r\n",
        "5\r\nhello\r\n-0\r\n\r\n",
        "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
        "5\r\nhello\r\n0\r\nX : 1\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: 1\n\r\n",
        "5\r\nhello\r\n0\r\nX: \0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: 1\r\n folded\r\n\r\n",
        "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
        "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "5\r\nhello\r\n0\r\nHost: b\r\n\r\n",
        "5\r\nhello\r\n0\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n",
        "5\r\nhello\r\n0\r\nCookie: a=b\r\n\r\n",
        "5\r\nhello\r\n0\r\nAuthorization: b\r\n\r\n",
        "5\r\nhello\r\n0\r\nRange: bytes=0-1\r\n\r\n",
        "5\r\nhello\r\n0\r\nConnection: close\r\n\r\n",
        "5\r\nhello\r\n0\r\n: b\r\n\r\n",
        "5\r\nhello\r\n0\r\nX\u{e9}: b\r\n\r\n",
    ];
    let mut wrong = Vec::new();
    for body in bodies {
        let [b1] = Origin::some();
        let proxy = Proxy::before(&[&b1])
            .balancer("forcerecovery = false")
            .start();
        let mut client = proxy.client();
        let head = "POST / HTTP/1.1\r\nHost: lb.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        let _ = client.try_send([head, body, SMUGGLED].concat());
        let status = client
            .try_response("POST")
            .map(|response| response.status());
        let is_closed = client.is_closed();
        let next = server(&proxy.get("/next"));
        let seen: Vec<_> = (0..b1.hits()).map(|index| b1.request(index)).collect();
        let whole = seen
            .iter()
            .filter(|request| request.state == State::Complete);
        let whole: Vec<_> = whole.map(|request| request.target().to_owned()).collect();
        if !matches!(status, Ok(400)) || !is_closed || next != "b1" || whole != ["/next"] {
            wrong.push(format!(
                "{body:?}: {status:?}, closed {is_closed}, next {next}, whole {whole:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "not treated so:\n{}", wrong.join("\n"));
}

#[test]
fn a_chunk_that_is_malformed_after_much_of_the_body_is_the_clients_fault() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1])
        .balancer("forcerecovery = false")
        .start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: lb.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..50 {
        client.send(format!("2000\r\n{}\r\n", "x".repeat(0x2000)));
    }
    b1.await_hits(1);
    client.send("2000x\r\n");
    assert_eq!(client.response().status(), 400);
    client.expect_closed();
    assert_eq!(b1.request(0).state, State::Aborted);
    assert_eq!(server(&proxy.get("/")), "b1");
}
