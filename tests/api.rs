//! The API by which operators and their programs see and change what runs. Every answer is held to the document that the
//! program serves.

use std::fs;

use serde_json::{Value, json};

use crate::admin::{ask, client, start};
use crate::harness::component::{Component, none};
use crate::harness::fixtures::answering;
use crate::harness::{Origin, Proxy};

const CLUSTER: &str = "/api/v1/balancers/cluster";

/// A proxy whose API is called.
pub(crate) struct Api {
    pub(crate) proxy: Proxy,
    document: Value,
}

/// What the API answered: status, entity tag, body.
pub(crate) struct Told {
    pub(crate) status: u16,
    tag: Option<String>,
    location: Option<String>,
    pub(crate) body: Value,
}

impl Api {
    pub(crate) fn of(proxy: Proxy) -> Self {
        let document = ask(&proxy, "GET /api/openapi.json", &[]).text();
        let document = serde_json::from_str(&document).expect("JSON");
        Self { proxy, document }
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Told {
        self.call("GET", path, &[], b"")
    }

    #[track_caller]
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Told {
        let body = body.to_string();
        self.call(
            method,
            path,
            &["Content-Type: application/json"],
            body.as_bytes(),
        )
    }

    /// Calls the API, and holds the answer to the document.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, fields: &[&str], body: &[u8]) -> Told {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n{fields}\r\n",
            body.len()
        );
        let mut client = client(&self.proxy);
        client.send([head.as_bytes(), body].concat());
        let response = client.response_to(method);
        let text = response.text();
        let told = Told {
            status: response.status(),
            tag: response.field("etag").map(str::to_owned),
            location: response.field("location").map(str::to_owned),
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
        };
        self.check(method, path, &told);
        told
    }

    #[track_caller]
    fn check(&self, method: &str, path: &str, told: &Told) {
        let path = path.split('?').next().unwrap_or_default();
        let documented = self.document["paths"].as_object().expect("paths");
        let fits = |pattern: &str| {
            let (pattern, path) = (pattern.split('/'), path.split('/'));
            pattern.clone().count() == path.clone().count()
                && pattern
                    .zip(path)
                    .all(|(one, other)| one == other || one.starts_with('{'))
        };
        let exact = documented.get(path);
        let item = exact.or_else(|| documented.iter().find(|(it, _)| fits(it)).map(|(_, it)| it));
        let operation = &item.expect(path)[method.to_lowercase()];
        let response = &operation["responses"][told.status.to_string()];
        assert!(
            response.is_object(),
            "{method} {path}: {} {}",
            told.status,
            told.body
        );
        let kinds = response["content"].as_object();
        let Some(content) = kinds.and_then(|kinds| kinds.values().next()) else {
            return;
        };
        let mut schema = content["schema"].clone();
        schema["components"] = self.document["components"].clone();
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let wrong: Vec<_> = validator
            .iter_errors(&told.body)
            .map(|it| it.to_string())
            .collect();
        assert_eq!(wrong, [""; 0], "{method} {path}: {}", told.body);
    }
}

impl Told {
    /// The reason, where something was refused with this status.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{}", self.body);
        self.body["detail"].as_str().expect("a detail")
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{} {}",
            self.status,
            self.body
        );
        self.body
    }
}

fn two() -> (Api, [Origin; 2]) {
    let origins: [Origin; 2] = Origin::some();
    let proxy = start(&[])
        .top("[explain]\ndecisions = 10")
        .member(&origins[0], "route = \"r1\"")
        .member(&origins[1], "route = \"r2\"\nhcmethod = \"TCP\"")
        .start();
    (Api::of(proxy), origins)
}

