//! What is told is bounded, whatever it is made of: messages, lists and histories.

use serde_json::{Map, Value, json};

use crate::admin::start;
use crate::api::Api;
use crate::harness::component::with_long_text;
use crate::harness::fixtures::answering;
use crate::harness::{MEGABYTE, Origin};

const WASM: &str = "Content-Type: application/wasm";

/// The longest message, in bytes.
const MESSAGE: usize = 1024;

/// A component that is none of ours, with so many exports whose names have so many bytes.
fn wordy(exports: usize, length: usize) -> Vec<u8> {
    let export = |number: usize| {
        let name = format!("a{number}-{}", "n".repeat(length));
        format!("(export \"{name}\" (instance $i))\n")
    };
    let exports: String = (0..exports).map(export).collect();
    let text = format!("(component (instance $i) {exports})");
    wat::parse_str(&text).expect("a component")
}

/// However long its names are, and whether it comes by a file or the API.
#[test]
fn a_plugin_that_is_refused_in_many_words_is_told_of_in_few() {
    let [b1] = Origin::some();
    let proxy = start(&[&b1])
        .balancer("lbmethod = { plugin = \"p\" }")
        .component("p", &answering(0), "")
        .start();
    let api = Api::of(proxy);
    let upload = |content: &[u8]| {
        let told = api.call("PUT", "/api/v1/plugins/p", &[WASM], content);
        let detail = told.refused(422).to_owned();
        assert!(detail.len() <= MESSAGE, "{} bytes", detail.len());
        detail
    };
    let detail = upload(&wordy(120, 1000));
    assert!(detail.contains("it exports `a0-nnn"), "{detail}");
    assert!(detail.contains("bytes more)"), "{detail}");
    // Names that are longer are refused before they are compiled.
    let detail = upload(&wordy(120, 90_000));
    assert!(detail.contains("has 90003 bytes"), "{detail}");
    for (component, reason) in [
        (wordy(120, 1000), "it exports"),
        (wordy(120, 90_000), "the name"),
    ] {
        api.proxy.write("p", &component);
        let line = format!(" is refused: {reason}");
        let line = api.proxy.stderr.line_with(&line);
        assert!(line.len() <= 2 * MESSAGE, "{} bytes", line.len());
        let told = api.get("/api/v1/plugins").ok().to_string();
        assert!(told.len() < 8 * MESSAGE, "{} bytes", told.len());
    }
    // One that says much when it refuses.
    let component = answering(0).configure(&with_long_text(1 << 20, "call $error"));
    upload(&component.build());
    assert_eq!(api.proxy.served(1), ["b1"]);
}

/// Goal: a body with very many mistakes is answered at once, in few words, and control goes on. Method: tables with more keys
/// than any has, and many small ones that are wrong.
#[test]
fn bodies_with_very_many_mistakes_are_answered_in_few_words() {
    let [b1] = Origin::some();
    let api = Api::of(start(&[&b1]).start());
    let keys = |count: usize| {
        let keys = (0..count).map(|key| (format!("k{key}"), json!(1)));
        Value::from(keys.collect::<Map<_, _>>())
    };
    let member = "/api/v1/balancers/cluster/members/0";
    let members = |count: usize| {
        let member =
            |it: usize| json!({ "url": format!("http://192.0.2.1:{it}"), "colour": "red" });
        Value::from((1..=count).map(member).collect::<Vec<_>>())
    };
    let mut inner = keys(1);
    inner["metadata"] = keys(80_000);
    let before = api.proxy.processor_time();
    for (method, path, body, status) in [
        ("PATCH", member, keys(80_000), 400),
        ("PATCH", member, inner, 400),
        ("PATCH", member, keys(1_000), 422),
        (
            "POST",
            "/api/v1/balancers/cluster/members",
            members(1_000),
            422,
        ),
        (
            "POST",
            "/api/v1/balancers",
            json!({ "name": "x", "member": members(9_000) }),
            422,
        ),
        ("PATCH", member, json!({ "x".repeat(500_000): 1 }), 422),
        (
            "PATCH",
            member,
            json!({ "status": "x".repeat(500_000) }),
            422,
        ),
    ] {
        let told = api.send(method, path, &body);
        let detail = told.refused(status);
        assert!(detail.len() <= MESSAGE, "{} bytes", detail.len());
        let size = told.body.to_string().len();
        assert!(size <= 100 * 4 * MESSAGE, "{size} bytes");
        let mistakes = told.body["mistakes"].as_array().map_or(0, Vec::len);
        assert!(mistakes <= 100, "{mistakes}");
    }
    // Of processor time, so that a busy machine is no mistake; built without optimization.
    let used = api.proxy.processor_time() - before;
    assert!(used.as_secs() < 20, "{used:?}");
    assert!(api.proxy.peak_memory() < 150 * MEGABYTE);
    // What is asked for in a long name is not there, in few words.
    let nobody = format!("/api/v1/balancers/{}", "n".repeat(10_000));
    let detail = api.get(&nobody).refused(404).len();
    assert!(detail <= MESSAGE, "{detail} bytes");
    assert_eq!(api.proxy.served(1), ["b1"]);
}
