//! Faults of plugins, of every kind: no request is lost, and the fault is logged and shown.
//!
//! In most tests the plugin chooses b1 as long as all is well, and the fallback chooses b2, which weighs a hundred times as
//! much. Where a plugin reads sessions, it is the other way round.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::component::{
    Component, answer, endless_loop, none, restrict_fallback, trap, with_long_text, with_text,
};
use crate::harness::fixtures::{
    Affinity, FAULT, LOAD_FAULTS, READ_FAULTS, SELECT_FAULTS, START_FAULTS, STATE_FAULTS,
    answering, counting, endless_select, forging_log, leak, log_flood, prefetching, reading,
    unreachable,
};
use crate::harness::plugin::version;
use crate::harness::proxy::{Start, server};
use crate::harness::{MEGABYTE, Origin, Proxy, eventually};

const CHOOSES: &str = "lbmethod = { plugin = \"p\" }";

/// What the program may need at most with the plugins of one test, built for debugging.
const MEMORY: u64 = 120 * MEGABYTE;

/// To a balancer without a plugin, and to the one with it.
const ROUTES: &str = r#"
[[route]]
path = "/plain"
balancer = "plain"
[[route]]
path = "/"
balancer = "cluster"
"#;

/// b1, whom the plugin chooses, and b2, whom the fallback chooses.
struct Members([Origin; 2]);

impl Members {
    fn new() -> Self {
        Self(Origin::some())
    }

    /// The keys of both members: whom `byrequests` likes much better is `favourite`.
    fn toml(&self, balancer: &str, favourite: usize) -> String {
        let member = |(index, origin): (usize, &Origin)| {
            let factor = if index == favourite { 100 } else { 1 };
            format!(
                "[[balancer.{balancer}.member]]\nurl = \"{}\"\nroute = \"r{}\"\nloadfactor = {factor}\n",
                origin.url(),
                index + 1
            )
        };
        self.0.iter().enumerate().map(member).collect()
    }

    /// A balancer with the plugin `p` that chooses.
    fn with(&self, component: &Component, keys: &str) -> Start {
        let [b1, b2] = &self.0;
        Proxy::before(&[])
            .balancer(CHOOSES)
            .component("p", component, keys)
            .member(b1, "")
            .member(b2, "loadfactor = 100")
    }

    /// As [`with`](Self::with) for a plugin that loops when it is asked to, and beside it a balancer without a plugin, for
    /// two workers.
    fn with_and_without(&self, keys: &str) -> Start {
        let plain = format!("[balancer.plain]\n{}", self.toml("plain", 0));
        self.with(&endless_select(), &format!("{keys}\n{plain}"))
            .top("workers = 2")
            .routes(ROUTES)
    }

    /// A balancer for each plugin, at the path that is the plugin's name.
    fn with_each(
        &self,
        plugins: &[(String, Component)],
        balancer: &str,
        favourite: usize,
    ) -> Start {
        let mut toml = "[[listen]]\naddress = \"127.0.0.1:0\"\n".to_owned();
        for (name, _) in plugins {
            let _ = writeln!(toml, "[[route]]\npath = \"/{name}\"\nbalancer = \"{name}\"");
            let keys = balancer.replace("NAME", name);
            let _ = writeln!(toml, "[balancer.{name}]\n{keys}");
            toml += &self.toml(name, favourite);
        }
        let start = Proxy::with(&toml);
        plugins.iter().fold(start, |start, (name, component)| {
            start.component(name, component, keys(name))
        })
    }
}

/// The keys of a plugin with this fault. What is large takes its time in a build for debugging.
fn keys(fault: &str) -> &'static str {
    let is_large = ["oversized", "too_much", "at_length", "long"].map(|part| fault.contains(part));
    match is_large.contains(&true) {
        true => "deadline = \"1s\"",
        false => "",
    }
}

/// The field that asks for a fault.
fn asking_for(fault: &str) -> String {
    format!("{FAULT}: {fault}")
}

#[track_caller]
fn ask(proxy: &Proxy, path: &str, fault: &str) -> String {
    server(&proxy.exchange(&format!("GET {path}"), &[&asking_for(fault)]))
}

