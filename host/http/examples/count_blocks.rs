//! What header blocks of HTTP/2 cost in instructions, beside fluke-hpack: run under callgrind, which counts what is between two
//! runs of different lengths.
//!
//!     host/http/examples/count-blocks
//!
//! prints this table: user instructions for one block, and how often memory is allocated for 2,000 of them. `small` is a request
//! with 6 lines and a response with 4 fields, `browser` one with 22 lines, 6 of them cookies, and 13 fields. "Read" is: decode it,
//! judge it, and make the head of it that HTTP/1 would have had; "first" are blocks of literals with Huffman, as they begin a
//! connection, and others are mostly indices. "Write" is: make an edit that adds `Via`, and encode what is left of the head.
//! "Member" is the other role. "Other" is fluke-hpack, which decodes and encodes, and judges nothing.
//!
//! | what | small | browser | allocations |
//! |---|--:|--:|--:|
//! | read | 1513 | 6914 | 0 |
//! | read-other | 515 | 2391 | 0 |
//! | read-first | 3331 | 22426 | 0 |
//! | read-first-other | 456412 | 3120461 | 1462000 |
//! | write | 1480 | 3530 | 0 |
//! | write-other | 6219 | 19353 | 14000 |
//! | write-first | 2655 | 6007 | 2000 |
//! | member-request | 1591 | 4294 | 0 |
//! | member-response | 1363 | 3333 | 0 |

use std::env;
use std::hint::black_box;

use equipoise_http::edit::HOP_BY_HOP;
use equipoise_http::http2::hpack::{Encoder, TABLE_SIZE};
use equipoise_http::http2::message::{Reader, Writer};
use equipoise_http::{Edit, Fields, Head, Known, Limits, Method, Version};

type Lines = &'static [(&'static str, &'static str)];

const SMALL: Lines = &[
    (":method", "GET"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":authority", "127.0.0.1:8080"),
    ("user-agent", "load/1.0"),
    ("accept", "*/*"),
];

const BROWSER: Lines = &[
    (":method", "GET"),
    (":authority", "shop.example.com"),
    (":scheme", "https"),
    (
        ":path",
        "/shop/products/1234567?category=books&sort=price&page=2",
    ),
    (
        "sec-ch-ua",
        "\"Chromium\";v=\"126\", \"Not.A/Brand\";v=\"24\", \"Google Chrome\";v=\"126\"",
    ),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", "\"Windows\""),
    ("upgrade-insecure-requests", "1"),
    (
        "user-agent",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    ),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "navigate"),
    (
        "referer",
        "https://shop.example.com/shop/products?category=books",
    ),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en-US;q=0.9,en;q=0.8,de;q=0.7"),
    ("cookie", "session=0123456789abcdef0123456789abcdef.web1"),
    ("cookie", "_ga=GA1.2.1234567890.1700000000"),
    ("cookie", "_gid=GA1.2.987654321.1700000001"),
    ("cookie", "theme=dark"),
    ("cookie", "cart=MTIzNDU2Nzo0LDc2NTQzMjE6MSw5ODc2NTQzOjI"),
    ("cookie", "last_seen=1700000002"),
    ("priority", "u=0, i"),
];

const SMALL_RESPONSE: Lines = &[
    ("Server", "origin"),
    ("Date", "Mon, 01 Jan 2024 00:00:00 GMT"),
    ("Content-Type", "text/plain"),
    ("Content-Length", "1024"),
];

