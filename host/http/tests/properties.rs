//! What holds of any bytes, and of any message.

use equipoise_http::http1::body::Encoder;
use equipoise_http::http1::{Framing, HeadEvent, RequestReader, ResponseReader};
use equipoise_http::transcript;
use equipoise_http::{Edit, Fields, Head, Limits, Method, Section, Version};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Small ones, so that they are met.
const TIGHT: Limits = Limits {
    head: Section {
        bytes: 120,
        line: 60,
        fields: 5,
    },
    target: 20,
    empty_lines: 2,
    interims: 3,
    chunk_line: 12,
    extensions: 20,
    trailers: Section {
        bytes: 50,
        line: 30,
        fields: 2,
    },
};

/// Names that edits leave out: of known fields, and of others.
const KNOWN: [&str; 14] = [
    "Accept",
    "Age",
    "Cache-Control",
    "Cookie",
    "Date",
    "Etag",
    "Expires",
    "Link",
    "Pragma",
    "Server",
    "Vary",
    "Via",
    "X-Own",
    "X-Request-Id",
];

/// Pieces that messages are made of, right and wrong ones.
const PIECES: [&str; 64] = [
    "GET ",
    "POST ",
    "HEAD ",
    "CONNECT ",
    "OPTIONS ",
    "/",
    "/a?b ",
    "* ",
    "http://a/ ",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/1.2",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    ":",
    "Host: a\r\n",
    "Host: ",
    "a",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: ",
    "5",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: ",
    "chunked",
    "gzip, ",
    "Connection: close\r\n",
    "Connection: ",
    "keep-alive",
    "X: 1\r\n",
    "x-forwarded-for: 1\r\n",
    "hello",
    "5\r\nhello\r\n",
    "0\r\n",
    "0\r\n\r\n",
    "1;a=b\r\nx\r\n",
    ";a",
    "=\"",
    "\"",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 204\r\n",
    "HTTP/1.1 103 Early\r\n",
    "HTTP/1.1 101 X\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 ",
    "304 ",
    "\0",
    "\u{7f}",
    "\u{e9}",
    "#",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "Trailer: x\r\n",
];

fn streams() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec(select(&PIECES[..]), 0..25).prop_map(|pieces| pieces.concat().into_bytes());
    prop_oneof![4 => pieces, 1 => vec(any::<u8>(), 0..200)]
}

fn tokens() -> impl Strategy<Value = String> {
    "[!#$%&'*+.^_`|~a-zA-Z0-9-]{1,12}"
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    let text = vec(
        select(
            (b' '..=b'~')
                .chain(0x80..=0xff)
                .chain([b'\t'])
                .collect::<Vec<_>>(),
        ),
        0..40,
    );
    text.prop_map(|value| value.trim_ascii().to_vec())
}

type Pairs = Vec<(String, Vec<u8>)>;

/// Fields that say nothing about the message.
fn pairs() -> impl Strategy<Value = Pairs> {
    let name = tokens().prop_filter("known to be about the message", |name| {
        let about = [
            "host",
            "te",
            "content-length",
            "transfer-encoding",
            "connection",
        ];
        !about.contains(&&*name.to_ascii_lowercase())
    });
    vec((name, values()), 0..10)
}

fn push_all(head: &mut Fields, pairs: &Pairs) {
    for (name, value) in pairs {
        head.push(name.as_bytes(), value).unwrap();
    }
}