/// Checks that a plugin decides, that the request which meets its fault is served without it, that it decides again, and
/// that the log tells of the fault.
#[track_caller]
fn assert_fault_costs_nothing(
    proxy: &Proxy,
    (name, fault, kind): (&str, &str, &str),
    component: &Component,
    (by_plugin, by_fallback): (&str, &str),
) {
    let path = format!("/{name}");
    let served = ["none", fault, "none"].map(|fault| ask(proxy, &path, fault));
    assert_eq!(served, [by_plugin, by_fallback, by_plugin], "{name}");
    let line = proxy.await_fault(name, &version(&component.build()), kind);
    assert!(line.contains("WARN"), "{line}");
    assert!(line.contains("; the fallback decides"), "{line}");
}

/// The kind that a fault of `select` is counted by.
fn kind(fault: &str) -> &'static str {
    match fault {
        "unreachable" | "division_by_zero" | "out_of_bounds" | "trapping_return"
        | "restrict_to_count" => "trap",
        "deep_recursion" => "stack",
        "position_of_count" | "position_of_max" => "position",
        "restrict_to_giant_list" | "bogus_answer" => "malformed",
        "refused_memory" => "memory",
        _ => "deadline",
    }
}

/// Wants 64 MiB, and traps without.
fn refused_memory() -> Component {
    let grow = "(if (i32.eq (memory.grow (i32.const 1000)) (i32.const -1)) (then unreachable))";
    answering(0).when_header(FAULT, "refused_memory", &format!("{grow} {}", answer(0)))
}

#[test]
fn a_fault_in_select_costs_no_request() {
    let members = Members::new();
    let own: (&str, fn() -> Component) = ("refused_memory", refused_memory);
    let plugins = SELECT_FAULTS.into_iter().chain([own]);
    let plugins: Vec<_> = plugins
        .map(|(name, fixture)| (name.to_owned(), fixture()))
        .collect();
    let method = "lbmethod = { plugin = \"NAME\" }";
    let proxy = members.with_each(&plugins, method, 1).start();
    for (name, component) in &plugins {
        let case = (&**name, &**name, kind(name));
        assert_fault_costs_nothing(&proxy, case, component, ("b1", "b2"));
    }
    assert_modest(&proxy);
}

#[track_caller]
fn assert_modest(proxy: &Proxy) {
    let peak = proxy.peak_memory();
    assert!(peak < MEMORY, "{peak}");
}

#[test]
fn a_fault_in_read_costs_no_request() {
    let members = Members::new();
    let mut plugins = Vec::new();
    for (kind, affinity) in [("route", Affinity::Route), ("key", Affinity::Key)] {
        for (name, fixture) in READ_FAULTS {
            plugins.push((format!("{kind}-{name}"), fixture(affinity)));
        }
    }
    let session = "stickysession = { plugin = \"NAME\" }";
    let proxy = members.with_each(&plugins, session, 0).start();
    for (name, component) in &plugins {
        let (_, fault) = name.split_once('-').expect("two parts");
        let kind = match fault {
            "invalid_utf_8" | "giant" | "giant_at_bogus_address" | "unknown_kind" => "malformed",
            _ => "session",
        };
        let case = (&**name, fault, kind);
        assert_fault_costs_nothing(&proxy, case, component, ("b2", "b1"));
    }
    assert_modest(&proxy);
}

/// Who asks for the fault gets an answer without a cookie of the plugin, and the next one gets a proper cookie.
#[test]
fn a_fault_in_issue_costs_the_cookie_only() {
    let issued = |text: &str| with_text(text.as_bytes(), "call $issued");
    let table = [
        ("line_break", issued("SID=a\r\nX-Injected: yes"), "session"),
        ("nul", issued("SID=a\0"), "session"),
        ("beyond_ascii", issued("SID=ä"), "session"),
        ("nameless", issued("a; Path=/"), "session"),
        ("empty", issued(""), "session"),
        ("long", with_long_text(4097, "call $issued"), "session"),
        (
            "invalid",
            with_text(b"SID=\xff", "call $issued"),
            "malformed",
        ),
        ("trap", trap(), "trap"),
        ("endless", endless_loop(), "deadline"),
    ];
    let plugins = table.each_ref().map(|(name, bad, _)| {
        let asked = with_text(FAULT.as_bytes(), "(i32.const 48) call $header");
        let body = format!(
            "{asked} (if (i32.load8_u (i32.const 48)) (then {bad} return)) {}",
            issued("SID=good")
        );
        let component = Component::session(&none())
            .also("session-cookie")
            .function("session-cookie#issue", &body);
        (name.to_string(), component)
    });
    let members = Members::new();
    let session = "stickysession = { plugin = \"NAME\" }";
    let proxy = members.with_each(&plugins, session, 0).start();
    for ((name, component), (_, _, kind)) in plugins.iter().zip(&table) {
        let line = format!("GET /{name}");
        let faulty = proxy.exchange(&line, &[&asking_for(name)]);
        assert_eq!(server(&faulty), "b1", "{name}");
        assert_eq!(faulty.field("set-cookie"), None, "{name}");
        assert_eq!(faulty.field("x-injected"), None, "{name}");
        let next = proxy.get(&format!("/{name}"));
        assert_eq!(next.field("set-cookie"), Some("SID=good"), "{name}");
        proxy.await_fault(name, &version(&component.build()), kind);
    }
}

