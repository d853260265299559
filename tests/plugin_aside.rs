//! Plugins that stand in the way of a change: those out of service do not, and those in service are set aside if an operator
//! wants it.

use std::fs;

use serde_json::{Value, json};

use crate::admin::{ask, start};
use crate::api::Api;
use crate::harness::component::{Component, trap, with_text};
use crate::harness::fixtures::{FAULT, answering};
use crate::harness::proxy::Start;
use crate::harness::{Origin, Proxy};

const CLUSTER: &str = "/api/v1/balancers/cluster";

/// Chooses the member at this position, and refuses to be configured with more than two.
fn picky(position: u32) -> Component {
    let refuse = with_text(b"two members are enough", "call $error");
    answering(position).configure(&format!(
        "(if (i32.gt_u (local.get $members-length) (i32.const 2)) (then {refuse} return)) call $ok"
    ))
}

/// A proxy whose plugin chooses the second of two members; the fallback prefers the first by far.
fn with(members: &[Origin; 3], component: &Component, keys: &str) -> Start {
    start(&[])
        .top("[explain]\ndecisions = 10")
        .balancer("lbmethod = { plugin = \"p\" }")
        .component("p", component, keys)
        .member(&members[0], "loadfactor = 100")
        .member(&members[1], "")
}

fn third(members: &[Origin; 3]) -> Value {
    json!({ "url": *members[2].url() })
}

/// What `/metrics` says of balancers that the plugin is set aside for.
fn counted(proxy: &Proxy) -> String {
    let text = ask(proxy, "GET /metrics", &[]).text();
    let name = "equipoise_plugin_set_aside{plugin=\"p\"} ";
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.expect("the plugin is counted").to_owned()
}

#[test]
fn a_plugin_out_of_service_is_not_asked_about_changes() {
    let members = Origin::some();
    let component = picky(1).when_header(FAULT, "trap", &trap());
    let proxy = with(&members, &component, "max-faults = 1").start();
    assert_eq!(proxy.served(2), ["b2"; 2]);
    let fault = format!("{FAULT}: trap");
    assert_eq!(proxy.served_to(1, "GET /", &[&fault]), ["b1"]);
    proxy.stderr.line_with("is out of service after 1 faults");
    let api = Api::of(proxy);
    let members_path = format!("{CLUSTER}/members");
    api.send("POST", &members_path, &third(&members)).ok();
    api.send(
        "PATCH",
        &format!("{members_path}/2"),
        &json!({ "lbset": 1 }),
    )
    .ok();
    assert_eq!(api.proxy.served(2), ["b1"; 2]);
    let plugin = api.get("/api/v1/plugins/p").ok();
    assert_eq!(plugin["state"], "out of service");
    assert_eq!(plugin["set_aside"], json!([]));
    // A new version that takes them serves.
    api.proxy.install("p", &answering(2).build());
    assert_eq!(
        api.proxy.served(1),
        ["b1"],
        "of the set with the lowest lbset, none is third"
    );
}

