use equipoise_sdk::MemberConfig;
use equipoise_sdk::health::{CheckResponse, Failure};
use equipoise_sdk::testing::FakeEnv;

use super::*;

/// The policy with so many members, and its clock.
struct Fixture {
    health: Health,
    now: u64,
}

impl Fixture {
    fn new(members: u32, passes: u32, fails: u32, settings: &[(&str, &str)]) -> Self {
        let mut health = Health::default();
        health
            .configure(&config(members, passes, fails, settings))
            .unwrap();
        Self {
            health,
            now: 1_000_000,
        }
    }

    fn env(&self) -> FakeEnv {
        FakeEnv {
            now_ms: self.now,
            ..FakeEnv::default()
        }
    }

    /// A check of member 0; what changes, in words.
    fn check(&mut self, passed: bool) -> String {
        self.check_of(0, passed)
    }

    /// A check of a member; what changes, in words.
    fn check_of(&mut self, member: u32, passed: bool) -> String {
        let result = CheckResult {
            member,
            at_ms: self.now,
            latency_us: 100,
            response: match passed {
                true => Ok(CheckResponse {
                    status: 200,
                    headers: Vec::new(),
                    body: Vec::new(),
                }),
                false => Err(Failure::Unreachable),
            },
            passed,
        };
        words(&self.health.on_checks(&[result], &self.env()))
    }

    /// A request to a member; what changes, in words.
    fn request(&mut self, member: u32, status: Result<u16, Failure>) -> String {
        let outcome = RequestOutcome {
            member,
            at_ms: self.now,
            latency_us: 100,
            status,
            bytes_sent: 1,
            bytes_received: 1,
        };
        words(&self.health.on_requests(&[outcome], &self.env()))
    }

    /// So much later, without requests.
    fn wait(&mut self, milliseconds: u64) -> String {
        self.now += milliseconds;
        words(&self.health.on_requests(&[], &self.env()))
    }
}

fn config(members: u32, passes: u32, fails: u32, settings: &[(&str, &str)]) -> PolicyConfig {
    let member = |id| MemberConfig {
        id,
        passes,
        fails,
        ..MemberConfig::default()
    };
    PolicyConfig {
        members: (0..members).map(member).collect(),
        ..PolicyConfig::from_settings(settings.iter().copied())
    }
}

fn words(transitions: &[Transition]) -> String {
    let word = |transition: &Transition| {
        let sign = match transition.state {
            State::Healthy => '+',
            State::Unhealthy => '-',
        };
        format!("{sign}{}: {}", transition.member, transition.reason)
    };
    transitions.iter().map(word).collect::<Vec<_>>().join("; ")
}

/// The table of the module doc.
#[test]
fn checks_in_a_row_decide() {
    let mut fixture = Fixture::new(1, 2, 2, &[]);
    let unhealthy = "-0: failed 2 checks in a row: no connection";
    let healthy = "+0: passed 2 checks in a row";
    let checks = [false, true, false, false, true, false, true, true];
    let changes = ["", "", "", unhealthy, "", "", "", healthy];
    for (number, (passed, change)) in checks.into_iter().zip(changes).enumerate() {
        assert_eq!(fixture.check(passed), change, "check {number}");
    }
}

#[test]
fn one_check_is_enough_by_default() {
    let mut fixture = Fixture::new(1, 1, 1, &[]);
    assert_eq!(fixture.check(true), "");
    assert_eq!(fixture.check(false), "-0: failed a check: no connection");
    assert_eq!(fixture.check(true), "+0: passed a check");
}

#[test]
fn requests_eject_no_member_by_default() {
    let mut fixture = Fixture::new(2, 1, 1, &[]);
    for _ in 0..100 {
        assert_eq!(fixture.request(0, Err(Failure::Reset)), "");
    }
}

