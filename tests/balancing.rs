//! Who serves: the order of each method, sets, spares, standbys and flags, as measured on Apache 2.4.71.

use std::thread;

use crate::harness::proxy::server;
use crate::harness::{Client, Gate, Origin, Proxy};

/// A member of a golden sequence: whether it listens, and its keys.
type Row = (bool, &'static str);

const UP: bool = true;
const DOWN: bool = false;

/// Starts members `b1` and so on, and the proxy before them.
fn cluster(top: &str, balancer: &str, rows: &[Row]) -> (Vec<Origin>, Proxy) {
    let member = |(index, (up, _)): (usize, &Row)| {
        let origin = Origin::named(&format!("b{}", index + 1));
        if *up {
            origin.start()
        } else {
            origin.refusing()
        }
    };
    let origins: Vec<_> = rows.iter().enumerate().map(member).collect();
    let mut start = Proxy::before(&[]).top(top).balancer(balancer);
    for (origin, (_, keys)) in origins.iter().zip(rows) {
        start = start.member(origin, keys);
    }
    (origins, start.start())
}

/// The expected servers: `"b1 b2"`.
fn servers(expected: &str) -> Vec<&str> {
    expected.split(' ').collect()
}

/// Goal: who serves is what Apache does, to the request. Method: each row is a fresh start, and sequential requests, each
/// on a connection of its own, so that they meet all worker threads.
#[test]
fn sequential_requests_follow_apaches_golden_sequences() {
    let table: &[(&str, &[Row], &str)] = &[
        (
            "equal weights",
            &[(UP, ""), (UP, ""), (UP, "")],
            "b1 b2 b3 b1 b2 b3 b1 b2 b3",
        ),
        (
            "weights 1 and 2",
            &[(UP, "loadfactor = 1"), (UP, "loadfactor = 2")],
            "b2 b1 b2 b2 b1 b2 b2 b1 b2 b2 b1 b2",
        ),
        (
            "a fractional weight",
            &[(UP, "loadfactor = 1.5"), (UP, "")],
            "b1 b2 b1 b2 b1 b1 b2 b1 b2 b1",
        ),
        (
            "a standby is left alone while others live",
            &[(UP, ""), (UP, ""), (UP, "status = \"+H\"")],
            "b1 b2 b1 b2",
        ),
        (
            "a standby takes over from the dead",
            &[(DOWN, ""), (DOWN, ""), (UP, "status = \"+H\"")],
            "b3 b3 b3",
        ),
        (
            "a dead set hands over to the next",
            &[(DOWN, "lbset = 0"), (UP, "lbset = 1"), (UP, "lbset = 2")],
            "b2 b2 b2",
        ),
        (
            "sets may have gaps",
            &[(DOWN, "lbset = 0"), (UP, "lbset = 7")],
            "b2 b2 b2",
        ),
        (
            "the standby of a set comes before the next set",
            &[(DOWN, ""), (UP, "status = \"+H\""), (UP, "lbset = 1")],
            "b2 b2 b2",
        ),
        (
            "a spare is left alone while no member is missing",
            &[(UP, ""), (UP, ""), (UP, "status = \"+R\"")],
            "b1 b2 b1 b2",
        ),
        (
            "a spare stands in for the disabled",
            &[(UP, "status = \"+D\""), (UP, ""), (UP, "status = \"+R\"")],
            "b2 b3 b2 b3",
        ),
        (
            "one spare for each that is missing",
            &[
                (UP, "status = \"D\""),
                (UP, ""),
                (UP, "status = \"R\""),
                (UP, "status = \"R\""),
            ],
            "b2 b3 b2 b3",
        ),
        (
            "a disabled member gets nothing",
            &[(UP, "status = \"+D\""), (UP, ""), (UP, "")],
            "b2 b3 b2 b3",
        ),
        (
            "a stopped member gets nothing",
            &[(UP, ""), (UP, "status = \"+S\""), (UP, "")],
            "b1 b3 b1 b3",
        ),
        (
            "a draining member gets nothing new",
            &[(UP, ""), (UP, ""), (UP, "status = \"+N\"")],
            "b1 b2 b1 b2",
        ),
    ];
    for (case, rows, expected) in table {
        for workers in ["workers = 1", "workers = 3"] {
            let (_origins, proxy) = cluster(workers, "", rows);
            let expected = servers(expected);
            assert_eq!(proxy.served(expected.len()), expected, "{case}, {workers}");
        }
    }
}

/// On one connection, because a request counts as in flight until its last byte is sent, which the client may notice
/// before the proxy does.
#[test]
fn bybusyness_without_overlap_is_byrequests() {
    let table: &[(&[Row], &str)] = &[
        (
            &[(UP, ""), (UP, ""), (UP, "")],
            "b1 b2 b3 b1 b2 b3 b1 b2 b3",
        ),
        (
            &[(UP, ""), (UP, "loadfactor = 2")],
            "b2 b1 b2 b2 b1 b2 b2 b1 b2 b2 b1 b2",
        ),
    ];
    for (rows, expected) in table {
        let (_origins, proxy) = cluster("", "lbmethod = \"bybusyness\"", rows);
        let mut client = proxy.client();
        for (index, expected) in servers(expected).iter().enumerate() {
            assert_eq!(
                client.get("/").text(),
                *expected,
                "request {index} of {rows:?}"
            );
        }
    }
}

#[test]
fn the_order_is_exact_across_worker_threads() {
    let rows = [(UP, ""), (UP, "loadfactor = 2"), (UP, "loadfactor = 4")];
    let (_origins, proxy) = cluster("workers = 4", "", &rows);
    // Smooth weighting of 1, 2 and 4.
    let round = ["b3", "b2", "b3", "b1", "b3", "b2", "b3"];
    let expected: Vec<_> = std::iter::repeat_n(round, 20).flatten().collect();
    assert_eq!(proxy.served(expected.len()), expected);
}

#[test]
fn shares_are_exact_under_concurrent_requests() {
    let rows = [(UP, ""), (UP, "loadfactor = 2"), (UP, "")];
    let (origins, proxy) = cluster("workers = 4", "", &rows);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| proxy.served(20));
        }
    });
    let hits: Vec<_> = origins.iter().map(Origin::hits).collect();
    assert_eq!(hits, [40, 80, 40]);
}