/// A session that goes to its member without asking is told to the plugin, which goes wrong about it.
#[test]
fn a_fault_in_charge_costs_no_request() {
    let members = Members::new();
    let plugins = [("trap", trap()), ("deadline", endless_loop())].map(|(kind, body)| {
        let charging = answering(0).also("schedule");
        let component = charging.function("schedule#record-sticky", &body);
        (kind.to_owned(), component)
    });
    let method = "lbmethod = { plugin = \"NAME\" }\nstickysession = \"SID\"";
    let proxy = members.with_each(&plugins, method, 1).start();
    for (kind, component) in &plugins {
        let line = format!("GET /{kind}");
        let sticky = proxy.exchange(&line, &["Cookie: SID=x.r2"]);
        assert_eq!(server(&sticky), "b2", "{kind}");
        proxy.await_fault(kind, &version(&component.build()), kind);
        assert_eq!(server(&proxy.get(&format!("/{kind}"))), "b1", "{kind}");
    }
}

#[test]
fn what_a_plugin_narrows_before_a_fault_does_not_count() {
    let to_b1 = restrict_fallback(&[0]);
    let to_b1 = to_b1.strip_suffix("call $none").expect("it ends so");
    let members = Members::new();
    for (bad, kind) in [(trap(), "trap"), (answer(2), "position")] {
        let component = answering(0).when_header(FAULT, "late", &format!("{to_b1} {bad}"));
        let proxy = members.with(&component, "").start();
        assert_eq!(ask(&proxy, "/", "late"), "b2", "{kind}");
        proxy.await_fault("p", &version(&component.build()), kind);
        assert_eq!(ask(&proxy, "/", "none"), "b1", "{kind}");
    }
}

/// Goal: what a plugin does to the thread that asks it is bounded, and other threads do not notice. Method: a plugin that may
/// loop for a second, and connections of which some belong to the other thread: those are answered first.
#[test]
fn a_plugin_that_loops_holds_up_its_own_worker_only() {
    let members = Members::new();
    let proxy = members.with_and_without("deadline = \"1s\"").start();
    let mut others: Vec<_> = (0..24).map(|_| proxy.client()).collect();
    for other in &mut others {
        assert_eq!(server(&other.get("/plain")), "b1");
    }
    let mut looping = proxy.client();
    assert_eq!(server(&looping.get("/")), "b1");
    let before = proxy.processor_time();
    looping.ask("GET /", &[&asking_for("endless")]);
    eventually("the plugin loops", || {
        (proxy.processor_time() > before + Duration::from_millis(200)).then_some(())
    });
    for other in &mut others {
        other.ask("GET /plain", &[]);
    }
    let mut answered_meanwhile = 0;
    while !others.is_empty() {
        others.retain_mut(|other| {
            if !other.hears_within(Duration::from_millis(1)) {
                return true;
            }
            assert_eq!(server(&other.response()), "b1");
            if !looping.hears_within(Duration::from_millis(1)) {
                answered_meanwhile += 1;
            }
            false
        });
    }
    assert!(answered_meanwhile > 0);
    assert_eq!(server(&looping.response()), "b2");
}

