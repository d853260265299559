//! The state file: one program writes it at a time, and hands it over to the one that takes over from it.

use std::fs;

use serde_json::{Value, json};

use crate::admin::start;
use crate::api::Api;
use crate::harness::fixtures::answering;
use crate::harness::proxy::{Start, server};
use crate::harness::{Origin, Proxy, Signal, eventually};

const MEMBER: &str = "/api/v1/balancers/cluster/members/0";

/// A configuration whose changes are kept in this file, with more tables.
fn keeping(members: &[&Origin], file: &str, more: &str) -> Start {
    start(members).routes(&format!(
        "[admin]\naddress = \"127.0.0.1:0\"\npersist = \"{file}\"\n{more}\n\
         [[route]]\npath = \"/\"\nbalancer = \"cluster\""
    ))
}

fn disable(api: &Api) -> crate::api::Told {
    api.send("PATCH", MEMBER, &json!({ "status": "+D" }))
}

#[test]
fn a_second_program_says_that_the_state_is_anothers_and_does_not_write_it() {
    let [b1, b2] = Origin::some();
    let first = Api::of(keeping(&[&b1, &b2], "state.json", "").start());
    let file = first.proxy.path("state.json");
    // What is in force in the first, and what the second has no plugin for, so that it does not fit there.
    first
        .send("PATCH", MEMBER, &json!({ "loadfactor": 3 }))
        .ok();
    let kept = fs::read(&file).expect("a state");
    let path = file.to_str().expect("UTF-8");
    let second = Api::of(keeping(&[&b1, &b2], path, "").start());
    let holder = format!("another program (process {})", first.proxy.process());
    second.proxy.stderr.line_with(&holder);
    let told = disable(&second);
    let detail = told.refused(409);
    assert!(
        detail.contains(&holder) && detail.contains("nothing has changed"),
        "{detail}"
    );
    assert_eq!(second.get(MEMBER).ok()["state"], "ok");
    assert!(fs::read(&file).expect("a state") == kept);
    // It still follows its configuration file.
    let config = second.proxy.path("equipoise.toml");
    let text = fs::read_to_string(&config).expect("the configuration");
    fs::write(&config, format!("shutdown-timeout = \"9s\"\n{text}")).expect("a file");
    second
        .send("POST", "/api/v1/configuration/reload", &json!({}))
        .ok();
    assert_eq!(second.proxy.stderr.count(&holder), 1);
    // With the first, its lock goes; what it has changed meanwhile is not lost.
    first
        .send("PATCH", MEMBER, &json!({ "loadfactor": 5 }))
        .ok();
    first.proxy.signal(Signal::TERM);
    Proxy::wait_for(first.proxy.process());
    assert_eq!(disable(&second).ok()["loadfactor"], 5.0);
    let kept: Value = serde_json::from_slice(&fs::read(&file).expect("a state")).expect("JSON");
    let settings = &kept["changes"]["balancers"]["cluster"]["members"][0]["settings"];
    assert_eq!(*settings, json!({ "loadfactor": 5, "status": "D" }));
}

#[test]
fn a_state_that_does_not_fit_a_second_program_stays_the_first_ones() {
    let [b1] = Origin::some();
    let first = keeping(&[&b1], "state.json", "").component("p", &answering(0), "");
    let first = Api::of(first.start());
    let patch = json!({ "lbmethod": { "plugin": "p" } });
    first
        .send("PATCH", "/api/v1/balancers/cluster", &patch)
        .ok();
    let file = first.proxy.path("state.json");
    let second = keeping(&[&b1], file.to_str().expect("UTF-8"), "").start();
    second.stderr.line_with("no run-time change is in force");
    second.stderr.line_with("another program (process");
    assert!(file.exists());
    assert_eq!(second.served(1), ["b1"]);
    drop(second);
    assert_eq!(first.get("/api/v1/balancers/cluster").ok()["plugin"], "p");
}

#[test]
fn a_program_that_takes_over_writes_the_state_and_the_old_one_no_more() {
    let [b1, b2] = Origin::some();
    let manager = "[manager]\nhosts = [\"lb.test\"]";
    let api = Api::of(keeping(&[&b1, &b2], "state.json", manager).start());
    api.send("PATCH", MEMBER, &json!({ "loadfactor": 3 })).ok();
    let Api { mut proxy, .. } = api;
    // A connection to the old program, which it serves to its end.
    let mut old = proxy.client();
    assert_eq!(old.get("/balancer-manager").status(), 200);
    proxy.restart();
    let fields = ["Content-Type: application/json"];
    let body = "{\"status\": \"+D\"}";
    let line = format!("PATCH /balancer-manager{MEMBER}");
    let refused = old.exchange_body(&line, &fields, body);
    let text = refused.text();
    assert!(matches!(refused.status(), 409 | 503), "{text}");
    assert!(text.contains("another program"), "{text}");
    // For a moment, the old one still accepts what is queued.
    let changed = eventually("the new program is asked", || {
        let changed = proxy.client().exchange_body(&line, &fields, body);
        (!matches!(changed.status(), 409 | 503)).then_some(changed)
    });
    assert_eq!(changed.status(), 200, "{}", changed.text());
    assert!(
        changed.text().contains("\"loadfactor\":3.0"),
        "{}",
        changed.text()
    );
    assert_eq!(server(&proxy.get("/")), "b2");
    assert_eq!(proxy.stderr.count("another program (process"), 0);
    let state = fs::read_to_string(proxy.path("state.json")).expect("a state");
    assert!(
        state.contains("\"status\"") && state.contains("\"loadfactor\""),
        "{state}"
    );
}