#[test]
fn failures_in_a_row_eject_for_a_time_that_grows_and_is_forgiven() {
    let settings = [
        ("consecutive-failures", "3"),
        ("eject-ms", "1000"),
        ("max-eject-ms", "3000"),
    ];
    let mut fixture = Fixture::new(2, 1, 1, &settings);
    let eject = |fixture: &mut Fixture| {
        assert_eq!(fixture.request(0, Ok(503)), "");
        assert_eq!(fixture.request(0, Err(Failure::TimedOut)), "");
        fixture.request(0, Ok(500))
    };
    let ejected = |time| format!("-0: 3 requests in a row failed: ejected for {time} s");
    let over = "+0: ejection ended";
    assert_eq!(eject(&mut fixture), ejected(1));
    assert_eq!(fixture.wait(999), "");
    assert_eq!(fixture.wait(1), over);
    assert_eq!(eject(&mut fixture), ejected(2));
    assert_eq!(fixture.wait(2000), over);
    assert_eq!(eject(&mut fixture), ejected(3), "and not 4");
    assert_eq!(fixture.wait(3000), over);
    // Well for 3, 1.5 and 0.75 s: nothing is left of the three.
    for time in [3000, 1500, 750] {
        assert_eq!(fixture.wait(time), "");
    }
    assert_eq!(eject(&mut fixture), ejected(1));
}

#[test]
fn response_in_between_restarts_the_row() {
    let mut fixture = Fixture::new(2, 1, 1, &[("consecutive-failures", "2")]);
    for outcome in [
        Ok(500),
        Ok(499),
        Ok(599),
        Ok(200),
        Err(Failure::Reset),
        Ok(404),
    ] {
        assert_eq!(fixture.request(0, outcome), "");
    }
    assert_eq!(fixture.request(0, Ok(500)), "");
    assert!(fixture.request(0, Ok(500)).starts_with("-0"));
}

#[test]
fn failure_rate_within_the_window_ejects() {
    let settings = [
        ("failure-rate", "50"),
        ("min-requests", "4"),
        ("window-ms", "1000"),
    ];
    let mut fixture = Fixture::new(2, 1, 1, &settings);
    let outcomes = [Ok(200), Ok(500), Ok(200)];
    for outcome in outcomes {
        assert_eq!(fixture.request(0, outcome), "");
    }
    fixture.now += 1100;
    for outcome in outcomes {
        assert_eq!(
            fixture.request(0, outcome),
            "",
            "what was before is out of the window"
        );
    }
    let change = fixture.request(0, Ok(500));
    assert_eq!(change, "-0: 2 of 4 requests failed: ejected for 30 s");
}

#[test]
fn statuses_say_what_a_failure_is() {
    let mut fixture = Fixture::new(
        2,
        1,
        1,
        &[("consecutive-failures", "1"), ("statuses", "429,502-504")],
    );
    for status in [500, 501, 505, 200] {
        assert_eq!(fixture.request(0, Ok(status)), "");
    }
    assert!(fixture.request(0, Ok(429)).starts_with("-0"));
}

/// Members, the share that may be ejected, and how many are when all fail.
#[test]
fn never_more_than_a_share_is_ejected() {
    for (members, share, ejected) in [
        (1, "50", 0),
        (2, "50", 1),
        (3, "50", 1),
        (4, "50", 2),
        (4, "0", 0),
        (4, "100", 4),
    ] {
        let mut fixture = Fixture::new(
            members,
            1,
            1,
            &[("consecutive-failures", "1"), ("max-ejected", share)],
        );
        let ejections = (0..members)
            .filter(|&member| !fixture.request(member, Ok(500)).is_empty())
            .count();
        assert_eq!(ejections, ejected, "{share} % of {members}");
    }
}

#[test]
fn place_of_a_returned_member_is_free_for_another() {
    let mut fixture = Fixture::new(
        2,
        1,
        1,
        &[("consecutive-failures", "1"), ("eject-ms", "1000")],
    );
    assert!(fixture.request(0, Ok(500)).starts_with("-0"));
    assert_eq!(fixture.request(1, Ok(500)), "");
    fixture.wait(1000);
    assert!(fixture.request(1, Ok(500)).starts_with("-1"));
}

#[test]
fn ejected_member_that_fails_its_checks_is_not_back_when_the_ejection_ends() {
    let mut fixture = Fixture::new(
        2,
        1,
        1,
        &[("consecutive-failures", "1"), ("eject-ms", "1000")],
    );
    assert!(fixture.request(0, Ok(500)).starts_with("-0"));
    assert_eq!(fixture.check(false), "");
    assert_eq!(fixture.wait(1000), "");
    assert_eq!(fixture.check(true), "+0: passed a check");
}

