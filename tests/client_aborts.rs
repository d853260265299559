//! Clients that leave before they have their answers: their requests are cancelled, and no member is blamed.

use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::SockRef;

use crate::access_log::{JSON, lines};
use crate::admin::{self, member};
use crate::harness::certificates::Authority;
use crate::harness::client::request;
use crate::harness::frames::{self, ACK, END_HEADERS, END_STREAM, GET, POST};
use crate::harness::origin::State;
use crate::harness::proxy::{Start, server};
use crate::harness::{Blackhole, Client, Exchange, Gate, MEGABYTE, Origin, Proxy, eventually};
use crate::metrics::{await_received, metrics, number, numbers, received};
use crate::tls_files::Visitor;

/// How a client speaks, and how it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    /// Resets its connection of HTTP/1.
    Http1,
    /// Resets the stream of its request.
    Stream,
    /// Resets its connection of HTTP/2.
    Http2,
}

const LEAVING: [Leaving; 3] = [Leaving::Http1, Leaving::Stream, Leaving::Http2];

/// The stream that HTTP/2 clients ask by.
const FIRST: u32 = 1;

impl Leaving {
    /// A client that has sent a `GET`, which has been read.
    #[track_caller]
    fn ask(self, proxy: &Proxy, path: &str) -> Client {
        let before = received(proxy);
        let mut client = proxy.client();
        let request = match self {
            Self::Http1 => format!("GET {path} HTTP/1.1\r\nHost: lb.test\r\n\r\n").into_bytes(),
            Self::Stream | Self::Http2 => {
                let block = frames::at(GET, path);
                let head = frames::headers(END_HEADERS | END_STREAM, FIRST, &block);
                [frames::hello(b""), head, frames::ping(0)].concat()
            }
        };
        client.send(&request);
        match self {
            Self::Http1 => await_received(proxy, before + request.len()),
            // What was sent before is not only received then: the request has begun.
            Self::Stream | Self::Http2 => await_pong(&mut client),
        }
        client
    }

    /// A client that is within a `POST`: as much of it as is taken, or as may be without being asked for more.
    #[track_caller]
    fn upload(self, proxy: &Proxy, path: &str) -> Client {
        let mut client = proxy.client();
        match self {
            Self::Http1 => {
                client.send(format!(
                    "POST {path} HTTP/1.1\r\nHost: lb.test\r\nContent-Length: 1000000000\r\n\r\n"
                ));
                client.give_up_sending_after(Duration::from_millis(500));
                let sent = client.send_pattern(1_000 * MEGABYTE, |_| {});
                assert!(sent.is_err(), "all of it is taken");
            }
            Self::Stream | Self::Http2 => {
                let head = frames::headers(END_HEADERS, FIRST, &frames::at(POST, path));
                let piece = frames::data(0, FIRST, &[b'x'; 16_000]);
                client.send([frames::hello(b""), head, piece.repeat(4)].concat());
            }
        }
        client
    }

    /// Leaves. A connection that stays open is returned.
    fn leave(self, mut client: Client) -> Option<Client> {
        if self == Self::Stream {
            client.send(frames::cancel(FIRST));
            return Some(client);
        }
        client.reset();
        None
    }
}

/// Reads frames up to the answer to a PING.
#[track_caller]
fn await_pong(client: &mut Client) {
    let pong = frames::ping(ACK);
    loop {
        let header = client.take(9).expect("a frame");
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        client.take(length as usize).expect("its payload");
        if header == pong[..9] {
            return;
        }
    }
}

/// A balancer in which nothing times out while a test runs.
fn before(url: &str, keys: &str) -> Start {
    admin::start(&[])
        .top(JSON)
        .top("workers = 2")
        .balancer("timeout = \"60s\"")
        .member_at(
            url,
            &format!("timeout = \"60s\"\nacquire = \"60s\"\nconnectiontimeout = \"60s\"\n{keys}"),
        )
}

/// A member that holds what comes for `/held`, and answers all else.
fn holding() -> Origin {
    Origin::named("b1")
        .answering(|exchange| match exchange.target() {
            "/held" => exchange.stall(),
            _ => exchange.answer("b1"),
        })
        .start()
}

/// The lines of the log that tell of clients that left, once there are as many as wanted.
#[track_caller]
fn aborts_logged(proxy: &Proxy, count: usize) -> Vec<Value> {
    eventually("lines of clients that left", || {
        let parse = |line: &String| serde_json::from_str::<Value>(line).expect("JSON");
        let records = lines(proxy, 1).iter().map(parse).collect::<Vec<_>>();
        let aborted = |it: &Value| {
            let error = it["error"].as_str().unwrap_or_default();
            error.contains("client aborted")
        };
        let aborts: Vec<_> = records.into_iter().filter(aborted).collect();
        (aborts.len() >= count).then_some(aborts)
    })
}

