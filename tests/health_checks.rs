//! Active checks: who is found to be ill, by what, and who is well again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use crate::harness::proxy::server;
use crate::harness::{Exchange, Origin, Proxy};

/// Checked ten times a second at `/health`.
const CHECKED: &str = "hcmethod = \"GET\"\nhcuri = \"/health\"\nhcinterval = \"100ms\"";

/// A member whose answer to `/health` is another matter than its service.
fn member(name: &str, health: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Origin {
    let serves = name.to_owned();
    Origin::named(name)
        .answering(move |exchange| match exchange.target() {
            "/health" => health(exchange),
            _ => exchange.respond("200 OK", &serves),
        })
        .start()
}

/// The log's line about a member.
fn line(proxy: &Proxy, member: &Origin, says: &str) -> String {
    let line = format!("member {} {says}", member.url());
    proxy.stderr.line_with(&line)
}

/// A member's answer to a check, the member's keys, and the cause in the log.
#[test]
fn members_that_do_not_answer_as_expected_are_left_out() {
    type Health = fn(&mut Exchange);
    let table: [(Health, &str, &str); 8] = [
        (|it| it.respond("500 No", ""), "", "500, expected 200-399"),
        (
            |it| it.respond("200 OK", "nok"),
            "hcexpect = { body = \"^ok$\" }",
            "body",
        ),
        (
            |it| it.respond("200 OK", ""),
            "hcexpect = { header = { x-ready = \"yes\" } }",
            "x-ready",
        ),
        (
            |it| it.respond("204 No Content", ""),
            "hcexpect = { status = \"200\" }",
            "204, expected 200",
        ),
        (
            Exchange::stall,
            "hctimeout = \"50ms\"",
            "no response within 50ms",
        ),
        (|it| it.send("SSH-2.0-OpenSSH\r\n"), "", "last check:"),
        (Exchange::reset, "", "last check:"),
        (
            |it| it.respond("404 Not Found", ""),
            "hcfails = 3",
            "failed 3 checks in a row",
        ),
    ];
    for (health, keys, cause) in table {
        let (ill, well) = (member("ill", health), Origin::live("well"));
        let proxy = Proxy::before(&[])
            .member(&ill, &format!("{CHECKED}\n{keys}"))
            .member(&well, "")
            .start();
        let line = line(&proxy, &ill, "is unhealthy");
        assert!(line.contains(cause), "{cause}: {line}");
        assert_eq!(proxy.served(4), ["well"; 4], "{cause}");
    }
}

#[test]
fn dead_member_is_found_without_a_request_and_comes_back() {
    let (mut b1, b2) = (Origin::named("b1").refusing(), Origin::live("b2"));
    let proxy = Proxy::before(&[])
        .member(
            &b1,
            "hcmethod = \"TCP\"\nhcinterval = \"100ms\"\nhcpasses = 2",
        )
        .member(&b2, "")
        .start();
    let ill = line(&proxy, &b1, "is unhealthy: failed a check: no connection");
    assert!(ill.contains("Connection refused"), "{ill}");
    assert_eq!(proxy.served(4), ["b2"; 4]);
    b1.listen();
    line(&proxy, &b1, "is healthy: passed 2 checks in a row");
    assert!(proxy.served(4).contains(&"b1".to_owned()));
}

/// Apache: checks that pass beat `retry`.
#[test]
fn passed_checks_end_the_error_state() {
    let (mut b1, b2) = (Origin::named("b1").refusing(), Origin::live("b2"));
    let proxy = Proxy::before(&[])
        .member(
            &b1,
            "retry = \"1h\"\nhcmethod = \"TCP\"\nhcinterval = \"100ms\"\nhcfails = 100",
        )
        .member(&b2, "")
        .start();
    assert_eq!(proxy.served(2), ["b2"; 2]);
    line(&proxy, &b1, "is in error for 3600s");
    b1.listen();
    line(&proxy, &b1, "is no longer in error: it passed its checks");
    assert!(proxy.served(4).contains(&"b1".to_owned()));
}

#[test]
fn nobody_healthy_is_panic_unless_it_is_off() {
    for (threshold, served) in [("10%", "b1"), ("0%", "503")] {
        let b1 = member("b1", |exchange| exchange.respond("500 No", ""));
        let proxy = Proxy::before(&[])
            .balancer(&format!("panic-threshold = \"{threshold}\""))
            .member(&b1, CHECKED)
            .start();
        line(&proxy, &b1, "is unhealthy");
        if served == "b1" {
            proxy.stderr.line_with("panics: 0 of 1 members are healthy");
        }
        let response = proxy.get("/");
        assert_eq!(server(&response), served, "{threshold}");
        assert_eq!(response.field("retry-after").is_some(), served == "503");
    }
}

/// What the issue asks for: a member killed under load costs no GET, and comes back.
#[test]
fn member_that_dies_under_load_costs_no_get() {
    let (mut b1, b2) = (Origin::live("b1"), Origin::live("b2"));
    let checked = "hcmethod = \"TCP\"\nhcinterval = \"100ms\"\nretry = \"1h\"\nslow-start = \"1s\"";
    let proxy = Proxy::before(&[])
        .member(&b1, checked)
        .member(&b2, checked)
        .start();
    let is_over = Arc::new(AtomicBool::new(false));
    let address = proxy.address();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let is_over = is_over.clone();
            thread::spawn(move || {
                let mut client = crate::harness::Client::connect(address);
                let mut statuses = Vec::new();
                while !is_over.load(Relaxed) {
                    statuses.push(client.get("/").status());
                }
                statuses
            })
        })
        .collect();
    b1.await_hits(20);
    b1.stop();
    line(&proxy, &b1, "is unhealthy");
    b1.listen();
    line(&proxy, &b1, "is healthy");
    let before = b1.hits();
    b1.await_hits(before + 20);
    is_over.store(true, Relaxed);
    for client in clients {
        let statuses = client.join().expect("a client");
        assert!(!statuses.is_empty());
        assert!(statuses.iter().all(|&status| status == 200), "{statuses:?}");
    }
}

#[test]
fn stopped_member_is_not_checked() {
    let (stopped, checked) = (Origin::live("stopped"), Origin::live("checked"));
    let proxy = Proxy::before(&[])
        .member(&stopped, &format!("{CHECKED}\nstatus = \"+S\""))
        .member(&checked, CHECKED)
        .start();
    checked.await_hits(5);
    assert_eq!(stopped.hits(), 0);
    drop(proxy);
}

/// Alternating answers are no row.
#[test]
fn member_that_flaps_is_not_left_out_before_it_fails_in_a_row() {
    let checks = AtomicUsize::new(0);
    let flapping = member("flapping", move |exchange| {
        let is_even = checks.fetch_add(1, Relaxed).is_multiple_of(2);
        exchange.respond(if is_even { "200 OK" } else { "500 No" }, "");
    });
    let proxy = Proxy::before(&[])
        .member(&flapping, &format!("{CHECKED}\nhcfails = 2"))
        .start();
    flapping.await_hits(12);
    assert_eq!(proxy.stderr.count("is unhealthy"), 0);
}
