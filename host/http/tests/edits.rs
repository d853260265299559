//! How heads are passed on.

use equipoise_http::edit::HOP_BY_HOP;
use equipoise_http::http1::{HeadEvent, RequestReader, ResponseReader};
use equipoise_http::{
    Edit, FieldLine, Fields, Head, Known, KnownSet, Limits, Method, Version, Violation,
};

fn request(bytes: &str) -> Head {
    let (mut reader, mut head) = (RequestReader::new(Limits::default()), Head::new());
    let read = reader.head(bytes.as_bytes(), &mut head);
    assert_eq!(read, (bytes.len(), HeadEvent::Head), "{bytes:?}");
    head
}

fn response(bytes: &str) -> Head {
    let (mut reader, mut head) = (ResponseReader::new(Limits::default()), Head::new());
    reader.expect_response_to(Method::Get);
    let read = reader.head(bytes.as_bytes(), &mut head);
    assert_eq!(read, (bytes.len(), HeadEvent::Head), "{bytes:?}");
    head
}

/// What is written, which has to be what the fields are for another version, too.
#[track_caller]
fn written(edit: &Edit, head: &Head) -> String {
    let mut out = b"before ".to_vec();
    edit.write(head, &mut out);
    let out = String::from_utf8(out).unwrap();
    let out = out.strip_prefix("before ").unwrap();
    let lines = out.strip_suffix("\r\n\r\n").unwrap().split("\r\n").skip(1);
    let lines: Vec<_> = lines.map(|line| line.split_once(':').unwrap()).collect();
    let lines: Vec<_> = lines
        .iter()
        .map(|(name, value)| (*name, value.trim_ascii()))
        .collect();
    let fields: Vec<_> = edit
        .fields(head)
        .map(|field| {
            let text = |bytes| std::str::from_utf8(bytes).unwrap();
            assert_eq!(field.known, Known::of(field.name));
            (text(field.name), text(field.value).trim_ascii())
        })
        .collect();
    assert_eq!(fields, lines);
    out.to_owned()
}

const REQUEST: &str = "GET /a?b HTTP/1.1\r\nhOst:a\r\nX-One: 1\r\nConnection: x-one, Keep-Alive, Host, bad name\r\n\
                       Keep-Alive: 5\r\nX-Two:\r\nVia: 1.0 x\r\nx-ONE: 2\r\nVia: 1.1 y\r\nCookie: c\r\n\r\n";

#[test]
fn a_head_that_is_not_changed_is_the_same() {
    for text in [
        REQUEST,
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n"
            .replace("GET", "OPTIONS")
            .as_str(),
    ] {
        assert_eq!(written(&Edit::new(), &request(text)), text);
    }
    let text = "HTTP/1.1 200 Fine, \u{e9}\r\nServer: x\r\nset-cookie: a\r\nSet-Cookie: b\r\n\r\n";
    assert_eq!(written(&Edit::new(), &response(text)), text);
}

#[test]
fn what_concerns_one_connection_stays_there() {
    let head = request(REQUEST);
    let mut edit = Edit::new();
    edit.leave_out(HOP_BY_HOP);
    edit.leave_out_named_in_connection(&head);
    // Host is protected, and what is no name says nothing.
    let expected =
        "GET /a?b HTTP/1.1\r\nhOst:a\r\nX-Two:\r\nVia: 1.0 x\r\nVia: 1.1 y\r\nCookie: c\r\n\r\n";
    assert_eq!(written(&edit, &head), expected);
    edit.clear();
    assert_eq!(written(&edit, &head), REQUEST);
}

#[test]
fn fields_are_left_out_replaced_and_added() {
    let head = request(REQUEST);
    let mut edit = Edit::new();
    edit.leave_out(KnownSet::of(&[Known::Connection, Known::KeepAlive]));
    edit.leave_out_name("X-two");
    edit.set(&head, Known::Host, b"member:8080");
    edit.set(&head, "x-one", b"3");
    edit.set(&head, "X-New", b"new");
    edit.append(&head, Known::Via, b"1.1 us");
    edit.append(&head, Known::Forwarded, b"for=a");
    edit.add(Known::XForwardedFor, b"192.0.2.1");
    edit.add_parts("X-Parts", &[b"a", b"", b"-b"]);
    let cookie = head.positions(Known::Cookie).next().unwrap();
    edit.replace_at(cookie, b"d");
    let expected = "GET /a?b HTTP/1.1\r\nhOst: member:8080\r\nX-One: 3\r\nVia: 1.0 x\r\nVia: 1.1 y, 1.1 us\r\n\
                    Cookie: d\r\nX-New: new\r\nforwarded: for=a\r\nx-forwarded-for: 192.0.2.1\r\nX-Parts: a-b\r\n\r\n";
    assert_eq!(written(&edit, &head), expected);
    edit.append(&head, Known::Via, b"again");
    edit.leave_out_at(cookie);
    let expected = expected
        .replace("1.1 us", "1.1 us, again")
        .replace("Cookie: d\r\n", "");
    assert_eq!(written(&edit, &head), expected);
}

