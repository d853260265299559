//! Plugins that are slow in sum: they are not asked beyond their budget, others go on being served, and what stays slow is put
//! out of service.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::admin::{ask, client};
use crate::harness::component::{Component, answer, endless_loop, with_text};
use crate::harness::fixtures::{FAULT, answering, burning};
use crate::harness::plugin::version;
use crate::harness::proxy::server;
use crate::harness::{Origin, Proxy, eventually, program};

/// Some 5 ms of a processor.
const SLOW: u32 = 5_000_000;

/// A deadline that none of these plugins comes near, not even on a slow machine.
const DEADLINE: &str = "deadline = \"250ms\"";

/// A tenth of the default: so they are over it even where a busy machine leaves them little time.
const BUDGET: &str = "cpu-budget = \"1%\"";

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\n";

/// A selector that chooses position 0 after so many turns of a loop.
fn slow() -> Component {
    Component::selector(&format!("{} {}", burning(SLOW), answer(0)))
}

/// One that takes all its memory and fills it, so that it is exchanged after every call.
fn churning() -> Component {
    let churn = "(drop (memory.grow (i32.const 192)))
        (memory.fill (i32.const 131072) (i32.const 1) (i32.const 12582912))";
    Component::selector(&format!("{churn} {}", answer(0)))
}

/// One that asks the host for the same thing over and over.
fn flooding() -> Component {
    let asks = with_text(b"x-user", "(i32.const 48) call $header-hash");
    let flood = format!(
        "(local.set $i (i32.const 2000))
        (loop $again {asks}
            (br_if $again (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))"
    );
    Component::selector(&format!("{flood} {}", answer(0)))
}

/// b1 and b2 by this plugin at `/`, and by no plugin at `/plain`, for two workers.
fn start(members: &[Origin; 2], component: &Component, keys: &str) -> Proxy {
    let mut plain = "[balancer.plain]\n".to_owned();
    for member in members {
        let url = member.url();
        let _ = writeln!(plain, "[[balancer.plain.member]]\nurl = \"{url}\"");
    }
    let routes = "[[route]]\npath = \"/plain\"\nbalancer = \"plain\"\n[[route]]\npath = \"/\"\nbalancer = \"cluster\"";
    let [b1, b2] = members;
    Proxy::before(&[])
        .top("workers = 2")
        .routes(&format!("{ADMIN}{routes}"))
        .balancer("lbmethod = { plugin = \"p\" }")
        .component("p", component, &format!("{DEADLINE}\n{keys}\n{plain}"))
        .member(b1, "")
        .member(b2, "loadfactor = 100")
        .start()
}

/// Asks at both paths, by several clients each, until that is so; every request is answered by a member. Tells how many were answered
/// at `/plain`.
#[track_caller]
fn serve_until(proxy: &Proxy, what: &str, is_so: impl Fn() -> bool + Sync) -> usize {
    let (is_over, plain) = (AtomicBool::new(false), AtomicUsize::new(0));
    let keep_asking = |path: &str, served: &AtomicUsize| {
        let mut client = proxy.client();
        while !is_over.load(Relaxed) {
            let server = server(&client.get(path));
            assert!(["b1", "b2"].contains(&&*server), "{path}: {server}");
            served.fetch_add(1, Relaxed);
        }
    };
    let by_plugin = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| keep_asking("/", &by_plugin));
            scope.spawn(|| keep_asking("/plain", &plain));
        }
        let waiting = scope.spawn(|| eventually(what, || is_so().then_some(())));
        let outcome = waiting.join();
        is_over.store(true, Relaxed);
        assert!(outcome.is_ok(), "{what}: {}", proxy.stderr.text());
    });
    plain.load(Relaxed)
}