#[test]
fn everybody_is_served_while_a_plugin_loops_time_and_again() {
    let members = Members::new();
    let proxy = members.with_and_without("max-faults = 1000").start();
    let served_enough = AtomicBool::new(false);
    thread::scope(|scope| {
        // By its weight, one in a hundred requests is b1's when the fallback decides. Too few for a quarantine.
        let asking = || {
            for _ in 0..400 {
                let server = ask(&proxy, "/", "endless");
                assert!(server == "b1" || server == "b2", "{server}");
                if served_enough.load(Ordering::Relaxed) {
                    return;
                }
            }
        };
        let looping = [scope.spawn(asking), scope.spawn(asking)];
        for _ in 0..20 {
            assert_eq!(server(&proxy.get("/plain")), "b1");
            // While a fresh instance is made, the fallback decides.
            let server = ask(&proxy, "/", "none");
            assert!(server == "b1" || server == "b2", "{server}");
        }
        served_enough.store(true, Ordering::Relaxed);
        for client in looping {
            client.join().expect("every request is served");
        }
    });
    assert_eq!(ask(&proxy, "/", "none"), "b1", "the plugin decides again");
}

// Quarantine.

#[test]
fn a_version_with_too_many_faults_is_out_of_service_until_its_file_changes() {
    let members = Members::new();
    let component = unreachable();
    let bad = version(&component.build());
    let proxy = members.with(&component, "").start();
    for fault in 1..=5 {
        assert_eq!(ask(&proxy, "/", "none"), "b1", "before fault {fault}");
        assert_eq!(ask(&proxy, "/", "unreachable"), "b2", "fault {fault}");
    }
    assert_eq!(ask(&proxy, "/", "none"), "b2", "out of service");
    let line = proxy.stderr.line_with("is out of service");
    let said = format!(
        "plugin p: version {bad} is out of service after 5 faults within 10 s; the fallback serves \
         until the file changes"
    );
    assert!(line.contains("ERROR") && line.ends_with(&said), "{line}");

    // A version that is refused does not lift it, and is not said to leave it in service.
    proxy.write("p", b"");
    let refused = proxy.stderr.line_with("is refused");
    assert!(refused.ends_with("; the fallback serves"), "{refused}");
    assert_eq!(ask(&proxy, "/", "none"), "b2", "still out of service");

    proxy.install("p", &component.clone().padded(1).build());
    assert_eq!(ask(&proxy, "/", "none"), "b1", "back in service");
    // The same content as before is a change as well: it was written on purpose.
    proxy.install("p", &component.build());
    for _ in 0..4 {
        assert_eq!(ask(&proxy, "/", "unreachable"), "b2");
    }
    assert_eq!(ask(&proxy, "/", "none"), "b1", "its faults count anew");
    assert_eq!(proxy.stderr.count("is out of service"), 1);
}

#[test]
fn the_version_before_returns_when_one_has_too_many_faults() {
    let members = Members::new();
    let good = counting();
    let proxy = members.with(&good, "max-faults = 2").start();
    assert_eq!(proxy.served(2), ["b1", "b2"]);
    let bad = proxy.install("p", &unreachable().build());
    assert_eq!(ask(&proxy, "/", "none"), "b1");
    for _ in 0..2 {
        assert_eq!(ask(&proxy, "/", "unreachable"), "b2");
    }
    let said = format!(
        "plugin p: version {bad} is out of service after 2 faults within 10 s; version {} serves \
         again",
        version(&good.build())
    );
    let line = proxy.stderr.line_with("is out of service");
    assert!(line.contains("ERROR") && line.ends_with(&said), "{line}");
    assert_eq!(proxy.served(4), ["b1", "b2", "b1", "b2"]);
    assert_eq!(
        ask(&proxy, "/", "unreachable"),
        "b1",
        "it has no such fault"
    );

    proxy.install("p", &answering(1).build());
    assert_eq!(proxy.served(2), ["b2", "b2"]);
}

#[test]
fn the_fallback_serves_when_the_version_before_has_too_many_faults_as_well() {
    let members = Members::new();
    let (one, other) = (unreachable(), unreachable().padded(1));
    let proxy = members.with(&one, "max-faults = 1").start();
    let [one, other] = [one, other].map(|component| component.build());
    proxy.install("p", &other);
    assert_eq!(ask(&proxy, "/", "unreachable"), "b2");
    let (one, other) = (version(&one), version(&other));
    let out = |version: &str| {
        format!("plugin p: version {version} is out of service after 1 faults within 10 s; ")
    };
    proxy
        .stderr
        .line_with(&format!("{}version {one} serves again", out(&other)));
    assert_eq!(ask(&proxy, "/", "none"), "b1");
    assert_eq!(ask(&proxy, "/", "unreachable"), "b2");
    proxy.stderr.line_with(&format!(
        "{}the fallback serves until the file changes",
        out(&one)
    ));
    assert_eq!(ask(&proxy, "/", "none"), "b2");
}

