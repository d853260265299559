//! What clients send by HTTP/1 is read alike, wherever reads are cut, and what is read is passed on as it was.

#![no_main]

use equipoise_http::http1::{HeadEvent, RequestReader};
use equipoise_http::transcript::requests;
use equipoise_http::{Edit, Head, Limits, Section};

/// Small ones, so that they are met.
const TIGHT: Limits = Limits {
    head: Section {
        bytes: 200,
        line: 80,
        fields: 6,
    },
    target: 30,
    empty_lines: 2,
    interims: 3,
    chunk_line: 20,
    extensions: 40,
    trailers: Section {
        bytes: 60,
        line: 40,
        fields: 2,
    },
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // The first byte says where reads are cut, and by which limits.
    let Some((how, bytes)) = bytes.split_first() else {
        return;
    };
    let limits = if how & 0x80 == 0 {
        Limits::default()
    } else {
        TIGHT
    };
    let whole = requests(bytes, usize::MAX, limits);
    assert_eq!(requests(bytes, usize::from(how & 0x7f), limits), whole);

    let (mut reader, mut head) = (RequestReader::new(limits), Head::new());
    if reader.head(bytes, &mut head).1 != HeadEvent::Head {
        return;
    }
    let (mut out, mut again, mut other) = (Vec::new(), Vec::new(), Head::new());
    let mut edit = Edit::new();
    edit.set_version(head.version());
    edit.write(&head, &mut out);
    let mut reader = RequestReader::new(Limits::default());
    let read = reader.head(&out, &mut other);
    assert_eq!(read, (out.len(), HeadEvent::Head));
    assert!(head.iter().eq(other.iter()));
    assert_eq!(
        (head.method_bytes(), head.target()),
        (other.method_bytes(), other.target())
    );
    edit.write(&other, &mut again);
    assert_eq!(out, again);
});
