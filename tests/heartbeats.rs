//! Heartbeats: how members tell of their idle slots, and what becomes of what else comes to the same place.
//!
//! Members on one machine have one address; here the heartbeats name their ports.

use std::net::{SocketAddr, UdpSocket};

use crate::harness::client::request;
use crate::harness::proxy::{Start, server, write_config};
use crate::harness::{Client, Origin, Proxy, Response, WAIT_TIMEOUT, eventually, program};

const DATAGRAMS: &str = "[heartbeat]\nlisten = \"127.0.0.1:0\"";
const HTTP: &str = "[heartbeat]\n[admin]\naddress = \"127.0.0.1:0\"";

/// A proxy that balances two members by their heartbeats.
fn start(members: &[Origin], top: &str) -> Proxy {
    by_heartbeat(members, top).start()
}

fn by_heartbeat(members: &[Origin], top: &str) -> Start {
    let members: Vec<_> = members.iter().collect();
    Proxy::before(&members)
        .top(top)
        .balancer("lbmethod = \"heartbeat\"")
}

/// The address at the end of the log line with this text.
#[track_caller]
fn logged_address(proxy: &Proxy, text: &str) -> SocketAddr {
    let line = proxy.stderr.line_with(text);
    let address = line
        .split_once("address=")
        .and_then(|(_, address)| address.trim().parse().ok());
    address.unwrap_or_else(|| panic!("no address in {line:?}"))
}

/// Sends datagrams to the proxy's listener from an address of its own.
struct Sender {
    socket: UdpSocket,
}

impl Sender {
    #[track_caller]
    fn to(proxy: &Proxy) -> Self {
        Self::from("127.0.0.1", proxy)
    }

    #[track_caller]
    fn from(address: &str, proxy: &Proxy) -> Self {
        let socket = UdpSocket::bind((address, 0)).expect("a free port");
        let listener = logged_address(proxy, "listening for heartbeats");
        socket.connect(listener).expect("a listener");
        Self { socket }
    }

    #[track_caller]
    fn send(&self, message: impl AsRef<[u8]>) {
        self.socket
            .send(message.as_ref())
            .expect("a datagram can be sent");
    }
}

/// What a member says: its idle slots, with one slot busy so that it does not count as just started.
fn beat(member: &Origin, ready: u32) -> String {
    let port = member.address().port();
    format!("v=1&ready={ready}&busy=1&port={port}")
}

/// Who of so many requests is served by whom: a count for each member.
fn shares(proxy: &Proxy, members: &[Origin], requests: usize) -> Vec<usize> {
    let before: Vec<_> = members.iter().map(Origin::hits).collect();
    let mut client = proxy.client();
    for _ in 0..requests {
        assert_eq!(client.get("/").status(), 200);
    }
    let hits = members.iter().map(Origin::hits);
    hits.zip(before)
        .map(|(hits, before)| hits - before)
        .collect()
}

/// Waits until heartbeats that were sent have been heard: until `member`, the only one with idle slots, serves alone. By
/// byrequests, which decides until then, two members take turns.
#[track_caller]
fn await_all_at(proxy: &Proxy, member: &str) {
    eventually(member, || {
        let served = proxy.served(3);
        served.iter().all(|served| served == member).then_some(())
    });
}

/// The answer of the admin listener.
#[track_caller]
fn post(proxy: &Proxy, body: &str) -> Response {
    admin(proxy).exchange_body("POST /heartbeat", &[], body)
}

#[track_caller]
fn admin(proxy: &Proxy) -> Client {
    Client::connect(logged_address(proxy, "the admin listener is open"))
}

#[test]
fn datagrams_move_all_traffic_to_where_slots_are_idle() {
    let members: [_; 2] = Origin::some();
    let proxy = start(&members, DATAGRAMS);
    assert_eq!(proxy.served(4), ["b1", "b2", "b1", "b2"]);
    let sender = Sender::to(&proxy);
    for (busy, idle, name) in [(0, 1, "b2"), (1, 0, "b1")] {
        sender.send(beat(&members[idle], 7));
        sender.send(beat(&members[busy], 0));
        await_all_at(&proxy, name);
        assert_eq!(shares(&proxy, &members, 60)[idle], 60);
    }
}