/// A version that was out of service for its faults is none to go back to.
#[test]
fn a_version_that_was_out_of_service_does_not_return() {
    let members = Members::new();
    let proxy = members.with(&unreachable(), "max-faults = 1").start();
    assert_eq!(ask(&proxy, "/", "unreachable"), "b2");
    proxy.stderr.line_with("is out of service");
    let other = proxy.install("p", &unreachable().padded(1).build());
    assert_eq!(ask(&proxy, "/", "unreachable"), "b2");
    proxy.stderr.line_with(&format!(
        "version {other} is out of service after 1 faults within 10 s; the fallback serves"
    ));
    assert_eq!(ask(&proxy, "/", "none"), "b2");
}

#[test]
fn no_session_is_read_while_a_version_is_out_of_service() {
    let members = Members::new();
    let plugins = [("p".to_owned(), READ_FAULTS[0].1(Affinity::Route))];
    let session = "stickysession = { plugin = \"NAME\" }";
    let proxy = members.with_each(&plugins, session, 0).start();
    for _ in 0..5 {
        assert_eq!(ask(&proxy, "/p", READ_FAULTS[0].0), "b1");
    }
    proxy.stderr.line_with("is out of service");
    assert_eq!(ask(&proxy, "/p", "none"), "b1");
    proxy.install("p", &reading(Affinity::Route, "r2").build());
    assert_eq!(ask(&proxy, "/p", "none"), "b2");
}

// Files that hold no plugin.

/// What is said of each component that is started and found wanting.
const START_REASONS: [(&str, &str); 6] = [
    ("configure_traps", "in configure: trap: "),
    (
        "configure_loops",
        "in configure: deadline: did not return within its deadline",
    ),
    (
        "configure_refuses",
        "its configure refuses: `zone` is missing: say `zone = \"a\"`",
    ),
    ("configure_refuses_at_length", "its configure refuses: aaaa"),
    ("start_traps", "it does not start: trap: "),
    (
        "start_loops",
        "it does not start: deadline: did not return within its deadline",
    ),
];

/// What is said of each component that is not even started.
const LOAD_REASONS: [(&str, &str); 3] = [
    (
        "of_another_version",
        "@0.2.0`; this program supports version 0.1",
    ),
    (
        "without_role",
        "it exports `equipoise:balancer/state@0.1.0`, but none of selector, session and health",
    ),
    (
        "importing_unknown",
        "it imports `test:fixture/secrets`, which plugins are not granted",
    ),
];

fn reason(name: &str) -> &'static str {
    let reasons = START_REASONS.iter().chain(&LOAD_REASONS);
    let mut reasons = reasons.filter(|(fixture, _)| *fixture == name);
    reasons.next().expect("each fixture has a reason").1
}

/// Every component that is refused, with the reason.
fn refused_components() -> Vec<(&'static str, Component, &'static str)> {
    let faults = START_FAULTS.into_iter().chain(LOAD_FAULTS);
    let faults = faults.map(|(name, fixture)| (name, fixture(), reason(name)));
    let more = [
        (
            "wrong_role",
            reading(Affinity::Route, "r2"),
            "it has no export `equipoise:balancer/selector@0.1.0`; it is fit to be: session",
        ),
        (
            "of_no_use_yet",
            Component::exporting(&["health"]),
            "it has no export `equipoise:balancer/selector@0.1.0`; it is fit to be: health",
        ),
        (
            "starting_large",
            answering(0).declaring("(table 300000 funcref)"),
            "it does not start: memory: ",
        ),
        (
            "columns_trap",
            prefetching(&[], &none()).function("prefetch#columns", &trap()),
            "in prefetch.columns: trap: ",
        ),
        (
            "columns_loop",
            prefetching(&[], &none()).function("prefetch#columns", &endless_loop()),
            "in prefetch.columns: deadline: ",
        ),
        (
            "columns_unknown",
            prefetching(&["ids", "busi"], &answer(0)),
            "its prefetch.columns cannot be: there is no column `busi`; the columns are ids, ",
        ),
        (
            "columns_twice",
            prefetching(&["busy", "busy"], &answer(0)),
            "its prefetch.columns cannot be: the column `busy` is named twice",
        ),
        (
            "smoke_test_traps",
            Component::selector(&trap()),
            "in the smoke test: trap: ",
        ),
        (
            "smoke_test_is_off",
            Component::selector(&answer(2)),
            "in the smoke test: position 2 of 2 candidates",
        ),
    ];
    faults.chain(more).collect()
}

