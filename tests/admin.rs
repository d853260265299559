//! The admin listener: what it tells, and whom.

use crate::harness::component::Component;
use crate::harness::proxy::{Start, server};
use crate::harness::{Client, Origin, Proxy, Response, eventually};

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"";

/// A token as operators write one.
const TOKEN: &str = "correct-horse-battery-staple";

pub(crate) fn start(members: &[&Origin]) -> Start {
    Proxy::before(members).routes(&format!(
        "{ADMIN}\n[[route]]\npath = \"/\"\nbalancer = \"cluster\""
    ))
}

/// What the admin listener answers to this.
#[track_caller]
pub(crate) fn ask(proxy: &Proxy, line: &str, fields: &[&str]) -> Response {
    ask_as(proxy, "127.0.0.1", line, fields)
}

/// Its response to this `Host`.
#[track_caller]
fn ask_as(proxy: &Proxy, host: &str, line: &str, fields: &[&str]) -> Response {
    let mut client = client(proxy);
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    client.send(format!("{line} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"));
    client.response_to(line)
}

/// A connection to the admin listener.
#[track_caller]
pub(crate) fn client(proxy: &Proxy) -> Client {
    let said = proxy.stderr.line_with("the admin listener is open");
    let address = said.rsplit("address=").next().expect("the address");
    Client::connect(address.trim().parse().expect("an address"))
}

