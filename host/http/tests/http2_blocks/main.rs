//! What holds of any block: what is accepted says the same in HTTP/1, and what is written is read as it was.

mod accepted;

use equipoise_http::http1::Sender;
use equipoise_http::http2::hpack::{Encoder, TABLE_SIZE};
use equipoise_http::http2::message::{Reader, Writer};
use equipoise_http::{Edit, Fields, Head, Limits, Method, Section, Version};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use accepted::pairs;

/// How often each property is tried.
const CASES: u32 = 3000;

/// Small ones, so that they are met.
const TIGHT: Limits = Limits {
    head: Section {
        bytes: 150,
        line: 60,
        fields: 5,
    },
    target: 20,
    empty_lines: 2,
    interims: 3,
    chunk_line: 12,
    extensions: 20,
    trailers: Section {
        bytes: 60,
        line: 30,
        fields: 2,
    },
};

/// Names, right and wrong ones, the usual ones more often.
const NAMES: [&str; 30] = [
    ":method",
    ":method",
    ":scheme",
    ":scheme",
    ":path",
    ":path",
    ":authority",
    ":authority",
    ":protocol",
    ":status",
    ":other",
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "te",
    "cookie",
    "cookie",
    "x-a",
    "x-b",
    "X-C",
    "x d",
    "x:e",
    "x\r\nf",
    "",
    "upgrade",
    "priority",
    "x-sum",
    "set-cookie",
    "sec-websocket-key",
];

/// Values for all of them.
const VALUES: [&str; 27] = [
    "",
    "GET",
    "GET",
    "POST",
    "CONNECT",
    "OPTIONS",
    "http",
    "https",
    "/",
    "/a?b",
    "/a b",
    "*",
    "a",
    "a",
    "a:80",
    "b",
    "u@a",
    "5",
    "6",
    "5,5",
    "chunked",
    "trailers",
    "close",
    "200",
    "a\r\nx: y",
    " a",
    "websocket",
];

fn line() -> impl Strategy<Value = (String, Vec<u8>)> {
    let any_name = vec(any::<u8>(), 0..6)
        .prop_map(|it| it.iter().map(|&byte| char::from(byte % 128)).collect());
    let name = prop_oneof![20 => select(&NAMES[..]).prop_map(str::to_owned), 1 => any_name];
    let value = prop_oneof![
        20 => select(&VALUES[..]).prop_map(|it| it.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..30),
    ];
    (name, value)
}

/// Fields that every request may have.
const RIGHT: [(&str, &str); 12] = [
    ("host", "a"),
    ("content-length", "5"),
    ("content-length", "05"),
    ("te", "trailers"),
    ("cookie", ""),
    ("cookie", "a=1"),
    ("cookie", "b=2; c=3"),
    ("x-a", ""),
    ("x-b", "a rather long value, as they go"),
    ("set-cookie", "a"),
    ("priority", "u=1"),
    ("sec-websocket-key", "a"),
];

/// How requests begin.
const BEGINNINGS: [&[(&str, &str)]; 5] = [
    &[
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/a"),
        (":authority", "a"),
    ],
    &[
        (":path", "/"),
        (":method", "POST"),
        (":authority", "A:80"),
        (":scheme", "http"),
    ],
    &[(":method", "OPTIONS"), (":scheme", "https"), (":path", "*")],
    &[
        (":method", "CONNECT"),
        (":protocol", "p"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a"),
    ],
    &[],
];

/// Lines of requests, most of them right.
fn lines() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.as_bytes().to_vec());
    let right = select(&RIGHT[..]).prop_map(owned);
    let field = prop_oneof![15 => right, 1 => line()];
    (select(&BEGINNINGS[..]), vec(field, 0..8)).prop_map(move |(begun, others)| {
        let begun = begun.iter().copied().map(owned);
        begun.chain(others).collect()
    })
}