/// The odds of leaving these bounds by chance are below one in a billion.
#[test]
fn traffic_follows_the_shares_of_idle_slots() {
    let members: [_; 2] = Origin::some();
    let proxy = start(&members, DATAGRAMS);
    let sender = Sender::to(&proxy);
    sender.send(beat(&members[0], 0));
    sender.send(beat(&members[1], 10));
    await_all_at(&proxy, "b2");
    // Once b1 is chosen, its heartbeat has been heard.
    sender.send(beat(&members[0], 30));
    eventually("b1 is chosen", || {
        (server(&proxy.get("/")) == "b1").then_some(())
    });
    let shares = shares(&proxy, &members, 400);
    assert!(
        (230..=370).contains(&shares[0]),
        "{shares:?} is far from 3 to 1"
    );
}

/// With a quarter of its slots, as in Apache: 40 idle ones of a server with nothing to do are 10.
#[test]
fn a_server_that_has_just_started_is_eased_in() {
    let members: [_; 2] = Origin::some();
    let proxy = start(&members, DATAGRAMS);
    let sender = Sender::to(&proxy);
    sender.send(beat(&members[0], 0));
    sender.send(beat(&members[1], 30));
    await_all_at(&proxy, "b2");
    let port = members[0].address().port();
    sender.send(format!("v=1&ready=40&busy=0&port={port}"));
    eventually("b1 is chosen", || {
        (server(&proxy.get("/")) == "b1").then_some(())
    });
    let shares = shares(&proxy, &members, 400);
    assert!(
        (40..=180).contains(&shares[0]),
        "{shares:?} is far from 1 to 3"
    );
}

/// A heartbeat without a port is for every member at its address, in every balancer and whatever its method; here, of two
/// members at one address, both.
#[test]
fn a_heartbeat_without_port_is_for_the_whole_address() {
    let members: [_; 2] = Origin::some();
    let proxy = start(&members, DATAGRAMS);
    let sender = Sender::to(&proxy);
    sender.send(beat(&members[0], 0));
    sender.send(beat(&members[1], 5));
    await_all_at(&proxy, "b2");
    sender.send("v=1&ready=5&busy=1");
    eventually("b1 is chosen", || {
        (server(&proxy.get("/")) == "b1").then_some(())
    });
    assert!(shares(&proxy, &members, 100).iter().all(|&share| share > 0));
}

#[test]
fn what_is_malformed_changes_nothing_and_is_logged_once_in_a_while() {
    let members: [_; 2] = Origin::some();
    let proxy = start(&members, DATAGRAMS);
    let sender = Sender::to(&proxy);
    sender.send(beat(&members[0], 0));
    sender.send(beat(&members[1], 5));
    await_all_at(&proxy, "b2");
    let too_long = format!("{:x<1001}", beat(&members[0], 50) + "&pad=");
    sender.send("v=1&ready=50");
    sender.send("");
    sender.send([0xff; 70]);
    sender.send(&too_long);
    // Heard behind all of those: datagrams on loopback keep their order.
    sender.send(beat(&members[1], 0));
    sender.send(beat(&members[0], 5));
    await_all_at(&proxy, "b1");
    let line = proxy.stderr.line_with("heartbeat rejected");
    assert!(
        line.contains("WARN")
            && line.contains("`busy` is missing")
            && line.contains("from=127.0.0.1"),
        "{line}"
    );
    assert_eq!(proxy.stderr.count("heartbeat rejected"), 1);
}

#[test]
fn strangers_are_not_heard() {
    let members: [_; 2] = Origin::some();
    let proxy = start(&members, DATAGRAMS);
    let stranger = Sender::from("127.0.0.9", &proxy);
    stranger.send(beat(&members[0], 50));
    stranger.send("nonsense");
    let line = proxy.stderr.line_with("its sender is not allowed");
    assert!(
        line.contains("from=127.0.0.9") && line.contains("count=1"),
        "{line}"
    );
    assert_eq!(proxy.served(4), ["b1", "b2", "b1", "b2"]);
    assert_eq!(proxy.stderr.count("heartbeat rejected"), 1);
}

/// A list of networks stands in place of the members' addresses, so that those are strangers, too, unless they are in it.
#[test]
fn networks_that_may_send_are_those_that_are_listed() {
    let members: [_; 2] = Origin::some();
    let proxy = start(&members, &format!("{DATAGRAMS}\nfrom = [\"127.0.0.8/30\"]"));
    Sender::to(&proxy).send(beat(&members[0], 50));
    let line = proxy.stderr.line_with("its sender is not allowed");
    assert!(line.contains("from=127.0.0.1"), "{line}");
    Sender::from("127.0.0.9", &proxy).send(beat(&members[0], 50));
    let line = proxy
        .stderr
        .line_with("no member is at its sender's address");
    assert!(line.contains("from=127.0.0.9"), "{line}");
    assert_eq!(proxy.served(4), ["b1", "b2", "b1", "b2"]);
}

