//! Nothing is invisible: every request that is refused or does not come to its end has one line in the access log, which says
//! why, and counts by its reason.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use equipoise_http::Violation;
use http::{HeaderMap, Request};
use serde_json::Value;

use crate::access_log::{JSON, lines, records};
use crate::admin::{self, member};
use crate::harness::client::request;
use crate::harness::http2::{begin, connect, try_ask, wait_for};
use crate::harness::origin::Act;
use crate::harness::proxy::{Start, server};
use crate::harness::{Client, Exchange, Gate, MEGABYTE, Origin, Proxy, WAIT_TIMEOUT};
use crate::metrics::{metrics, numbers};

/// One worker, so that lines are in the order in which requests ended.
fn before(members: &[&Origin]) -> Start {
    admin::start(members).top(JSON).top("workers = 1")
}

/// What has been counted of requests that did not come to their end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Counted {
    /// By reason.
    refused: BTreeMap<String, u64>,
    client_aborts: u64,
    /// By kind, of all members.
    member_errors: BTreeMap<String, u64>,
    /// As the API has it, of the first member.
    errors: u64,
}

impl Counted {
    fn by(proxy: &Proxy) -> Self {
        let text = metrics(proxy);
        let aborts = "equipoise_client_aborts_total ";
        let aborts = text.lines().find_map(|line| line.strip_prefix(aborts));
        Self {
            refused: numbers(&text, "equipoise_refused_requests_total", "reason"),
            client_aborts: aborts.map_or(0, |it| it.trim().parse().expect("a number")),
            member_errors: numbers(&text, "equipoise_member_errors_total", "kind"),
            errors: member(proxy, 0)["errors"].as_u64().expect("a number"),
        }
    }

    /// How many requests were refused.
    fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }
}

/// Waits until this is counted.
#[track_caller]
fn await_counted(proxy: &Proxy, what: &str, is_it: impl Fn(&Counted) -> bool) {
    let start = Instant::now();
    loop {
        let counted = Counted::by(proxy);
        if is_it(&counted) {
            return;
        }
        assert!(start.elapsed() < WAIT_TIMEOUT, "{what}: {counted:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Has a request served, and makes sure that its line is the one behind so many: there are no others.
#[track_caller]
fn no_more_lines_than(proxy: &Proxy, count: usize) {
    assert_eq!(proxy.exchange("GET /last", &[]).status(), 200);
    let records = records(proxy, count + 1);
    let requests: Vec<_> = records.iter().map(|it| &it["request"]).collect();
    let place = requests.iter().position(|it| **it == "GET /last HTTP/1.1");
    assert_eq!(place, Some(count), "{requests:?}");
}

/// The line with this number has a reason.
#[track_caller]
fn reason(proxy: &Proxy, number: usize) -> (String, Value) {
    let record = records(proxy, number + 1).remove(number);
    let error = record["error"].as_str().expect("a reason").to_owned();
    assert!(
        !error.is_empty() && record["client"] == "127.0.0.1",
        "{record}"
    );
    (error, record)
}

/// Requests, and why they are refused.
fn refused() -> Vec<(String, Violation)> {
    let get = |rest: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{rest}\r\n");
    let chunked = |body: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
    };
    let long = "x".repeat(70_000);
    vec![
        ("\x16\x03\x01\r\n\r\n".to_owned(), Violation::Method),
        ("GET /\r\n\r\n".to_owned(), Violation::RequestLine),
        ("GET / HTTP/1.2\r\n\r\n".to_owned(), Violation::Version),
        ("GET /\0 HTTP/1.1\r\n\r\n".to_owned(), Violation::TargetByte),
        ("GET /#a HTTP/1.1\r\n\r\n".to_owned(), Violation::Fragment),
        ("GET a HTTP/1.1\r\n\r\n".to_owned(), Violation::TargetForm),
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n".to_owned(),
            Violation::Connect,
        ),
        (
            format!("GET /{long} HTTP/1.1\r\n\r\n"),
            Violation::TargetTooLong,
        ),
        (get(&format!("X: {long}\r\n")), Violation::HeadTooLarge),
        (get(&"X: 1\r\n".repeat(100)), Violation::TooManyFields),
        (get("X : 1\r\n"), Violation::BlankBeforeColon),
        (get("no colon\r\n"), Violation::NoColon),
        (get("X(): 1\r\n"), Violation::FieldName),
        (get("X: \0\r\n"), Violation::FieldValue),
        (get("X: 1\r\n 2\r\n"), Violation::Folded),
        (get("X: 1\n"), Violation::BareLf),
        (get("X: 1\r2\r\n"), Violation::BareCr),
        (get("Host: a\r\n"), Violation::HostRepeated),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), Violation::HostMissing),
        (
            "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n".to_owned(),
            Violation::HostInvalid,
        ),
        (
            "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            Violation::HostMismatch,
        ),
        (get("Content-Length: x\r\n"), Violation::Length),
        (
            get("Content-Length: 1\r\nContent-Length: 2\r\n"),
            Violation::LengthRepeated,
        ),
        (
            get("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
            Violation::LengthAndCoding,
        ),
        (get("Transfer-Encoding: chunked, x\r\n"), Violation::Coding),
        (get("Transfer-Encoding: gzip\r\n"), Violation::CodingUnknown),
        (
            "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            Violation::CodingInHttp10,
        ),
        (chunked("x\r\n"), Violation::ChunkSize),
        (chunked("1;\r\nx\r\n"), Violation::ChunkExtension),
        (
            chunked(&format!("1;{}\r\n", "x".repeat(300))),
            Violation::ChunkLineTooLong,
        ),
        (chunked("1\r\nxx\r\n"), Violation::ChunkEnd),
        (
            chunked("1\r\nx\r\n0\r\nHost: a\r\n\r\n"),
            Violation::Trailer,
        ),
        (
            chunked(&format!("1\r\nx\r\n0\r\nX: {}\r\n\r\n", "x".repeat(20_000))),
            Violation::TrailersTooLarge,
        ),
    ]
}