/// A number out of `/metrics`, whose labels begin with the plugin `p`.
#[track_caller]
fn metric(proxy: &Proxy, name: &str, labels: &str) -> f64 {
    let text = ask(proxy, "GET /metrics", &[]).text();
    let series = format!("equipoise_{name}{{plugin=\"p\"{labels}}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&series));
    let line = line.unwrap_or_else(|| panic!("{series}: {text}"));
    line.parse().expect("a number")
}

#[track_caller]
fn assert_is_put_out_of_service(component: &Component, keys: &str, faults: usize) {
    let members = Origin::some();
    let keys = format!("{BUDGET}\nmax-faults = {faults}\n{keys}");
    let proxy = start(&members, component, &keys);
    let is_out = || proxy.stderr.count("is out of service") > 0;
    let plain = serve_until(&proxy, "it is out of service", is_out);
    assert!(plain > 0);
    let line = proxy.await_fault("p", &version(&component.build()), "over-budget");
    assert!(line.contains("took more than 1 % of a processor"), "{line}");
    let kinds = [
        "trap",
        "deadline",
        "memory",
        "stack",
        "position",
        "session",
        "malformed",
    ];
    let of = |kind: &str| metric(&proxy, "plugin_faults_total", &format!(",kind=\"{kind}\""));
    assert_eq!(kinds.map(of), [0.0; 7]);
    assert_eq!(of("over-budget"), faults as f64);
    assert!(metric(&proxy, "plugin_over_budget_total", "") > 0.0);
    assert!(metric(&proxy, "plugin_cpu_seconds_total", "") > 0.0);
    let calls = metric(&proxy, "plugin_calls_total", "");
    proxy.served(4);
    assert_eq!(
        metric(&proxy, "plugin_calls_total", ""),
        calls,
        "it is not asked any more"
    );
}

#[test]
fn a_selector_that_takes_long_each_time_is_put_out_of_service() {
    assert_is_put_out_of_service(&slow(), "", 2);
}

#[test]
fn a_selector_that_churns_memory_is_put_out_of_service() {
    assert_is_put_out_of_service(&churning(), "", 1);
}

#[test]
fn a_selector_that_floods_the_host_is_put_out_of_service() {
    assert_is_put_out_of_service(&flooding(), "", 1);
}

#[test]
fn instances_of_workers_have_budgets_too() {
    assert_is_put_out_of_service(&slow(), "instances = \"per-worker\"", 2);
}

#[test]
fn the_version_before_returns_when_one_is_over_its_budget() {
    let members = Origin::some();
    let proxy = start(
        &members,
        &answering(0),
        &format!("{BUDGET}\nmax-faults = 1"),
    );
    assert_eq!(proxy.served(2), ["b1"; 2]);
    proxy.install("p", &slow().build());
    let returns = format!("version {} serves again", version(&answering(0).build()));
    let is_back = || proxy.stderr.count(&returns) > 0;
    serve_until(&proxy, "the version before is back", is_back);
    assert_eq!(proxy.served(2), ["b1"; 2]);
}

/// What is slow and asked seldom stays within its budget; and everything is within one of 100 %.
#[test]
fn a_selector_that_is_within_its_budget_is_asked_every_time() {
    let members = Origin::some();
    for (keys, requests) in [("cpu-budget = \"100%\"", 100), (BUDGET, 4)] {
        let component = Component::selector(&format!("{} {}", burning(SLOW), answer(0)));
        let proxy = start(&members, &component, keys);
        assert_eq!(proxy.served(requests), vec!["b1"; requests], "{keys}");
        assert_eq!(
            metric(&proxy, "plugin_over_budget_total", ""),
            0.0,
            "{keys}"
        );
    }
}

/// Who asks why a request went where it went is told so, and the plugin's view counts it.
#[test]
fn a_decision_says_that_the_plugin_was_over_its_budget() {
    let members = Origin::some();
    let explain = "[explain]\ndecisions = 100\nheader = \"x-decision\"";
    let proxy = start(
        &members,
        &slow(),
        &format!("{BUDGET}\nmax-faults = 1000\n{explain}"),
    );
    let why = eventually("the plugin is not asked", || {
        let response = proxy.get("/");
        let id = response.field("x-decision").expect("an id");
        let story = ask(&proxy, &format!("GET /api/v1/explain?id={id}"), &[]).text();
        story.contains("over its cpu-budget").then_some(story)
    });
    assert!(
        why.contains("byrequests chose it, since plugin p is over its cpu-budget"),
        "{why}"
    );
    let view = ask(&proxy, "GET /api/v1/plugins/p", &[]).text();
    let view: serde_json::Value = serde_json::from_str(&view).expect("JSON");
    assert!(view["over_budget"].as_u64() > Some(0), "{view}");
    assert!(view["cpu_seconds"].as_f64() > Some(0.0), "{view}");
}

// Memory.

/// Goal: bulk operations, within which nothing looks at the time, are found afterwards. Method: half a GiB is filled in one go,
/// when a request asks for it, and by an instance that has answered many before. The second time it is a fault with certainty.
#[test]
fn a_bulk_operation_beyond_the_deadline_is_a_fault() {
    let fill = "(memory.fill (i32.const 131072) (i32.const 1) (i32.const 125829120))";
    let body = format!(
        "(drop (memory.grow (i32.const 1920))) {} {}",
        fill.repeat(4),
        answer(0)
    );
    let component = answering(0).when_header(FAULT, "fill", &body);
    let [b1, b2] = Origin::some();
    let proxy = Proxy::before(&[])
        .balancer("lbmethod = { plugin = \"p\" }")
        .component(
            "p",
            &component,
            "memory = \"256MiB\"\ncpu-budget = \"100%\"",
        )
        .member(&b1, "")
        .member(&b2, "loadfactor = 100")
        .start();
    let mut client = proxy.client();
    for _ in 0..40 {
        assert_eq!(server(&client.get("/")), "b1");
    }
    let asks = format!("{FAULT}: fill");
    let served = [(); 2].map(|()| server(&client.exchange("GET /", &[&asks])));
    assert_eq!(served[1], "b2", "{served:?}");
    proxy.await_fault("p", &version(&component.build()), "deadline");
    assert_eq!(server(&client.get("/")), "b1");
}

#[test]
fn memory_beyond_256_mib_has_to_be_allowed() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("p.wasm");
    std::fs::write(&file, answering(0).build()).expect("a file can be written");
    let file = file.to_str().expect("UTF-8");
    let check = |options: &[&str]| {
        let arguments = [&["plugin", "check", file], options].concat();
        let output = program(&arguments).output().expect("the program starts");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        (output.status.code(), stderr)
    };
    let (code, said) = check(&["--memory", "257MiB"]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("--memory may be up to 256MiB, or up to 1GiB with --memory-unlimited"),
        "{said}"
    );
    assert_eq!(check(&["--memory", "256MiB"]).0, Some(0));
    assert_eq!(
        check(&["--memory", "1GiB", "--memory-unlimited"]).0,
        Some(0)
    );
}

