//! Why did this request go there? What is told of decisions, to whom, and what is not told.

use serde_json::Value;

use crate::harness::component::Component;
use crate::harness::fixtures::{
    Affinity, FAULT, answering, answering_none, empty, reading, restricting, unreachable,
};
use crate::harness::proxy::{Start, server};
use crate::harness::{Client, Origin, Proxy, Response};

/// Keeps decisions and tells their ids.
const EXPLAIN: &str = "[explain]\ndecisions = 100\nheader = \"X-Equipoise-Decision\"";

const HEADER: &str = "x-equipoise-decision";

fn before(members: &[&Origin]) -> Start {
    explaining(members, EXPLAIN)
}

fn explaining(members: &[&Origin], explain: &str) -> Start {
    Proxy::before(members).routes(&format!(
        "{explain}\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nhost = \"*.example.com\"\npath = \"/app\"\nbalancer = \"cluster\"\n\
         [[route]]\npath = \"/\"\nexclude = [\"/none\"]\nbalancer = \"cluster\""
    ))
}

/// What the admin listener answers to a GET.
#[track_caller]
fn ask(proxy: &Proxy, target: &str) -> Response {
    let said = proxy.stderr.line_with("the admin listener is open");
    let address = said.rsplit("address=").next().expect("the address");
    let mut client = Client::connect(address.trim().parse().expect("an address"));
    let line = format!("GET {target}");
    client.send(format!("{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"));
    client.response_to(&line)
}

/// The decision that this answer came by.
#[track_caller]
fn explained(proxy: &Proxy, response: &Response) -> Value {
    let id = response.field(HEADER).expect("an id");
    let told = ask(proxy, &format!("/api/v1/explain?id={id}"));
    assert_eq!(told.status(), 200, "{}", told.text());
    let told: Value = serde_json::from_str(&told.text()).expect("JSON");
    assert_eq!(told["id"], id);
    told
}

/// The list of decisions.
#[track_caller]
fn listed(proxy: &Proxy) -> Vec<Value> {
    let told = ask(proxy, "/api/v1/explain");
    assert_eq!(told.field("content-type"), Some("application/json"));
    let told: Value = serde_json::from_str(&told.text()).expect("JSON");
    told["decisions"].as_array().expect("a list").clone()
}

/// How the members stood in a try.
fn standings(attempt: &Value) -> Vec<&str> {
    let members = attempt["members"].as_array().expect("a list");
    let words = members.iter().map(|member| member["standing"].as_str());
    words.map(|word| word.expect("a word")).collect()
}

#[test]
fn decision_is_told_with_request_candidates_policy_and_outcome() {
    let [b1, b2, b3] = Origin::some();
    let proxy = before(&[])
        .member(&b1, "status = \"+D\"")
        .member(&b2, "route = \"r2\"")
        .member(&b3, "status = \"+H\"")
        .start();
    let mut client = proxy.client();
    client.send("GET /app/x?secret=1 HTTP/1.1\r\nHost: shop.example.com\r\n\r\n");
    let response = client.response();
    assert_eq!(server(&response), "b2");
    let told = explained(&proxy, &response);
    assert_eq!(told["client"], "127.0.0.1");
    assert_eq!(told["method"], "GET");
    assert_eq!(told["host"], "shop.example.com");
    assert_eq!(told["path"], "/app/x");
    assert_eq!(told["route"], "*.example.com/app");
    assert_eq!(told["balancer"], "cluster");
    assert_eq!(told["session"]["kind"], "off");
    assert_eq!(told["status"], 200);
    assert!(told["at"].as_f64() > Some(1.7e9) && told["duration_ms"].as_f64() > Some(0.0));
    let attempt = &told["attempts"][0];
    assert_eq!(attempt["member"]["url"], *b2.url());
    assert_eq!(attempt["by"], "method");
    assert_eq!(attempt["policy"], "byrequests");
    assert_eq!(attempt["status"], 200);
    assert!(attempt["latency_us"].as_u64() > Some(0));
    assert_eq!(standings(attempt), ["disabled", "candidate", "standby"]);
    assert_eq!(attempt["members"][0]["because"], "disabled by the operator");
}

#[test]
fn every_try_is_told_with_what_became_of_it() {
    let (dead, b2) = (Origin::dead(), Origin::live("b2"));
    let proxy = before(&[&dead, &b2]).start();
    let response = proxy.get("/");
    let told = explained(&proxy, &response);
    let attempts = told["attempts"].as_array().expect("a list");
    assert_eq!(attempts.len(), 2);
    let failure = attempts[0]["failure"].as_str().expect("a failure");
    assert!(failure.contains("Connection refused"), "{failure}");
    assert_eq!(standings(&attempts[0]), ["candidate"; 2]);
    assert_eq!(standings(&attempts[1]), ["error", "candidate"]);
    assert_eq!(attempts[1]["status"], 200);
}