const BROWSER_RESPONSE: Lines = &[
    ("Server", "nginx/1.22.1"),
    ("Date", "Mon, 01 Jan 2024 00:00:00 GMT"),
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Length", "1024"),
    ("Connection", "keep-alive"),
    ("Vary", "Accept-Encoding, Cookie"),
    ("Cache-Control", "private, max-age=0, must-revalidate"),
    ("ETag", "W/\"5f3a-18cc2f3a8f0\""),
    ("Last-Modified", "Sun, 31 Dec 2023 23:59:59 GMT"),
    (
        "Set-Cookie",
        "session=0123456789abcdef0123456789abcdef.web1; Path=/; HttpOnly; Secure; SameSite=Lax",
    ),
    (
        "Strict-Transport-Security",
        "max-age=31536000; includeSubDomains",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
];

/// The blocks of a client that puts all it can into the table: the first and all others.
fn blocks(lines: Lines) -> (Vec<u8>, Vec<u8>) {
    let mut encoder = Encoder::new();
    let mut block = || {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        for (name, value) in lines {
            encoder.field(name.as_bytes(), value.as_bytes(), false, &mut out);
        }
        out
    };
    block();
    (block(), block())
}

fn request(lines: Lines, times: u32, is_first: bool) {
    let (first, next) = blocks(lines);
    let (mut reader, mut head, limits) = (Reader::new(TABLE_SIZE), Head::new(), Limits::default());
    let mut read = |block: &[u8]| {
        let read = reader.request(black_box(block), &limits, true, &mut head);
        assert!(matches!(black_box(read), Ok(Ok(_))));
    };
    read(&first);
    let block = if is_first { &first } else { &next };
    (0..times).for_each(|_| read(block));
}

fn request_of_other(lines: Lines, times: u32, is_first: bool) {
    let (first, next) = blocks(lines);
    let mut decoder = fluke_hpack::Decoder::new();
    let mut read = |block: &[u8]| {
        let mut bytes = 0;
        let read = decoder.decode_with_cb(black_box(block), |name, value| {
            bytes += name.len() + value.len()
        });
        assert!(black_box(read).is_ok());
    };
    read(&first);
    let block = if is_first { &first } else { &next };
    (0..times).for_each(|_| read(block));
}

fn response(lines: Lines, times: u32, is_new: bool) {
    let mut via = Fields::default();
    assert!(via.push(b"via", b"1.1 equipoise").is_ok());
    let (mut head, mut edit) = (Head::new(), Edit::new());
    assert!(head.begin_response(200, "OK", Version::Http11).is_ok());
    for (name, value) in lines {
        assert!(head.push(name.as_bytes(), value.as_bytes()).is_ok());
    }
    let (mut writer, mut out) = (Writer::new(), Vec::with_capacity(4096));
    for _ in 0..times {
        if is_new {
            writer = Writer::new();
        }
        edit.clear();
        edit.leave_out(HOP_BY_HOP);
        edit.leave_out_named_in_connection(&head);
        edit.add_all(&via);
        out.clear();
        assert!(
            writer
                .response(black_box(&head), black_box(&edit), &mut out)
                .is_ok()
        );
        black_box(&out);
    }
}

fn response_of_other(lines: Lines, times: u32) {
    let mut encoder = fluke_hpack::Encoder::new();
    let names: Vec<_> = lines
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), *value))
        .collect();
    for _ in 0..times {
        let fields = names
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        black_box(encoder.encode(black_box(fields)));
    }
}

fn member_request(lines: Lines, times: u32) {
    let (first, _) = blocks(lines);
    let (mut head, mut edit) = (Head::new(), Edit::new());
    let read = Reader::new(TABLE_SIZE).request(&first, &Limits::default(), true, &mut head);
    assert!(matches!(read, Ok(Ok(_))));
    let (mut writer, mut out) = (Writer::new(), Vec::with_capacity(4096));
    for _ in 0..times {
        edit.clear();
        edit.leave_out(HOP_BY_HOP);
        edit.set(&head, Known::Host, b"10.0.0.1:8080");
        out.clear();
        assert!(
            writer
                .request(black_box(&head), &edit, false, None, &mut out)
                .is_ok()
        );
        black_box(&out);
    }
}

fn member_response(lines: Lines, times: u32) {
    let (mut writer, mut head, edit) = (Writer::new(), Head::new(), Edit::new());
    let (mut reader, limits) = (Reader::new(TABLE_SIZE), Limits::default());
    assert!(head.begin_response(200, "OK", Version::Http11).is_ok());
    for (name, value) in lines.iter().filter(|(name, _)| *name != "Connection") {
        assert!(head.push(name.as_bytes(), value.as_bytes()).is_ok());
    }
    let mut out = Vec::new();
    let mut again = Head::new();
    for _ in 0..3 {
        out.clear();
        assert!(writer.response(&head, &edit, &mut out).is_ok());
        assert!(matches!(
            reader.response(&out, &limits, Method::Get, &mut again),
            Ok(Ok(_))
        ));
    }
    for _ in 0..times {
        let read = reader.response(black_box(&out), &limits, Method::Get, &mut head);
        assert!(matches!(black_box(read), Ok(Ok(_))));
    }
}

fn main() {
    let mut arguments = env::args().skip(1);
    let (what, times) = (arguments.next().unwrap_or_default(), arguments.next());
    let times: u32 = times.and_then(|times| times.parse().ok()).unwrap_or(1000);
    let (size, way) = what.split_once('/').unwrap_or((&what, ""));
    let (lines, response_lines) = match size {
        "small" => (SMALL, SMALL_RESPONSE),
        _ => (BROWSER, BROWSER_RESPONSE),
    };
    match way {
        "read" => request(lines, times, false),
        "read-first" => request(lines, times, true),
        "read-other" => request_of_other(lines, times, false),
        "read-first-other" => request_of_other(lines, times, true),
        "write" => response(response_lines, times, false),
        "write-first" => response(response_lines, times, true),
        "write-other" => response_of_other(response_lines, times),
        "member-request" => member_request(lines, times),
        _ => member_response(response_lines, times),
    }
}
