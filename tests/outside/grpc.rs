//! gRPC through the proxy, between client and server of grpcio, which `scripts/grpc_client.py` and `grpc_member.py` are.
//!
//! What a test says of the client, the function of the same name in the script checks.

use std::fs;

use equipoise_harness::certificates::CertificateFiles;
use equipoise_harness::port;

use crate::equipoise::Equipoise;
use crate::script::{Script, script};
use crate::tool::Tool;

/// Nanoseconds until a member has to know that the client is gone.
const SOON: u64 = 1_000_000_000;

/// A member: the script, and its port.
struct Member {
    script: Script,
    port: u16,
}

impl Member {
    #[track_caller]
    fn named(name: &str) -> Self {
        let script = Script::start(script("grpc_member.py", "grpc", "grpcio").with([name]));
        let port = script.await_line("port ").parse().expect("a number");
        Self { script, port }
    }
}

/// Equipoise with a plain listener and one with TLS, before members at these ports, for `/test.Echo` only.
fn equipoise(ports: &[u16]) -> Equipoise {
    let directory = tempfile::tempdir().expect("a temporary directory");
    CertificateFiles::in_directory(directory.path()).vouch("shop", &["shop.example"]);
    let members: String = ports
        .iter()
        .map(|port| format!("[[balancer.cluster.member]]\nurl = \"h2c://127.0.0.1:{port}\"\n"))
        .collect();
    let configuration = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         tls = {{ certificates = [{{ cert = \"shop.pem\", key = \"shop.key\" }}] }}\n\
         [[route]]\npath = \"/test.Echo\"\nbalancer = \"cluster\"\n{members}"
    );
    Equipoise::serve(directory, &configuration, "error")
}

/// The client, to check this at the plain listener.
#[track_caller]
fn client(check: &str, equipoise: &Equipoise) -> Tool {
    let server = equipoise.address.to_string();
    script("grpc_client.py", "grpc", "grpcio").with([check, &server])
}

/// The client checks this with one member, by TLS and without.
#[track_caller]
fn check(check: &str) {
    let member = Member::named("one");
    let equipoise = equipoise(&[member.port]);
    client(check, &equipoise).says();
    let server = equipoise.addresses[1].to_string();
    let authority = equipoise.directory().join("ca.pem");
    script("grpc_client.py", "grpc", "grpcio")
        .with([check, &server, &authority.to_string_lossy()])
        .says();
}

#[test]
fn unary_calls_are_answered() {
    check("unary");
}

#[test]
fn streams_of_clients_arrive() {
    check("gather");
}

#[test]
fn streams_of_members_arrive() {
    check("scatter");
}

#[test]
fn messages_of_both_streams_arrive_one_by_one() {
    check("chat");
}

#[test]
fn metadata_arrive_both_ways() {
    check("metadata");
}

#[test]
fn every_status_arrives_with_its_words_and_trailers() {
    check("status");
}

/// By TLS between the two, where HTTP/2 is what ALPN comes to.
#[test]
fn calls_pass_through_two_proxies() {
    let member = Member::named("one");
    let inner = equipoise(&[member.port]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let authority = directory.path().join("ca.pem");
    fs::copy(inner.directory().join("ca.pem"), authority).expect("copying a file");
    let configuration = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nbalancer = \"cluster\"\n\
         [[balancer.cluster.member]]\nurl = \"https://{}\"\n\
         tls = {{ ca = \"ca.pem\", server-name = \"shop.example\" }}\n",
        inner.addresses[1]
    );
    let outer = Equipoise::serve(directory, &configuration, "error");
    for check in ["unary", "chat", "metadata", "status", "elsewhere"] {
        client(check, &outer).says();
    }
    let said = client("cancel_in_stream", &outer).says();
    is_gone_soon(&said, &member);
}

#[test]
fn what_the_member_does_not_know_it_says_itself() {
    check("unknown");
}

#[test]
fn what_no_route_takes_is_unimplemented() {
    check("elsewhere");
}

#[test]
fn calls_are_unavailable_when_members_are_gone() {
    let equipoise = equipoise(&[port::free().port(), port::free().port()]);
    client("unavailable", &equipoise).says();
}

#[test]
fn calls_are_unavailable_when_the_last_member_goes() {
    let member = Member::named("one");
    let equipoise = equipoise(&[member.port]);
    client("unary", &equipoise).says();
    member.script.stop();
    client("unavailable", &equipoise).says();
}

#[test]
fn the_member_knows_the_deadline_and_when_it_has_passed() {
    let member = Member::named("one");
    let equipoise = equipoise(&[member.port]);
    let said = client("deadline", &equipoise).says();
    let left: u64 = member
        .script
        .await_line("waiting ")
        .parse()
        .expect("seconds");
    assert!(left <= 2, "{left} s are left");
    is_gone_soon(&said, &member);
}

#[test]
fn a_cancelled_call_is_cancelled_at_the_member() {
    let member = Member::named("one");
    let equipoise = equipoise(&[member.port]);
    let mut client = Script::start_talked_to(client("cancel", &equipoise));
    member.script.await_line("waiting ");
    client.tell("go on");
    is_gone_soon(&format!("gone {}", client.await_line("gone ")), &member);
}

#[test]
fn a_cancelled_stream_is_cancelled_at_the_member() {
    let member = Member::named("one");
    let equipoise = equipoise(&[member.port]);
    let said = client("cancel_in_stream", &equipoise).says();
    is_gone_soon(&said, &member);
}

#[test]
fn calls_on_one_connection_are_spread_over_members_one_by_one() {
    let members = ["one", "two"].map(Member::named);
    let equipoise = equipoise(&[members[0].port, members[1].port]);
    client("balanced", &equipoise).says();
}

/// Whether the member says that the client is gone soon after the client did. Both look at the clock of the machine.
#[track_caller]
fn is_gone_soon(said: &str, member: &Member) {
    let at = said
        .trim()
        .strip_prefix("gone ")
        .and_then(|it| it.parse().ok());
    let left: u64 = at.unwrap_or_else(|| panic!("{said} is no time"));
    let knew: u64 = member.script.await_line("gone ").parse().expect("a time");
    let after = knew.saturating_sub(left);
    assert!(after < SOON, "it knew {after} ns after the client had gone");
}