/// Waits until so many clients are known to have left; `busy` requests are still in flight at the member, which is not blamed.
#[track_caller]
fn expect_aborts(proxy: &Proxy, count: usize, busy: u64) {
    let told = eventually("nothing of them is in flight", || {
        let told = member(proxy, 0);
        (told["busy"] == busy).then_some(told)
    });
    assert_eq!(aborts_logged(proxy, count).len(), count);
    let text = eventually("they are counted", || {
        let text = metrics(proxy);
        let counted = number(&text, "equipoise_client_aborts_total ");
        (counted == count as f64).then_some(text)
    });
    assert_ne!(told["state"], "error", "{told}");
    let failures = (&told["errors"], &told["consecutive_failures"]);
    assert_eq!(
        failures,
        (&0.into(), &0.into()),
        "the member is blamed: {told}"
    );
    let errors = numbers(&text, "equipoise_member_errors_total", "kind");
    assert!(errors.is_empty(), "the member is blamed: {errors:?}");
    let refused = numbers(&text, "equipoise_refused_requests_total", "reason");
    assert!(refused.is_empty(), "it was refused: {refused:?}");
}

#[test]
fn one_that_leaves_before_the_head_of_its_answer_frees_the_member() {
    for leaving in LEAVING {
        let b1 = holding();
        let proxy = before(&b1.url(), "max = 1").start();
        let client = leaving.ask(&proxy, "/held");
        b1.await_hits(1);
        let _client = leaving.leave(client);
        b1.await_no_connection();
        expect_aborts(&proxy, 1, 0);
        assert_eq!(
            server(&proxy.get("/")),
            "b1",
            "{leaving:?}: the slot is free"
        );
    }
}

/// Also where more of its bytes wait to be read, so that no end of them is met.
#[test]
fn one_that_leaves_with_requests_waiting_frees_the_member() {
    let b1 = holding();
    let proxy = before(&b1.url(), "max = 1").start();
    let mut client = proxy.client();
    client.ask("GET /held", &[]);
    b1.await_hits(1);
    let next = "GET /next HTTP/1.1\r\nHost: lb.test\r\n\r\n";
    for pipelined in [1, 10_000] {
        client.give_up_sending_after(Duration::from_millis(300));
        let _ = client.try_send(next.repeat(pipelined));
    }
    client.reset();
    b1.await_no_connection();
    expect_aborts(&proxy, 1, 0);
    assert_eq!(server(&proxy.get("/")), "b1", "the slot is free");
    assert_eq!(b1.hits(), 2, "none of the others reaches the member");
}

/// Its reset is found below TLS, as is the end that it says by TLS and then by TCP.
#[test]
fn one_that_leaves_a_connection_of_tls_frees_the_member() {
    let authority = Authority::new();
    let (cert, key) = authority.vouch("shop.example");
    type Leave = fn(Visitor);
    let leaves: [Leave; 2] = [
        |visitor| {
            let _ = SockRef::from(&visitor.0.sock).set_linger(Some(Duration::ZERO));
        },
        |mut visitor| {
            visitor.0.conn.send_close_notify();
            let _ = visitor.0.flush();
        },
    ];
    for leave in leaves {
        let b1 = holding();
        let proxy = before(&b1.url(), "max = 1")
            .listen("tls = { certificates = [{ cert = \"shop.pem\", key = \"shop.key\" }] }")
            .limits(SHORT)
            .file("shop.pem", cert.as_bytes())
            .file("shop.key", key.as_bytes())
            .start();
        let mut visitor = Visitor::come(&authority.client(), proxy.address());
        let request = b"GET /held HTTP/1.1\r\nHost: shop.example\r\n\r\n";
        visitor.0.write_all(request).expect("the proxy reads");
        b1.await_hits(1);
        leave(visitor);
        b1.await_no_connection();
        expect_aborts(&proxy, 1, 0);
    }
}