#[test]
fn requests_that_nobody_takes_are_told_too() {
    let dead = Origin::dead();
    let proxy = before(&[]).member(&dead, "status = \"+N\"").start();
    let refused = proxy.get("/");
    assert_eq!(refused.status(), 503);
    let told = explained(&proxy, &refused);
    assert_eq!(told["failure"], "no member is eligible");
    assert_eq!(told["attempts"][0]["member"], Value::Null);
    assert_eq!(standings(&told["attempts"][0]), ["draining"]);
    let nowhere = proxy.get("/none");
    let told = explained(&proxy, &nowhere);
    assert_eq!(
        (&told["status"], &told["route"]),
        (&404.into(), &Value::Null)
    );
}

/// A request that waits for a member decides again and again; told is the last of its decisions.
#[test]
fn waiting_for_a_member_is_one_try() {
    let dead = Origin::dead();
    let proxy = before(&[])
        .balancer("timeout = \"50ms\"")
        .member(&dead, "status = \"+D\"")
        .start();
    let told = explained(&proxy, &proxy.get("/"));
    assert_eq!(told["attempts"].as_array().map(Vec::len), Some(1));
}

#[test]
fn sessions_are_told_without_what_is_secret_in_them() {
    let [b1, b2] = Origin::some();
    let proxy = before(&[])
        .balancer("stickysession = \"SID|sidp\"")
        .member(&b1, "route = \"r1\"")
        .member(&b2, "route = \"r2\"")
        .start();
    let response = proxy.exchange(
        "GET /",
        &["Cookie: SID=sesame.r2", "Authorization: Basic sesame"],
    );
    let told = explained(&proxy, &response);
    assert_eq!(told["session"]["kind"], "route");
    assert_eq!(told["session"]["value"], "r2");
    assert_eq!(told["attempts"][0]["by"], "session");
    assert_eq!(standings(&told["attempts"][0]), ["not-asked", "candidate"]);
    assert!(!told.to_string().contains("sesame"), "{told}");
    let told = explained(&proxy, &proxy.get("/x;sidp=sesame.r2?sidp=sesame.r2"));
    assert_eq!(told["path"], "/x;…");
    assert!(!told.to_string().contains("sesame"), "{told}");
    assert_eq!(
        explained(&proxy, &proxy.get("/"))["session"]["kind"],
        "none"
    );
}

#[test]
fn keys_are_shortened() {
    let [b1] = Origin::some();
    let proxy = before(&[&b1])
        .balancer("stickysession = { plugin = \"p\" }")
        .component("p", &reading(Affinity::Key, "0123456789"), "")
        .start();
    let told = explained(&proxy, &proxy.get("/"));
    assert_eq!(told["session"]["kind"], "key");
    assert_eq!(told["session"]["value"], "0123…");
    assert_eq!(told["attempts"][0]["by"], "key");
}

#[test]
fn plugin_is_told_with_what_it_did() {
    let chosen = ("method", "p", "plugin p chose it");
    let declined = (
        "fallback",
        "byrequests",
        "byrequests chose it, since plugin p left it the choice",
    );
    let failed = (
        "fallback",
        "byrequests",
        "byrequests chose it, since plugin p failed (trap)",
    );
    let unloaded = (
        "fallback",
        "byrequests",
        "byrequests chose it, since plugin p is not loaded",
    );
    let table: [(Component, _, [&str; 2]); 5] = [
        (answering(1), chosen, ["candidate"; 2]),
        (answering_none(), declined, ["candidate"; 2]),
        (restricting(&[1]), declined, ["narrowed", "candidate"]),
        (unreachable(), failed, ["candidate"; 2]),
        (
            Component::selector("unreachable").importing_unknown(),
            unloaded,
            ["candidate"; 2],
        ),
    ];
    for (component, (by, policy, because), expected) in table {
        let [b1, b2] = Origin::some();
        let proxy = before(&[&b1, &b2])
            .balancer("lbmethod = { plugin = \"p\" }")
            .component("p", &component, "")
            .start();
        let fault = format!("{FAULT}: unreachable");
        let told = explained(&proxy, &proxy.exchange("GET /", &[&fault]));
        let attempt = &told["attempts"][0];
        assert_eq!(attempt["because"], because);
        assert_eq!(
            (&attempt["by"], &attempt["policy"]),
            (&by.into(), &policy.into())
        );
        assert_eq!(standings(attempt), expected, "{because}");
    }
}

