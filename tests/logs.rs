//! Logs that cannot be written, and logs that nothing reads: the program serves as if they were read, and counts what is lost.

use std::fs;
use std::process::Stdio;

use tempfile::TempDir;

use crate::admin_socket::ask;
use crate::harness::component::{Component, answer, with_text};
use crate::harness::proxy::{Start, server, write_config};
use crate::harness::{Gate, MEGABYTE, MEMORY, Origin, Outlet, Proxy, Signal, eventually, program};

/// What may be wrong with standard error, and with standard output, where the access log is.
fn broken_outlets() -> impl Iterator<Item = (&'static str, Outlet, [Outlet; 2])> {
    let sinks = ["stdout", "stderr"].into_iter();
    sinks.flat_map(|sink| {
        Outlet::BROKEN.map(|outlet| match sink {
            "stdout" => (sink, outlet, [outlet, Outlet::Read]),
            _ => (sink, outlet, [Outlet::Read, outlet]),
        })
    })
}

const ROUTES: &str = r#"
[admin]
address = "unix:admin.sock"
[[route]]
path = "/dead"
balancer = "dead"
[[route]]
path = "/plain"
balancer = "plain"
[[route]]
path = "/"
balancer = "cluster"
"#;

/// A plugin that logs with each call, and chooses this position.
fn logging(position: u32) -> Component {
    let log = with_text(b"a plugin speaks", "call $log");
    Component::selector(&format!("(i32.const 2) {log} {}", answer(position)))
}

/// A program that logs whatever it does: by a plugin that speaks, by a member that is dead, and a line for each request.
fn talkative(members: &[Origin; 2]) -> Start {
    let member = |balancer: &str, url: &str, keys: &str| {
        format!("[[balancer.{balancer}.member]]\nurl = \"{url}\"\n{keys}\n")
    };
    let [b1, b2] = members;
    let dead = Origin::dead();
    let others = [
        member("dead", &dead.url(), "loadfactor = 100\nretry = \"0s\""),
        member("dead", &b2.url(), ""),
        member("plain", &b1.url(), "loadfactor = 100"),
        member("plain", &b2.url(), ""),
    ];
    Proxy::before(&[b1, b2])
        .top("access-log = { file = \"stdout\", format = \"json\" }")
        .balancer("lbmethod = { plugin = \"p\" }")
        .routes(ROUTES)
        .component("p", &logging(0), &others.concat())
}

/// The number behind a name and labels in the metrics.
#[track_caller]
fn number(proxy: &Proxy, series: &str) -> u64 {
    let text = ask(proxy, "GET /metrics", "Host: localhost\r\n", "");
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    let line = line.unwrap_or_else(|| panic!("no {series} in\n{text}"));
    line.trim().parse().expect("a number")
}

/// How many lines were lost of a sink for a reason.
#[track_caller]
fn lost(proxy: &Proxy, sink: &str, reason: &str) -> u64 {
    let labels = format!("sink=\"{sink}\",reason=\"{reason}\"");
    number(
        proxy,
        &format!("equipoise_log_lines_dropped_total{{{labels}}}"),
    )
}