#[test]
fn fields_that_are_the_same_for_many_are_added_in_one_piece() {
    let mut prepared = Fields::default();
    prepared.push(b"X-Forwarded-Proto", b"https").unwrap();
    prepared.push(b"via", b"1.1 us").unwrap();
    let head = request("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut edit = Edit::new();
    edit.add_all(&Fields::default());
    edit.add("a", b"1");
    edit.add_all(&prepared);
    edit.add_all(&prepared);
    let expected = "GET / HTTP/1.1\r\nHost: a\r\na: 1\r\nX-Forwarded-Proto: https\r\nvia: 1.1 us\r\n\
                    X-Forwarded-Proto: https\r\nvia: 1.1 us\r\n\r\n";
    assert_eq!(written(&edit, &head), expected);
}

#[test]
fn lines_that_are_made_once_are_set_and_appended_as_values_are() {
    let host = FieldLine::new(Known::Host, b"member:80");
    let client = FieldLine::new(Known::XForwardedFor, b"192.0.2.1");
    let via = FieldLine::new(Known::Via, b"1.1 us\r\nX-Bad: 1");
    assert_eq!(via.value(), b"1.1 us  X-Bad: 1");
    let texts = [
        "GET / HTTP/1.1\r\nhOst: a\r\n\r\n",
        "GET / HTTP/1.1\r\nX-Forwarded-For: b\r\nHost: a\r\nvia: 1.0 x\r\n\r\n",
        "GET / HTTP/1.0\r\nX-Forwarded-For: b\r\nX-Forwarded-For: c\r\nX-Forwarded-Host: d\r\n\r\n",
    ];
    for text in texts {
        let head = request(text);
        let (mut by_line, mut by_value) = (Edit::new(), Edit::new());
        by_line.set_line(&head, &host);
        by_value.set(&head, Known::Host, host.value());
        by_line.append_line(&head, &client);
        by_value.append(&head, Known::XForwardedFor, client.value());
        by_line.append_value_of(&head, Known::Host, Known::XForwardedHost);
        if let Some(host) = head.get(Known::Host) {
            by_value.append(&head, Known::XForwardedHost, host);
        }
        by_line.append_line(&head, &via);
        by_value.append(&head, Known::Via, via.value());
        by_line.add_line(&client);
        by_value.add(Known::XForwardedFor, client.value());
        assert_eq!(written(&by_line, &head), written(&by_value, &head));
        by_line.set_line(&head, &client);
        by_value.set(&head, Known::XForwardedFor, client.value());
        assert_eq!(written(&by_line, &head), written(&by_value, &head));
    }
}

#[test]
fn start_lines_are_rewritten() {
    let head = request("GET /a?b HTTP/1.0\r\nHost: a\r\n\r\n");
    let mut edit = Edit::new();
    assert_eq!(
        written(&edit, &head),
        "GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n"
    );
    edit.set_target(b"/base/a?b").unwrap();
    assert_eq!(edit.target(&head), b"/base/a?b");
    for bad in [&b""[..], b"/ ", b"/\r\n", b"/#", b"\0"] {
        assert_eq!(edit.set_target(bad), Err(Violation::TargetByte));
    }
    edit.set_version(Version::Http10);
    assert_eq!(
        written(&edit, &head),
        "GET /base/a?b HTTP/1.0\r\nHost: a\r\n\r\n"
    );

    let head = response("HTTP/1.1 200\r\nA: b\r\n\r\n");
    let mut edit = Edit::new();
    assert_eq!(written(&edit, &head), "HTTP/1.1 200 \r\nA: b\r\n\r\n");
    edit.set_status(503, "Busy\r\n").unwrap();
    assert_eq!(edit.status(&head), 503);
    assert_eq!(edit.set_status(99, ""), Err(Violation::Status));
    assert_eq!(edit.set_status(1000, ""), Err(Violation::Status));
    assert_eq!(written(&edit, &head), "HTTP/1.1 503 Busy  \r\nA: b\r\n\r\n");
}

/// Not every reader leaves out the same white space, so none is passed on that some may not leave out.
#[test]
fn odd_white_space_is_not_passed_on() {
    let head = request(
        "POST / HTTP/1.1\r\nHost:\ta\r\nTransfer-Encoding:\tchunked\r\nA:  b\r\nC: d \r\nE:f\r\nG: \r\n\r\n",
    );
    let expected = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nA: b\r\nC: d\r\nE:f\r\nG: \r\n\r\n";
    assert_eq!(written(&Edit::new(), &head), expected);
}

#[test]
fn nothing_that_is_added_can_end_its_line() {
    let head = request("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut edit = Edit::new();
    edit.set(&head, Known::Host, b"b\r\nX: 1");
    edit.add("a", b"\r\n\0\x7fb");
    edit.add("bad name", b"");
    edit.add("bad\r\n", b"");
    edit.append(&head, Known::Host, b"\n");
    let expected = "GET / HTTP/1.1\r\nHost: b  X: 1,  \r\na:     b\r\n\r\n";
    assert_eq!(written(&edit, &head), expected);
}

#[test]
fn of_equal_lengths_one_is_passed_on() {
    let head = request(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nA: 1\r\ncontent-length: 5\r\nB: 2\r\n\r\n",
    );
    let expected = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nA: 1\r\nB: 2\r\n\r\n";
    assert_eq!(written(&Edit::new(), &head), expected);
}

/// A head of HTTP/2 is passed on as one of HTTP/1 is.
#[test]
fn a_head_that_is_made_is_written_as_one_that_came() {
    let mut head = Head::new();
    head.begin_request(b"POST", b"/a", Version::Http2).unwrap();
    head.push(b"host", b"a").unwrap();
    head.push(b"x", b" 1 ").unwrap();
    let mut edit = Edit::new();
    edit.leave_out_name("x");
    edit.add("y", b"2");
    assert_eq!(
        written(&edit, &head),
        "POST /a HTTP/1.1\r\nhost: a\r\ny: 2\r\n\r\n"
    );
    head.begin_response(404, "Not Found", Version::Http11)
        .unwrap();
    head.push(b"content-length", b"0").unwrap();
    let expected = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(written(&Edit::new(), &head), expected);
}

#[test]
fn a_field_is_removed_whether_it_came_or_was_added() {
    let head = request(
        "GET / HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nx-one: 2\r\nVia: 1.0 x\r\nX-Two: 3\r\nForwarded: f\r\n\r\n",
    );
    let mut edit = Edit::new();
    edit.set(&head, "x-two", b"4");
    edit.append(&head, Known::Via, b"1.1 y");
    for (name, value) in [
        ("X-ONE", "5"),
        ("x-three", "6"),
        ("x-One", "7"),
        ("via", "8"),
    ] {
        edit.add(name, value.as_bytes());
    }
    for name in ["x-one", "X-Two", "VIA", "none"] {
        edit.remove(name);
    }
    let rest = "GET / HTTP/1.1\r\nHost: a\r\nForwarded: f\r\nx-three: 6\r\n";
    assert_eq!(written(&edit, &head), format!("{rest}\r\n"));
    // What is added from then on is there.
    edit.add("x-one", b"8");
    edit.append(&head, Known::Via, b"1.1 z");
    edit.append(&head, "X-Two", b"9");
    let added = "x-one: 8\r\nvia: 1.1 z\r\nX-Two: 9\r\n";
    assert_eq!(written(&edit, &head), format!("{rest}{added}\r\n"));
    edit.remove("x-three");
    edit.remove("X-TWO");
    let rest = "GET / HTTP/1.1\r\nHost: a\r\nForwarded: f\r\nx-one: 8\r\nvia: 1.1 z\r\n\r\n";
    assert_eq!(written(&edit, &head), rest);
}

#[test]
fn nothing_is_appended_to_a_line_that_is_left_out() {
    let head = request("GET / HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nX-One: 2\r\n\r\n");
    let mut edit = Edit::new();
    edit.leave_out_at(2);
    edit.append(&head, "x-one", b"3");
    let one = "GET / HTTP/1.1\r\nHost: a\r\nX-One: 1, 3\r\n\r\n";
    assert_eq!(written(&edit, &head), one);
    edit.leave_out_at(1);
    edit.append(&head, "x-one", b"4");
    let none = "GET / HTTP/1.1\r\nHost: a\r\nx-one: 4\r\n\r\n";
    assert_eq!(written(&edit, &head), none);
}