#[test]
fn members_that_do_not_exist_are_passed_over() {
    let mut fixture = Fixture::new(
        1,
        1,
        1,
        &[("consecutive-failures", "1"), ("max-ejected", "100")],
    );
    assert_eq!(fixture.request(7, Ok(500)), "");
}

#[test]
fn what_is_saved_goes_on_in_another_instance() {
    let settings = [("consecutive-failures", "3"), ("eject-ms", "1000")];
    let mut fixture = Fixture::new(3, 2, 3, &settings);
    fixture.check(false);
    fixture.check(false);
    fixture.request(1, Ok(500));
    fixture.request(1, Ok(500));
    for _ in 0..3 {
        fixture.request(2, Ok(500));
    }
    let saved = fixture.health.save();
    let mut next = Fixture {
        health: Health::default(),
        now: fixture.now,
    };
    next.health.configure(&config(3, 2, 3, &settings)).unwrap();
    next.health.restore(&saved).unwrap();
    for fixture in [&mut fixture, &mut next] {
        assert!(fixture.check(false).starts_with("-0"));
        assert_eq!(fixture.request(1, Ok(500)), "", "the only place is taken");
        assert_eq!(fixture.wait(1000), "+2: ejection ended");
    }
}

#[test]
fn foreign_state_is_refused_and_changes_nothing() {
    let mut fixture = Fixture::new(1, 1, 2, &[]);
    fixture.check(false);
    for blob in [
        &b"\xff"[..],
        b"x",
        b"0 1",
        b"0 0 0 0 0 0 0 0 0 0",
        b"99999999999 0 0 0 0 0 0 0 0",
    ] {
        assert!(fixture.health.restore(blob).is_err(), "{blob:?}");
    }
    assert!(fixture.check(false).starts_with("-0"));
}

#[test]
fn wrong_settings_are_refused_with_what_would_be_right() {
    let table = [
        (("consecutive-failures", "-1"), "whole number from 0"),
        (("failure-rate", "101"), "percentage from 0 to 100"),
        (("min-requests", "0"), "whole number from 1"),
        (("window-ms", "0"), "milliseconds from 1"),
        (("statuses", "5xx"), "such as `500,502-504`"),
        (("statuses", "504-500"), "such as `500,502-504`"),
        (("colour", "red"), "unknown setting `colour`"),
    ];
    for (setting, complaint) in table {
        let error = Health::default()
            .configure(&config(1, 1, 1, &[setting]))
            .unwrap_err();
        assert!(error.contains(complaint), "{error}");
    }
}

/// Only members that were checked, or that time may have changed, are looked at: with the same outcome as if all were.
#[test]
fn members_that_are_not_looked_at_have_not_changed() {
    let settings = [
        ("consecutive-failures", "2"),
        ("eject-ms", "1000"),
        ("max-eject-ms", "4000"),
        ("max-ejected", "60"),
    ];
    let (mut some, mut all) = (
        Fixture::new(5, 2, 2, &settings),
        Fixture::new(5, 2, 2, &settings),
    );
    let mut random = 1_u64;
    let mut draw = |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % below
    };
    let mut changes = 0;
    for step in 0..5_000 {
        let member = u32::try_from(draw(5)).unwrap();
        let (kind, is_good) = (draw(3), draw(3) == 0);
        let time = draw(700);
        let told = [&mut some, &mut all].map(|fixture| match kind {
            0 => fixture.check_of(member, is_good),
            1 if is_good => fixture.request(member, Ok(200)),
            1 => fixture.request(member, Err(Failure::TimedOut)),
            _ => fixture.wait(time),
        });
        assert_eq!(told[0], told[1], "step {step}");
        changes += usize::from(!told[0].is_empty());
        all.health.are_new = true;
    }
    assert!(changes > 300, "{changes}");
    // What is over is looked at no more.
    for member in 0..5 {
        some.request(member, Ok(200));
    }
    for _ in 0..20 {
        some.wait(60_000);
    }
    assert_eq!(some.health.ejected, BTreeSet::new());
}
