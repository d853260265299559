//! Connections that become something else than HTTP: WebSocket, mostly.

use std::net::TcpStream;

use crate::harness::peers::{Message, Peer, Version};
use crate::harness::{Client, Origin, Proxy, Signal, eventually};

const ASK: [&str; 3] = [
    "Connection: keep-alive, Upgrade",
    "Upgrade: WebSocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

const GRANT: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A member that becomes a tunnel and sends back what comes through.
fn echo() -> Origin {
    Origin::named("echo")
        .answering(|exchange| {
            exchange.send(GRANT);
            exchange.echo_bytes();
        })
        .start()
}

fn proxy(member: &Origin, keys: &str) -> Proxy {
    let keys = format!("upgrade = \"websocket\"\n{keys}");
    Proxy::before(&[]).member(member, &keys).start()
}

/// A client whose connection is a tunnel.
#[track_caller]
fn tunnel(proxy: &Proxy) -> Client {
    let mut client = proxy.client();
    client.ask("GET /chat", &ASK);
    let head = client.interim();
    assert_eq!(head.start, "HTTP/1.1 101 Switching Protocols");
    client
}

#[track_caller]
fn echoes(client: &mut Client, text: &str) {
    client.send(text);
    client.expect(text.as_bytes());
}

#[test]
fn a_websocket_passes_both_ways_with_the_fields_of_its_handshake() {
    let member = echo();
    let proxy = proxy(&member, "");
    let mut client = proxy.client();
    client.ask("GET /chat", &ASK);
    let head = client.interim();
    assert_eq!(head.field("upgrade"), Some("websocket"));
    assert_eq!(head.field("connection"), Some("upgrade"));
    let accept = head.field("sec-websocket-accept");
    assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    // Neither is a request of HTTP, nor would it be a line of one.
    echoes(&mut client, "\0\n\r\u{7f} hello");
    echoes(&mut client, &"x".repeat(100_000));
    drop(client);
    let asked = member.request(0).head;
    assert_eq!(asked.field("upgrade"), Some("WebSocket"));
    assert_eq!(asked.field("connection"), Some("upgrade"));
    let key = asked.field("sec-websocket-key");
    assert_eq!(key, Some("dGhlIHNhbXBsZSBub25jZQ=="));
}

#[test]
fn what_one_side_says_before_it_is_done_arrives_and_the_other_may_go_on() {
    let member = Origin::named("late")
        .answering(|exchange| {
            exchange.send(GRANT);
            exchange.stall();
        })
        .start();
    let proxy = proxy(&member, "");
    let mut client = tunnel(&proxy);
    client.send("last words");
    client.finish_sending();
    // The member closes when it has read to the end.
    client.expect_closed();
    member.await_no_connection();
}

#[test]
fn without_upgrade_the_wish_is_not_passed_on() {
    let member = Origin::live("b1");
    let proxy = Proxy::before(&[&member]).start();
    assert_eq!(proxy.exchange("GET /chat", &ASK).text(), "b1");
    let head = member.only_request().head;
    assert_eq!(
        (head.field("upgrade"), head.field("connection")),
        (None, None)
    );
}

#[test]
fn only_what_the_member_may_become_is_passed_on_and_h2c_never() {
    let members = [Origin::live("websocket"), Origin::live("any")];
    let proxy = Proxy::with(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/any\"\nbalancer = \"any\"\n\
         [[route]]\npath = \"/\"\nbalancer = \"one\"\n\
         [[balancer.one.member]]\nurl = \"{}\"\nupgrade = \"websocket\"\n\
         [[balancer.any.member]]\nurl = \"{}\"\nupgrade = \"ANY\"\n",
        members[0].url(),
        members[1].url()
    ))
    .start();
    let fields = [
        "Connection: upgrade, HTTP2-Settings",
        "Upgrade: h2c, websocket, chat",
        "HTTP2-Settings: x",
    ];
    proxy.exchange("GET /", &fields);
    proxy.exchange("GET /any", &fields);
    let upgrades = members.each_ref().map(|it| it.only_request().head);
    let upgrades = upgrades.each_ref().map(|it| it.field("upgrade"));
    assert_eq!(upgrades, [Some("websocket"), Some("websocket, chat")]);
}

#[test]
fn an_answer_that_is_no_101_is_an_ordinary_answer() {
    let member = Origin::named("no")
        .answering(|exchange| exchange.respond("403 Forbidden", "not you"))
        .start();
    let proxy = proxy(&member, "");
    let mut client = proxy.client();
    let response = client.exchange("GET /chat", &ASK);
    assert_eq!(
        (response.status(), response.text().as_str()),
        (403, "not you")
    );
    assert_eq!(client.get("/").status(), 403, "the connection goes on");
}