#[test]
fn a_component_that_is_refused_at_the_start_leaves_the_fallback() {
    let members = Members::new();
    let refused = refused_components();
    let plugins: Vec<_> = refused
        .iter()
        .map(|(name, component, _)| (name.to_string(), component.clone()))
        .collect();
    let method = "lbmethod = { plugin = \"NAME\" }";
    let proxy = members.with_each(&plugins, method, 1).start();
    for (name, component, reason) in &refused {
        assert_eq!(server(&proxy.get(&format!("/{name}"))), "b2", "{name}");
        let version = version(&component.build());
        let line = proxy
            .stderr
            .line_with(&format!("plugin {name}: version {version} is refused: "));
        assert!(line.contains("ERROR") && line.contains(reason), "{line}");
        assert!(line.ends_with("; the fallback serves"), "{line}");
        assert!(line.len() < 600, "{name}: {}", line.len());
    }
    assert_eq!(proxy.stderr.text().lines().count(), refused.len());
    assert_modest(&proxy);
}

#[test]
fn a_file_that_is_refused_changes_nothing() {
    let members = Members::new();
    let proxy = members.with(&answering(0), "deadline = \"100ms\"").start();
    let good = version(&answering(0).build());
    let files: [(Vec<u8>, &str); 7] = [
        (Vec::new(), "the file is empty"),
        (
            b"(module)\n".to_vec(),
            "it is no WebAssembly: it begins with \"(mod\"",
        ),
        (
            b"ERROR\r\nWARN\n".to_vec(),
            "it is no WebAssembly: it begins with \"ERRO\"",
        ),
        (b"\0asm\x0d".to_vec(), "it is cut off after 5 bytes"),
        (
            answering(1).core_module(),
            "it is a core module, not a component: build it for wasm32-wasip2, or make it one by \
             `wasm-tools component new`",
        ),
        (answering(1).truncated(), "it is no valid component: "),
        (
            b"\0asm\x02\0\x01\0".to_vec(),
            "it is of a WebAssembly version that is not known: [02, 00, 01, 00]",
        ),
    ];
    let components = refused_components();
    let components = components
        .into_iter()
        .map(|(_, component, reason)| (component.build(), reason));
    for (content, reason) in files.into_iter().chain(components) {
        proxy.write("p", &content);
        let refused = format!("plugin p: version {} is refused: ", version(&content));
        let line = proxy.stderr.line_with(&refused);
        assert!(
            line.contains("ERROR") && line.contains(reason),
            "{line}\n{reason}"
        );
        assert!(
            line.ends_with(&format!("; version {good} serves on")),
            "{line}"
        );
        assert_eq!(ask(&proxy, "/", "none"), "b1", "{reason}");
    }
    assert_eq!(proxy.stderr.count("fault as"), 0, "no request met a fault");
    assert_modest(&proxy);
}

#[test]
fn a_file_that_cannot_be_read_changes_nothing() {
    let members = Members::new();
    let proxy = members.with(&answering(0), "").start();
    let good = version(&answering(0).build());
    let path = proxy.path("p.wasm");
    let assert_served_on = |reason: &str| {
        let line = proxy
            .stderr
            .line_with(&format!("p.wasm cannot be read: {reason}"));
        assert!(
            line.contains("ERROR") && line.contains(": plugin p: "),
            "{line}"
        );
        assert!(
            line.ends_with(&format!("; version {good} serves on")),
            "{line}"
        );
        assert_eq!(ask(&proxy, "/", "none"), "b1", "{reason}");
    };
    let file = File::create(&path).expect("a file can be written");
    file.set_len(65 << 20).expect("a file can be long");
    assert_served_on("it has 68157440 bytes, but up to 67108864 are allowed");
    fs::remove_file(&path).expect("it is there");
    assert_served_on("No such file or directory");
    fs::create_dir(&path).expect("a folder");
    assert_served_on("it is a directory, not a file");
    fs::remove_dir(&path).expect("it is there");
    proxy.install("p", &answering(1).build());
    assert_eq!(ask(&proxy, "/", "none"), "b2");
    assert_modest(&proxy);
}

