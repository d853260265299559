//! Judges that are plugins: their word counts, and when they give none, the built-in rule's does.

use crate::harness::component::{Component, trap};
use crate::harness::plugin::version;
use crate::harness::proxy::{Start, program, server};
use crate::harness::{Origin, Proxy};

/// Answers a list of no transitions.
const NOTHING: &str = "(call $list (i32.const 0) (i32.const 0))";

/// Answers the list of one transition that lies at 2048.
const SAID: &str = "(call $list (i32.const 2048) (i32.const 1))";

/// These members, judged by the plugin `judge`.
fn judged(members: [&Origin; 2], judge: &Component) -> Start {
    Proxy::before(&members)
        .balancer("health = { plugin = \"judge\" }")
        .component("judge", judge, "")
}

/// A judge that answers so when it is told of requests, or of none.
fn judge(exchanges: &str) -> Component {
    Component::exporting(&["health"])
        .function("health#judge-probes", NOTHING)
        .function("health#judge-exchanges", exchanges)
}

/// A member that answers 500.
fn broken() -> Origin {
    let origin = Origin::named("broken");
    origin
        .answering(|exchange| exchange.respond("500 No", ""))
        .start()
}

/// Says that member 0 is unhealthy when a request has ended, and healthy when it is asked about none.
fn moody() -> Component {
    let said = format!(
        "(i32.store8 (i32.const 2052) (i32.ne (local.get $exchanges-length) (i32.const 0))) {SAID}"
    );
    judge(&said)
        .declaring("(data (i32.const 2056) \"\\80\\08\\00\\00\\04\\00\\00\\00\")")
        .declaring("(data (i32.const 2176) \"mood\")")
}

#[test]
fn plugin_says_who_is_healthy() {
    let [b1, b2] = Origin::some();
    let proxy = judged([&b1, &b2], &moody()).start();
    proxy.get("/");
    let name = b1.url();
    let says = |what: &str| {
        proxy
            .stderr
            .line_with(&format!("member {name} is {what}: mood"))
    };
    says("unhealthy");
    says("healthy");
    let other = format!("member {} is", b2.url());
    assert_eq!(proxy.stderr.count(&other), 0);
}

#[test]
fn rule_takes_over_from_a_plugin_that_traps() {
    let (broken, well) = (broken(), Origin::live("well"));
    let traps = judge(&format!(
        "(if (local.get $exchanges-length) (then {})) {NOTHING}",
        trap()
    ));
    let proxy = judged([&broken, &well], &traps)
        .balancer("outlier = { consecutive-failures = 2 }")
        .start();
    let name = broken.url();
    let ejected = format!("member {name} is unhealthy: 2 requests in a row failed");
    while proxy.stderr.count(&ejected) == 0 {
        proxy.get("/");
    }
    proxy.await_fault("judge", &version(&traps.build()), "trap");
    assert_eq!(proxy.served(4), ["well"; 4]);
}

#[test]
fn what_a_judge_says_of_nobody_changes_nothing() {
    let [b1, b2] = Origin::some();
    let of_nobody = judge(SAID).declaring(
        "(data (i32.const 2048) \"\\4d\\00\\00\\00\\01\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\")",
    );
    let proxy = judged([&b1, &b2], &of_nobody).start();
    for _ in 0..10 {
        assert!(["b1", "b2"].contains(&&*server(&proxy.get("/"))));
    }
    assert_eq!(proxy.stderr.count("is unhealthy"), 0);
}

#[test]
fn default_plugin_judges_as_the_built_in_rule() {
    let (broken, well) = (broken(), Origin::live("well"));
    let proxy = Proxy::before(&[&broken, &well])
        .balancer("health = { plugin = \"judge\" }")
        .plugin("judge", "settings = { consecutive-failures = \"2\" }")
        .preparing(|directory| {
            let file = directory.join("judge.wasm");
            let file = file.to_str().expect("UTF-8");
            let exported = program(&["plugin", "export", "health", file]).status();
            assert!(exported.expect("the program starts").success());
        })
        .start();
    let ejected = "2 requests in a row failed: ejected for 30 s";
    while proxy.stderr.count(ejected) == 0 {
        proxy.get("/");
    }
    assert_eq!(proxy.served(4), ["well"; 4]);
}