/// Goal: whatever becomes of a log, no request is lost, and everything that changes the program still does. Method: standard
/// error or standard output is full, closed or not read from the start, and each request logs.
#[test]
fn a_broken_log_stops_nothing() {
    for (sink, outlet, outlets) in broken_outlets() {
        let gate = Gate::closed();
        let held = gate.clone();
        let b1 = Origin::named("b1").answering(move |exchange| {
            if exchange.target() == "/slow" {
                held.wait();
            }
            exchange.answer("b1");
        });
        let members = [b1.start(), Origin::live("b2")];
        let mut proxy = talkative(&members).start_writing_to(outlets);
        assert_eq!(proxy.served(30), ["b1"; 30], "{sink} {outlet:?}");
        assert_eq!(proxy.served_to(10, "GET /dead", &[]), ["b2"; 10]);

        let applied = "equipoise_config_reloads_total{result=\"applied\"}";
        let before = number(&proxy, applied);
        proxy.signal(Signal::HUP);
        eventually("SIGHUP is heeded", || {
            (number(&proxy, applied) > before).then_some(())
        });
        assert_eq!(proxy.served_to(3, "GET /plain", &[]), ["b1"; 3]);
        let fields = "Host: localhost\r\nContent-Type: application/json\r\n";
        let path = "PATCH /api/v1/balancers/plain/members/0";
        let changed = ask(&proxy, path, fields, "{\"status\": \"+D\"}");
        assert!(changed.starts_with("HTTP/1.1 200 OK\r\n"), "{changed}");
        assert_eq!(proxy.served_to(3, "GET /plain", &[]), ["b2"; 3]);
        let mut slow = proxy.client();
        slow.ask("GET /slow", &[]);
        members[0].when("a request is under way", |log| {
            let mut requests = log.requests.iter();
            requests.any(|it| it.target() == "/slow").then_some(())
        });
        proxy.write("p", &logging(1).build());
        eventually("the plugin is swapped", || {
            (server(&proxy.get("/")) == "b2").then_some(())
        });

        match outlet {
            // What waits is not lost yet.
            Outlet::Stalled => assert_eq!(lost(&proxy, sink, "full"), 0),
            _ => eventually("what is lost is counted", || {
                (lost(&proxy, sink, "failed") >= 10).then_some(())
            }),
        }
        let healthy = ask(&proxy, "GET /healthz", "Host: localhost\r\n", "");
        assert!(healthy.starts_with("HTTP/1.1 200 OK\r\n"), "{healthy}");
        proxy.signal(Signal::TERM);
        gate.open();
        assert_eq!(server(&slow.response()), "b1", "{sink} {outlet:?}");
        assert_eq!(proxy.wait().code(), Some(0), "{sink} {outlet:?}");
    }
}

/// Goal: what waits for a stalled reader is bounded, and the gap is told of where it is. Method: more than a megabyte is
/// logged, in long lines, before the pipe is read.
#[test]
fn a_log_that_is_not_read_has_a_gap_that_it_tells_of() {
    let url = format!("http://127.0.0.1:1/{}", "x".repeat(900));
    let start = Proxy::before(&[]).member_at(&url, "retry = \"0s\"");
    let mut proxy = start
        .routes("[admin]\naddress = \"unix:admin.sock\"\n[[route]]\npath = \"/\"\nbalancer = \"cluster\"")
        .environment("RUST_LOG", "debug")
        .start_writing_to([Outlet::Read, Outlet::Stalled]);
    let mut client = proxy.client();
    assert_eq!(client.get("/").status(), 503);
    let mut asked = 0;
    while lost(&proxy, "stderr", "full") < 100 {
        for _ in 0..100 {
            assert_eq!(client.get("/").status(), 503);
        }
        asked += 100;
        assert!(asked < 20_000, "{asked} requests, and nothing was lost");
    }
    assert!(proxy.memory() < MEMORY, "{} bytes", proxy.memory());
    let before = lost(&proxy, "stderr", "full");
    proxy.read_stalled();
    let line = proxy.stderr.line_with("log lines were lost");
    let told = line
        .split("lines=")
        .nth(1)
        .and_then(|rest| rest.strip_suffix(" sink=\"stderr\""));
    let told: u64 = told.and_then(|number| number.parse().ok()).expect(&line);
    let after = lost(&proxy, "stderr", "full");
    assert!(
        (before..=after).contains(&told),
        "{before} to {after}: {line}"
    );
    assert_eq!(client.get("/").status(), 503);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
    let text = proxy.stderr.whole();
    assert!(
        text.contains("draining"),
        "what comes behind the gap is written"
    );
    let tries = text.lines().filter(|line| line.contains("attempt failed"));
    for line in tries {
        assert!(line.len() <= 1024 && line.contains("error="), "{line}");
    }
}