fn collected(fields: &Fields) -> Pairs {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    fields
        .iter()
        .map(|it| (text(it.name), it.value.to_vec()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn where_a_clients_bytes_are_cut_makes_no_difference(bytes in streams(), cut in 1_usize..30, is_tight: bool) {
        let limits = if is_tight { TIGHT } else { Limits::default() };
        let whole = transcript::requests(&bytes, usize::MAX, limits);
        prop_assert_eq!(transcript::requests(&bytes, cut, limits), whole);
    }

    #[test]
    fn where_a_members_bytes_are_cut_makes_no_difference(bytes in streams(), cut in 1_usize..30, is_tight: bool, is_head: bool) {
        let limits = if is_tight { TIGHT } else { Limits::default() };
        let methods = [if is_head { Method::Head } else { Method::Get }, Method::Get, Method::Post];
        let whole = transcript::responses(&bytes, usize::MAX, limits, &methods);
        prop_assert_eq!(transcript::responses(&bytes, cut, limits, &methods), whole);
    }

    #[test]
    fn a_request_that_is_written_is_read_as_it_was(
        method in tokens().prop_filter("refused", |it| it != "CONNECT"),
        target in "/[!-\"$-~\u{80}-\u{ff}]{0,30}",
        pairs in pairs(),
    ) {
        let mut head = Head::new();
        head.begin_request(method.as_bytes(), target.as_bytes(), Version::Http11).unwrap();
        head.push(b"Host", b"a").unwrap();
        push_all(&mut head, &pairs);
        let mut out = Vec::new();
        Edit::new().write(&head, &mut out);
        let (mut reader, mut read) = (RequestReader::new(Limits::default()), Head::new());
        prop_assert_eq!(reader.head(&out, &mut read), (out.len(), HeadEvent::Head));
        prop_assert_eq!((read.method_bytes(), read.target()), (method.as_bytes(), target.as_bytes()));
        prop_assert_eq!(read.method(), Method::of(method.as_bytes()));
        prop_assert_eq!(collected(&read), collected(&head));
        // And again the same bytes.
        let mut again = Vec::new();
        Edit::new().write(&read, &mut again);
        prop_assert_eq!(again, out);
    }

    #[test]
    fn a_response_that_is_written_is_read_as_it_was(status in 200_u16..1000, reason in "[ -~\u{80}-\u{ff}]{0,20}", pairs in pairs()) {
        let mut head = Head::new();
        head.begin_response(status, &reason, Version::Http11).unwrap();
        push_all(&mut head, &pairs);
        let mut out = Vec::new();
        Edit::new().write(&head, &mut out);
        let (mut reader, mut read) = (ResponseReader::new(Limits::default()), Head::new());
        reader.expect_response_to(Method::Get);
        prop_assert_eq!(reader.head(&out, &mut read), (out.len(), HeadEvent::Head));
        prop_assert_eq!((read.status(), read.reason()), (status, reason.as_bytes()));
        prop_assert_eq!(collected(&read), collected(&head));
    }

    #[test]
    fn a_body_that_is_written_is_read_as_it_was(
        pieces in vec(vec(any::<u8>(), 0..300), 0..8),
        is_chunked: bool,
        cut in 1_usize..400,
    ) {
        let payload = pieces.concat();
        let framing = if is_chunked { Framing::Chunked } else { Framing::Length(payload.len() as u64) };
        let mut out = b"POST / HTTP/1.1\r\nHost: a\r\n".to_vec();
        out.extend_from_slice(&match framing {
            Framing::Chunked => b"Transfer-Encoding: chunked\r\n\r\n".to_vec(),
            _ => format!("Content-Length: {}\r\n\r\n", payload.len()).into_bytes(),
        });
        let mut trailers = Fields::default();
        trailers.push(b"X-Sum", b"1").unwrap();
        let mut body = Encoder::new(framing);
        for piece in &pieces {
            body.write(piece, &mut out).unwrap();
        }
        body.end(Some(&trailers), &mut out).unwrap();
        let read = transcript::requests(&out, cut, Limits::default());
        prop_assert_eq!((read.messages.len(), read.refused), (1, None));
        let message = &read.messages[0];
        prop_assert_eq!((&message.body, message.is_whole, message.framing), (&payload, true, Some(framing)));
        prop_assert_eq!(message.trailers.len(), usize::from(is_chunked));
    }

    /// Whatever is left out, replaced or added, the others are the same bytes, in one piece between two changes.
    #[test]
    fn untouched_fields_are_the_bytes_that_came(pairs in pairs(), left_out in vec(any::<bool>(), 10), replaced in vec(any::<bool>(), 10)) {
        let mut text = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
        let mut expected = text.clone();
        for (index, (name, value)) in pairs.iter().enumerate() {
            let line = [name.as_bytes(), b": ", value, b"\r\n"].concat();
            text.extend_from_slice(&line);
            match (left_out[index], replaced[index]) {
                (true, _) => {}
                (false, true) => expected.extend_from_slice(format!("{name}: other\r\n").as_bytes()),
                (false, false) => expected.extend_from_slice(&line),
            }
        }
        text.extend_from_slice(b"\r\n");
        expected.extend_from_slice(b"\r\n");
        let (mut reader, mut head) = (RequestReader::new(Limits::default()), Head::new());
        prop_assert_eq!(reader.head(&text, &mut head), (text.len(), HeadEvent::Head));
        let mut edit = Edit::new();
        for index in (0..pairs.len()).rev() {
            if replaced[index] {
                edit.replace_at(index + 1, b"other");
            }
            if left_out[index] {
                edit.leave_out_at(index + 1);
            }
        }
        let mut out = Vec::new();
        edit.write(&head, &mut out);
        prop_assert_eq!(out, expected);
    }
    /// Lines are written as the fields are told, however many are left out by name or by place, and replaced.
    #[test]
    fn an_edit_writes_the_fields_that_it_tells_of(
        names in vec(select(KNOWN.to_vec()), 0..30),
        left_out in vec(select(KNOWN.to_vec()), 0..12),
        changed in vec((0_usize..30, any::<bool>()), 0..12),
        is_odd: bool,
    ) {
        let mut text = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
        for (number, name) in names.iter().enumerate() {
            let blanks = if is_odd && number % 3 == 0 { "  " } else { " " };
            text.extend_from_slice(format!("{name}:{blanks}{number}\r\n").as_bytes());
        }
        text.extend_from_slice(b"\r\n");
        let (mut reader, mut head) = (RequestReader::new(Limits::default()), Head::new());
        prop_assert_eq!(reader.head(&text, &mut head), (text.len(), HeadEvent::Head));
        let mut edit = Edit::new();
        left_out.iter().for_each(|&name| edit.leave_out_name(name));
        for (place, is_replaced) in changed.into_iter().filter(|(place, _)| *place < head.len()) {
            match is_replaced {
                true => edit.replace_at(place, b"other"),
                false => edit.leave_out_at(place),
            }
        }
        let mut expected = b"GET / HTTP/1.1\r\n".to_vec();
        for field in edit.fields(&head) {
            expected.extend_from_slice(&[field.name, b": ", field.value, b"\r\n"].concat());
        }
        expected.extend_from_slice(b"\r\n");
        let mut out = Vec::new();
        edit.write(&head, &mut out);
        prop_assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }
}