#[test]
fn plugin_that_is_out_of_service_is_told() {
    let [b1] = Origin::some();
    let proxy = before(&[&b1])
        .balancer("lbmethod = { plugin = \"p\", fallback = \"bybusyness\" }")
        .component("p", &unreachable(), "max-faults = 1")
        .start();
    let fault = format!("{FAULT}: unreachable");
    let because = |response| {
        let told = explained(&proxy, &response);
        told["attempts"][0]["because"]
            .as_str()
            .map(ToOwned::to_owned)
    };
    let fallback = "bybusyness chose it, since plugin p";
    let told = because(proxy.exchange("GET /", &[&fault]));
    assert_eq!(told, Some(format!("{fallback} failed (trap)")));
    proxy.stderr.line_with("out of service");
    assert_eq!(
        because(proxy.get("/")),
        Some(format!("{fallback} is out of service"))
    );
}

/// Without heartbeats, `heartbeat` chooses no member.
#[test]
fn built_in_method_that_chose_nobody_is_told() {
    let [b1] = Origin::some();
    let proxy = before(&[&b1]).balancer("lbmethod = \"heartbeat\"").start();
    let told = explained(&proxy, &proxy.get("/"));
    let because = "byrequests chose it, since heartbeat chose nobody";
    assert_eq!(told["attempts"][0]["because"], because);
}

#[test]
fn session_that_a_plugin_failed_to_read_is_told() {
    let [b1] = Origin::some();
    let proxy = before(&[&b1])
        .balancer("stickysession = { plugin = \"p\" }")
        .component("p", &empty(Affinity::Route), "")
        .start();
    let fault = format!("{FAULT}: empty");
    let told = explained(&proxy, &proxy.exchange("GET /", &[&fault]));
    assert_eq!(told["session"]["kind"], "fault");
    assert_eq!(told["session"]["value"], "session");
    assert_eq!(told["attempts"][0]["because"], "byrequests chose it");
}

#[test]
fn the_last_decisions_are_listed_newest_first() {
    let [b1] = Origin::some();
    let proxy = explaining(&[&b1], "[explain]\ndecisions = 2\nheader = \"x-id\"").start();
    let ids: Vec<_> = (0..3)
        .map(|_| proxy.get("/").field("x-id").expect("an id").to_owned())
        .collect();
    let listed = listed(&proxy);
    let told: Vec<_> = listed.iter().map(|one| one["id"].as_str()).collect();
    assert_eq!(told, [Some(&*ids[2]), Some(&*ids[1])]);
    assert_eq!(listed[0]["member"], *b1.url());
    assert_eq!(
        (&listed[0]["status"], &listed[0]["attempts"]),
        (&200.into(), &1.into())
    );
    let gone = ask(&proxy, &format!("/api/v1/explain?id={}", ids[0]));
    assert_eq!(gone.status(), 404);
}

/// What clients send is shown in bounded space, and as text.
#[test]
fn long_requests_are_shortened() {
    let [b1] = Origin::some();
    let proxy = before(&[&b1]).start();
    let long = "a".repeat(5000);
    let told = explained(&proxy, &proxy.get(&format!("/{long}")));
    let path = told["path"].as_str().expect("a path");
    assert_eq!(path.chars().count(), 1025);
    assert!(path.ends_with("a…"), "{path}");
}

/// A decision among many members tells of the first of them, and of the one that was chosen.
#[test]
fn decisions_among_many_members_are_shortened() {
    let [b1] = Origin::some();
    let mut start = before(&[]);
    for number in 0..300 {
        start = start.member_at(&format!("http://127.0.0.1:1/{number}"), "status = \"+D\"");
    }
    let proxy = start.member(&b1, "").start();
    let told = explained(&proxy, &proxy.get("/"));
    let attempt = &told["attempts"][0];
    assert_eq!(attempt["members"].as_array().map(Vec::len), Some(257));
    assert_eq!(attempt["more_members"], 44);
    assert_eq!(attempt["members"][256]["url"], *b1.url());
}

#[test]
fn nothing_is_kept_unless_it_is_asked_for() {
    let [b1] = Origin::some();
    let proxy = explaining(&[&b1], "").start();
    assert_eq!(proxy.get("/").field(HEADER), None);
    let told = ask(&proxy, "/api/v1/explain");
    assert_eq!(told.status(), 404);
    assert!(told.text().contains("[explain]"), "{}", told.text());
}
