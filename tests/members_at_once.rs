//! Several members that are added at once: all of them, or with `partial` those that can be had.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use crate::admin::start;
use crate::api::Api;
use crate::harness::Origin;

const MEMBERS: &str = "/api/v1/balancers/cluster/members";

fn api(origin: &Origin) -> Api {
    Api::of(start(&[origin]).start())
}

/// How many members the balancer has.
fn count(api: &Api) -> usize {
    let told = api.get("/api/v1/balancers/cluster").ok();
    told["members"].as_array().expect("a list").len()
}

/// The places of those that were refused, each with the first words that say why.
fn refused(told: &Value) -> Vec<(u64, String)> {
    let refused = told["refused"].as_array().expect("a list").iter();
    let one = |it: &Value| {
        let detail = it["problem"]["detail"].as_str().expect("a detail");
        (it["place"].as_u64().expect("a place"), detail.to_owned())
    };
    refused.map(one).collect()
}

#[test]
fn members_are_added_all_at_once_or_none() {
    let [b1, b2, b3] = Origin::some();
    let api = api(&b1);
    let good = json!([{ "url": *b2.url(), "route": "r2" }, { "url": *b3.url() }]);
    let told = api.send("POST", MEMBERS, &good).ok();
    let ids: Vec<_> = told["members"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["id"].clone())
        .collect();
    assert_eq!(ids, [1, 2]);
    assert_eq!(
        (&told["refused"], &told["more_refused"]),
        (&json!([]), &json!(0))
    );
    let mut served = api.proxy.served(3);
    served.sort();
    assert_eq!(served, ["b1", "b2", "b3"]);
    for (bad, status, reason) in [
        (
            json!({ "url": "http://192.0.2.1", "loadfactor": 700 }),
            422,
            "from 1 to 100",
        ),
        (
            json!({ "url": *b2.url() }),
            409,
            "is a member of cluster already",
        ),
        (json!({ "route": "x" }), 400, "missing field `url`"),
    ] {
        let list = json!([{ "url": "http://192.0.2.9" }, bad]);
        let told = api.send("POST", MEMBERS, &list);
        assert!(told.refused(status).contains(reason), "{}", told.body);
        assert_eq!(count(&api), 3);
    }
    for (list, reason) in [
        (json!([]), "nothing in it"),
        (json!([1]), "expected struct"),
        (json!("x"), "or a list"),
    ] {
        let told = api.send("POST", MEMBERS, &list);
        assert!(told.refused(400).contains(reason), "{}", told.body);
    }
}

#[test]
fn with_partial_those_that_cannot_be_had_are_left_out_and_named() {
    let [b1, b2, b3] = Origin::some();
    let api = api(&b1);
    let list = json!([
        { "url": "ftp://192.0.2.1" },
        { "url": *b2.url(), "lbset": 0 },
        { "url": *b1.url() },
        { "url": "http://192.0.2.1", "loadfactor": 700, "colour": "red" },
        { "url": "https://192.0.2.1", "tls": { "ca": "none.pem" } },
        { "url": "https://192.0.2.2", "tls": { "ca": "none.pem" } },
        { "url": *b3.url() },
        { "url": *b3.url() },
    ]);
    api.send("POST", MEMBERS, &list).refused(409);
    assert_eq!(count(&api), 1);
    let told = api.send("POST", &format!("{MEMBERS}?partial"), &list).ok();
    assert_eq!(told["members"].as_array().expect("a list").len(), 2);
    let refused = refused(&told);
    let places: Vec<_> = refused.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [0, 2, 3, 4, 5, 7], "{told}");
    for ((_, detail), part) in refused.iter().zip([
        "http",
        "already",
        "from 1 to 100",
        "none.pem",
        "none.pem",
        "already",
    ]) {
        assert!(detail.contains(part), "{part}: {detail}");
    }
    assert_eq!(
        told["refused"][2]["problem"]["mistakes"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    assert_eq!(told["refused"][0]["url"], "ftp://192.0.2.1");
    api.proxy
        .stderr
        .line_with("8 members are added, but for 6 that cannot be had");
    let mut served = api.proxy.served(3);
    served.sort();
    assert_eq!(served, ["b1", "b2", "b3"]);
    // Where none can be had, nothing has changed.
    let none = json!([{ "url": "ftp://192.0.2.1" }, { "url": *b3.url() }]);
    api.send("POST", &format!("{MEMBERS}?partial"), &none)
        .refused(422);
    assert_eq!(count(&api), 3);
}

#[test]
fn a_balancer_is_added_with_the_members_that_it_can_have() {
    let [b1, b2] = Origin::some();
    let api = api(&b1);
    let new = json!({ "name": "a/b", "member": [{ "url": "ftp://x" }, { "url": *b2.url() }, { "url": "http://192.0.2.1", "lbset": 700 }] });
    api.send("POST", "/api/v1/balancers", &new).refused(422);
    let told = api.send("POST", "/api/v1/balancers?partial", &new).ok();
    assert_eq!(told["members"].as_array().expect("a list").len(), 1);
    let places: Vec<_> = refused(&told).into_iter().map(|(place, _)| place).collect();
    assert_eq!(places, [0, 2]);
    // A mistake that is no member's stands in the way of all.
    let new = json!({ "name": "c", "colour": "red", "member": [{ "url": *b2.url() }] });
    api.send("POST", "/api/v1/balancers?partial", &new)
        .refused(422);
}

/// However many there are, what is told of them has its bound.
#[test]
fn hundreds_that_cannot_be_had_are_told_of_in_a_hundred() {
    let [b1] = Origin::some();
    let api = api(&b1);
    let member = |number: usize| match number % 2 {
        0 => json!({ "url": format!("http://192.0.2.1:{}", 1000 + number), "status": "D" }),
        _ => json!({ "url": format!("http://192.0.2.1:{}", 1000 + number), "loadfactor": 700 }),
    };
    let list: Vec<_> = (0..600).map(member).collect();
    let told = api
        .send("POST", &format!("{MEMBERS}?partial"), &list.into())
        .ok();
    assert_eq!(told["members"].as_array().map(Vec::len), Some(300));
    assert_eq!(
        (refused(&told).len(), &told["more_refused"]),
        (100, &json!(200))
    );
    let too_many = vec![json!({ "url": "http://192.0.2.1" }); 1_001];
    api.send("POST", MEMBERS, &too_many.into()).refused(400);
}

#[test]
fn a_thousand_mistakes_of_a_file_are_told_in_a_hundred() {
    let [b1] = Origin::some();
    let api = api(&b1);
    let path = api.proxy.path("equipoise.toml");
    let mut text = fs::read_to_string(&path).expect("the configuration");
    for number in 0..1_000 {
        let _ = writeln!(
            text,
            "[[balancer.cluster.member]]\nurl = \"http://192.0.2.1:{}\"\nloadfactor = 700",
            1000 + number
        );
    }
    fs::write(&path, text).expect("a file");
    let told = api.send("POST", "/api/v1/configuration/reload", &json!({}));
    told.refused(422);
    assert_eq!(told.body["mistakes"].as_array().map(Vec::len), Some(100));
    assert_eq!(told.body["more_mistakes"], 900);
}
