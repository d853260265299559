//! There is one opinion about what is an answer: a check accepts exactly what traffic accepts.

use std::fmt::Write as _;

use serde_json::Value;

use crate::admin::ask;
use crate::harness::origin::Act;
use crate::harness::{Exchange, Origin, Proxy, eventually};

/// A member's answer: its name, its bytes, and what the member does behind them.
struct Row {
    name: &'static str,
    answer: Vec<u8>,
    then: Act,
}

impl Row {
    /// A member that answers so.
    fn start(self) -> Origin {
        Origin::named(self.name)
            .answering(move |exchange| {
                exchange.read_body();
                exchange.send(&self.answer);
                (self.then)(exchange);
            })
            .start()
    }
}

/// One behind which the member says nothing more until the other side closes: it has to be judged by itself.
fn row(name: &'static str, answer: impl Into<Vec<u8>>) -> Row {
    then(name, answer, Exchange::stall)
}

/// One that the end of the connection is a part of.
fn last(name: &'static str, answer: impl Into<Vec<u8>>) -> Row {
    then(name, answer, Exchange::close)
}

fn then(name: &'static str, answer: impl Into<Vec<u8>>, then: Act) -> Row {
    Row {
        name,
        answer: answer.into(),
        then,
    }
}

/// An answer with this status line and these fields, whose body is `ok`.
fn ok(status_line: &str, fields: &str) -> String {
    format!("{status_line}\r\n{fields}Content-Length: 2\r\n\r\nok")
}

/// One with these fields besides its length.
fn fields(fields: &str) -> String {
    ok("HTTP/1.1 200 OK", fields)
}

/// One with these fields and this body, and nothing else that frames it.
fn framed(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}")
}

/// One in chunks, with these behind the first.
fn chunks(rest: &str) -> String {
    framed(
        "Transfer-Encoding: chunked\r\n",
        &format!("1\r\no\r\n{rest}"),
    )
}

const EARLY: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";

/// The bounds that the program has here, so that what exceeds them is short.
const LIMITS: &str = "header-size = \"8KiB\"\nheaders = 20";

/// What no member may say.
fn nonsense() -> Vec<Row> {
    let mut rows = nonsense_of_start_lines();
    rows.extend(nonsense_of_fields());
    rows.extend(nonsense_of_framing());
    rows.extend(nonsense_of_chunks());
    rows.extend(nonsense_of_size());
    rows.extend(nonsense_of_ends());
    rows
}