fn encode(encoder: &mut Encoder, lines: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    for (name, value) in lines {
        encoder.field(name.as_bytes(), value, false, &mut out);
    }
    out
}

/// Limits that are met, and others.
fn limits() -> impl Strategy<Value = Limits> {
    select(vec![TIGHT, Limits::default()])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn a_request_that_is_accepted_is_the_same_one_in_http1(blocks in vec(lines(), 1..6), limits in limits()) {
        let (mut encoder, mut reader, mut head) = (Encoder::new(), Reader::new(TABLE_SIZE), Head::new());
        for lines in blocks {
            let block = encode(&mut encoder, &lines);
            accepted::compare(&mut reader, &block, &limits, &mut head).unwrap();
        }
    }

    #[test]
    fn a_message_that_is_refused_changes_nothing_for_others(wrong in vec(lines(), 0..4), lines in lines()) {
        let read = |blocks: &[Vec<u8>]| {
            let (mut reader, mut head) = (Reader::new(TABLE_SIZE), Head::new());
            let mut last = None;
            for block in blocks {
                let request = reader.request(block, &TIGHT, true, &mut head).unwrap();
                last = Some((request, head.target().to_vec(), pairs(&head)));
            }
            last
        };
        let mut encoder = Encoder::new();
        let mut blocks: Vec<_> = wrong.iter().map(|lines| encode(&mut encoder, lines)).collect();
        blocks.push(encode(&mut encoder, &lines));
        let alone = encode(&mut Encoder::new(), &lines);
        prop_assert_eq!(read(&blocks), read(&[alone]));
    }

    #[test]
    fn any_bytes_are_read_or_refused(blocks in vec(vec(any::<u8>(), 0..60), 1..8)) {
        let (mut reader, mut head, mut trailers) = (Reader::new(TABLE_SIZE), Head::new(), Fields::default());
        for block in blocks {
            let read = [
                reader.request(&block, &TIGHT, true, &mut head).map(drop),
                reader.response(&block, &TIGHT, Method::Get, &mut head).map(drop),
                reader.trailers(&block, &TIGHT, Sender::Member, &mut trailers).map(drop),
                reader.skip(&block),
            ];
            if read.iter().any(Result::is_err) {
                break;
            }
        }
    }

    #[test]
    fn a_head_that_is_written_is_read_as_it_was(
        heads in vec(vec((select(&["X-One", "x-two", "Server", "ETag", "Cookie", "Authorization"][..]), "[!-~]{0,40}"), 0..8), 1..8),
        status in select(&[100_u16, 200, 204, 299, 404, 599, 999][..]),
    ) {
        let (mut writer, mut reader) = (Writer::new(), Reader::new(TABLE_SIZE));
        let (mut head, mut again, limits, edit) = (Head::new(), Head::new(), Limits::default(), Edit::new());
        for fields in heads {
            let mut out = Vec::new();
            head.begin_response(status, "", Version::Http11).unwrap();
            for (name, value) in &fields {
                head.push(name.as_bytes(), value.as_bytes()).unwrap();
            }
            writer.response(&head, &edit, &mut out).unwrap();
            let read = reader.response(&out, &limits, Method::Get, &mut again).unwrap();
            prop_assert!(read.is_ok());
            prop_assert_eq!(again.status(), status);
            prop_assert_eq!(pairs(&again), pairs(&head));

            let mut trailers = Fields::default();
            for (name, value) in fields.iter().filter(|(name, _)| name.starts_with(['X', 'x'])) {
                trailers.push(name.as_bytes(), value.as_bytes()).unwrap();
            }
            let (mut out, mut came) = (Vec::new(), Fields::default());
            writer.trailers(&trailers, &mut out);
            prop_assert_eq!(reader.trailers(&out, &limits, Sender::Client, &mut came), Ok(Ok(())));
            prop_assert_eq!(pairs(&came), pairs(&trailers));
        }
    }
}
