//! Health: unhealthy members, panic mode, recovery, slow start and drains.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use equipoise_balancer::{
    AttemptOutcome, BalancerSettings, Member, MemberSettings, Observer, StateChange,
};

use proptest::prelude::*;

use crate::site::{Site, settings};

#[test]
fn unhealthy_member_takes_nothing_until_it_is_healthy_again() {
    let site = Site::new(&["route=r1 retry=0", "route=r2"]);
    site.set_health("b1", false);
    assert_eq!(site.sequence(3), "b2 b2 b2");
    assert_eq!(site.serve_session("r1"), "b2");
    site.set_health("b1", true);
    assert_eq!(site.sequence(2), "b1 b2");
    assert_eq!(site.serve_session("r1"), "b1");
}

/// Apache: neither `retry` nor `forcerecovery` clears `C`.
#[test]
fn unhealthy_member_is_not_retried_nor_forced() {
    let site = Site::new(&["retry=0", "retry=0"]);
    site.set_health("b1", false);
    site.set_health("b2", false);
    assert_eq!(site.serve(), "503");
    site.wait(Duration::from_secs(1000));
    assert_eq!(site.serve(), "503");
}

#[test]
fn spare_and_standby_step_in_for_unhealthy_members() {
    let site = Site::new(&["", "", "status=+R", "status=+H"]);
    site.set_health("b1", false);
    assert_eq!(site.sequence(4), "b2 b3 b2 b3");
    site.set_health("b2", false);
    site.set_health("b3", false);
    assert_eq!(site.serve(), "b4");
}

/// Threshold and unhealthy members, of four with one disabled, and the members that serve.
#[test]
fn panic_mode_begins_below_its_threshold_of_enabled_members() {
    let table = [
        (0, &["b1", "b2", "b3"][..], "503 503 503"),
        (10, &["b1", "b2"][..], "b3 b3 b3"),
        (10, &["b1", "b2", "b3"][..], "b1 b2 b3"),
        (33, &["b1", "b2"][..], "b3 b3 b3"),
        (34, &["b1", "b2"][..], "b1 b2 b3"),
        (100, &["b1"][..], "b1 b2 b3"),
    ];
    for (panic_threshold, unhealthy, served) in table {
        let settings = BalancerSettings {
            panic_threshold,
            ..settings()
        };
        let site = Site::with(settings, "byrequests", &["", "", "", "status=+D"]);
        for name in unhealthy {
            site.set_health(name, false);
        }
        assert_eq!(
            site.sequence(3),
            served,
            "{panic_threshold} % and {unhealthy:?}"
        );
        assert_eq!(site.balancer.in_panic_mode(), served == "b1 b2 b3");
    }
}

#[test]
fn panic_mode_ends_when_enough_members_are_healthy_again() {
    let settings = BalancerSettings {
        panic_threshold: 50,
        ..settings()
    };
    let site = Site::with(settings, "byrequests", &["", ""]);
    site.set_health("b1", false);
    site.set_health("b2", false);
    assert_eq!(site.sequence(2), "b1 b2");
    site.set_health("b2", true);
    assert_eq!(site.sequence(2), "b2 b2");
    assert!(!site.balancer.in_panic_mode());
}

/// Apache: a check that passes ends the error state, too, and beats `retry`.
#[test]
fn checks_passed_in_a_row_end_the_error_state() {
    let site = Site::new(&["passes=2 retry=1000", ""]);
    site.check("b1", true);
    site.fail(&["b1"]);
    let table = [(true, true), (false, true), (true, true), (true, false)];
    for (passed, in_error) in table {
        site.check("b1", passed);
        assert_eq!(site.in_error("b1"), in_error);
    }
}

#[test]
fn stopped_member_stays_in_error_whatever_it_passes() {
    let site = Site::new(&["status=+S", ""]);
    site.fail(&["b1"]);
    site.check("b1", true);
    assert!(site.in_error("b1"));
}