/// As above, for requests: lines of 30 kB each, which their client chose.
#[test]
fn an_access_log_that_is_not_read_is_bounded() {
    let [b1] = Origin::some();
    let mut proxy = Proxy::before(&[&b1])
        .top("access-log = { file = \"stdout\" }")
        .routes("[admin]\naddress = \"unix:admin.sock\"\n[[route]]\npath = \"/\"\nbalancer = \"cluster\"")
        .start_writing_to([Outlet::Stalled, Outlet::Read]);
    let agent = format!("User-Agent: {}", "x".repeat(30_000));
    let mut client = proxy.client();
    for _ in 0..2_000 {
        assert_eq!(server(&client.exchange("GET /", &[&agent])), "b1");
    }
    let lost = lost(&proxy, "stdout", "full");
    assert!(lost > 1_000, "60 MB do not fit: {lost}");
    let most = MEMORY + 20 * MEGABYTE;
    assert!(proxy.memory() < most, "{} bytes", proxy.memory());
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
    // The rest is lost at the end.
    let line = proxy.stderr.line_with("log lines were lost");
    assert!(line.ends_with("lines=2001 sink=\"stdout\""), "{line}");
}

#[test]
fn a_broken_log_does_not_keep_another_program_from_taking_over() {
    for outlet in Outlet::BROKEN {
        let [b1] = Origin::some();
        let mut proxy = Proxy::before(&[&b1])
            .top("access-log = { file = \"stdout\" }")
            .start_writing_to([outlet, Outlet::Read]);
        assert_eq!(proxy.served(5), ["b1"; 5]);
        let first = proxy.process();
        proxy.restart();
        assert_eq!(proxy.served(5), ["b1"; 5]);
        Proxy::wait_for(first);
        assert_eq!(proxy.served(5), ["b1"; 5]);
    }
}

#[test]
fn an_access_log_whose_disk_is_full_is_counted_and_told_of_at_the_end() {
    let [b1] = Origin::some();
    let mut proxy = Proxy::before(&[&b1])
        .top("access-log = { file = \"/dev/full\" }")
        .routes("[admin]\naddress = \"unix:admin.sock\"\n[[route]]\npath = \"/\"\nbalancer = \"cluster\"")
        .start();
    proxy.stderr.line_with("the admin listener is open");
    assert_eq!(proxy.served(20), ["b1"; 20]);
    eventually("every line is counted", || {
        (lost(&proxy, "file", "failed") == 20).then_some(())
    });
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
    let line = proxy.stderr.line_with("log lines were lost");
    assert!(line.ends_with("lines=20 sink=\"file\""), "{line}");
}

#[test]
fn what_was_logged_before_the_end_is_there_after_it() {
    let dead = Origin::dead();
    let mut proxy = Proxy::before(&[&dead])
        .environment("RUST_LOG", "debug")
        .start_writing_to([Outlet::Read; 2]);
    let mut client = proxy.client();
    for _ in 0..500 {
        assert_eq!(client.get("/").status(), 503);
    }
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
    let text = proxy.stderr.whole();
    assert!(text.contains("draining"), "{text}");
    let tries = text.lines().filter(|line| line.contains("attempt failed"));
    assert_eq!(tries.count(), 500);
}

#[test]
fn a_stalled_log_does_not_hold_up_a_second_signal() {
    let gate = Gate::closed();
    let held = gate.clone();
    let b1 = Origin::named("b1").answering(move |exchange| {
        held.wait();
        exchange.answer("b1");
    });
    let b1 = b1.start();
    let mut proxy = Proxy::before(&[&b1])
        .top("shutdown-timeout = \"10m\"")
        .start_writing_to([Outlet::Stalled; 2]);
    let mut client = proxy.client();
    client.ask("GET /", &[]);
    b1.await_hits(1);
    proxy.signal(Signal::TERM);
    eventually("it drains", || {
        // Signals that come at once are one.
        proxy.signal(Signal::TERM);
        (!proxy.is_running()).then_some(())
    });
    assert_eq!(proxy.wait().code(), Some(1));
    gate.open();
}