#[test]
fn bybusyness_avoids_members_with_requests_in_flight() {
    let gate = Gate::closed();
    let held = gate.clone();
    let b1 = Origin::named("b1").answering(move |exchange| {
        if exchange.target() == "/held" {
            held.wait();
        }
        exchange.answer("b1");
    });
    let (b1, b2, b3) = (b1.start(), Origin::live("b2"), Origin::live("b3"));
    let proxy = Proxy::before(&[&b1, &b2, &b3])
        .balancer("lbmethod = \"bybusyness\"")
        .start();

    let mut busy = proxy.client();
    busy.ask("GET /held", &[]);
    b1.await_hits(1);
    let mut client = proxy.client();
    let served: Vec<_> = (0..6).map(|_| client.get("/").text()).collect();
    assert_eq!(served, ["b2", "b3", "b2", "b3", "b2", "b3"]);

    gate.open();
    assert_eq!(busy.response().text(), "b1");
    assert_eq!(
        busy.get("/").text(),
        "b1",
        "free again, and longest without a request"
    );
}

/// Goal: bytraffic goes by the bytes read from members. Method: b1 answers with ten times as much as b2, so that its one
/// answer is worth many of b2's.
#[test]
fn bytraffic_counts_what_members_send() {
    let b1 = Origin::named("b1")
        .answering(|exchange| exchange.stream(20_000))
        .start();
    let b2 = Origin::named("b2")
        .answering(|exchange| exchange.stream(2_000))
        .start();
    let proxy = Proxy::before(&[&b1, &b2])
        .balancer("lbmethod = \"bytraffic\"")
        .start();
    let mut client = proxy.client();
    let sizes: Vec<_> = (0..7).map(|_| client.get("/").body.length).collect();
    assert_eq!(sizes, [20_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_000]);
}