#[test]
fn a_plugin_that_refuses_a_change_is_set_aside_if_an_operator_wants_that() {
    let members = Origin::some();
    let api = Api::of(with(&members, &picky(1), "").start());
    let path = format!("{CLUSTER}/members");
    let told = api.send("POST", &path, &third(&members));
    let detail = told.refused(422);
    for part in [
        "plugin.p: ",
        "balancer cluster ",
        "two members are enough",
        "`set-aside=p`",
    ] {
        assert!(detail.contains(part), "{part}: {detail}");
    }
    assert_eq!(api.proxy.served(2), ["b2"; 2]);
    api.send(
        "POST",
        &format!("{path}?set-aside=nobody"),
        &third(&members),
    )
    .refused(422);

    let aside = format!("{path}?set-aside=p");
    assert_eq!(api.send("POST", &aside, &third(&members)).ok()["id"], 2);
    assert_eq!(api.proxy.served(2), ["b1"; 2]);
    api.proxy
        .stderr
        .line_with("plugin p is set aside for balancer cluster");
    let plugin = api.get("/api/v1/plugins/p").ok();
    assert_eq!(
        (&plugin["state"], &counted(&api.proxy)),
        (&json!("serving"), &"1.0".to_owned())
    );
    let entry = &plugin["set_aside"][0];
    assert_eq!(entry["balancer"], "cluster");
    assert!(
        entry["reason"]
            .as_str()
            .expect("a reason")
            .contains("two members are enough")
    );
    assert_eq!(api.get(CLUSTER).ok()["set_aside"][0]["plugin"], "p");
    let id = api.get("/api/v1/explain").ok()["decisions"][0]["id"].clone();
    let id = id.as_str().expect("an id");
    let decision = api.get(&format!("/api/v1/explain?id={id}")).ok();
    let because = decision["attempts"][0]["because"]
        .as_str()
        .expect("a reason");
    assert!(
        because.ends_with("since plugin p is set aside"),
        "{because}"
    );

    // It stays aside while it refuses what comes, without being told again.
    api.send("PATCH", &format!("{path}/2"), &json!({ "loadfactor": 2 }))
        .ok();
    assert_eq!(api.proxy.served(1), ["b1"]);
    // What it takes puts it into service again.
    assert_eq!(
        api.call("DELETE", &format!("{path}/2"), &[], b"").status,
        204
    );
    api.proxy
        .stderr
        .line_with("plugin p is no longer set aside for balancer cluster");
    assert_eq!(api.proxy.served(2), ["b2"; 2]);
    assert_eq!(counted(&api.proxy), "0.0");
    assert_eq!(api.get("/api/v1/plugins/p").ok()["set_aside"], json!([]));
    assert_eq!(api.get(CLUSTER).ok()["set_aside"], Value::Null);
    let history = api.get("/api/v1/plugins/p").ok()["history"].to_string();
    assert!(
        history.contains("set aside for balancer cluster: "),
        "{history}"
    );
}

#[test]
fn a_plugin_that_is_set_aside_serves_with_a_version_that_takes_it() {
    let members = Origin::some();
    let api = Api::of(with(&members, &picky(1), "").start());
    let path = format!("{CLUSTER}/members?set-aside=p");
    api.send("POST", &path, &third(&members)).ok();
    assert_eq!(api.proxy.served(1), ["b1"]);
    // One that refuses them, too, is refused, and it stays as it is.
    let refused = picky(0).build();
    api.proxy.write("p", &refused);
    let version = crate::harness::plugin::version(&refused);
    api.proxy
        .stderr
        .line_with(&format!("version {version} is refused"));
    assert_eq!(counted(&api.proxy), "1.0");
    api.proxy.install("p", &answering(2).build());
    assert_eq!(api.proxy.served(2), ["b3"; 2]);
    assert_eq!(counted(&api.proxy), "0.0");
}

/// A configuration file that leaves what the plugin is told as it is does not ask it; one that changes it has to be taken.
#[test]
fn a_configuration_file_ends_what_an_operator_set_aside() {
    let members = Origin::some();
    let api = Api::of(with(&members, &picky(1), "").start());
    let path = format!("{CLUSTER}/members?set-aside=p");
    api.send("POST", &path, &third(&members)).ok();
    let file = api.proxy.path("equipoise.toml");
    let text = fs::read_to_string(&file).expect("the configuration");
    let reload = |text: &str| {
        fs::write(&file, text).expect("a file");
        api.send("POST", "/api/v1/configuration/reload", &json!({}))
    };
    reload(&format!("shutdown-timeout = \"9s\"\n{text}")).ok();
    assert_eq!(counted(&api.proxy), "1.0");
    let other = text.replace("[plugin.p]", "[plugin.p]\nsettings = { a = \"1\" }");
    let told = reload(&other);
    let detail = told.refused(422);
    assert!(
        detail.contains("two members are enough") && !detail.contains("set-aside"),
        "{detail}"
    );
    assert_eq!(
        (counted(&api.proxy), api.proxy.served(1)),
        ("1.0".to_owned(), vec!["b1".to_owned()])
    );
    reload(&text).ok();
    api.call("DELETE", "/api/v1/configuration/changes", &[], b"")
        .ok();
    assert_eq!(
        (counted(&api.proxy), api.proxy.served(1)),
        ("0.0".to_owned(), vec!["b2".to_owned()])
    );
}