#[test]
fn everything_can_be_read() {
    let (api, _origins) = two();
    assert_eq!(api.proxy.served(2).len(), 2);
    for path in [
        "/api/v1/configuration",
        "/api/v1/balancers",
        CLUSTER,
        "/api/v1/plugins",
    ] {
        api.get(path).ok();
    }
    let member = api.get(&format!("{CLUSTER}/members/1")).ok();
    assert_eq!(member["check"]["hcmethod"], "TCP");
    let decisions = api.get("/api/v1/explain").ok();
    let id = decisions["decisions"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(
        api.get(&format!("/api/v1/explain?id={id}")).ok()["status"],
        200
    );
    api.get("/api/v1/explain?id=none").refused(404);
    api.get("/api/v1/balancers/nobody").refused(404);
    api.get(&format!("{CLUSTER}/members/9")).refused(404);
    api.get("/api/v1/plugins/nobody").refused(404);
}

#[test]
fn every_part_of_a_member_can_be_changed() {
    let (api, _origins) = two();
    let path = format!("{CLUSTER}/members/0");
    let patch = json!({
        "loadfactor": 2.5, "lbset": 3, "route": "x", "redirect": "r2", "status": "H", "hcmethod": "GET",
        "hcuri": "/health", "hcinterval": "2s", "hcpasses": 2, "timeout": "9s", "metadata": { "zone": "a" }
    });
    let member = api.send("PATCH", &path, &patch).ok();
    assert_eq!(
        (&member["loadfactor"], &member["lbset"]),
        (&json!(2.5), &json!(3))
    );
    assert_eq!(
        (&member["route"], &member["redirect"]),
        (&json!("x"), &json!("r2"))
    );
    assert_eq!(member["status"], "H");
    assert_eq!(member["check"]["hcuri"], "/health");
    assert_eq!(member["settings"]["metadata"], json!({ "zone": "a" }));
    let member = api
        .send(
            "PATCH",
            &path,
            &json!({ "lbset": null, "hcmethod": null, "hcuri": null, "hcinterval": null, "hcpasses": null, "status": "" }),
        )
        .ok();
    assert_eq!(
        (&member["lbset"], &member["status"], &member["check"]),
        (&json!(0), &json!("-"), &Value::Null)
    );
}

/// What is spoken with a member belongs to its URL; how it is verified there, to its keys.
#[test]
fn a_member_by_tls_can_be_added_and_verified_in_another_way() {
    let (api, _origins) = two();
    let members = format!("{CLUSTER}/members");
    let added = json!({ "url": "https://127.0.0.1:1", "tls": { "verify": false }, "upgrade": ["websocket"] });
    assert_eq!(api.send("POST", &members, &added).ok()["id"], 2);
    let member = format!("{members}/2");
    let pin = format!("sha256:{}", "0".repeat(64));
    let patch = json!({ "tls": { "verify": null, "pin": [pin], "server-name": "app.internal" }, "proxy-protocol": "v2" });
    let settings = &api.send("PATCH", &member, &patch).ok()["settings"];
    let expected = json!({ "pin": [pin], "server-name": "app.internal" });
    assert_eq!(
        (&settings["tls"], &settings["upgrade"]),
        (&expected, &json!(["websocket"]))
    );

    let patch = json!({ "tls": { "pin": null, "ca": "none.pem" } });
    let told = api.send("PATCH", &member, &patch);
    let reason = told.refused(422);
    assert!(
        reason.contains("balancer.cluster.member[2].tls: ")
            && reason.contains("none.pem: cannot be read"),
        "{reason}"
    );
    assert_eq!(api.get(&member).ok()["settings"]["tls"], expected);
    let same = json!({ "url": "http://127.0.0.1:1" });
    assert_eq!(
        api.send("POST", &members, &same).ok()["id"],
        3,
        "another one"
    );
}

#[test]
fn a_balancer_can_be_changed() {
    let (api, _origins) = two();
    let patch = json!({ "lbmethod": "bybusyness", "stickysession": "SID|sid", "timeout": "2s", "maxattempts": 0, "nofailover": true });
    let told = api.send("PATCH", CLUSTER, &patch).ok();
    assert_eq!(
        (&told["lbmethod"], &told["stickysession"]),
        (&json!("bybusyness"), &json!("SID|sid"))
    );
    assert_eq!(
        (&told["timeout"], &told["maxattempts"], &told["nofailover"]),
        (&json!("2s"), &json!(0), &json!(true))
    );
    let served = api.proxy.served_to(3, "GET /", &["Cookie: SID=a.r2"]);
    assert_eq!(served, ["b2"; 3]);
}

#[test]
fn members_and_balancers_come_and_go() {
    let (api, _origins) = two();
    let b3 = Origin::live("b3");
    let members = format!("{CLUSTER}/members");
    let added = json!({ "url": *b3.url(), "route": "r3" });
    assert_eq!(api.send("POST", &members, &added).ok()["id"], 2);
    let again = json!({ "url": "http://127.0.0.1:1", "status": "D" });
    let told = api.send("POST", &members, &again);
    assert_eq!(
        told.location.as_deref(),
        Some("/api/v1/balancers/cluster/members/3")
    );
    let added_one = told.location.expect("a location");
    assert_eq!(api.get(&added_one).ok()["status"], "D");
    assert_eq!(api.call("DELETE", &added_one, &[], b"").status, 204);
    api.send("POST", &members, &added).refused(409);
    assert_eq!(
        api.proxy.served(3).iter().filter(|it| *it == "b3").count(),
        1
    );
    assert_eq!(
        api.call("DELETE", &format!("{members}/2"), &[], b"").status,
        204
    );
    assert_eq!(
        api.proxy.served(4).iter().filter(|it| *it == "b3").count(),
        0
    );
    let new = json!({ "name": "a/b", "member": [{ "url": *b3.url() }] });
    assert_eq!(
        api.send("POST", "/api/v1/balancers", &new).ok()["members"][0]["id"],
        0
    );
    api.send("POST", "/api/v1/balancers", &new).refused(409);
    assert_eq!(api.get("/api/v1/balancers/a%2Fb").ok()["name"], "a/b");
    assert_eq!(
        api.call("DELETE", "/api/v1/balancers/a%2Fb", &[], b"")
            .status,
        204
    );
    // A route leads there.
    api.call("DELETE", CLUSTER, &[], b"").refused(409);
    assert_eq!(api.proxy.served(1).len(), 1);
}

#[test]
fn who_has_not_seen_the_last_change_overwrites_nothing() {
    let (api, _origins) = two();
    let path = format!("{CLUSTER}/members/0");
    let seen = api.get(&path).tag.expect("a tag");
    // What is counted is no change.
    assert_eq!(api.proxy.served(2).len(), 2);
    assert_eq!(api.get(&path).tag.as_ref(), Some(&seen));
    let change = |tag: &str, weight: u32| {
        let fields = [
            "Content-Type: application/merge-patch+json",
            &format!("If-Match: {tag}"),
        ];
        let body = json!({ "loadfactor": weight }).to_string();
        api.call("PATCH", &path, &fields, body.as_bytes())
    };
    change(&seen, 2).ok();
    change(&seen, 3).refused(412);
    let stale = format!("If-Match: {seen}");
    api.call("DELETE", &path, &[&stale], b"").refused(412);
    let seen = api.get(CLUSTER).tag.expect("a tag");
    api.send("PATCH", CLUSTER, &json!({ "maxattempts": 0 }))
        .ok();
    let stale = format!("If-Match: {seen}");
    let fields = ["Content-Type: application/json", &stale];
    api.call("PATCH", CLUSTER, &fields, b"{\"maxattempts\": 1}")
        .refused(412);
    change("*", 4).ok();
    assert_eq!(api.get(&path).ok()["loadfactor"], 4.0);
}

#[test]
fn what_cannot_be_is_refused_with_the_reason_and_changes_nothing() {
    let (api, _origins) = two();
    let before = api.get("/api/v1/configuration").ok()["text"].clone();
    let member = format!("{CLUSTER}/members/0");
    let members = format!("{CLUSTER}/members");
    let table = [
        (
            "PATCH",
            &*member,
            json!({ "loadfactor": 700 }),
            422,
            "from 1 to 100",
        ),
        (
            "PATCH",
            &member,
            json!({ "colour": "red" }),
            422,
            "unknown key `colour`",
        ),
        (
            "PATCH",
            &member,
            json!({ "url": "http://x" }),
            422,
            "url cannot be changed here",
        ),
        (
            "PATCH",
            &member,
            json!({ "redirect": "nobody" }),
            422,
            "must be the route of a member",
        ),
        ("PATCH", &member, json!([1]), 400, "must be a JSON object"),
        (
            "PATCH",
            &member,
            json!({ "a": [[[[[[[[[[1]]]]]]]]]] }),
            400,
            "tables in tables",
        ),
        (
            "PATCH",
            CLUSTER,
            json!({ "member": [] }),
            422,
            "member cannot be changed here",
        ),
        (
            "PATCH",
            CLUSTER,
            json!({ "lbmethod": "fastest" }),
            422,
            "byrequests",
        ),
        (
            "PATCH",
            CLUSTER,
            json!({ "lbmethod": { "plugin": "nobody" } }),
            422,
            "nobody",
        ),
        ("POST", &members, json!({ "url": "ftp://x" }), 422, "http"),
        (
            "POST",
            &members,
            json!({ "route": "r9" }),
            400,
            "missing field `url`",
        ),
        (
            "POST",
            "/api/v1/balancers",
            json!({ "name": "x" }),
            422,
            "member",
        ),
        (
            "POST",
            "/api/v1/balancers",
            json!({ "name": "a b", "member": [{ "url": "http://x" }] }),
            422,
            "printable ASCII",
        ),
        (
            "PATCH",
            "/api/v1/balancers/nobody",
            json!({}),
            404,
            "no balancer nobody",
        ),
        (
            "POST",
            "/api/v1/plugins/nobody/rollback",
            json!({}),
            404,
            "no plugin nobody",
        ),
    ];
    for (method, path, body, status, reason) in table {
        let told = api.send(method, path, &body);
        let detail = told.refused(status);
        assert!(detail.contains(reason), "{method} {path} {body}: {detail}");
    }
    api.call("PATCH", &member, &["Content-Type: text/plain"], b"{}")
        .refused(415);
    api.call("PATCH", &member, &["Content-Type: application/json"], b"{")
        .refused(400);
    assert_eq!(api.get("/api/v1/configuration").ok()["text"], before);
}

#[test]
fn changes_are_taken_back_one_by_one_or_all() {
    let (api, origins) = two();
    let path = format!("{CLUSTER}/members/0");
    api.send("PATCH", &path, &json!({ "loadfactor": 3, "lbset": 2 }))
        .ok();
    let keys = |told: &Value| {
        let changes = told["changes"].as_array().expect("a list").iter();
        changes
            .map(|it| it["key"].as_str().expect("a key").to_owned())
            .collect::<Vec<_>>()
    };
    let url = &origins[0].url();
    let key = |name: &str| format!("balancer.cluster.member.\"{url}\".{name}");
    assert_eq!(
        keys(&api.get("/api/v1/configuration").ok()),
        [key("lbset"), key("loadfactor")]
    );
    let encoded: String = form_urlencoded::byte_serialize(key("lbset").as_bytes()).collect();
    let changes = "/api/v1/configuration/changes";
    let told = api
        .call("DELETE", &format!("{changes}?key={encoded}"), &[], b"")
        .ok();
    assert_eq!(keys(&told), [key("loadfactor")]);
    api.call("DELETE", &format!("{changes}?key=nothing"), &[], b"")
        .refused(404);
    assert_eq!(keys(&api.call("DELETE", changes, &[], b"").ok()), [""; 0]);
    assert_eq!(api.get(&path).ok()["loadfactor"], 1.0);
}

#[test]
fn plugins_are_uploaded_and_put_back() {
    let [b1, b2] = Origin::some();
    let good = answering(0).build();
    let proxy = start(&[&b1, &b2])
        .balancer("lbmethod = { plugin = \"p\" }")
        .component("p", &answering(0), "")
        .start();
    let api = Api::of(proxy);
    let path = "/api/v1/plugins/p";
    let upload =
        |content: &[u8]| api.call("PUT", path, &["Content-Type: application/wasm"], content);
    let first = api.get(path).ok()["version"].clone();
    assert!(
        upload(b"no component")
            .refused(422)
            .contains("it is no WebAssembly")
    );
    let file = || {
        let told = api.get(path).ok();
        fs::read(told["file"].as_str().expect("a file")).expect("a file")
    };
    assert!(file() == good, "the file is as it was");
    let other = answering(1).build();
    let told = upload(&other).ok();
    assert_ne!(told["version"], first);
    assert_eq!(told["previous"], json!([first]));
    assert!(file() == other, "the file is the new one");
    assert_eq!(api.proxy.served(2), ["b2"; 2]);
    let back = api
        .send("POST", &format!("{path}/rollback"), &json!({}))
        .ok();
    assert_eq!(back["version"], first);
    assert_eq!(api.proxy.served(2), ["b1"; 2]);
    assert!(file() == good, "the file is the old one");
    let nobody = json!({ "version": "ffffffffffff" });
    api.send("POST", &format!("{path}/rollback"), &nobody)
        .refused(404);
    // A component that cannot do what its balancer wants of it.
    assert!(
        upload(&Component::session(&none()).build())
            .refused(422)
            .contains("export")
    );
    assert_eq!(api.proxy.served(1), ["b1"]);
}

#[test]
fn the_file_is_read_again_by_request() {
    let (api, _origins) = two();
    let path = api.proxy.path("equipoise.toml");
    let text = fs::read_to_string(&path).expect("the configuration");
    // Faster than the watcher, or slower: it is refused with the same words.
    fs::write(&path, text.replace("path = \"/\"", "path = 1")).expect("a file");
    let told = api.send("POST", "/api/v1/configuration/reload", &json!({}));
    assert!(
        told.refused(422).contains("route[0].path = 1"),
        "{}",
        told.body
    );
    assert_eq!(
        api.get("/api/v1/configuration").ok()["refused"]["status"],
        422
    );
    fs::write(&path, text).expect("a file");
    let told = api
        .send("POST", "/api/v1/configuration/reload", &json!({}))
        .ok();
    assert_eq!(told["refused"], Value::Null);
}