fn nonsense_of_start_lines() -> Vec<Row> {
    vec![
        row("no HTTP at all", "hello\r\n\r\n"),
        row("a banner of another protocol", "SSH-2.0-OpenSSH_9.2\r\n"),
        row("NULs", "\0\0\0\0\r\n\r\n"),
        row("an alert of TLS", b"\x15\x03\x01\x00\x02\x02\x46"),
        row("a body without a head", "<html>ok</html>"),
        row(
            "settings of HTTP/2",
            b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\xff\xff",
        ),
        row("a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        row("no version", ok("200 OK", "")),
        row("no status", ok("HTTP/1.1", "")),
        row("HTTP/0.9", ok("HTTP/0.9 200 OK", "")),
        row("HTTP/1.2", ok("HTTP/1.2 200 OK", "")),
        row("HTTP/1.10", ok("HTTP/1.10 200 OK", "")),
        row("HTTP/2.0", ok("HTTP/2.0 200 OK", "")),
        row("HTTP/11", ok("HTTP/11 200 OK", "")),
        row("http/1.1", ok("http/1.1 200 OK", "")),
        row("ICY", ok("ICY 200 OK", "")),
        row("a status of two digits", ok("HTTP/1.1 20 OK", "")),
        row("a status of four digits", ok("HTTP/1.1 2000 OK", "")),
        row("a status below 100", ok("HTTP/1.1 099 OK", "")),
        row("a status with a letter", ok("HTTP/1.1 2x0 OK", "")),
        row("a status with a sign", ok("HTTP/1.1 +20 OK", "")),
        row("two blanks before the status", ok("HTTP/1.1  200 OK", "")),
        row("a tab before the status", ok("HTTP/1.1\t200 OK", "")),
        row("a tab behind the status", ok("HTTP/1.1 200\tOK", "")),
        row("NUL in the reason", ok("HTTP/1.1 200 O\0K", "")),
        row("DEL in the reason", ok("HTTP/1.1 200 O\u{7f}K", "")),
        row("CR in the reason", ok("HTTP/1.1 200 O\rK", "")),
        row("an empty line first", ok("\r\nHTTP/1.1 200 OK", "")),
        row("a blank first", ok(" HTTP/1.1 200 OK", "")),
        row("a byte order mark first", ok("\u{feff}HTTP/1.1 200 OK", "")),
        row(
            "LF behind the status line",
            "HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok",
        ),
        row(
            "an upgrade that was not asked for",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ),
        row(
            "101 without an upgrade",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        ),
    ]
}

fn nonsense_of_fields() -> Vec<Row> {
    vec![
        row("a line without a colon", fields("no colon\r\n")),
        row("a blank in a name", fields("X Y: 1\r\n")),
        row("a blank before the colon", fields("X : 1\r\n")),
        row("a tab before the colon", fields("X\t: 1\r\n")),
        row("no name", fields(": 1\r\n")),
        row("a name with a parenthesis", fields("X(Y): 1\r\n")),
        row("a name that is no ASCII", fields("X\u{e9}: 1\r\n")),
        row("a name with NUL", fields("X\0: 1\r\n")),
        row("a value with NUL", fields("X: a\0b\r\n")),
        row("a value with SOH", fields("X: a\u{1}b\r\n")),
        row("a value with ESC", fields("X: a\u{1b}[31m\r\n")),
        row("a value with DEL", fields("X: a\u{7f}b\r\n")),
        row("a value with CR", fields("X: a\rb\r\n")),
        row("a value that ends in CR", fields("X: a\r\r\n")),
        row("a field that is folded", fields("X: 1\r\n folded\r\n")),
        row(
            "a field that is folded by a tab",
            fields("X: 1\r\n\tfolded\r\n"),
        ),
        row("a first line that is folded", fields(" X: 1\r\n")),
        row(
            "LF behind a field",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nok",
        ),
        row(
            "LF as the empty line",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nok",
        ),
        row("LF everywhere", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
        row(
            "CR everywhere",
            "HTTP/1.1 200 OK\rContent-Length: 2\r\rok\r\n",
        ),
    ]
}

fn nonsense_of_framing() -> Vec<Row> {
    let lengths = |lines: &str| framed(lines, "ok");
    let coded = |lines: &str| framed(lines, "2\r\nok\r\n0\r\n\r\n");
    vec![
        row("a negative length", lengths("Content-Length: -2\r\n")),
        row("a length with a sign", lengths("Content-Length: +2\r\n")),
        row(
            "a length in hexadecimal",
            lengths("Content-Length: 0x2\r\n"),
        ),
        row("a length with a unit", lengths("Content-Length: 2b\r\n")),
        row(
            "a length with a fraction",
            lengths("Content-Length: 2.0\r\n"),
        ),
        row("an empty length", lengths("Content-Length:\r\n")),
        row(
            "a length beyond 64 bits",
            lengths("Content-Length: 18446744073709551618\r\n"),
        ),
        row(
            "two lengths",
            lengths("Content-Length: 2\r\nContent-Length: 3\r\n"),
        ),
        row(
            "a length twice",
            lengths("Content-Length: 2\r\nContent-Length: 2\r\n"),
        ),
        row("a list of lengths", lengths("Content-Length: 2, 2\r\n")),
        row(
            "a length and chunks",
            coded("Content-Length: 12\r\nTransfer-Encoding: chunked\r\n"),
        ),
        row(
            "chunks and a length",
            coded("Transfer-Encoding: chunked\r\nContent-Length: 12\r\n"),
        ),
        row(
            "chunks twice",
            coded("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ),
        row(
            "chunks in chunks",
            coded("Transfer-Encoding: chunked, chunked\r\n"),
        ),
        row("another coding", coded("Transfer-Encoding: gzip\r\n")),
        row(
            "another coding before chunks",
            coded("Transfer-Encoding: gzip, chunked\r\n"),
        ),
        row(
            "another coding behind chunks",
            coded("Transfer-Encoding: chunked, gzip\r\n"),
        ),
        row("no coding", coded("Transfer-Encoding: identity\r\n")),
        row("an empty coding", coded("Transfer-Encoding:\r\n")),
        row(
            "an empty coding before chunks",
            coded("Transfer-Encoding: ,chunked\r\n"),
        ),
        row(
            "chunks that are quoted",
            coded("Transfer-Encoding: \"chunked\"\r\n"),
        ),
        row(
            "chunks in HTTP/1.0",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
    ]
}

fn nonsense_of_chunks() -> Vec<Row> {
    let first = |body: &str| framed("Transfer-Encoding: chunked\r\n", body);
    vec![
        row("a first chunk without a size", first("\r\nok\r\n0\r\n\r\n")),
        row(
            "a first chunk that is no number",
            first("x\r\nok\r\n0\r\n\r\n"),
        ),
        row("a first chunk with a blank", first(" 2\r\nok\r\n0\r\n\r\n")),
        row("a negative chunk", chunks("-1\r\nk\r\n0\r\n\r\n")),
        row("a chunk with a sign", chunks("+1\r\nk\r\n0\r\n\r\n")),
        row("a chunk with 0x", chunks("0x1\r\nk\r\n0\r\n\r\n")),
        row(
            "a chunk with a blank behind it",
            chunks("1 \r\nk\r\n0\r\n\r\n"),
        ),
        row(
            "a chunk of 17 digits",
            chunks("00000000000000001\r\nk\r\n0\r\n\r\n"),
        ),
        row(
            "a chunk beyond 64 bits",
            chunks("10000000000000001\r\nk\r\n0\r\n\r\n"),
        ),
        row("LF behind a chunk's size", chunks("1\nk\r\n0\r\n\r\n")),
        row("CR in a chunk's line", chunks("1\rk\r\n0\r\n\r\n")),
        row("LF behind a chunk", chunks("1\r\nk\n0\r\n\r\n")),
        row(
            "a chunk longer than its size",
            chunks("1\r\nkk\r\n0\r\n\r\n"),
        ),
        row("nothing behind a chunk", chunks("1\r\nk0\r\n\r\n")),
        row("an empty extension", chunks("1;\r\nk\r\n0\r\n\r\n")),
        row(
            "an extension without a name",
            chunks("1;=a\r\nk\r\n0\r\n\r\n"),
        ),
        row(
            "an extension without a value",
            chunks("1;a=\r\nk\r\n0\r\n\r\n"),
        ),
        row("an extension with LF", chunks("1;a\n\r\nk\r\n0\r\n\r\n")),
        row(
            "an extension that is quoted without an end",
            chunks("1;a=\"b\r\nk\r\n0\r\n\r\n"),
        ),
        row("LF behind the last chunk", chunks("1\r\nk\r\n0\n\n")),
        row("LF as the end of the trailers", chunks("1\r\nk\r\n0\r\n\n")),
        row(
            "a trailer without a colon",
            chunks("1\r\nk\r\n0\r\nno colon\r\n\r\n"),
        ),
        row(
            "a trailer with a blank before its colon",
            chunks("1\r\nk\r\n0\r\nX : 1\r\n\r\n"),
        ),
        row("a trailer with NUL", chunks("1\r\nk\r\n0\r\nX: \0\r\n\r\n")),
        row(
            "a trailer that is folded",
            chunks("1\r\nk\r\n0\r\nX: 1\r\n folded\r\n\r\n"),
        ),
        row(
            "a length among trailers",
            chunks("1\r\nk\r\n0\r\nContent-Length: 2\r\n\r\n"),
        ),
        row(
            "a coding among trailers",
            chunks("1\r\nk\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ),
        row(
            "Connection among trailers",
            chunks("1\r\nk\r\n0\r\nConnection: close\r\n\r\n"),
        ),
        row(
            "Trailer among trailers",
            chunks("1\r\nk\r\n0\r\nTrailer: X\r\n\r\n"),
        ),
    ]
}

fn nonsense_of_size() -> Vec<Row> {
    let long = "x".repeat(9_000);
    let extension = "e".repeat(300);
    let many_extensions = format!("1;a={}\r\nk\r\n", "e".repeat(200)).repeat(100);
    vec![
        row(
            "a head that is too large",
            fields(&format!("X: {long}\r\n")),
        ),
        row("too many fields", fields(&"X: 1\r\n".repeat(20))),
        row(
            "a reason that is too long",
            ok(&format!("HTTP/1.1 200 {long}"), ""),
        ),
        row(
            "an interim answer that is too large",
            format!("HTTP/1.1 103 Early Hints\r\nX: {long}\r\n\r\n") + &fields(""),
        ),
        row("too many interim answers", EARLY.repeat(65) + &fields("")),
        row(
            "an extension that is too long",
            chunks(&format!("1;{extension}\r\nk\r\n0\r\n\r\n")),
        ),
        row(
            "extensions that are too many",
            chunks(&format!("{many_extensions}0\r\n\r\n")),
        ),
        row(
            "trailers that are too large",
            chunks(&format!("1\r\nk\r\n0\r\nX: {}\r\n\r\n", "x".repeat(20_000))),
        ),
        row(
            "too many trailers",
            chunks(&format!("1\r\nk\r\n0\r\n{}\r\n", "X: 1\r\n".repeat(101))),
        ),
    ]
}

fn nonsense_of_ends() -> Vec<Row> {
    vec![
        last("nothing", ""),
        last("a part of the status line", "HTTP/1.1 20"),
        last("a part of a field", "HTTP/1.1 200 OK\r\nContent-Le"),
        last("no empty line", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"),
        last("an interim answer and no other", EARLY),
        last(
            "less than its length",
            framed("Content-Length: 3\r\n", "ok"),
        ),
        last("a part of a chunk", chunks("2\r\nk")),
        last("no last chunk", chunks("1\r\nk\r\n")),
        last("no end of the trailers", chunks("1\r\nk\r\n0\r\nX: 1\r\n")),
        then("a reset within its body", framed("", "ok"), Exchange::reset),
        then(
            "a reset before its end",
            framed("Content-Length: 3\r\n", "ok"),
            Exchange::reset,
        ),
    ]
}

/// What looks odd, and is right.
fn right() -> Vec<Row> {
    let coded = |coding: &str, body: &str| framed(coding, body);
    vec![
        row("an ordinary answer", fields("")),
        row("no reason", ok("HTTP/1.1 200 ", "")),
        row("no reason and no blank", ok("HTTP/1.1 200", "")),
        row(
            "a reason beyond ASCII",
            ok("HTTP/1.1 200 tr\u{e8}s bien", ""),
        ),
        row("a status of its own", ok("HTTP/1.1 299 Odd", "")),
        row("no blank behind a colon", fields("X:1\r\n")),
        row("many blanks around a value", fields("X: \t 1 \t\r\n")),
        row("an empty value", fields("X:\r\nY: \r\n")),
        row("a value beyond ASCII", fields("X: caf\u{e9}\r\n")),
        row("a value with a tab", fields("X: a\tb\r\n")),
        row(
            "a name of odd characters",
            fields("X!#$%&'*+-.^_`|~9: 1\r\n"),
        ),
        row(
            "a field many times",
            fields(&"Set-Cookie: a=b\r\n".repeat(10)),
        ),
        row(
            "as many fields as there may be",
            fields(&"X: 1\r\n".repeat(19)),
        ),
        row(
            "a length with zeros",
            coded("Content-Length: 0002\r\n", "ok"),
        ),
        row(
            "a length with blanks",
            coded("Content-Length: \t2 \r\n", "ok"),
        ),
        row("names in capitals", coded("CONTENT-LENGTH: 2\r\n", "ok")),
        row(
            "a coding in capitals",
            coded("TRANSFER-ENCODING: \tCHUNKED \r\n", "2\r\nok\r\n0\r\n\r\n"),
        ),
        row(
            "chunks in capitals with zeros",
            chunks("0001\r\nk\r\n0000\r\n\r\n"),
        ),
        row(
            "extensions",
            chunks("1;a=b;c=\"d;\\\"e\";f\r\nk\r\n0;g\r\n\r\n"),
        ),
        row("trailers", chunks("1\r\nk\r\n0\r\nX-Sum: 1\r\n\r\n")),
        row(
            "trailers that are not passed on",
            chunks("1\r\nk\r\n0\r\nX-Forwarded-For: 1.1.1.1\r\nSet-Cookie: a=b\r\n\r\n"),
        ),
        last("a body that ends with the connection", framed("", "ok")),
        last(
            "a body of HTTP/1.0",
            "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nok",
        ),
        row("HTTP/1.0 with a length", ok("HTTP/1.0 200 OK", "")),
        row("no body", "HTTP/1.1 204 No Content\r\n\r\n"),
        row(
            "no body where a length is told",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
        ),
        row("an empty body", framed("Content-Length: 0\r\n", "")),
        row("interim answers", EARLY.repeat(3) + &fields("")),
        row(
            "as many interim answers as there may be",
            EARLY.repeat(64) + &fields(""),
        ),
        row(
            "100 that was not asked for",
            "HTTP/1.1 100 Continue\r\n\r\n".to_owned() + &fields(""),
        ),
        row("garbage behind it", fields("") + "\0garbage\r\n\r\n"),
        row(
            "another answer behind it",
            fields("") + &ok("HTTP/1.1 500 No", ""),
        ),
        row(
            "Connection with much in it",
            fields("Connection: close, , x-y\r\nX-Y: 1\r\n"),
        ),
    ]
}

/// What became of an answer, in a check or in a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opinion {
    Accepted,
    Refused,
    /// None of these, which is wrong in any case: no word within the time, or no answer at all for the client.
    Wrong(String),
}

/// A program with a balancer for each row, whose member answers so whatever it is asked, and is checked once.
pub(crate) struct Trial {
    proxy: Proxy,
    members: usize,
}

impl Trial {
    /// One whose members are at these URLs.
    pub(crate) fn at(urls: &[String]) -> Self {
        let mut toml = format!(
            "[limits]\n{LIMITS}\n[admin]\naddress = \"127.0.0.1:0\"\n\
             [[listen]]\naddress = \"127.0.0.1:0\"\n"
        );
        for (index, url) in urls.iter().enumerate() {
            let _ = write!(
                toml,
                "[[route]]\npath = \"/{index}\"\nbalancer = \"{index}\"\n\
                 [balancer.{index}]\nhcmethod = \"GET\"\nhcuri = \"/\"\nhcinterval = \"1h\"\n\
                 hctimeout = \"15s\"\nhcexpect = {{ body = \"^(ok)?$\" }}\n\
                 [[balancer.{index}.member]]\nurl = \"{url}\"\ntimeout = \"15s\"\n"
            );
        }
        Self {
            proxy: Proxy::with(&toml).start(),
            members: urls.len(),
        }
    }

    /// For each name that is expected to be judged so, what is wrong with the opinions of check and request.
    pub(crate) fn wrong(&self, expected: &[(&str, &Opinion)]) -> String {
        let opinions = self.checks().into_iter().zip(self.traffic());
        expected
            .iter()
            .zip(opinions)
            .filter(|((_, expected), (check, request))| [check, request] != [*expected; 2])
            .map(|((name, expected), (check, request))| {
                format!("{name}: check {check:?}, request {request:?}, not {expected:?}\n")
            })
            .collect()
    }

    /// What the first checks found, once all are made.
    fn checks(&self) -> Vec<Opinion> {
        let listed = eventually("each member has been checked", || {
            let text = ask(&self.proxy, "GET /api/v1/balancers", &[]).text();
            let told: Value = serde_json::from_str(&text).expect("JSON");
            let balancers = told["balancers"].as_array().expect("a list").iter();
            let checks: Option<Vec<_>> = balancers
                .map(|it| {
                    let check = it["members"][0]["checks"].get(0)?.clone();
                    Some((it["name"].as_str()?.parse::<usize>().ok()?, check))
                })
                .collect();
            checks
        });
        assert_eq!(listed.len(), self.members);
        let mut checks = listed;
        checks.sort_by_key(|(index, _)| *index);
        checks.iter().map(|(_, check)| of_check(check)).collect()
    }

    /// What clients get, one after the other.
    fn traffic(&self) -> Vec<Opinion> {
        let numbers = 0..self.members;
        numbers.map(|number| self.of_request(number)).collect()
    }

    fn of_request(&self, number: usize) -> Opinion {
        let mut client = self.proxy.client();
        client.ask(&format!("GET /{number}"), &[]);
        match client.try_response("GET") {
            Ok(response) if response.status() == 502 => Opinion::Refused,
            Ok(response) if response.status() >= 400 => {
                Opinion::Wrong(format!("{}", response.status()))
            }
            Ok(response) if !response.complete => Opinion::Refused,
            Ok(response) if ["ok", ""].contains(&&*response.text()) => Opinion::Accepted,
            Ok(response) => Opinion::Wrong(format!("another body: {:?}", response.text())),
            Err(error) => Opinion::Wrong(format!("no answer: {error}")),
        }
    }
}

fn of_check(check: &Value) -> Opinion {
    let detail = check["detail"].as_str().unwrap_or_default();
    match check["passed"].as_bool() {
        Some(true) => Opinion::Accepted,
        // It was not judged, but given up.
        Some(false) if detail.contains(" within ") => Opinion::Wrong(detail.to_owned()),
        Some(false) => Opinion::Refused,
        None => Opinion::Wrong(check.to_string()),
    }
}

#[test]
fn a_check_and_a_request_accept_exactly_the_same_answers() {
    let (nonsense, right) = (nonsense(), right());
    assert!(nonsense.len() >= 40 && right.len() >= 15);
    let expect = |rows: &[Row], opinion| {
        let names = rows.iter().map(|row| (row.name, opinion));
        names.collect::<Vec<_>>()
    };
    let refused = expect(&nonsense, &Opinion::Refused);
    let expected = [refused, expect(&right, &Opinion::Accepted)].concat();
    let rows = nonsense.into_iter().chain(right);
    let members: Vec<_> = rows.map(Row::start).collect();
    let urls: Vec<_> = members.iter().map(Origin::url).collect();
    let wrong = Trial::at(&urls).wrong(&expected);
    assert!(wrong.is_empty(), "\n{wrong}");
}