/// Two of equal weight: the one that returned gets this many of so many requests, second by second.
#[test]
fn member_in_slow_start_gets_a_growing_part_of_its_share() {
    for method in ["byrequests", "bybusyness"] {
        let site = Site::by(method, &["slow-start=10 retry=5", ""]);
        site.set_health("b1", false);
        site.set_health("b1", true);
        let mut counts = Vec::new();
        for _ in 0..=10 {
            let served = (0..200).filter(|_| site.serve() == "b1").count();
            counts.push(served);
            site.wait(Duration::from_secs(1));
        }
        let first = counts[0];
        assert!((5..=20).contains(&first), "{method}: {counts:?}");
        assert!(counts.is_sorted(), "{method}: {counts:?}");
        assert_eq!(counts[10], 100, "{method}: {counts:?}");
    }
}

#[test]
fn member_in_slow_start_serves_all_where_it_is_alone() {
    let site = Site::new(&["slow-start=10", "status=+H"]);
    site.set_health("b1", false);
    assert_eq!(site.serve(), "b2");
    site.set_health("b1", true);
    assert_eq!(site.sequence(3), "b1 b1 b1");
}

#[test]
fn sessions_do_not_wait_for_a_slow_start() {
    let site = Site::new(&["slow-start=10 route=r1", "route=r2"]);
    site.set_health("b1", false);
    site.set_health("b1", true);
    assert_eq!(site.serve_session("r1"), "b1");
}

#[test]
fn member_that_is_retried_starts_slowly_as_well() {
    let site = Site::new(&["slow-start=10 retry=1", ""]);
    site.fail(&["b1"]);
    site.wait(Duration::from_millis(1_001));
    let served = (0..20).filter(|_| site.serve() == "b1").count();
    assert!(served <= 2, "{served} of 20");
}

/// The clock of the site stands at 1 000 s.
#[test]
fn sessions_leave_a_draining_member_at_its_deadline() {
    let site = Site::new(&["route=r1 status=+N drain-until=1060", "route=r2"]);
    assert_eq!(site.sequence(2), "b2 b2");
    assert_eq!(site.serve_session("r1"), "b1");
    site.wait(Duration::from_secs(59));
    assert_eq!(site.serve_session("r1"), "b1");
    site.wait(Duration::from_secs(1));
    assert_eq!(site.serve_session("r1"), "b2");
}

#[test]
fn deadline_is_for_draining_members_only() {
    let site = Site::new(&["route=r1 drain-until=0", "route=r2"]);
    assert_eq!(site.serve_session("r1"), "b1");
}

#[test]
fn status_changes_while_schedule_and_counters_go_on() {
    let site = Site::new(&["", "", ""]);
    assert_eq!(site.sequence(4), "b1 b2 b3 b1");
    let site = site.with_status("b2", "+N");
    // b1 has had one more than b3.
    assert_eq!(site.sequence(3), "b3 b3 b1");
    let site = site.with_status("b2", "-N");
    assert_eq!(site.member("b2").counters.elected(), 1);
    assert_eq!(site.serve(), "b2", "it is still owed its turn");
}

#[test]
fn member_that_is_enabled_again_starts_slowly() {
    for status in ["+D", "+S", "+N"] {
        let site = Site::new(&["slow-start=10", ""]);
        let site = site.with_status("b1", status);
        assert_eq!(site.sequence(2), "b2 b2");
        let site = site.with_status("b1", &status.replace('+', "-"));
        let served = (0..20).filter(|_| site.serve() == "b1").count();
        assert!(served <= 2, "{status}: {served} of 20");
    }
}

#[test]
fn panic_mode_counts_enabled_members_only() {
    let settings = BalancerSettings {
        panic_threshold: 50,
        ..settings()
    };
    let site = Site::with(settings, "byrequests", &["", "", ""]);
    site.set_health("b1", false);
    assert_eq!(site.sequence(2), "b2 b3");
    let site = site.with_status("b2", "+D").with_status("b3", "+D");
    assert_eq!(site.serve(), "b1", "no enabled member is healthy");
}

