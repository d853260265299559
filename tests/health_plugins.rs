//! Judges that are plugins: their word counts, and when they give none, the built-in rule's does.

use crate::harness::component::{Component, trap};
use crate::harness::plugin::version;
use crate::harness::proxy::{Start, server};
use crate::harness::{Exchange, MEGABYTE, Origin, Proxy, program};

/// Answers a list of no transitions.
const NOTHING: &str = "(call $list (i32.const 0) (i32.const 0))";

/// Answers the list of one transition that lies at 2048.
const SAID: &str = "(call $list (i32.const 2048) (i32.const 1))";

/// Calls of a build for debugging take long on a busy machine.
const DEADLINE: &str = "deadline = \"100ms\"";

/// These members, judged by the plugin `judge`.
fn judged(members: [&Origin; 2], judge: &Component) -> Start {
    Proxy::before(&members)
        .balancer("health = { plugin = \"judge\" }")
        .component("judge", judge, DEADLINE)
}

/// A judge that answers so when it is told of requests, or of none.
fn judge(exchanges: &str) -> Component {
    Component::exporting(&["health"])
        .function("health#on-checks", NOTHING)
        .function("health#on-requests", exchanges)
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
        "(i32.store8 (i32.const 2052) (i32.ne (local.get $outcomes-length) (i32.const 0))) {SAID}"
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
        "(if (local.get $outcomes-length) (then {})) {NOTHING}",
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

/// Says that member 1 is unhealthy when a request has succeeded, and member 0 when one has failed.
fn witness() -> Component {
    // The outcome of an exchange lies 20 bytes behind its start; 0 is an answer.
    let succeeded = "(i32.eqz (i32.load8_u offset=20 (local.get $outcomes)))";
    judge(&format!(
        "(if (local.get $outcomes-length)
            (then (i32.store (i32.const 2048) {succeeded}) (return {SAID})))
        {NOTHING}"
    ))
    .declaring("(data (i32.const 2052) \"\\01\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\")")
}

/// A client's own fault never blames a member.
#[test]
fn client_that_goes_away_is_no_failure_of_the_member() {
    let endless = |exchange: &mut Exchange| exchange.stream(500 * MEGABYTE);
    let broken = |exchange: &mut Exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234");
        exchange.close();
    };
    type Answer = fn(&mut Exchange);
    for (answer, blamed) in [(endless as Answer, 1), (broken as Answer, 0)] {
        let b1 = Origin::named("b1").answering(answer).start();
        let b2 = Origin::live("b2");
        let proxy = Proxy::before(&[])
            .balancer("health = { plugin = \"judge\" }")
            .component("judge", &witness(), DEADLINE)
            .member(&b1, "")
            .member(&b2, "status = \"+H\"")
            .start();
        let mut client = proxy.client();
        client.ask("GET /", &[]);
        client.await_text("HTTP/1.1 200");
        // A member's fault is one where it comes before the client goes.
        if blamed == 0 {
            client.await_end();
        }
        client.reset();
        let said = |member: &Origin| format!("member {} is unhealthy", member.url());
        let [guilty, innocent] = match blamed {
            0 => [&b1, &b2],
            _ => [&b2, &b1],
        };
        proxy.stderr.line_with(&said(guilty));
        assert_eq!(proxy.stderr.count(&said(innocent)), 0);
    }
}

/// The judge that takes over goes on where the one before was.
#[test]
fn what_a_judge_remembers_is_handed_over() {
    // Speaks once it has seen a request.
    let remembers = |says: &str| {
        judge(&format!(
            "(if (local.get $outcomes-length) (then (global.set $seen (i32.const 1))))
            (if (global.get $seen) (then (return {SAID})))
            {NOTHING}"
        ))
        .also("state")
        .declaring("(global $seen (mut i32) (i32.const 0))")
        .declaring(&format!("(data (i32.const 2052) \"{says}\")"))
        .function(
            "state#save",
            "(i32.store (i32.const 1024) (global.get $seen)) (call $list (i32.const 1024) (i32.const 4))",
        )
        .function(
            "state#restore",
            "(global.set $seen (i32.load (local.get $blob))) call $ok",
        )
    };
    let [b1, b2] = Origin::some();
    let proxy = judged([&b1, &b2], &remembers("\\01")).start();
    proxy.get("/");
    let name = b1.url();
    proxy
        .stderr
        .line_with(&format!("member {name} is unhealthy"));
    // This one sees none itself.
    proxy.install("judge", &remembers("\\00").build());
    proxy.stderr.line_with(&format!("member {name} is healthy"));
}
