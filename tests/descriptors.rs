//! Limits that clients run into, with few file descriptors and with many: who is served, who waits, and how that is told.

use std::time::Duration;

use crate::harness::http2::{self, wait_for};
use crate::harness::proxy::{Start, server};
use crate::harness::{Client, Exchange, Gate, Origin, Proxy, eventually};
use crate::metrics::{await_number, metrics, number};

const HITS: &str = "equipoise_limit_hits_total{limit=";

/// A member that holds requests to `/held` until the gate opens.
fn holding(gate: &Gate) -> Origin {
    let gate = gate.clone();
    let answer = move |exchange: &mut Exchange| {
        if exchange.target() == "/held" {
            gate.wait();
        }
        exchange.answer("b1");
    };
    Origin::named("b1").answering(answer).start()
}

fn before(member: &Origin) -> Start {
    Proxy::before(&[member]).routes(
        "[admin]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/\"\nbalancer = \"cluster\"",
    )
}

/// How many clients may be connected at once, as the log says.
fn most_clients(proxy: &Proxy) -> usize {
    let line = proxy.stderr.line_with("too low for `connections`");
    let number = line
        .split("[limits]: ")
        .nth(1)
        .and_then(|it| it.split(' ').next());
    number
        .and_then(|it| it.parse().ok())
        .unwrap_or_else(|| panic!("no number in {line}"))
}

/// Goal: with few descriptors there are some left for members, operators and files. Method: as many clients as may be connected all
/// have a request under way, each by a connection of its own to the member, while a hundred others knock.
#[test]
fn clients_leave_descriptors_for_members_and_operators() {
    let gate = Gate::closed();
    let b1 = holding(&gate);
    let proxy = before(&b1).top("workers = 2").start_with_descriptors(128);
    let most = most_clients(&proxy);
    assert!((8..64).contains(&most), "{most}");
    let limit = "equipoise_client_connections_limit ";
    assert_eq!(number(&metrics(&proxy), limit), most as f64);
    let mut clients: Vec<_> = (0..most).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.ask("GET /held", &[]);
    }
    b1.await_hits(most);
    let knocking: Vec<_> = (0..100).map(|_| proxy.client()).collect();
    eventually("a client waits", || {
        let waiting = number(&metrics(&proxy), "equipoise_client_connections_waiting ");
        (waiting > 0.0).then_some(())
    });
    gate.open();
    for client in &mut clients {
        assert_eq!(server(&client.response()), "b1");
    }
    let used = proxy.processor_time();
    for client in &mut clients[..5] {
        assert_eq!(server(&client.get("/")), "b1");
        assert!(!client.hears_within(Duration::from_millis(100)));
    }
    let used = proxy.processor_time() - used;
    assert!(
        used < Duration::from_millis(250),
        "{used:?} of half a second"
    );
    let text = metrics(&proxy);
    assert!(number(&text, &format!("{HITS}\"connections\"}}")) >= 1.0);
    assert!(number(&text, "equipoise_client_connections ") <= most as f64);
    for client in knocking {
        drop(client);
    }
    clients.truncate(most / 2);
    assert_eq!(proxy.served(3), ["b1"; 3]);
    await_number(&proxy, "equipoise_client_connections_waiting ", 0.0);
    for word in ["cannot accept connections", "Too many open files"] {
        assert_eq!(
            proxy.stderr.count(word),
            0,
            "{word}: {}",
            proxy.stderr.text()
        );
    }
    assert_eq!(proxy.stderr.count("too low for `connections`"), 1);
}

/// With enough of them nothing is said, and `connections` counts.
#[test]
fn clients_that_wait_for_others_to_leave_are_counted() {
    let [b1] = Origin::some();
    let proxy = before(&b1).limits("connections = 2").start();
    let (mut one, mut two) = (proxy.client(), proxy.client());
    assert_eq!([server(&one.get("/")), server(&two.get("/"))], ["b1", "b1"]);
    let text = metrics(&proxy);
    assert_eq!(number(&text, "equipoise_client_connections_limit "), 2.0);
    assert_eq!(number(&text, &format!("{HITS}\"connections\"}}")), 0.0);
    let mut three = proxy.client();
    await_number(&proxy, "equipoise_client_connections_waiting ", 1.0);
    drop(one);
    assert_eq!(server(&three.get("/")), "b1");
    let text = metrics(&proxy);
    assert_eq!(number(&text, "equipoise_client_connections_waiting "), 0.0);
    assert_eq!(number(&text, &format!("{HITS}\"connections\"}}")), 1.0);
    assert_eq!(proxy.stderr.count("too low for `connections`"), 0);
}

#[test]
fn handshakes_that_take_too_long_are_counted() {
    let [b1] = Origin::some();
    let proxy = before(&b1)
        .listen("proxy-protocol = { from = [\"127.0.0.1\"] }")
        .limits("handshake-timeout = \"100ms\"")
        .start();
    let mut client = Client::connect(proxy.address());
    client.send("PROXY TCP4 ");
    client.expect_closed();
    await_number(&proxy, &format!("{HITS}\"handshakes\"}}"), 1.0);
}

#[test]
fn clients_with_as_many_requests_as_they_may_have_are_counted() {
    let gate = Gate::closed();
    let b1 = holding(&gate);
    let proxy = before(&b1).limits("streams = 2").start();
    let streams = format!("{HITS}\"streams\"}}");
    wait_for(async {
        let client = http2::connect(proxy.address()).await;
        let one = http2::ask(&client, http2::get("/held"));
        let two = http2::ask(&client, http2::get("/held"));
        let told = async {
            while b1.hits() < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            gate.open();
        };
        tokio::join!(one, two, told);
    });
    assert_eq!(number(&metrics(&proxy), &streams), 1.0);
}