/// A configuration that cannot serve is told of as far as that goes, and the program ends.
#[test]
fn a_start_that_fails_ends_whatever_becomes_of_the_log() {
    for outlet in Outlet::BROKEN {
        let start = Proxy::with("[[listen]]\naddress = \"127.0.0.1:0\"\nworkers = 0\n");
        let mut proxy = start.start_writing_to([outlet; 2]);
        assert_eq!(proxy.wait().code(), Some(1), "{outlet:?}");
    }
}

const GOOD: &str = "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nbalancer = \"b\"\n\
     [[balancer.b.member]]\nurl = \"http://127.0.0.1:9\"\n";

/// Commands may wait for who reads what they print, but they end with an error, and without a panic, where that fails.
#[test]
fn commands_whose_output_is_broken_end_with_an_error() {
    let directory = TempDir::new().expect("a directory");
    let good = write_config(directory.path(), GOOD);
    let good = good.to_str().expect("UTF-8");
    let plugin = directory.path().join("p.wasm");
    fs::write(&plugin, logging(0).build()).expect("a file can be written");
    let plugin = plugin.to_str().expect("UTF-8");
    let commands: [&[&str]; 4] = [
        &["check", good],
        &["plugin", "list"],
        &["plugin", "export", "byrequests", "-"],
        &["plugin", "check", plugin],
    ];
    for outlet in [Outlet::Full, Outlet::Closed] {
        for command in commands {
            let mut run = program(command);
            let output = run.stdout(outlet.stdio()).stderr(Stdio::piped()).output();
            let output = output.expect("the program starts");
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                output.status.code(),
                Some(1),
                "{command:?} {outlet:?}: {stderr}"
            );
            assert!(stderr.contains("writing to standard output: "), "{stderr}");
            assert!(!stderr.contains("panicked"), "{stderr}");

            let mut run = program(command);
            let output = run.stderr(outlet.stdio()).stdout(Stdio::piped()).output();
            let output = output.expect("the program starts");
            assert_eq!(output.status.code(), Some(0), "{command:?} {outlet:?}");
            assert!(!output.stdout.is_empty());
        }
    }
}

/// A thousand lines are told of a hundred at a time: by `check`, by the log and by the API.
#[test]
fn a_file_with_a_thousand_mistakes_is_told_in_a_hundred() {
    let keys: String = (0..1000).map(|number| format!("k{number} = 1\n")).collect();
    let directory = TempDir::new().expect("a directory");
    let path = write_config(directory.path(), &format!("{keys}{GOOD}"));
    let checked = program(&["check", path.to_str().expect("UTF-8")]).output();
    let stderr = checked.expect("the program starts").stderr;
    let stderr = String::from_utf8(stderr).expect("UTF-8");
    assert_eq!(stderr.lines().count(), 101, "{stderr}");
    assert!(
        stderr.ends_with("equipoise.toml: and 900 more mistakes\n"),
        "{stderr}"
    );

    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1])
        .routes("[admin]\naddress = \"unix:admin.sock\"\n[[route]]\npath = \"/\"\nbalancer = \"cluster\"")
        .start();
    let good = fs::read_to_string(proxy.path("equipoise.toml")).expect("a file");
    write_config(&proxy.path(""), &format!("{keys}{good}"));
    proxy.stderr.line_with("and 900 more mistakes");
    proxy
        .stderr
        .line_with("the configuration before stays in force");
    assert_eq!(proxy.stderr.count("unknown key `k"), 100);
    let told = ask(
        &proxy,
        "GET /api/v1/configuration",
        "Host: localhost\r\n",
        "",
    );
    let (_, body) = told.split_once("\r\n\r\n").expect("a body");
    let told: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let problem = &told["refused"];
    let mistakes = problem["mistakes"].as_array().expect("a list");
    assert_eq!(mistakes.len(), 100);
    assert_eq!(problem["more_mistakes"], 900);
}