// Schedules.

/// Counts how often it is asked where a member stands, and answers that.
fn counting_loads(before: &str) -> Component {
    let count =
        "(global.set $asked (i64.add (global.get $asked) (i64.const 1))) (global.get $asked)";
    answering(0)
        .also("schedule")
        .declaring("(global $asked (mut i64) (i64.const 0))")
        .function("schedule#lbstatus", &format!("{before} {count}"))
}

/// The largest load that the API tells of 60 members, and of how many it tells.
fn loads(proxy: &Proxy) -> (i64, usize) {
    let text = ask(proxy, "GET /api/v1/balancers", &[]).text();
    let view: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let members = view["balancers"][0]["members"].as_array().expect("members");
    let told: Vec<_> = members
        .iter()
        .filter_map(|it| it["load"].as_i64())
        .collect();
    (told.iter().copied().max().unwrap_or(0), told.len())
}

fn sixty(component: &Component, keys: &str) -> Proxy {
    let routes = format!("{ADMIN}[[route]]\npath = \"/\"\nbalancer = \"cluster\"");
    let start = Proxy::before(&[])
        .routes(&routes)
        .balancer("lbmethod = { plugin = \"p\" }")
        .component("p", component, keys);
    let members = (0..60).map(|port| format!("http://127.0.0.1:{}", 10_000 + port));
    members
        .fold(start, |start, url| start.member_at(&url, ""))
        .start()
}

/// Goal: a plugin is asked for `lbstatus` once a second, however often it is shown. Method: the plugin itself counts.
#[test]
fn loads_are_asked_for_once_a_second_however_many_look() {
    let proxy = sixty(
        &counting_loads(""),
        "deadline = \"1s\"\ncpu-budget = \"100%\"",
    );
    let begun = Instant::now();
    let (_, told) = eventually("all are told", || {
        Some(loads(&proxy)).filter(|(_, told)| *told == 60)
    });
    assert_eq!(told, 60);
    for _ in 0..50 {
        loads(&proxy);
    }
    let (asked, _) = loads(&proxy);
    let turns = 2 + i64::try_from(begun.elapsed().as_secs()).expect("soon");
    assert!(asked <= 60 * turns, "{asked} calls in {turns} turns");
}