/// Goal: nothing is compiled over and over. Method: the file of another plugin is changed afterwards; that is seen later.
#[test]
fn a_refused_file_is_tried_again_when_its_content_changes() {
    let members = Members::new();
    let start = members.with(&answering(0), "").plugin("q", "");
    let proxy = start.file("q.wasm", "").start();
    proxy.write("p", b"nonsense");
    proxy.stderr.line_with("it is no WebAssembly");
    proxy.write("p", b"nonsense");
    proxy.install("q", &answering(0).build());
    fs::remove_file(proxy.path("p.wasm")).expect("it is there");
    proxy.stderr.line_with("p.wasm cannot be read");
    proxy.write("p", b"nonsense");
    proxy.install("q", &answering(1).build());
    proxy.install("p", &answering(1).build());
    assert_eq!(proxy.stderr.count("plugin p: version "), 3);
    assert_eq!(proxy.stderr.count("it is no WebAssembly"), 1);
}

// State.

/// Goal: a state that cannot be handed over costs no request: the next version starts afresh. Method: two calls are counted,
/// so that the third position would be next, were it not for the fault.
#[test]
fn a_fault_in_handing_over_state_costs_the_state_only() {
    let [b1, b2, b3] = Origin::some();
    let mut toml = "[[listen]]\naddress = \"127.0.0.1:0\"\n".to_owned();
    for (name, _) in STATE_FAULTS {
        let _ = writeln!(toml, "[[route]]\npath = \"/{name}\"\nbalancer = \"{name}\"");
        let _ = writeln!(
            toml,
            "[balancer.{name}]\nlbmethod = {{ plugin = \"{name}\" }}"
        );
        for origin in [&b1, &b2, &b3] {
            let _ = writeln!(
                toml,
                "[[balancer.{name}.member]]\nurl = \"{}\"",
                origin.url()
            );
        }
    }
    let start = STATE_FAULTS
        .into_iter()
        .fold(Proxy::with(&toml), |start, (name, fixture)| {
            start.component(name, &fixture(), keys(name))
        });
    let proxy = start.start();
    for (name, fixture) in STATE_FAULTS {
        let line = format!("GET /{name}");
        assert_eq!(proxy.served_to(2, &line, &[]), ["b1", "b2"], "{name}");
        let old = version(&fixture().build());
        let new = proxy.install(name, &fixture().padded(1).build());
        let (culprit, kind) = match name {
            "save_traps" => (&old, "trap"),
            "save_loops" => (&old, "deadline"),
            "save_too_much" => (&old, "malformed"),
            "restore_traps" => (&new, "trap"),
            "restore_loops" => (&new, "deadline"),
            _ => (&new, ""),
        };
        match kind {
            "" => {
                let said = "it refuses the state of the version before: written by a stranger";
                let line = proxy.stderr.line_with(said);
                assert!(line.contains(&format!("version {culprit}: ")), "{line}");
            }
            kind => {
                proxy.await_fault(name, culprit, kind);
            }
        }
        let served = proxy.served_to(4, &line, &[]);
        assert_eq!(served, ["b1", "b2", "b3", "b1"], "{name}");
    }
    assert_eq!(proxy.stderr.count("fault as"), 5);
}

// Growth and noise.

/// Goal: a leak costs no request anything. Method: a plugin that needs 64 KiB more with every call, and traps at 1 MiB, is asked
/// until it has leaked many times that.
#[test]
fn a_plugin_that_leaks_is_renewed_before_it_fails() {
    let members = Members::new();
    let proxy = members.with(&leak(), "memory = \"1MiB\"").start();
    let mut client = proxy.client();
    let mut ask = |times| (0..times).for_each(|_| assert_eq!(server(&client.get("/")), "b1"));
    ask(200);
    let before = proxy.memory();
    ask(800);
    let grown = proxy.memory().saturating_sub(before);
    assert_eq!(proxy.stderr.count("fault as"), 0, "{}", proxy.stderr.text());
    assert!(grown < 8 * MEGABYTE, "{grown} more for 800 × 64 KiB");
}