#[test]
fn one_that_leaves_in_the_middle_of_a_stream_of_events_frees_the_member() {
    for leaving in LEAVING {
        let b1 = Origin::named("b1").answering(|exchange| match exchange.target() {
            "/events" => {
                let fields = "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n";
                let event = "9\r\ndata: 1\n\n\r\n";
                exchange.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n{event}"));
                exchange.stall();
            }
            _ => exchange.answer("b1"),
        });
        let b1 = b1.start();
        let proxy = before(&b1.url(), "max = 1").start();
        let mut client = leaving.ask(&proxy, "/events");
        client.await_text("data: 1");
        let _client = leaving.leave(client);
        b1.await_no_connection();
        expect_aborts(&proxy, 1, 0);
        let record = &aborts_logged(&proxy, 1)[0];
        assert_eq!(record["status"], 200, "{leaving:?}: {record}");
        assert_eq!(
            server(&proxy.get("/")),
            "b1",
            "{leaving:?}: the slot is free"
        );
    }
}

#[test]
fn one_that_leaves_in_the_middle_of_a_download_frees_the_member() {
    for leaving in LEAVING {
        let b1 = Origin::named("b1").answering(|exchange| match exchange.target() {
            "/large" => exchange.stream(1_000 * MEGABYTE),
            _ => exchange.answer("b1"),
        });
        let b1 = b1.start();
        let proxy = before(&b1.url(), "max = 1").start();
        let mut client = leaving.ask(&proxy, "/large");
        assert!(client.hears_within(Duration::from_secs(19)));
        eventually("the member sends", || (b1.streamed() > 0).then_some(()));
        let _client = leaving.leave(client);
        b1.await_no_connection();
        expect_aborts(&proxy, 1, 0);
        assert_eq!(
            server(&proxy.get("/")),
            "b1",
            "{leaving:?}: the slot is free"
        );
    }
}

#[test]
fn one_that_leaves_the_queue_of_a_full_member_never_gets_there() {
    for leaving in LEAVING {
        let (b1, gate) = gated();
        let proxy = before(&b1.url(), "max = 1").start();
        let mut holder = proxy.client();
        holder.ask("GET /held", &[]);
        b1.await_hits(1);
        let client = leaving.ask(&proxy, "/queued");
        let _client = leaving.leave(client);
        expect_aborts(&proxy, 1, 1);
        gate.open();
        assert_eq!(server(&holder.response()), "b1");
        assert_eq!(
            server(&proxy.get("/")),
            "b1",
            "{leaving:?}: the slot is free"
        );
        assert_eq!(targets(&b1), ["/held", "/"], "{leaving:?}");
    }
}

#[test]
fn one_that_leaves_while_no_member_is_eligible_leaves_the_queue() {
    for leaving in LEAVING {
        let b1 = Origin::live("b1");
        let proxy = before(&b1.url(), "status = \"+D\"").start();
        let client = leaving.ask(&proxy, "/");
        let _client = leaving.leave(client);
        expect_aborts(&proxy, 1, 0);
        assert_eq!(b1.hits(), 0, "{leaving:?}");
    }
}

#[test]
fn one_that_leaves_while_the_member_is_connected_to_gives_that_up() {
    let blackhole = Blackhole::open();
    for leaving in LEAVING {
        let proxy = before(&blackhole.url(), "max = 1").start();
        let client = leaving.ask(&proxy, "/");
        eventually("a member is chosen", || {
            (member(&proxy, 0)["busy"] == 1).then_some(())
        });
        let _client = leaving.leave(client);
        expect_aborts(&proxy, 1, 0);
    }
}

/// Goal: a client is watched while its body cannot be passed on, and no member takes a part for the whole. Method: the member
/// reads only when the client has long gone.
#[test]
fn one_that_leaves_while_the_member_does_not_read_its_body_frees_the_member() {
    for leaving in LEAVING {
        let (b1, gate) = gated();
        let proxy = before(&b1.url(), "max = 1").start();
        let client = leaving.upload(&proxy, "/held");
        b1.await_hits(1);
        let _client = leaving.leave(client);
        expect_aborts(&proxy, 1, 0);
        assert_eq!(
            server(&proxy.get("/")),
            "b1",
            "{leaving:?}: the slot is free"
        );
        gate.open();
        assert_eq!(b1.request(0).state, State::Aborted, "{leaving:?}");
    }
}

/// A member that holds what comes for `/held` until the gate opens, and reads nothing of it before.
fn gated() -> (Origin, Gate) {
    let gate = Gate::closed();
    let held = gate.clone();
    let b1 = Origin::named("b1").answering(move |exchange| {
        if exchange.target() == "/held" {
            held.wait();
        }
        exchange.answer("b1");
    });
    (b1.start(), gate)
}

/// The targets that a member was asked for, in order.
fn targets(member: &Origin) -> Vec<String> {
    member.when("requests", |log| {
        let requests = log.requests.iter();
        Some(requests.map(|it| it.target().to_owned()).collect())
    })
}