/// All calls together may take as long as one: each turn tells of a few members, and the next one of others.
#[test]
fn loads_of_a_slow_plugin_come_by_and_by() {
    let slow = counting_loads(&burning(8 * SLOW));
    let proxy = sixty(&slow, "deadline = \"200ms\"\ncpu-budget = \"100%\"");
    let told_beyond = |before: usize| {
        eventually("more are told", || {
            let (_, told) = loads(&proxy);
            (told > before).then_some(told)
        })
    };
    let first = told_beyond(0);
    assert!(first < 60, "{first} at once");
    told_beyond(first);
    assert_eq!(proxy.stderr.count("fault as"), 0);
}

// Judges.

/// Judges members in a way that takes long, when it is told of requests.
fn judge(takes: &str) -> Component {
    let nothing = "(call $list (i32.const 0) (i32.const 0))";
    let judged = format!("(if (local.get $outcomes-length) (then {takes})) {nothing}");
    Component::exporting(&["health"])
        .function("health#on-checks", nothing)
        .function("health#on-requests", &judged)
}

/// Goal: a judge that takes long holds up no check, no heartbeat and no admin request. Method: a judge that takes
/// a second each time, and members of another balancer that have a second for each check.
#[test]
fn a_judge_that_takes_long_holds_up_nobody_else() {
    let [b1, other] = Origin::some();
    let checked = format!(
        "[balancer.other]\nhcmethod = \"GET\"\nhcinterval = \"100ms\"\nhctimeout = \"1s\"\n[[balancer.other.member]]\nurl = \"{}\"",
        other.url()
    );
    let judge = judge(&endless_loop());
    let keys = "deadline = \"1s\"\ncpu-budget = \"100%\"\nmax-faults = 1000";
    let proxy = Proxy::before(&[&b1])
        .routes(&format!(
            "{ADMIN}[[route]]\npath = \"/\"\nbalancer = \"cluster\""
        ))
        .balancer("health = { plugin = \"judge\" }")
        .component("judge", &judge, &format!("{keys}\n{checked}"))
        .start();
    let faults = || proxy.stderr.count("fault as health: deadline");
    let (mut clients, mut admin) = (proxy.client(), client(&proxy));
    let mut ask_until = |count: usize| {
        let mut answers = 0;
        while faults() < count {
            assert_eq!(clients.get("/").status(), 200);
            admin.send("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
            assert_eq!(admin.response().status(), 200);
            answers += 1;
            thread::sleep(Duration::from_millis(1));
        }
        answers
    };
    ask_until(1);
    let checks = other.hits();
    let answers = ask_until(4);
    assert!(
        answers >= 20,
        "{answers} while the judge took three seconds"
    );
    assert!(other.hits() >= checks + 5, "{checks} to {}", other.hits());
    // It can be exchanged meanwhile.
    assert_eq!(clients.get("/").status(), 200);
    proxy.install("judge", &self::judge("").build());
    let text = proxy.stderr.text();
    assert_eq!(proxy.stderr.count("is unhealthy"), 0, "{text}");
}

/// The rule's word counts then.
#[test]
fn a_judge_over_its_budget_leaves_it_to_the_rule() {
    let broken = Origin::named("broken");
    let broken = broken
        .answering(|exchange| exchange.respond("500 No", ""))
        .start();
    let [well] = Origin::some();
    // Some 200 ms each time, ten times a second.
    let judge = judge(&burning(60 * SLOW));
    let proxy = Proxy::before(&[&broken, &well])
        .balancer("health = { plugin = \"judge\" }\noutlier = { consecutive-failures = 2 }")
        .component(
            "judge",
            &judge,
            &format!("{BUDGET}\ndeadline = \"1s\"\nmax-faults = 1"),
        )
        .start();
    let ejected = format!(
        "member {} is unhealthy: 2 requests in a row failed",
        broken.url()
    );
    let mut client = proxy.client();
    eventually("the judge is out of service, and the rule judges", || {
        client.get("/");
        let is_out = proxy.stderr.count("is out of service") > 0;
        (is_out && proxy.stderr.count(&ejected) > 0).then_some(())
    });
    proxy.await_fault("judge", &version(&judge.build()), "over-budget");
    assert_eq!(proxy.stderr.count("fault as health: deadline"), 0);
}
