//! The admin listener: what it tells, and whom.

use crate::harness::component::Component;
use crate::harness::proxy::Start;
use crate::harness::{Client, Origin, Proxy, Response, eventually};

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"";

/// A token as operators write one.
const TOKEN: &str = "correct-horse-battery-staple";

fn start(members: &[&Origin]) -> Start {
    Proxy::before(members).routes(&format!(
        "{ADMIN}\n[[route]]\npath = \"/\"\nbalancer = \"cluster\""
    ))
}

/// What the admin listener answers to this.
#[track_caller]
fn ask(proxy: &Proxy, line: &str, fields: &[&str]) -> Response {
    ask_as(proxy, "127.0.0.1", line, fields)
}

/// What it answers to whoever calls it so.
#[track_caller]
fn ask_as(proxy: &Proxy, host: &str, line: &str, fields: &[&str]) -> Response {
    let said = proxy.stderr.line_with("the admin listener is open");
    let address = said.rsplit("address=").next().expect("the address");
    let mut client = Client::connect(address.trim().parse().expect("an address"));
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    client.send(format!("{line} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"));
    client.response_to(line)
}

/// A member of the first balancer, as the API tells of it.
#[track_caller]
fn member(proxy: &Proxy, position: usize) -> serde_json::Value {
    let response = ask(proxy, "GET /api/v1/balancers", &[]);
    assert_eq!(response.status(), 200);
    assert_eq!(response.field("content-type"), Some("application/json"));
    let json: serde_json::Value = serde_json::from_str(&response.text()).expect("JSON");
    json["balancers"][0]["members"][position].clone()
}

#[test]
fn members_are_told_with_apaches_columns() {
    let [b1, b2] = Origin::some();
    let proxy = start(&[])
        .member(&b1, "route = \"r1\"\nloadfactor = 1.5\nstatus = \"+I\"")
        .member(
            &b2,
            "route = \"r2\"\nredirect = \"r1\"\nlbset = 3\nstatus = \"+N\"",
        )
        .start();
    assert_eq!(proxy.served(3), ["b1"; 3]);
    let told = member(&proxy, 0);
    assert_eq!(told["url"], *b1.url());
    assert_eq!(
        (&told["route"], &told["loadfactor"]),
        (&"r1".into(), &1.5.into())
    );
    assert_eq!(
        (&told["status"], &told["state"]),
        (&"I".into(), &"ok".into())
    );
    assert_eq!(told["elected"], 3);
    assert!(
        told["to"].as_u64() > Some(0) && told["from"].as_u64() > Some(0),
        "{told}"
    );
    assert!(told.get("changed").is_none());
    let told = member(&proxy, 1);
    assert_eq!(
        (&told["redirect"], &told["lbset"]),
        (&"r1".into(), &3.into())
    );
    assert_eq!(told["state"], "draining");
}

#[test]
fn health_is_told_with_its_history() {
    let dead = Origin::dead();
    let proxy = start(&[])
        .member(&dead, "hcmethod = \"TCP\"\nhcinterval = \"100ms\"")
        .start();
    let told = eventually("the member is unhealthy", || {
        let told = member(&proxy, 0);
        (told["state"] == "unhealthy" && told["checks"].as_array()?.len() > 2).then_some(told)
    });
    let cause = told["changed"]["cause"].as_str().expect("a cause");
    assert!(cause.starts_with("is unhealthy: failed a check"), "{cause}");
    assert!(told["changed"]["at"].as_f64() > Some(1.7e9));
    let check = &told["checks"][0];
    assert_eq!(check["passed"], false);
    assert_eq!(check["detail"], "no connection: Connection refused");
}

#[test]
fn program_is_ready_when_its_plugins_are() {
    let [b1] = Origin::some();
    let broken = Proxy::before(&[&b1])
        .routes(&format!(
            "{ADMIN}\n[[route]]\npath = \"/\"\nbalancer = \"cluster\""
        ))
        .balancer("lbmethod = { plugin = \"p\" }")
        .component("p", &Component::selector("unreachable"), "")
        .start();
    assert_eq!(ask(&broken, "GET /healthz", &[]).status(), 200);
    assert_eq!(ask(&broken, "GET /readyz", &[]).status(), 503);
    broken.install("p", &crate::harness::fixtures::answering(0).build());
    assert_eq!(ask(&broken, "GET /readyz", &[]).status(), 200);
}

#[test]
fn nothing_is_told_to_whoever_does_not_know_the_token() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1])
        .routes(
            "[admin]\naddress = \"127.0.0.1:0\"\ntoken-file = \"admin.token\"\n\
             [[route]]\npath = \"/\"\nbalancer = \"cluster\"",
        )
        .file("admin.token", format!("{TOKEN}\n"))
        .start();
    let right = format!("Authorization: Bearer {TOKEN}");
    let table = [
        (vec![], 401),
        (
            vec!["Authorization: Bearer wrong-horse-battery-staple".to_owned()],
            401,
        ),
        (vec![format!("Authorization: Basic {TOKEN}")], 401),
        (vec![right], 200),
    ];
    for (fields, status) in table {
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        let response = ask(&proxy, "GET /api/v1/balancers", &fields);
        assert_eq!(response.status(), status, "{fields:?}");
        assert_eq!(response.field("www-authenticate").is_some(), status == 401);
    }
    assert_eq!(ask(&proxy, "GET /healthz", &[]).status(), 200);
}

#[test]
fn names_of_others_are_none_of_ours() {
    let [b1] = Origin::some();
    let proxy = start(&[&b1]).start();
    let table = [
        ("127.0.0.1:8081", 200),
        ("[::1]:8081", 200),
        ("localhost", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
    ];
    for (host, status) in table {
        let response = ask_as(&proxy, host, "GET /api/v1/balancers", &[]);
        assert_eq!(response.status(), status, "{host}");
    }
}

#[test]
fn what_is_not_there_or_not_allowed_is_said() {
    let [b1] = Origin::some();
    let proxy = start(&[&b1]).start();
    assert_eq!(ask(&proxy, "GET /", &[]).status(), 404);
    let refused = ask(&proxy, "DELETE /api/v1/balancers", &[]);
    assert_eq!(refused.status(), 405);
    assert_eq!(refused.field("allow"), Some("GET, HEAD"));
}
