//! Header fields on the way to the member and back.

use std::collections::BTreeMap;

use crate::answer::{Answer, all};
use crate::client::Request;
use crate::cluster::{Cluster, live};
use crate::compare::{Both, Pair};

/// What each server adds of its own, or only means for the next hop: Apache names itself where we name the scheme.
const OWN: [&str; 6] = [
    "x-forwarded-server",
    "x-forwarded-proto",
    "connection",
    "date",
    "server",
    "content-length",
];

fn one() -> Cluster {
    Cluster::of([live()])
}

/// The fields in alphabetical order, without those that are each server's own.
///
/// A field that stands several times counts as one with a list (RFC 9110, 5.3); Apache joins them on the way to the member.
fn comparable(fields: &[(String, String)]) -> BTreeMap<String, String> {
    let mut joined = BTreeMap::<_, String>::new();
    for (name, value) in fields {
        let joined = joined.entry(name.to_ascii_lowercase()).or_default();
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(value);
    }
    joined.retain(|name, _| !OWN.contains(&name.as_str()));
    joined
}

/// What the member got, which must be the same from both.
#[track_caller]
fn agreed_at_member(cluster: &Cluster, request: &Request) -> Vec<(String, String)> {
    let Both { apache, equipoise } = Pair::start(cluster).ask(request);
    assert_eq!(apache.request_line(), equipoise.request_line());
    assert_eq!(
        comparable(&apache.at_member()),
        comparable(&equipoise.at_member())
    );
    equipoise.at_member()
}

/// What the client got, which must be the same from both.
#[track_caller]
fn agreed_at_client(cluster: &Cluster, request: &Request) -> Answer {
    let Both { apache, equipoise } = Pair::start(cluster).ask(request);
    assert_eq!(apache.status, equipoise.status);
    assert_eq!(comparable(&apache.fields), comparable(&equipoise.fields));
    equipoise
}

#[test]
fn fields_of_the_application_pass() {
    let request = Request::get("/a/b?c=d&e=%20f")
        .with("Accept", "text/html, */*;q=0.1")
        .with("Accept-Language", "de")
        .with("Cookie", "a=b; c=d")
        .with("Authorization", "Basic eA==")
        .with("X-Twice", "one")
        .with("X-Twice", "two");
    let fields = agreed_at_member(&one(), &request);
    assert_eq!(all(&fields, "cookie"), ["a=b; c=d"]);
}

#[test]
fn the_member_learns_of_the_client() {
    let fields = agreed_at_member(&one(), &Request::get("/").with("Host", "shop.test:8080"));
    assert_eq!(all(&fields, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(all(&fields, "x-forwarded-host"), ["shop.test:8080"]);
}

#[test]
fn what_the_client_says_of_itself_is_added_to() {
    let request = Request::get("/")
        .with("X-Forwarded-For", "9.9.9.9")
        .with("X-Forwarded-Host", "before.test");
    let fields = agreed_at_member(&one(), &request);
    assert_eq!(all(&fields, "x-forwarded-for"), ["9.9.9.9, 127.0.0.1"]);
    assert_eq!(all(&fields, "x-forwarded-host"), ["before.test, lb.test"]);
}

#[test]
fn nothing_is_added_when_told_not_to() {
    let mut cluster = one();
    cluster.route.add_headers = false;
    let request = Request::get("/").with("X-Forwarded-For", "9.9.9.9");
    let fields = agreed_at_member(&cluster, &request);
    assert_eq!(all(&fields, "x-forwarded-for"), ["9.9.9.9"]);
    assert!(all(&fields, "x-forwarded-host").is_empty());
}

#[test]
fn host_is_the_members_unless_preserved() {
    let mut cluster = one();
    let request = Request::get("/").with("Host", "shop.test:8080");
    let fields = agreed_at_member(&cluster, &request);
    assert_ne!(all(&fields, "host"), ["shop.test:8080"]);
    cluster.route.preserve_host = true;
    let fields = agreed_at_member(&cluster, &request);
    assert_eq!(all(&fields, "host"), ["shop.test:8080"]);
}

#[test]
fn what_concerns_the_clients_connection_stays_there() {
    let request = Request::get("/")
        .with("Connection", "X-Mine, Keep-Alive")
        .with("X-Mine", "1")
        .with("Keep-Alive", "timeout=5")
        .with("Proxy-Connection", "keep-alive")
        .with("Upgrade", "websocket");
    let fields = agreed_at_member(&one(), &request);
    for gone in ["x-mine", "keep-alive", "proxy-connection", "upgrade"] {
        assert!(all(&fields, gone).is_empty(), "{gone}: {fields:?}");
    }
}

#[test]
fn what_concerns_the_members_connection_stays_there() {
    let request = Request::get("/")
        .with("Say", "Connection: X-Mine | X-Mine: 1 | Keep-Alive: timeout=5 | Proxy-Connection: keep-alive | X-Kept: 1");
    let answer = agreed_at_client(&one(), &request);
    assert_eq!(answer.all("x-kept"), ["1"]);
    for gone in ["x-mine", "keep-alive", "proxy-connection"] {
        assert!(answer.all(gone).is_empty(), "{gone}: {answer:?}");
    }
}

#[test]
fn fields_of_answers_pass() {
    let request = Request::get("/")
        .with("Say", "Content-Type: text/html | ETag: \"x\" | Cache-Control: no-store | Set-Cookie: a=b; Path=/ | Set-Cookie: c=d");
    let answer = agreed_at_client(&one(), &request);
    assert_eq!(answer.all("set-cookie"), ["a=b; Path=/", "c=d"]);
}

#[test]
fn via_passes_or_is_removed() {
    let mut cluster = one();
    let request = Request::get("/").with("Via", "1.0 before");
    assert_eq!(
        all(&agreed_at_member(&cluster, &request), "via"),
        ["1.0 before"]
    );
    cluster.route.via = "Block";
    assert!(all(&agreed_at_member(&cluster, &request), "via").is_empty());
}

/// Apache names its server and port, we name the program.
#[test]
fn we_differ_in_how_via_names_us() {
    let mut cluster = one();
    cluster.route.via = "On";
    let request = Request::get("/").with("Via", "1.0 before");
    let Both { apache, equipoise } = Pair::start(&cluster).ask(&request);
    let via = |answer: &Answer| all(&answer.at_member(), "via").join(", ");
    assert!(
        via(&apache).starts_with("1.0 before, 1.1 lb.test"),
        "{}",
        via(&apache)
    );
    assert_eq!(via(&equipoise), "1.0 before, 1.1 equipoise");
}

#[test]
fn statuses_pass() {
    let cluster = one();
    let pair = Pair::start(&cluster);
    for status in [
        "201", "204", "301", "304", "400", "404", "418", "500", "502", "503", "504",
    ] {
        let request = Request::get("/").with("Answer", &format!("b1={status}"));
        let Both { apache, equipoise } = pair.ask(&request);
        assert_eq!(apache.status, equipoise.status, "{status}");
        assert_eq!(apache.served_by(), equipoise.served_by(), "{status}");
    }
}