#[test]
fn what_is_refused_has_a_line_with_its_reason_and_counts_by_it() {
    let b1 = Origin::live("b1");
    let proxy = before(&[&b1]).start();
    let table = refused();
    let (mut expected, mut wrong) = (BTreeMap::<_, u64>::new(), Vec::new());
    for (number, (bytes, violation)) in table.iter().enumerate() {
        let mut client = proxy.client();
        let _ = client.try_send(bytes);
        let status = client.try_response("GET").map(|it| it.status());
        let (error, record) = reason(&proxy, number);
        let is_told = [violation.name(), &violation.to_string()].map(|it| error.contains(it));
        let statuses = (violation.status(), record["status"].as_u64());
        let is_right = matches!(status, Ok(status) if (status, Some(status.into())) == statuses);
        if !is_right || is_told == [false; 2] {
            let name = violation.name();
            wrong.push(format!(
                "{name}: the client got {status:?}, the log says {record}"
            ));
        }
        *expected.entry(violation.name().to_owned()).or_default() += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    await_counted(&proxy, "each by its reason", |it| it.refused == expected);
    no_more_lines_than(&proxy, table.len());
    let counted = Counted::by(&proxy);
    assert_eq!(
        (counted.client_aborts, counted.errors),
        (0, 0),
        "{counted:?}"
    );
}

#[test]
fn a_refused_request_is_one_line_of_the_combined_format_too() {
    let b1 = Origin::live("b1");
    let proxy = Proxy::before(&[&b1])
        .top("access-log = { file = \"access.log\" }\nworkers = 1")
        .start();
    let table = refused();
    for (bytes, _) in &table {
        let mut client = proxy.client();
        let _ = client.try_send(bytes);
        let _ = client.try_response("GET");
        assert!(client.is_closed());
    }
    assert_eq!(server(&proxy.get("/last")), "b1");
    let lines = lines(&proxy, table.len() + 1);
    assert_eq!(lines.len(), table.len() + 1);
    for (line, (_, violation)) in lines.iter().zip(&table) {
        let status = format!("\" {} ", violation.status());
        assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
        assert!(line.contains(&status), "{line}");
        assert!(!line.contains(|it: char| it.is_control()), "{line:?}");
    }
}

/// What no reader of HTTP refuses, but we do: targets that lead out of the root, or hide what they are.
#[test]
fn a_target_that_is_refused_is_visible() {
    let b1 = Origin::live("b1");
    let proxy = before(&[&b1]).start();
    let targets = ["/../a", "/%00", "/%zz"];
    for (number, target) in targets.into_iter().enumerate() {
        assert_eq!(proxy.get(target).status(), 400, "{target}");
        let (_, record) = reason(&proxy, number);
        assert_eq!(record["status"], 400, "{record}");
        assert_eq!(record["request"], format!("GET {target} HTTP/1.1"));
    }
    await_counted(&proxy, "each once", |it| it.refusals() == 3);
    no_more_lines_than(&proxy, targets.len());
}

#[test]
fn what_comes_too_slowly_is_visible() {
    let b1 = Origin::live("b1");
    let proxy = before(&[&b1])
        .limits("header-timeout = \"300ms\"\nclient-timeout = \"300ms\"")
        .start();
    let parts = [
        // HTTP/2 begins with it, too.
        "P",
        "GET",
        "GET / HTTP/1.1\r\nHost: lb.test\r\n",
        "POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: 9\r\n\r\nhalf",
        "POST / HTTP/1.1\r\nHost: lb.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ];
    for (number, part) in parts.into_iter().enumerate() {
        let mut client = proxy.client();
        client.send(part);
        if let Ok(response) = client.try_response("GET") {
            assert_eq!(response.status(), 408, "{part:?}");
        }
        client.expect_closed();
        let (_, record) = reason(&proxy, number);
        assert_eq!(record["status"], 408, "{part:?}: {record}");
        let count = number as u64 + 1;
        await_counted(&proxy, part, |it| it.refusals() == count);
    }
    no_more_lines_than(&proxy, parts.len());
    let counted = Counted::by(&proxy);
    assert_eq!(
        (counted.client_aborts, counted.errors),
        (0, 0),
        "{counted:?}"
    );
}

/// Goal: an upload that drips and a download that is sipped are visible. Method: both at once, for their first ten seconds
/// are not looked at.
#[test]
fn a_rate_that_is_too_low_is_visible() {
    let b1 = Origin::named("b1").answering(|exchange| match exchange.target() {
        "/large" => exchange.stream(1_000 * MEGABYTE),
        _ => exchange.answer("b1"),
    });
    let b1 = b1.start();
    let proxy = before(&[&b1])
        .limits("client-timeout = \"300s\"\nclient-rate = \"1MiB\"")
        .start();
    let (mut up, mut down) = (proxy.client(), proxy.client());
    up.send("POST /up HTTP/1.1\r\nHost: lb.test\r\nContent-Length: 1000000\r\n\r\n");
    down.ask("GET /large", &[]);
    b1.await_hits(2);
    let dripped = (0..600).take_while(|_| {
        let heard = up.hears_within(Duration::from_millis(100));
        !heard && up.try_send("x").is_ok()
    });
    assert!(dripped.count() < 600, "it is given up");
    b1.await_no_connection();
    let mut requests: Vec<_> = (0..2).map(|number| reason(&proxy, number).1).collect();
    requests.sort_by_key(|it| it["status"].as_u64());
    assert_eq!(requests[0]["request"], "GET /large HTTP/1.1");
    assert_eq!(requests[1]["request"], "POST /up HTTP/1.1");
    assert_eq!(
        (&requests[0]["status"], &requests[1]["status"]),
        (&200.into(), &408.into())
    );
    await_counted(&proxy, "each once", |it| it.refusals() == 2);
    no_more_lines_than(&proxy, 2);
    assert_eq!(Counted::by(&proxy).errors, 0);
}

/// A client that ends within its request, in whatever way, is visible: as one that left, or as one that said too little.
#[test]
fn a_request_that_ends_early_is_visible() {
    type Leave = fn(Client) -> Option<Client>;
    let ends: [Leave; 3] = [
        |client| {
            drop(client);
            None
        },
        |client| {
            client.finish_sending();
            Some(client)
        },
        |client| {
            client.reset();
            None
        },
    ];
    let parts = [
        "GET / HTTP/1.1\r\nHost: lb.",
        "POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: 9\r\n\r\nhalf",
        "POST / HTTP/1.1\r\nHost: lb.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ];
    let b1 = Origin::live("b1");
    let proxy = before(&[&b1]).start();
    let (mut number, mut bodies) = (0, 0);
    for part in parts {
        for leave in ends {
            let mut client = proxy.client();
            client.send(part);
            if part.starts_with("POST") {
                bodies += 1;
                b1.await_hits(bodies);
            }
            let _client = leave(client);
            reason(&proxy, number);
            number += 1;
            await_counted(&proxy, part, |it| {
                it.refusals() + it.client_aborts == number as u64
            });
        }
    }
    no_more_lines_than(&proxy, number);
    assert_eq!(Counted::by(&proxy).errors, 0, "no member is blamed");
}

#[test]
fn connections_that_say_nothing_are_no_requests() {
    let b1 = Origin::live("b1");
    let proxy = before(&[&b1]).start();
    for leave in [drop::<Client>, Client::reset] {
        let client = proxy.client();
        leave(client);
        // As is one that goes when its request is done.
        let mut client = proxy.client();
        assert_eq!(server(&client.get("/")), "b1");
        leave(client);
    }
    records(&proxy, 2);
    no_more_lines_than(&proxy, 2);
    assert_eq!(Counted::by(&proxy), Counted::default());
}

/// An answer that the member cuts short: its bytes, how it ends, and whether it is only slow.
#[test]
fn answers_that_a_member_cuts_short_are_its_errors() {
    let counted = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let closing = "HTTP/1.1 200 OK\r\n\r\nhalf";
    let table: [(&str, Act); 6] = [
        (counted, Exchange::close),
        (counted, Exchange::reset),
        (chunked, Exchange::close),
        (chunked, Exchange::reset),
        (closing, Exchange::reset),
        (chunked, |exchange| {
            exchange.send("0\r\nX: ");
            exchange.close();
        }),
    ];
    for (answer, end) in table {
        let (b1, proxy) = cut_short(answer, end);
        await_counted(&proxy, answer, |it| {
            it.member_errors == BTreeMap::from([("truncated".to_owned(), 1)]) && it.errors == 1
        });
        let (_, record) = reason(&proxy, 0);
        assert_eq!(record["status"], 200, "{record}");
        assert_eq!(record["member"], b1.url(), "{record}");
        no_more_lines_than(&proxy, 1);
        let counted = Counted::by(&proxy);
        assert_eq!(
            (counted.refusals(), counted.client_aborts),
            (0, 0),
            "{answer}"
        );
    }
}

/// Goal: a member is not blamed for what the client owes. Method: it answers a head at once and the rest when all of the request
/// has come, which the client holds back for longer than the member may stall.
#[test]
fn a_client_that_holds_its_body_back_behind_the_head_of_the_answer_is_to_blame() {
    let b1 = Origin::named("b1").answering(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
        exchange.read_body();
        exchange.send("b1");
    });
    let b1 = b1.start();
    let proxy = admin::start(&[])
        .top(JSON)
        .top("workers = 1")
        .member_at(&b1.url(), "timeout = \"300ms\"")
        .start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: 9\r\n\r\nhalf");
    let (_, record) = reason(&proxy, 0);
    assert_eq!(record["status"], 200, "{record}");
    await_counted(&proxy, "a refusal", |it| it.refusals() == 1);
    let counted = Counted::by(&proxy);
    assert_eq!(counted.errors, 0, "{counted:?}");
    assert!(counted.member_errors.is_empty(), "{counted:?}");
}

/// The same for answers that go wrong or stall within their bodies: each is one error, of whatever kind.
#[test]
fn answers_that_go_wrong_within_their_bodies_are_the_members_errors() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let ends: [Act; 3] = [
        Exchange::stall,
        |exchange| {
            exchange.send("x\r\n");
            exchange.stall();
        },
        |exchange| {
            exchange.send("0\r\nContent-Length: 1\r\n\r\n");
            exchange.stall();
        },
    ];
    for end in ends {
        let (_b1, proxy) = cut_short(chunked, end);
        await_counted(&proxy, "one error", |it| {
            it.member_errors.values().sum::<u64>() == 1 && it.errors == 1
        });
        reason(&proxy, 0);
        no_more_lines_than(&proxy, 1);
    }
}

/// A member that answers so and then ends so, once a client has the beginning; and a client that has seen it end.
fn cut_short(answer: &'static str, end: Act) -> (Origin, Proxy) {
    let (gate, b1) = (Gate::closed(), Origin::named("b1"));
    let held = gate.clone();
    let b1 = b1.answering(move |exchange| match exchange.target() {
        "/half" => {
            exchange.send(answer);
            held.wait();
            end(exchange);
        }
        _ => exchange.answer("b1"),
    });
    let b1 = b1.start();
    let proxy = before(&[]).member(&b1, "timeout = \"500ms\"").start();
    let mut client = proxy.client();
    client.ask("GET /half", &[]);
    client.await_text("half");
    gate.open();
    let response = client.try_response("GET").expect("a head");
    assert!(!response.complete, "{response:?}");
    (b1, proxy)
}

/// Clients of HTTP/2 as well, as far as it is not the library that refuses them.
#[test]
fn what_is_refused_of_http_2_is_visible() {
    let b1 = Origin::live("b1");
    let proxy = before(&[&b1]).start();
    let get = |uri: &str| Request::get(uri);
    let many = (0..101).fold(get("http://lb.test/"), |it, _| it.header("x", "1"));
    let heads = [
        get("http://lb.test/").header("host", "other.test"),
        get("http://lb.test,other.test/"),
        get("http://lb.test/../../x"),
        many,
    ];
    let count = heads.len() + 2;
    wait_for(async {
        let client = connect(proxy.address()).await;
        for head in heads {
            let request = head.body(()).expect("a request");
            let told = format!("{request:?}");
            match try_ask(&client, request).await {
                Ok(answer) => assert!([400, 431].contains(&answer.head.status.as_u16()), "{told}"),
                Err(error) => assert!(error.is_reset(), "{told}: {error}"),
            }
        }
        let post = || Request::post("http://lb.test/");
        let request = post().header("content-length", "10").body(()).unwrap();
        let (answer, mut body) = begin(&client, request).await;
        body.send_data(Bytes::from_static(b"short"), true).unwrap();
        let _ = answer.await;
        let (answer, mut body) = begin(&client, post().body(()).unwrap()).await;
        body.send_data(Bytes::from_static(b"body"), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-forwarded-for", "10.0.0.1".parse().unwrap());
        body.send_trailers(trailers).unwrap();
        let _ = answer.await;
    });
    for number in 0..count {
        reason(&proxy, number);
    }
    await_counted(&proxy, "each once", |it| {
        it.refusals() + it.client_aborts == count as u64
    });
    no_more_lines_than(&proxy, count);
    assert_eq!(Counted::by(&proxy).errors, 0);
}

/// A request that waits behind another on its connection is refused with its own line, behind the other's.
#[test]
fn what_is_refused_behind_another_request_has_its_own_line() {
    let b1 = Origin::live("b1");
    let proxy = before(&[&b1]).start();
    let mut client = proxy.client();
    client.send(request("GET /first", &[], "") + "GET / HTTP/1.1\nHost: a\r\n\r\n");
    assert_eq!(server(&client.response()), "b1");
    assert_eq!(client.response().status(), 400);
    client.expect_closed();
    let (error, _) = reason(&proxy, 1);
    let records = records(&proxy, 2);
    assert_eq!(records[0]["request"], "GET /first HTTP/1.1");
    assert_eq!(
        (&records[0]["error"], &records[1]["status"]),
        (&Value::Null, &400.into())
    );
    assert!(error.contains("LF"), "{error}");
    await_counted(&proxy, "one", |it| it.refusals() == 1);
    no_more_lines_than(&proxy, 2);
}