/// Goal: those who have gone cost those who stay nothing. Method: a member that takes two requests at a time, thirty clients
/// that queue and leave, and one that stays.
#[test]
fn those_who_leave_a_queue_do_not_hold_up_those_who_stay() {
    const MANY: usize = 30;
    for leaving in LEAVING {
        let (b1, gate) = gated();
        let proxy = before(&b1.url(), "max = 2").start();
        let mut holders = [proxy.client(), proxy.client()];
        for holder in &mut holders {
            holder.ask("GET /held", &[]);
        }
        b1.await_hits(2);
        let queued: Vec<_> = (0..MANY).map(|_| leaving.ask(&proxy, "/queued")).collect();
        let mut live = Leaving::Http1.ask(&proxy, "/live");
        let _clients: Vec<_> = queued.into_iter().map(|it| leaving.leave(it)).collect();
        // Those who hold the slots, and the one who waits.
        expect_aborts(&proxy, MANY, 3);
        gate.open();
        for holder in &mut holders {
            assert_eq!(server(&holder.response()), "b1", "{leaving:?}");
        }
        assert_eq!(server(&live.response()), "b1", "{leaving:?}");
        assert_eq!(targets(&b1), ["/held", "/held", "/live"], "{leaving:?}");
    }
}

/// Of several tries, for the machine may be busy.
#[test]
fn a_reset_is_noticed_within_a_second() {
    let b1 = holding();
    let proxy = before(&b1.url(), "").start();
    let noticed = (0..5).map(|number| {
        let mut client = proxy.client();
        client.ask("GET /held", &[]);
        b1.await_hits(number + 1);
        let start = Instant::now();
        client.reset();
        b1.await_no_connection();
        start.elapsed()
    });
    let shortest = noticed.min().expect("some");
    assert!(shortest < Duration::from_secs(1), "{shortest:?}");
}

/// Clients of HTTP/1 that have closed their sending side are given this time.
const SHORT: &str = "half-close = \"300ms\"";

/// Says that nothing more will be sent, and takes what comes until the connection ends.
fn half_close(mut client: Client) {
    client.finish_sending();
    // An answer may come, or none.
    let _ = client.try_response("GET");
    client.expect_closed();
}

#[test]
fn one_that_has_closed_its_sending_side_gets_what_comes_in_time() {
    let (b1, gate) = gated();
    let proxy = before(&b1.url(), "max = 1").start();
    // One that waits for its answer, and one that waits for a slot.
    let mut first = Leaving::Http1.ask(&proxy, "/held");
    b1.await_hits(1);
    let mut second = Leaving::Http1.ask(&proxy, "/");
    for client in [&first, &second] {
        client.finish_sending();
    }
    thread::sleep(Duration::from_millis(300));
    gate.open();
    for client in [&mut first, &mut second] {
        assert_eq!(server(&client.response()), "b1");
        client.expect_closed();
    }
    let text = metrics(&proxy);
    assert_eq!(number(&text, "equipoise_client_aborts_total "), 0.0);
    assert_eq!(lines(&proxy, 2).len(), 2);
}

#[test]
fn one_that_has_closed_its_sending_side_gets_an_answer_to_each_request() {
    let (b1, gate) = gated();
    let proxy = before(&b1.url(), "").start();
    let mut client = proxy.client();
    let requests = ["GET /held", "GET /a", "POST /b", "GET /c"];
    client.send(requests.map(|line| request(line, &[], "")).concat());
    client.finish_sending();
    b1.await_hits(1);
    gate.open();
    for line in requests {
        assert_eq!(server(&client.response_to(line)), "b1", "{line}");
    }
    client.expect_closed();
    let text = metrics(&proxy);
    assert_eq!(number(&text, "equipoise_client_aborts_total "), 0.0);
}

#[test]
fn one_that_has_closed_its_sending_side_gets_the_events_that_come_in_time() {
    let gate = Gate::closed();
    let held = gate.clone();
    let b1 = Origin::named("b1").answering(move |exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        held.wait();
        exchange.send("6\r\nsecond\r\n0\r\n\r\n");
    });
    let b1 = b1.start();
    let proxy = before(&b1.url(), "").start();
    let mut client = Leaving::Http1.ask(&proxy, "/");
    client.await_text("first");
    client.finish_sending();
    thread::sleep(Duration::from_millis(300));
    gate.open();
    assert_eq!(client.response().text(), "firstsecond");
}

