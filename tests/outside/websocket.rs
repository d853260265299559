//! WebSocket through the proxy, between client and server of the library websockets in Python, which
//! `scripts/websocket_client.py` and `websocket_member.py` are.
//!
//! What a test says of the client, the function of the same name in the script checks.

use equipoise_harness::certificates::CertificateFiles;

use crate::equipoise::Equipoise;
use crate::script::{Script, script};

/// A member, and Equipoise with a plain listener and one with TLS before it.
struct Chat {
    member: Script,
    equipoise: Equipoise,
}

impl Chat {
    /// With a member of this scheme, and more keys of it.
    #[track_caller]
    fn open(scheme: &str, more: &str) -> Self {
        let tool = script("websocket_member.py", "websockets.asyncio", "websockets");
        let member = Script::start(tool);
        let port = member.await_line("port ");
        let directory = tempfile::tempdir().expect("a temporary directory");
        CertificateFiles::in_directory(directory.path()).vouch("shop", &["shop.example"]);
        let configuration = format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificates = [{{ cert = \"shop.pem\", key = \"shop.key\" }}] }}\n\
             [[route]]\npath = \"/\"\nbalancer = \"cluster\"\n\
             [[balancer.cluster.member]]\nurl = \"{scheme}://127.0.0.1:{port}\"\n{more}"
        );
        let equipoise = Equipoise::serve(directory, &configuration, "error");
        Self { member, equipoise }
    }

    /// The client checks this at the plain listener, and at the one with TLS.
    #[track_caller]
    fn check(&self, check: &str) {
        let client = || script("websocket_client.py", "websockets.asyncio", "websockets");
        let [plain, secure] = self.equipoise.addresses[..] else {
            panic!("there are two listeners");
        };
        client().with([check, &format!("ws://{plain}")]).says();
        let authority = self.equipoise.directory().join("ca.pem");
        client()
            .with([
                check,
                &format!("wss://{secure}"),
                &authority.to_string_lossy(),
            ])
            .says();
    }
}

#[test]
fn messages_of_every_kind_and_size_come_back() {
    Chat::open("ws", "").check("echo");
}

#[test]
fn pings_of_both_sides_are_answered() {
    Chat::open("ws", "").check("pings");
}

#[test]
fn the_member_learns_why_the_client_closes() {
    let chat = Chat::open("ws", "");
    chat.check("client_closes");
    for _ in ["ws", "wss"] {
        assert_eq!(chat.member.await_line("closed "), "4000 the client is done");
    }
}

#[test]
fn the_client_learns_why_the_member_closes() {
    Chat::open("ws", "").check("member_closes");
}

#[test]
fn a_member_that_dies_closes_the_client() {
    Chat::open("ws", "").check("member_dies");
}

#[test]
fn the_member_chooses_the_subprotocol() {
    Chat::open("ws", "").check("subprotocols");
}

#[test]
fn a_hundred_tunnels_are_open_at_once() {
    Chat::open("ws", "").check("many");
}

#[test]
fn members_of_http_may_be_told_to_upgrade() {
    Chat::open("http", "upgrade = \"websocket\"\n").check("pings");
}

#[test]
fn nothing_is_upgraded_where_nothing_is_said() {
    Chat::open("http", "").check("refused");
}

#[test]
fn streams_of_http_2_are_tunnels_by_extended_connect() {
    let chat = Chat::open("ws", "");
    let address = chat.equipoise.address;
    let said = script("websocket_http2.py", "h2.connection", "h2")
        .with([address.ip().to_string(), address.port().to_string()])
        .says();
    assert_eq!(said.trim(), "well");
    let opened = chat.member.await_line("opened ");
    assert_eq!(opened, "/ chat");
}