proptest! {
    /// The counts that panic mode goes by are kept, not made anew for each change: whatever happens, they are right.
    #[test]
    fn panic_mode_is_as_if_all_members_were_counted(
        steps in prop::collection::vec((0..6_usize, any::<bool>(), 0..8), 1..60),
    ) {
        let settings = BalancerSettings {
            panic_threshold: 50,
            ..settings()
        };
        let mut site = Site::with(settings, "byrequests", &[""; 6]);
        let (mut unhealthy, mut disabled) = ([false; 6], [false; 6]);
        for (place, flag, kind) in steps {
            let name = format!("b{}", place + 1);
            if kind == 0 {
                disabled[place] = flag;
                site = site.with_status(&name, if flag { "+D" } else { "-D" });
            } else {
                unhealthy[place] = !flag;
                site.set_health(&name, flag);
            }
            let enabled = (0..6).filter(|&it| !disabled[it]);
            let all = enabled.clone().count();
            let healthy = enabled.filter(|&it| !unhealthy[it]).count();
            let in_panic_mode = healthy < all && healthy * 2 < all;
            prop_assert_eq!(site.balancer.in_panic_mode(), in_panic_mode);
            for place in 0..6 {
                let member = site.member(&format!("b{}", place + 1));
                let is_usable = !disabled[place] && (in_panic_mode || !unhealthy[place]);
                prop_assert_eq!(member.is_usable(), is_usable, "{:?}", member);
            }
        }
    }
}

#[test]
fn every_state_change_is_observed_once_with_its_cause() {
    let site = Site::new(&["retry=10 passes=1", "retry=10"]);
    let (site, seen) = site.observed();
    site.report("b1", AttemptOutcome::Unreachable);
    site.report("b1", AttemptOutcome::Unreachable);
    site.wait(Duration::from_secs(11));
    site.serve();
    site.set_health("b2", false);
    site.set_health("b2", false);
    site.set_health("b2", true);
    site.fail(&["b1", "b2"]);
    site.serve();
    site.fail(&["b1"]);
    site.check("b1", true);
    let expected = [
        "b1 Failed(Unreachable)",
        "b1 Retried",
        "b2 Unhealthy(\"test\")",
        "b2 Healthy(\"test\")",
        "b1 Failed(Unreachable)",
        "b2 Failed(Unreachable)",
        "b1 Forced",
        "b2 Forced",
        "b1 Failed(Unreachable)",
        "b1 Recovered",
    ];
    assert_eq!(*seen.0.lock().unwrap(), expected);
}

/// Records state changes.
#[derive(Default)]
pub(crate) struct Seen(pub(crate) Mutex<Vec<String>>);

impl Observer for Seen {
    fn observe(&self, member: Option<&Member>, change: StateChange<'_>) {
        let name = member.map_or("site", |member| &*member.settings.name);
        self.0.lock().unwrap().push(format!("{name} {change:?}"));
    }
}

impl Site {
    pub(crate) fn with_status(self, name: &str, change: &str) -> Self {
        let member = self.member(name).clone();
        let status = member.settings.status.changed(change).unwrap();
        let now = self.now();
        self.with_balancer(|balancer| {
            let members = balancer.members().iter().map(|before| Member {
                id: before.id,
                settings: MemberSettings {
                    status: match before.id == member.id {
                        true => status,
                        false => before.settings.status,
                    },
                    ..before.settings.clone()
                },
                counters: before.counters.clone(),
            });
            balancer.with_members(balancer.settings().clone(), members.collect(), now)
        })
    }

    fn observed(self) -> (Self, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        let observer = seen.clone();
        (
            self.with_balancer(|balancer| balancer.with_observer(observer)),
            seen,
        )
    }

    fn set_health(&self, name: &str, is_healthy: bool) {
        let id = self.member(name).id;
        self.balancer.set_health(id, is_healthy, "test", self.now());
    }

    fn check(&self, name: &str, passed: bool) {
        let id = self.member(name).id;
        self.balancer.record_check(id, passed, self.now());
    }
}