#[test]
fn bytraffic_counts_what_members_are_sent() {
    let [b1, b2] = Origin::some();
    let proxy = Proxy::before(&[&b1, &b2])
        .balancer("lbmethod = \"bytraffic\"")
        .start();
    let mut client = proxy.client();
    let upload = client.exchange_body("POST /", &[], &"x".repeat(100_000));
    assert_eq!(upload.text(), "b1");
    let served: Vec<_> = (0..10).map(|_| client.get("/").text()).collect();
    assert_eq!(served, ["b2"; 10]);
}

#[test]
fn bytraffic_divides_by_the_weight() {
    let big = |name| {
        Origin::named(name)
            .answering(|exchange| exchange.stream(10_000))
            .start()
    };
    let (b1, b2) = (big("b1"), big("b2"));
    let proxy = Proxy::before(&[])
        .member(&b1, "loadfactor = 4")
        .member(&b2, "")
        .balancer("lbmethod = \"bytraffic\"")
        .start();
    let mut client = proxy.client();
    for _ in 0..20 {
        client.get("/");
    }
    assert_eq!((b1.hits(), b2.hits()), (16, 4));
}

/// Unlike Apache, which refuses every request until the first heartbeat: silence must not take a working site down.
#[test]
fn heartbeat_without_heartbeats_is_byrequests() {
    let rows = [(UP, "loadfactor = 2"), (UP, ""), (UP, "status = \"D\"")];
    let (_origins, proxy) = cluster("", "lbmethod = \"heartbeat\"", &rows);
    assert_eq!(proxy.served(6), servers("b1 b2 b1 b1 b2 b1"));
}

#[test]
fn a_sole_member_serves_everything_with_every_method() {
    for method in ["byrequests", "bytraffic", "bybusyness", "heartbeat"] {
        let [b1] = Origin::some();
        let proxy = Proxy::before(&[&b1])
            .balancer(&format!("lbmethod = {method:?}"))
            .start();
        assert_eq!(proxy.served(3), ["b1"; 3], "{method}");
    }
}

#[test]
fn each_balancer_keeps_its_own_order() {
    let [b1, b2] = Origin::some();
    let [c1, c2] = Origin::some();
    let member = |name: &str, origin: &Origin| {
        format!("[[balancer.{name}.member]]\nurl = \"{}\"\n", origin.url())
    };
    let toml = [
        "[[listen]]\naddress = \"127.0.0.1:0\"\n",
        "[[route]]\npath = \"/b\"\nbalancer = \"b\"\n",
        "[[route]]\npath = \"/c\"\nbalancer = \"c\"\n",
        &(member("b", &b1) + &member("b", &b2)),
        &(member("c", &c1) + &member("c", &c2)),
    ];
    let proxy = Proxy::with(&toml.concat()).start();
    let order: Vec<_> = ["/b", "/c", "/b", "/c"]
        .map(|path| server(&proxy.get(path)))
        .into();
    assert_eq!(order, ["b1", "b1", "b2", "b2"]);
    assert_eq!([b1.hits(), b2.hits(), c1.hits(), c2.hits()], [1, 1, 1, 1]);
}

#[test]
fn requests_on_one_connection_are_balanced_one_by_one() {
    let [b1, b2] = Origin::some();
    let proxy = Proxy::before(&[&b1, &b2]).start();
    let mut client: Client = proxy.client();
    let served: Vec<_> = (0..4).map(|_| client.get("/").text()).collect();
    assert_eq!(served, ["b1", "b2", "b1", "b2"]);
}