/// On a socket for IPv6 and IPv4, senders of IPv4 have addresses mapped into IPv6; they are their members all the same.
#[test]
fn a_mapped_address_is_the_address() {
    let members: [_; 2] = Origin::some();
    let proxy = start(
        &members,
        "[heartbeat]\nlisten = \"[::]:0\"\nfrom = [\"127.0.0.0/8\"]",
    );
    let port = logged_address(&proxy, "listening for heartbeats").port();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    for message in [beat(&members[0], 0), beat(&members[1], 5)] {
        let sent = socket.send_to(message.as_bytes(), ("127.0.0.1", port));
        sent.expect("a datagram can be sent");
    }
    await_all_at(&proxy, "b2");
}

#[test]
fn heartbeats_come_by_http_too() {
    let members: [_; 2] = Origin::some();
    let proxy = start(&members, HTTP);
    for (busy, idle, name) in [(0, 1, "b2"), (1, 0, "b1")] {
        for message in [beat(&members[idle], 7), beat(&members[busy], 0)] {
            let response = post(&proxy, &message);
            assert_eq!((response.status(), response.text()), (200, "OK".to_owned()));
            let kind = response.field("Content-Type").expect("a type");
            assert!(kind.starts_with("text/plain"), "{kind}");
        }
        // It is heard when it is answered.
        assert_eq!(proxy.served(6), [name; 6]);
    }
}

