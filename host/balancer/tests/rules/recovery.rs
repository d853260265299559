//! The error state: how a member enters and leaves it.

use std::time::Duration;

use equipoise_balancer::{AttemptOutcome, BalancerSettings};

use crate::site::{Site, settings};

/// Apache 2.4.71 (apache-semantics 1.13): `failonstatus=503` on b1, `retry=2`.
#[test]
fn member_that_responds_with_a_status_of_failonstatus_waits_for_its_retry() {
    let settings = BalancerSettings {
        failonstatus: vec![500, 503],
        ..settings()
    };
    let site = Site::with(settings, "byrequests", &["retry=2", "retry=2"]);
    assert_eq!(site.serve(), "b1");
    site.report("b1", AttemptOutcome::Responded(503));
    assert_eq!(site.sequence(3), "b2 b2 b2");
    site.wait(Duration::from_millis(2_200));
    assert_eq!(site.sequence(4), "b2 b1 b2 b1");
}

#[test]
fn only_what_the_settings_name_puts_a_member_into_error() {
    let failing = || BalancerSettings {
        failonstatus: vec![503],
        failontimeout: true,
        ..settings()
    };
    let table = [
        (settings(), AttemptOutcome::Unreachable, true),
        (settings(), AttemptOutcome::Connected, false),
        (settings(), AttemptOutcome::Responded(503), false),
        (settings(), AttemptOutcome::TimedOut, false),
        (failing(), AttemptOutcome::Responded(503), true),
        (failing(), AttemptOutcome::Responded(502), false),
        (failing(), AttemptOutcome::TimedOut, true),
    ];
    for (settings, outcome, in_error) in table {
        let site = Site::with(settings, "byrequests", &["", "status=I"]);
        site.report("b1", outcome);
        site.report("b2", outcome);
        assert_eq!(site.in_error("b1"), in_error, "{outcome:?}");
        assert!(!site.in_error("b2"), "b2 ignores errors: {outcome:?}");
        let since = site.member("b1").counters.error_since();
        assert_eq!(since, in_error.then(|| site.now()));
    }
}

#[test]
fn retry_comes_strictly_later_than_its_time() {
    let site = Site::new(&["retry=60", ""]);
    site.fail(&["b1"]);
    site.wait(Duration::from_secs(60));
    assert_eq!(site.sequence(2), "b2 b2");
    assert_eq!(site.member("b1").counters.retries(), 0);
    site.wait(Duration::from_nanos(1));
    assert_eq!(site.sequence(2), "b1 b2");
    assert_eq!(site.member("b1").counters.retries(), 1);
}

#[test]
fn retry_of_zero_tries_again_at_once() {
    let site = Site::new(&["retry=0", ""]);
    site.fail(&["b1"]);
    assert_eq!(site.sequence(2), "b1 b2");
}

#[test]
fn time_that_runs_backwards_only_prolongs_the_error() {
    let site = Site::new(&["retry=1", ""]);
    let later = site.now() + Duration::from_secs(100);
    let failed = site.member("b1");
    site.balancer
        .report(failed, AttemptOutcome::Unreachable, later);
    assert_eq!(site.sequence(2), "b2 b2");
}

#[test]
fn longest_retry_never_comes() {
    let site = Site::new(&["retry=18446744073709551615", ""]);
    site.fail(&["b1"]);
    site.wait(Duration::from_secs(1 << 40));
    assert_eq!(site.sequence(2), "b2 b2");
}

#[test]
fn connection_made_forgets_the_retries() {
    let site = Site::new(&["retry=1"]);
    for retries in 1..=3 {
        site.fail(&["b1"]);
        site.wait(Duration::from_secs(2));
        assert_eq!(site.serve(), "b1");
        assert_eq!(site.member("b1").counters.retries(), retries);
    }
    site.report("b1", AttemptOutcome::Connected);
    assert_eq!(site.member("b1").counters.retries(), 0);
}

#[test]
fn connection_made_does_not_end_an_error_reported_meanwhile() {
    let site = Site::new(&["", ""]);
    site.fail(&["b1"]);
    site.report("b1", AttemptOutcome::Connected);
    assert!(site.in_error("b1"));
}

#[test]
fn stopped_member_stays_in_error() {
    let site = Site::new(&["status=S retry=0", ""]);
    site.fail(&["b1"]);
    site.wait(Duration::from_secs(100));
    site.serve();
    assert!(site.in_error("b1"));
}

#[test]
fn errors_of_all_members_are_forgotten_at_once() {
    let site = Site::new(&["", "", "lbset=1"]);
    site.fail(&["b1", "b2", "b3"]);
    assert_eq!(site.sequence(3), "b1 b2 b1");
    for member in ["b1", "b2", "b3"] {
        assert!(!site.in_error(member));
        assert_eq!(site.member(member).counters.retries(), 1);
    }
}

#[test]
fn without_forcerecovery_the_errors_of_all_members_hold() {
    let settings = BalancerSettings {
        forcerecovery: false,
        ..settings()
    };
    let site = Site::with(settings, "byrequests", &["retry=9", "retry=9"]);
    site.fail(&["b1", "b2"]);
    assert_eq!(site.sequence(2), "503 503");
    site.wait(Duration::from_secs(10));
    assert_eq!(site.sequence(2), "b1 b2");
}

#[test]
fn member_free_of_errors_prevents_forced_recovery_even_when_disabled() {
    let site = Site::new(&["", "status=D"]);
    site.fail(&["b1"]);
    assert_eq!(site.serve(), "503");
    assert!(site.in_error("b1"));
}

#[test]
fn forced_recovery_happens_before_the_session_is_looked_at() {
    let site = Site::new(&["route=r1", "route=r2"]);
    site.fail(&["b1", "b2"]);
    assert_eq!(site.serve_session("r2"), "b2");
}

#[test]
fn error_outlives_a_change_of_configuration_unless_that_ignores_errors() {
    let site = Site::new(&["", ""]);
    site.fail(&["b1"]);
    assert_eq!(site.reconfigured(&["", ""]).sequence(2), "b2 b2");
    assert_eq!(site.reconfigured(&["status=I", ""]).sequence(2), "b1 b2");
    assert_eq!(site.member("b1").counters.retries(), 1);
}