/// A browser that cancels closes its connection, which looks the same.
#[test]
fn one_that_has_closed_its_sending_side_is_given_up_after_half_close() {
    type Leave = fn(Client);
    for leave in [half_close as Leave, drop] {
        let b1 = holding();
        let proxy = before(&b1.url(), "max = 1").limits(SHORT).start();
        let client = Leaving::Http1.ask(&proxy, "/held");
        b1.await_hits(1);
        leave(client);
        b1.await_no_connection();
        expect_aborts(&proxy, 1, 0);
        assert_eq!(server(&proxy.get("/")), "b1", "the slot is free");
    }
}

#[test]
fn so_is_one_that_waits_in_the_middle_of_a_stream_of_events() {
    let b1 = Origin::named("b1").answering(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        exchange.stall();
    });
    let b1 = b1.start();
    let proxy = before(&b1.url(), "").limits(SHORT).start();
    let mut client = Leaving::Http1.ask(&proxy, "/");
    client.await_text("first");
    client.finish_sending();
    let response = client.try_response("GET").expect("a head");
    assert!(!response.complete, "{response:?}");
    b1.await_no_connection();
    expect_aborts(&proxy, 1, 0);
}

#[test]
fn so_is_one_that_waits_for_a_slot() {
    let (b1, gate) = gated();
    let proxy = before(&b1.url(), "max = 1").limits(SHORT).start();
    let mut holder = proxy.client();
    holder.ask("GET /held", &[]);
    b1.await_hits(1);
    half_close(Leaving::Http1.ask(&proxy, "/queued"));
    expect_aborts(&proxy, 1, 1);
    gate.open();
    assert_eq!(server(&holder.response()), "b1");
    assert_eq!(targets(&b1), ["/held"]);
}

#[test]
fn so_is_one_that_waits_for_a_member() {
    let b1 = Origin::live("b1");
    let proxy = before(&b1.url(), "status = \"+D\"").limits(SHORT).start();
    half_close(Leaving::Http1.ask(&proxy, "/"));
    expect_aborts(&proxy, 1, 0);
    assert_eq!(b1.hits(), 0);
}

#[test]
fn so_is_one_that_waits_for_a_connection() {
    let blackhole = Blackhole::open();
    let proxy = before(&blackhole.url(), "").limits(SHORT).start();
    half_close(Leaving::Http1.ask(&proxy, "/"));
    expect_aborts(&proxy, 1, 0);
}

/// Goal: a stream that is reset ends its own request alone. Method: two requests on a connection, one of which is cancelled.
#[test]
fn a_request_of_http_2_that_is_cancelled_leaves_the_others_alone() {
    let (b1, gate) = gated();
    let proxy = before(&b1.url(), "").start();
    let mut client = Leaving::Stream.ask(&proxy, "/held");
    let other = frames::at(GET, "/held");
    client.send(frames::headers(END_HEADERS | END_STREAM, FIRST + 2, &other));
    b1.await_hits(2);
    let mut client = Leaving::Stream.leave(client).expect("it stays");
    expect_aborts(&proxy, 1, 1);
    gate.open();
    client.await_text("b1");
}

#[test]
fn those_who_leave_do_not_have_a_member_ejected() {
    let (b1, b2) = (holding(), Origin::live("b2"));
    let proxy = before(&b1.url(), "")
        .member(&b2, "lbset = 1")
        .balancer("outlier = { consecutive-failures = 2 }")
        .start();
    for number in 0..6 {
        let client = Leaving::Http1.ask(&proxy, "/held");
        b1.await_hits(number + 1);
        client.reset();
    }
    b1.await_no_connection();
    expect_aborts(&proxy, 6, 0);
    assert_eq!(proxy.served(2), ["b1"; 2]);
    assert_eq!(proxy.stderr.count("is unhealthy"), 0);
}

#[test]
fn one_that_leaves_while_its_request_is_tried_again_ends_the_last_try() {
    let b1 = Origin::named("b1").answering(Exchange::stall).start();
    let proxy = admin::start(&[])
        .top(JSON)
        .balancer("retry-on = [\"timeout\"]\nmaxattempts = 50")
        .member(&b1, "timeout = \"300ms\"")
        .member_at(
            &b1.url().replace("127.0.0.1", "localhost"),
            "timeout = \"60s\"",
        )
        .start();
    let client = Leaving::Http1.ask(&proxy, "/");
    b1.await_hits(2);
    client.reset();
    b1.await_no_connection();
    assert_eq!(aborts_logged(&proxy, 1).len(), 1);
    assert_eq!(b1.hits(), 2);
}