/// It would be of no use without saying to which (RFC 9110, 15.5.22).
#[test]
fn an_answer_that_demands_an_upgrade_says_to_which() {
    let demand = "426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: HTTP/3, websocket";
    let member = Origin::named("demanding")
        .answering(move |exchange| exchange.respond(demand, "not so"))
        .start();
    for keys in ["", "upgrade = \"websocket\""] {
        let proxy = Proxy::before(&[]).member(&member, keys).start();
        let mut client = proxy.client();
        for fields in [&[][..], &ASK] {
            let response = client.exchange("GET /chat", fields);
            assert_eq!(response.status(), 426);
            assert_eq!(response.field("upgrade"), Some("HTTP/3, websocket"));
            let connection = response.field("connection").unwrap_or_default();
            assert!(
                connection.to_lowercase().contains("upgrade"),
                "{connection}"
            );
            assert_eq!(response.text(), "not so");
        }
        // HTTP/2 has no such fields.
        let mut peer = Peer::connect(Version::Http2, proxy.address());
        let answer = peer.exchange(&Message::of("GET /chat")).expect("an answer");
        assert_eq!((&*answer.start, &*answer.text()), ("426", "not so"));
        let fields = (answer.value("upgrade"), answer.value("connection"));
        assert_eq!(fields, (None, None));
    }
}

#[test]
fn a_101_for_another_protocol_than_was_asked_for_is_nonsense() {
    let member = Origin::named("other")
        .saying_last(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        )
        .start();
    let proxy = proxy(&member, "");
    assert_eq!(proxy.exchange("GET /chat", &ASK).status(), 502);
}

#[test]
fn a_tunnel_counts_as_a_request_in_flight_to_its_end() {
    let member = echo();
    let proxy = proxy(&member, "max = 1\nacquire = \"50ms\"");
    let mut client = tunnel(&proxy);
    echoes(&mut client, "still here");
    assert_eq!(proxy.get("/").status(), 503);
    drop(client);
    member.await_no_connection();
    tunnel(&proxy);
}

#[test]
fn a_tunnel_through_which_nothing_passes_is_closed_on_both_sides() {
    let member = echo();
    let proxy = proxy(&member, "tunnel-timeout = \"200ms\"");
    let mut client = tunnel(&proxy);
    echoes(&mut client, "hello");
    client.expect_closed();
    member.await_no_connection();
}

#[test]
fn a_member_that_breaks_off_takes_its_client_with_it() {
    let member = echo();
    let proxy = proxy(&member, "");
    let mut client = tunnel(&proxy);
    echoes(&mut client, "hello");
    member.disconnect();
    assert!(client.is_closed());
}

#[test]
fn a_tunnel_may_end_in_peace_while_the_program_waits_to_stop() {
    let member = echo();
    let mut proxy = proxy(&member, "");
    let mut client = tunnel(&proxy);
    proxy.signal(Signal::TERM);
    eventually("connections are refused", || {
        TcpStream::connect(proxy.address()).is_err().then_some(())
    });
    echoes(&mut client, "one more thing");
    assert!(proxy.is_running());
    drop(client);
    assert!(proxy.wait().success());
}

#[test]
fn the_program_waits_for_tunnels_no_longer_than_shutdown_timeout() {
    let member = echo();
    let mut proxy = Proxy::before(&[])
        .top("shutdown-timeout = \"200ms\"")
        .member(&member, "upgrade = \"websocket\"")
        .start();
    let mut client = tunnel(&proxy);
    proxy.signal(Signal::TERM);
    proxy.wait();
    assert!(client.is_closed());
}

#[test]
fn a_ws_member_needs_no_upgrade_key() {
    let member = echo();
    let url = member.url().replace("http://", "ws://");
    let proxy = Proxy::before(&[]).member_at(&url, "").start();
    echoes(&mut tunnel(&proxy), "hello");
}

#[test]
fn bytes_of_the_tunnel_are_in_the_access_log_when_it_ends() {
    let member = echo();
    let proxy = Proxy::before(&[])
        .top("access-log = { file = \"stdout\", format = \"json\" }")
        .member(&member, "upgrade = \"websocket\"")
        .start();
    let mut client = tunnel(&proxy);
    echoes(&mut client, "12345");
    drop(client);
    let line = proxy.stdout.line_with("/chat");
    assert!(
        line.contains("\"status\":101") && line.contains(":5,"),
        "{line}"
    );
}