#[test]
fn the_admin_listener_says_what_is_wrong() {
    let members: [_; 2] = Origin::some();
    let proxy = start(&members, HTTP);
    let reason = |body: &str| {
        let response = post(&proxy, body);
        (response.status(), response.text())
    };
    let table = [
        ("v=1&ready=5", 400, "`busy` is missing"),
        ("ready=5&busy=1", 400, "`v` is missing"),
        ("v=2&ready=5&busy=1", 400, "its version `v` is not 1"),
        (
            "v=1&ready=x&busy=1",
            400,
            "`ready` must be a whole number from 0 to 4294967295",
        ),
        (
            "v=1&ready=5&busy=1&port=0",
            400,
            "`port` must be a whole number from 1 to 65535",
        ),
        (
            &format!("{:x<1001}", "v=1&ready=5&busy=1&pad="),
            413,
            "more than 1000 bytes",
        ),
        (&"x".repeat(200_000), 413, "more than 1000 bytes"),
    ];
    for (body, status, expected) in table {
        let (answered, text) = reason(body);
        assert_eq!(answered, status, "{expected}: {text}");
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert_eq!(
        reason(&format!("{:x<1000}", "v=1&ready=5&busy=1&pad=")).0,
        200
    );
    assert_eq!(
        reason("v=1&ready=5&busy=1&port=1").0,
        200,
        "for no member, but well-formed"
    );
    proxy
        .stderr
        .line_with("no member is at its sender's address");
    assert_eq!(proxy.stderr.count("heartbeat rejected"), 2, "a line a kind");
}

#[test]
fn the_admin_listener_has_nothing_else() {
    let members: [_; 1] = Origin::some();
    let proxy = start(&members, HTTP);
    let mut client = admin(&proxy);
    for line in ["GET /heartbeat", "HEAD /heartbeat", "PUT /heartbeat?x=1"] {
        let response = client.exchange(line, &[]);
        assert_eq!(response.status(), 405, "{line}");
        assert_eq!(response.field("Allow"), Some("POST"), "{line}");
    }
    for line in [
        "GET /",
        "POST /heartbeats",
        "POST /heartbeat/",
        "GET /Heartbeat",
        "OPTIONS *",
    ] {
        assert_eq!(client.exchange(line, &[]).status(), 404, "{line}");
    }
    assert_eq!(members[0].hits(), 0);
    assert_eq!(
        proxy.exchange("POST /heartbeat", &[]).text(),
        "b1",
        "for clients, a path like any"
    );
}

#[test]
fn the_path_of_heartbeats_is_configurable() {
    let members: [_; 1] = Origin::some();
    let proxy = start(
        &members,
        &HTTP.replace("[admin]", "path = \"/hb/in\"\n[admin]"),
    );
    let message = beat(&members[0], 5);
    let mut client = admin(&proxy);
    assert_eq!(
        client
            .exchange_body("POST /heartbeat", &[], &message)
            .status(),
        404
    );
    let mut client = admin(&proxy);
    assert_eq!(
        client.exchange_body("POST /hb/in", &[], &message).status(),
        200
    );
}

#[test]
fn without_heartbeats_the_admin_listener_takes_none() {
    let members: [_; 1] = Origin::some();
    let proxy = start(&members, "[admin]\naddress = \"127.0.0.1:0\"");
    assert_eq!(post(&proxy, "v=1&ready=5&busy=1").status(), 404);
}

#[test]
fn a_stranger_gets_403_from_the_admin_listener() {
    let members: [_; 2] = Origin::some();
    let proxy = start(
        &members,
        &HTTP.replace("[admin]", "from = [\"192.0.2.0/24\"]\n[admin]"),
    );
    let response = post(&proxy, &beat(&members[0], 50));
    assert_eq!(response.status(), 403, "{response:?}");
    let line = proxy.stderr.line_with("its sender is not allowed");
    assert!(line.contains("from=127.0.0.1"), "{line}");
    assert_eq!(proxy.served(4), ["b1", "b2", "b1", "b2"]);
}

/// Requests that can be read in two ways are refused there as on any listener.
#[test]
fn the_admin_listener_is_strict() {
    let members: [_; 1] = Origin::some();
    let proxy = start(&members, HTTP);
    let twice = ["Content-Length: 18", "Transfer-Encoding: chunked"];
    let mut client = admin(&proxy);
    client.ask("POST /heartbeat", &twice);
    assert_eq!(client.response().status(), 400);
    client.expect_closed();
}

/// Goal: who opens connections and stalls gets no more than 64, and those for no more than 10 s. Method: fill every place
/// with half a request, then see that one more is answered as soon as one of them is closed.
#[test]
fn connections_of_the_admin_listener_are_bounded() {
    let members: [_; 1] = Origin::some();
    let proxy = start(&members, HTTP);
    let half = |_| {
        let mut client = admin(&proxy);
        client.send("POST /heartbeat HTTP/1.1\r\n");
        client
    };
    let mut stalled: Vec<_> = (0..64).map(half).collect();
    let mut client = admin(&proxy);
    client.send(request("POST /heartbeat", &[], &beat(&members[0], 5)));
    // They are cut off by and by; whether the first was, is an event that can be waited for.
    assert_eq!(client.response().status(), 200);
    assert!(stalled[0].is_closed(), "cut off for stalling");
}

#[test]
fn an_address_that_is_taken_is_an_error_at_the_start() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let taken_by_udp = taken.local_addr().expect("it is bound");
    let origin = Origin::live("b1");
    let taken_by_tcp = origin.address();
    let table = [
        (
            format!("[heartbeat]\nlisten = \"{taken_by_udp}\""),
            format!("cannot listen for heartbeats on {taken_by_udp}: "),
        ),
        (
            format!("[admin]\naddress = \"{taken_by_tcp}\""),
            format!("cannot listen for admin requests on {taken_by_tcp}: "),
        ),
    ];
    for (section, expected) in table {
        let directory = tempfile::TempDir::new().expect("a directory");
        let toml = format!(
            "{section}\n[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nbalancer = \"a\"\n\
             [[balancer.a.member]]\nurl = \"http://127.0.0.1:1\"\n"
        );
        let mut command = program(&["run"]);
        let output = command.arg(write_config(directory.path(), &toml)).output();
        let output = output.expect("the program starts");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(&expected), "{expected}: {told}");
    }
}

/// The program ends in time although clients go on sending.
#[test]
fn heartbeats_do_not_keep_the_program_from_ending() {
    let members: [_; 1] = Origin::some();
    let mut proxy = start(
        &members,
        &format!("{HTTP}\n").replace("[heartbeat]", DATAGRAMS),
    );
    let sender = Sender::to(&proxy);
    let mut client = admin(&proxy);
    client.send("POST /heartbeat HTTP/1.1\r\n");
    sender.send(beat(&members[0], 5));
    let start = std::time::Instant::now();
    proxy.signal(crate::harness::Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(
        start.elapsed() < WAIT_TIMEOUT,
        "it waited for the admin connection"
    );
}