/// Grows with every call, so that it is renewed soon, and counts them.
fn growing_and_counting() -> Component {
    let grow = "(if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))";
    let count = "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (call $some (i32.rem_u (i32.sub (global.get $calls) (i32.const 1)) (local.get $count)))";
    counting().function("selector#select", &format!("{grow} {count}"))
}

#[test]
fn a_plugin_that_is_renewed_goes_on_where_it_was() {
    let [b1, b2, b3] = Origin::some();
    let proxy = Proxy::before(&[&b1, &b2, &b3])
        .balancer(CHOOSES)
        .component("p", &growing_and_counting(), "memory = \"1MiB\"")
        .start();
    assert_eq!(proxy.served(60), ["b1", "b2", "b3"].repeat(20));
    assert_eq!(proxy.stderr.count("fault as"), 0);
}

/// The state is lost then, and every request is decided.
#[test]
fn a_renewal_that_goes_wrong_is_told() {
    let table = [
        ("state#save", trap(), ": fault as selector: trap: "),
        ("state#restore", trap(), ": fault as selector: trap: "),
        (
            "state#restore",
            with_text(b"\r\nno", "call $error"),
            r": it refuses the state of the version before: \r\nno",
        ),
    ];
    for (function, body, said) in table {
        let [b1, b2] = Origin::some();
        let component = growing_and_counting().function(function, &body);
        let proxy = Proxy::before(&[&b1, &b2])
            .balancer(CHOOSES)
            .component("p", &component, "memory = \"1MiB\"\nmax-faults = 1000")
            .start();
        let served = proxy.served(20);
        let line = proxy.stderr.line_with(said);
        assert!(line.contains("plugin=\"p\""), "{line}");
        let again = served.iter().skip(1).step_by(2).position(|it| it == "b1");
        assert!(again.is_some(), "{function}: it starts afresh: {served:?}");
    }
}

/// A fresh instance would be as full, and forget what this one knows.
#[test]
fn a_plugin_that_has_all_its_memory_from_the_start_is_not_renewed() {
    let [b1, b2, b3] = Origin::some();
    let count = "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (call $some (i32.rem_u (i32.sub (global.get $calls) (i32.const 1)) (local.get $count)))";
    let component = Component::selector(count).declaring(
        "(global $calls (mut i32) (i32.const 0))
        (func $grow (if (i32.eq (memory.grow (i32.const 14)) (i32.const -1)) (then unreachable)))
        (start $grow)",
    );
    let proxy = Proxy::before(&[&b1, &b2, &b3])
        .balancer(CHOOSES)
        .component("p", &component, "memory = \"1MiB\"")
        .start();
    assert_eq!(proxy.served(6), ["b1", "b2", "b3"].repeat(2));
}

#[test]
fn a_plugin_cannot_forge_lines_of_the_log() {
    let members = Members::new();
    let proxy = members.with(&forging_log(), "").start();
    assert_eq!(ask(&proxy, "/", "none"), "b1");
    let line = proxy.stderr.line_with("ERROR two");
    let written = r#" INFO equipoise::plugin: one\r\nERROR two \u{1b}[31m\u{0} plugin="p""#;
    assert!(line.ends_with(written), "{line}");
}

/// A plugin that logs for as long as it may run, time and again, is heard ten times a second.
#[test]
fn a_plugin_that_floods_the_log_is_heard_now_and_then() {
    let members = Members::new();
    let proxy = members.with(&log_flood(), "max-faults = 1000").start();
    let start = std::time::Instant::now();
    eventually("lines are counted instead of written", || {
        assert_eq!(ask(&proxy, "/", "log_flood"), "b2");
        (proxy.stderr.count("lines dropped") > 0).then_some(())
    });
    assert_eq!(ask(&proxy, "/", "none"), "b1");
    let most = 21 + start.elapsed().as_millis() / 100;
    // The smoke test and the start come before the clock.
    let written = proxy.stderr.count("again plugin=\"p\"") as u128;
    assert!((1..=most).contains(&written), "{written} of {most}");
}