/// A member of the first balancer, as the API tells of it.
#[track_caller]
pub(crate) fn member(proxy: &Proxy, position: usize) -> serde_json::Value {
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
fn prometheus_gets_its_numbers() {
    let (b1, dead) = (Origin::live("b1"), Origin::dead());
    let proxy = start(&[])
        .member(&b1, "")
        .member(
            &dead,
            "hcmethod = \"TCP\"\nhcinterval = \"100ms\"\nstatus = \"+H\"",
        )
        .start();
    proxy.stderr.line_with("is unhealthy");
    assert_eq!(proxy.served(3), ["b1"; 3]);
    let response = ask(&proxy, "GET /metrics", &[]);
    let kind = response.field("content-type").expect("a content type");
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = response.text();
    let of = |member: &Origin| format!("balancer=\"cluster\",member=\"{}\"", member.url());
    for line in [
        format!("equipoise_member_requests_total{{{}}} 3", of(&b1)),
        format!("equipoise_member_usable{{{}}} 1", of(&b1)),
        format!("equipoise_member_usable{{{}}} 0", of(&dead)),
        format!(
            "equipoise_member_state{{{},state=\"unhealthy\"}} 1",
            of(&dead)
        ),
        format!("equipoise_member_state{{{},state=\"ok\"}} 1", of(&b1)),
        format!("equipoise_member_checks_passed_total{{{}}} 0", of(&dead)),
        "equipoise_balancer_panics{balancer=\"cluster\"} 0".to_owned(),
        "# TYPE equipoise_member_in_flight gauge".to_owned(),
    ] {
        assert!(
            text.lines().any(|it| it.starts_with(&line)),
            "{line}\n{text}"
        );
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn names_are_escaped_for_prometheus() {
    let [b1] = Origin::some();
    let proxy = Proxy::with(&format!(
        "workers = 1\n{ADMIN}\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/\"\nbalancer = 'a\"b\\c'\n\
         [[balancer.'a\"b\\c'.member]]\nurl = \"{}\"\n",
        b1.url()
    ))
    .start();
    let text = ask(&proxy, "GET /metrics", &[]).text();
    assert!(text.contains(r#"balancer="a\"b\\c""#), "{text}");
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
    let json = ["Content-Type: application/json"];
    assert_eq!(send(&proxy, 0, &json, "{\"status\": \"+D\"}").status(), 401);
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
    let proxy = Proxy::before(&[&b1])
        .routes(&format!(
            "{ADMIN}\nhosts = [\"LB.test\"]\n[[route]]\npath = \"/\"\nbalancer = \"cluster\""
        ))
        .start();
    let table = [
        ("lb.TEST:8081", 200),
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

/// Changes the first member's status.
#[track_caller]
fn change(proxy: &Proxy, body: &str) -> Response {
    send(proxy, 0, &["Content-Type: application/json"], body)
}

/// Sends a change of a member.
#[track_caller]
fn send(proxy: &Proxy, member: u32, fields: &[&str], body: &str) -> Response {
    let length = format!("Content-Length: {}", body.len());
    let fields: String = fields
        .iter()
        .chain([&&*length])
        .map(|field| format!("{field}\r\n"))
        .collect();
    let line = format!("PATCH /api/v1/balancers/cluster/members/{member}");
    let mut client = client(proxy);
    client.send(format!(
        "{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n{body}"
    ));
    client.response()
}

/// Who takes a request of a session at the first member.
fn session(proxy: &Proxy) -> String {
    server(&proxy.exchange("GET /", &["Cookie: SID=a.r1"]))
}

/// The three drains, and the way back, while requests are served: who takes new requests, and who the member's sessions.
#[test]
fn members_are_drained_in_three_ways_and_let_back() {
    let [b1, b2] = Origin::some();
    let proxy = start(&[])
        .top("workers = 2")
        .balancer("stickysession = \"SID\"")
        .member(&b1, "route = \"r1\"")
        .member(&b2, "route = \"r2\"")
        .start();
    let table = [
        ("{\"status\": \"+N\"}", "N", "b2 b2", "b1"),
        ("{\"status\": \"-N\"}", "-", "b2 b1", "b1"),
        (
            "{\"status\": \"+N\", \"drain-timeout\": \"1h\"}",
            "N",
            "b2 b2",
            "b1",
        ),
        (
            "{\"status\": \"+N\", \"drain-timeout\": \"0s\"}",
            "N",
            "b2 b2",
            "b2",
        ),
        ("{\"status\": \"-N +D\"}", "D", "b2 b2", "b2"),
    ];
    for (body, status, free, sticky) in table {
        let response = change(&proxy, body);
        assert_eq!(response.status(), 200, "{body}: {}", response.text());
        let told: serde_json::Value = serde_json::from_str(&response.text()).expect("JSON");
        assert_eq!(told["status"], status, "{body}");
        assert_eq!(told["url"], *b1.url());
        let served = proxy.served(2);
        let expected: Vec<_> = free.split(' ').collect();
        match status {
            // Whichever is first, both are called.
            "-" => assert!(served.contains(&"b1".to_owned()), "{served:?}"),
            _ => assert_eq!(served, expected, "{body}"),
        }
        assert_eq!(session(&proxy), sticky, "{body}");
    }
    let said = proxy.stderr.line_with("has status -N +D from now on");
    assert!(said.contains("by the operator at 127.0.0.1"), "{said}");
    assert_eq!(member(&proxy, 0)["state"], "disabled");
}

/// What an operator has said outlives the next version of a plugin.
#[test]
fn drained_member_stays_drained_when_a_plugin_is_exchanged() {
    let [b1, b2] = Origin::some();
    let proxy = start(&[&b1, &b2])
        .balancer("lbmethod = { plugin = \"p\" }")
        .component("p", &crate::harness::fixtures::answering(0), "")
        .start();
    assert_eq!(proxy.served(2), ["b1"; 2]);
    assert_eq!(change(&proxy, "{\"status\": \"+N\"}").status(), 200);
    assert_eq!(proxy.served(2), ["b2"; 2]);
    proxy.install("p", &crate::harness::fixtures::answering_none().build());
    assert_eq!(proxy.served(2), ["b2"; 2]);
}

#[test]
fn changes_that_cannot_be_are_refused_with_what_would_be_right() {
    let [b1] = Origin::some();
    let proxy = start(&[&b1]).start();
    const JSON: &str = "Content-Type: application/json";
    let good = "{\"status\": \"+N\"}";
    let table = [
        (
            0,
            vec![JSON],
            "{\"status\": \"+X\"}",
            422,
            "the flags are D S I R H N",
        ),
        (
            0,
            vec![JSON],
            "{\"status\": \"+N\", \"drain-timeout\": \"1\"}",
            422,
            "must have a unit",
        ),
        (
            0,
            vec![JSON],
            "{\"colour\": \"red\"}",
            422,
            "unknown key `colour`",
        ),
        (0, vec![JSON], "", 400, "EOF"),
        (7, vec![JSON], good, 404, "balancer cluster has no member 7"),
        (
            0,
            vec!["Content-Type: text/plain"],
            good,
            415,
            "application/json",
        ),
        (0, vec![], good, 415, "application/json"),
        (
            0,
            vec![JSON, "Origin: http://evil.example"],
            good,
            403,
            "another site",
        ),
        (0, vec![JSON, "Origin: null"], good, 403, "another site"),
    ];
    for (member, fields, body, status, reason) in table {
        let response = send(&proxy, member, &fields, body);
        let text = response.text();
        assert_eq!(response.status(), status, "{fields:?} {body}: {text}");
        assert!(text.contains(reason), "{fields:?} {body}: {text}");
    }
    let long = format!("{{\"status\": \"{}\"}}", " ".repeat(1 << 20));
    assert_eq!(send(&proxy, 0, &[JSON], &long).status(), 413);
    // From a browser only with what the page has in it, which no page of another site can read.
    let ours = "Origin: http://127.0.0.1";
    let refused = send(&proxy, 0, &[JSON, ours], good);
    assert_eq!(refused.status(), 403);
    assert!(refused.text().contains("load it again"));
    let page = ask(&proxy, "GET /balancer-manager", &[]).text();
    let token = page.split("name=\"csrf-token\" content=\"").nth(1);
    let token = token.and_then(|rest| rest.split('"').next());
    let token = format!("X-CSRF-Token: {}", token.expect("a token"));
    assert_eq!(send(&proxy, 0, &[JSON, ours, &token], good).status(), 200);
    let guessed = "X-CSRF-Token: 00";
    assert_eq!(send(&proxy, 0, &[JSON, ours, guessed], good).status(), 403);
    let refused = ask(&proxy, "PUT /api/v1/balancers/cluster/members/0", &[]);
    assert_eq!(
        (refused.status(), refused.field("allow")),
        (405, Some("GET, HEAD, PATCH, DELETE"))
    );
}

#[test]
fn what_is_not_there_or_not_allowed_is_said() {
    let [b1] = Origin::some();
    let proxy = start(&[&b1]).start();
    assert_eq!(ask(&proxy, "GET /", &[]).status(), 404);
    let refused = ask(&proxy, "DELETE /api/v1/balancers", &[]);
    assert_eq!(refused.status(), 405);
    assert_eq!(refused.field("allow"), Some("GET, HEAD, POST"));
}

#[test]
fn a_request_to_the_admin_listener_names_one_host() {
    let [b1] = Origin::some();
    let proxy = start(&[&b1]).start();
    let status = |version: &str, hosts: &[&str]| {
        let fields: String = hosts.iter().map(|it| format!("Host: {it}\r\n")).collect();
        let mut client = client(&proxy);
        client.send(format!("GET /healthz HTTP/{version}\r\n{fields}\r\n"));
        client.response().status()
    };
    for hosts in [
        &[][..],
        &["127.0.0.1", "127.0.0.1"],
        &["127.0.0.1", "evil.test"],
        &[""],
        &["evil.test@localhost"],
        &["localhost, evil.test"],
        &["localhost:http"],
        &["localhost/"],
    ] {
        assert_eq!(status("1.1", hosts), 400, "{hosts:?}");
    }
    for host in ["localhost", "127.0.0.1:80", "[::1]:80"] {
        assert_eq!(status("1.1", &[host]), 200, "{host}");
    }
    // A liveness probe by HTTP/1.0 need not.
    assert_eq!(status("1.0", &[]), 200);
    assert_eq!(status("1.0", &["a", "a"]), 400);
}

#[test]
fn a_head_that_is_too_long_for_the_admin_listener_is_told_so() {
    let [b1] = Origin::some();
    let proxy = start(&[&b1]).start();
    let field = |length| format!("X-Long: {}", "a".repeat(length));
    let response = ask(&proxy, "GET /healthz", &[&field(15 * 1024)]);
    assert_eq!(response.status(), 200);
    let response = ask(&proxy, "GET /healthz", &[&field(64 * 1024)]);
    assert_eq!(response.status(), 431);
}

/// Bodies cross from the thread that has the client to the one that answers.
#[test]
fn bodies_for_the_manager_at_a_listener_for_clients_come_whole_or_not_at_all() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1])
        .routes(&format!(
            "{ADMIN}\n[manager]\nhosts = [\"lb.test\"]\n[[route]]\npath = \"/\"\nbalancer = \"cluster\""
        ))
        .start();
    let line = "PATCH /balancer-manager/api/v1/balancers/cluster/members/0";
    let begin = |fields: &str| {
        let mut client = proxy.client();
        client.send(format!(
            "{line} HTTP/1.1\r\nHost: lb.test\r\nContent-Type: application/json\r\n{fields}\r\n"
        ));
        client
    };
    let change = |factor: u32| format!("{{\"loadfactor\": {factor}}}");
    let factor = || member(&proxy, 0)["loadfactor"].as_f64();
    // In many pieces, far more than may wait on the way.
    let mut client = begin("Transfer-Encoding: chunked\r\n");
    for _ in 0..1000 {
        client.send("64\r\n".to_owned() + &" ".repeat(100) + "\r\n");
    }
    let end = change(2);
    client.send(format!("{:x}\r\n{end}\r\n0\r\n\r\n", end.len()));
    assert_eq!(client.response().status(), 200);
    assert_eq!(factor(), Some(2.0));
    // The change is whole, the body is not.
    let mut client = begin("Content-Length: 1000\r\n");
    client.send(change(3));
    client.finish_sending();
    let answer = client.try_response(line).map(|answer| answer.status());
    assert!(!answer.is_ok_and(|status| status < 400), "it is refused");
    assert_eq!(factor(), Some(2.0));
    // One of which no more is read than tells that it is too long.
    let mut client = begin("Content-Length: 1572864\r\n");
    client.send(" ".repeat(1024 * 1024 + 512 * 1024));
    assert_eq!(client.response().status(), 413);
}

/// Who may use the manager at a listener for clients, and how: by an address or a name that is given, from where it says.
#[test]
fn the_manager_is_served_to_clients_where_that_is_configured() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1])
        .routes(
            "[manager]\npath = \"/ops/lb\"\nhosts = [\"lb.test\"]\n\
             [[route]]\npath = \"/\"\nbalancer = \"cluster\"",
        )
        .start();
    let page = proxy.get("/ops/lb");
    assert_eq!(page.status(), 200);
    assert!(page.field("content-security-policy").is_some());
    assert_eq!(proxy.get("/ops/lb/style.css").status(), 200);
    let told = proxy.get("/ops/lb/api/v1/balancers");
    assert_eq!(told.field("content-type"), Some("application/json"));
    assert_eq!(proxy.get("/ops/lb/metrics").status(), 404);
    // Other paths are the members'.
    for path in [
        "/",
        "/ops",
        "/ops/lbx",
        "/api/v1/balancers",
        "/balancer-manager",
    ] {
        assert_eq!(proxy.get(path).text(), "b1", "{path}");
    }
    let mut client = proxy.client();
    client.send("GET /ops/lb HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    assert_eq!(client.response_to("GET /ops/lb").status(), 403);
    let body = "{\"status\": \"+N\"}";
    let change = |fields: &str| {
        let mut client = proxy.client();
        client.send(format!(
            "PATCH /ops/lb/api/v1/balancers/cluster/members/0 HTTP/1.1\r\nHost: lb.test\r\n\
             Content-Length: {}\r\n{fields}\r\n{body}",
            body.len()
        ));
        client.response().status()
    };
    let json = "Content-Type: application/json\r\n";
    assert_eq!(change(""), 415);
    assert_eq!(change(&format!("{json}Origin: http://evil.test\r\n")), 403);
    assert_eq!(change(&format!("{json}Origin: http://lb.test\r\n")), 403);
    assert_eq!(change(json), 200);
}

#[test]
fn the_manager_at_a_listener_for_clients_is_for_those_it_is_meant_for() {
    let [b1] = Origin::some();
    let proxy = |require: &str| {
        Proxy::before(&[&b1])
            .routes(&format!(
                "{ADMIN}\ntoken-file = \"token\"\n[manager]\nhosts = [\"lb.test\"]\nrequire = {require}\n\
                 [[route]]\npath = \"/\"\nbalancer = \"cluster\""
            ))
            .file("token", TOKEN)
            .start()
    };
    let elsewhere = proxy("[\"10.0.0.0/8\"]");
    assert_eq!(elsewhere.get("/balancer-manager").status(), 403);
    let known = proxy("[\"token\"]");
    // There is no secret in the page.
    assert_eq!(known.get("/balancer-manager").status(), 200);
    let line = "GET /balancer-manager/api/v1/balancers";
    assert_eq!(known.exchange(line, &[]).status(), 401);
    let token = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(known.exchange(line, &[&token]).status(), 200);
}

/// Goal: a proxy on this machine does not make the whole world local. Method: another of these programs stands in front.
#[test]
fn the_manager_is_not_local_to_those_whom_a_proxy_speaks_for() {
    let [b1] = Origin::some();
    let back = |require: &str| {
        Proxy::before(&[&b1])
            .routes(&format!(
                "[manager]\nhosts = [\"lb.test\"]\n{require}\n[[route]]\npath = \"/\"\nbalancer = \"cluster\""
            ))
            .start()
    };
    let before = |back: &Proxy| {
        let url = format!("http://{}", back.address());
        Proxy::before(&[]).member_at(&url, "").start()
    };
    for require in ["", "require = [\"local\"]"] {
        let back = back(require);
        assert_eq!(back.get("/balancer-manager").status(), 200);
        let front = before(&back);
        assert_eq!(front.get("/").text(), "b1");
        for path in ["", "/style.css", "/api/v1/balancers"] {
            let refused = front.get(&format!("/balancer-manager{path}"));
            assert_eq!(refused.status(), 403, "{require} {path}");
            assert!(refused.text().contains("forwarded by a proxy"));
        }
        // Whatever else the client says.
        let fields = ["Connection: close, x-forwarded-for, via, forwarded"];
        let refused = front.exchange("GET /balancer-manager", &fields);
        assert_eq!(refused.status(), 403, "{require}");
    }
    // A proxy that decides who may is named by its address.
    let named = back("require = [\"127.0.0.1\"]");
    assert_eq!(before(&named).get("/balancer-manager").status(), 200);
}
