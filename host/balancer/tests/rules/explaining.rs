//! Explanations: the eligibility of each member in a decision, and the reason of the selection.

use std::time::Duration;

use equipoise_balancer::{
    BalancerSettings, Eligibility, Explanation, NoMember, PickReason, Selection,
};
use equipoise_sdk::testing::{FakeEnv, FakeRequest};
use equipoise_sdk::{Affinity, Candidates, Env, Request, Selector};

use crate::site::{Site, args, session_of, settings};

/// An eligibility in a word.
fn word(eligibility: &Eligibility) -> String {
    match eligibility {
        Eligibility::Candidate => "candidate".to_owned(),
        Eligibility::NotConsidered => "-".to_owned(),
        Eligibility::Disabled => "disabled".to_owned(),
        Eligibility::Stopped => "stopped".to_owned(),
        Eligibility::InError(until) => {
            format!("error<{}", until.map_or(0, |until| until.as_secs()))
        }
        Eligibility::Unhealthy => "unhealthy".to_owned(),
        Eligibility::Draining => "draining".to_owned(),
        Eligibility::Drained => "drained".to_owned(),
        Eligibility::Tried => "tried".to_owned(),
        Eligibility::SpareNotNeeded => "spare".to_owned(),
        Eligibility::StandbyNotNeeded => "standby".to_owned(),
        Eligibility::HeldBack => "held-back".to_owned(),
        Eligibility::ExcludedByMethod => "narrowed".to_owned(),
    }
}

fn words(explanation: &Explanation) -> String {
    let words: Vec<_> = explanation.eligibility.iter().map(word).collect();
    words.join(" ")
}

/// The selected member, why, and the eligibility of every member.
fn summary((selection, explanation): (Result<Selection, NoMember>, Explanation)) -> String {
    let who = match selection {
        Ok(selection) => format!(
            "{} by {:?}",
            selection.lease.member().settings.name,
            selection.reason
        ),
        Err(no_member) => format!("{no_member:?}"),
    };
    format!("{who}: {}", words(&explanation))
}

fn free() -> FakeRequest {
    FakeRequest::get("/")
}

/// Members, those that failed, those that were tried, and the expected summary.
type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], &'a str);

/// The site's clock begins at 1000 s, and members are retried after 60 s.
#[test]
fn every_reason_for_ineligibility_is_explained() {
    let table: &[Case<'_>] = &[
        (&["", ""], &[], &[], "b1 by Method: candidate candidate"),
        (
            &["status=D", "status=S", ""],
            &[],
            &[],
            "b3 by Method: disabled stopped candidate",
        ),
        (
            &["status=DS", ""],
            &[],
            &[],
            "b2 by Method: stopped candidate",
        ),
        (
            &["status=N", ""],
            &[],
            &[],
            "b2 by Method: draining candidate",
        ),
        (
            &["status=ND", ""],
            &[],
            &[],
            "b2 by Method: draining candidate",
        ),
        (
            &["", ""],
            &["b1"],
            &[],
            "b2 by Method: error<1060 candidate",
        ),
        (&["", ""], &[], &["b1"], "b2 by Method: tried candidate"),
        (
            &["", "", ""],
            &["b1"],
            &["b1", "b2"],
            "b3 by Method: error<1060 tried candidate",
        ),
        (
            &["", "status=R", "status=H"],
            &[],
            &[],
            "b1 by Method: candidate spare standby",
        ),
        (
            &["", "status=R", "status=R"],
            &["b1"],
            &[],
            "b2 by Method: error<1060 candidate spare",
        ),
        (
            &["", "status=H"],
            &["b1"],
            &[],
            "b2 by Method: error<1060 candidate",
        ),
        (
            &["lbset=1", "", "lbset=2"],
            &[],
            &[],
            "b2 by Method: - candidate -",
        ),
        (
            &["lbset=1", "", "lbset=2"],
            &["b2"],
            &[],
            "b1 by Method: candidate error<1060 -",
        ),
        (
            &["status=D", "status=N"],
            &[],
            &[],
            "NoneEligible: disabled draining",
        ),
    ];
    for (members, failed, tried, expected) in table {
        let site = Site::new(members);
        site.fail(failed);
        assert_eq!(
            summary(site.explain(&free(), tried)),
            *expected,
            "{members:?}"
        );
    }
}

#[test]
fn unhealthy_member_and_panic_mode_are_explained() {
    let panicky = BalancerSettings {
        panic_threshold: 60,
        ..settings()
    };
    let site = Site::new(&["", ""]);
    site.balancer.set_health(0, false, "", site.now());
    assert_eq!(
        summary(site.explain(&free(), &[])),
        "b2 by Method: unhealthy candidate"
    );
    let site = Site::with(panicky, "byrequests", &["", ""]);
    site.balancer.set_health(0, false, "", site.now());
    let (selection, explanation) = site.explain(&free(), &[]);
    assert!(explanation.in_panic_mode);
    assert_eq!(
        summary((selection, explanation)),
        "b1 by Method: candidate candidate"
    );
}

#[test]
fn slow_start_is_explained_unless_the_member_is_alone() {
    let site = Site::new(&["slow-start=10 retry=5", ""]);
    site.fail(&["b1"]);
    site.wait(Duration::from_secs(6));
    assert_eq!(
        summary(site.explain(&free(), &[])),
        "b2 by Method: held-back candidate"
    );
    let site = Site::new(&["slow-start=10 retry=5", "status=D"]);
    site.fail(&["b1"]);
    site.wait(Duration::from_secs(6));
    assert_eq!(
        summary(site.explain(&free(), &[])),
        "b1 by Method: candidate disabled"
    );
}

#[test]
fn member_whose_retry_is_over_is_a_candidate() {
    let site = Site::new(&["", ""]);
    site.fail(&["b1"]);
    site.wait(Duration::from_secs(60));
    assert_eq!(words(&site.explain(&free(), &[]).1), "error<1060 candidate");
    site.wait(Duration::from_secs(1));
    assert_eq!(words(&site.explain(&free(), &[]).1), "candidate candidate");
}

#[test]
fn session_is_explained_with_the_members_of_its_route() {
    let table: &[(&[&str], &[&str], &str)] = &[
        (&["", "route=r"], &[], "b2 by Session: - candidate"),
        (
            &["", "route=r lbset=9 status=N"],
            &[],
            "b2 by Session: - candidate",
        ),
        (
            &["", "route=r status=D redirect=s", "route=s"],
            &[],
            "b3 by Redirect: - disabled candidate",
        ),
        (
            &["", "route=r status=D"],
            &[],
            "b1 by Method: candidate disabled",
        ),
        (
            &["", "route=r lbset=9"],
            &["b2"],
            "b1 by Method: candidate error<1060",
        ),
        (
            &["", "route=r status=N drain-until=999"],
            &[],
            "b1 by Method: candidate draining",
        ),
        (
            &["", "route=r lbset=9 status=N drain-until=999"],
            &[],
            "b1 by Method: candidate drained",
        ),
        (
            &["", "route=other"],
            &[],
            "b1 by Method: candidate candidate",
        ),
    ];
    for (members, failed, expected) in table {
        let site = Site::new(members);
        site.fail(failed);
        assert_eq!(
            summary(site.explain(&session_of("r"), &[])),
            *expected,
            "{members:?}"
        );
    }
}

#[test]
fn refusal_of_a_session_is_explained_with_its_member() {
    let nofailover = BalancerSettings {
        nofailover: true,
        ..settings()
    };
    let site = Site::with(nofailover, "byrequests", &["", "route=r status=D"]);
    assert_eq!(
        summary(site.explain(&session_of("r"), &[])),
        "SessionUnusable: - disabled"
    );
}

#[test]
fn key_is_explained() {
    let site = Site::new(&["status=D", ""]);
    let (request, host) = (free(), FakeEnv::default());
    let key = Affinity::Key("k".to_owned());
    let explained = site.balancer.explain(&equipoise_balancer::PickArgs {
        session: Some(&key),
        now: site.now(),
        ..args(&request, &host)
    });
    assert_eq!(summary(explained), "b2 by Key: disabled candidate");
}

#[test]
fn ignored_tries_are_explained() {
    let site = Site::new(&["", "status=D"]);
    let (selection, explanation) = site.explain(&free(), &["b1"]);
    assert!(explanation.tried_ignored);
    assert_eq!(
        summary((selection, explanation)),
        "b1 by Method: candidate disabled"
    );
    assert!(!site.explain(&free(), &[]).1.tried_ignored);
}

#[test]
fn forced_recovery_is_explained() {
    let site = Site::new(&["", ""]);
    site.fail(&["b1", "b2"]);
    let (selection, explanation) = site.explain(&free(), &[]);
    assert!(explanation.recovery_forced);
    assert_eq!(
        summary((selection, explanation)),
        "b1 by Method: candidate candidate"
    );
    assert!(!site.explain(&free(), &[]).1.recovery_forced);
}

/// Leaves the choice among these places to the fallback.
struct Narrowing(&'static [usize]);

impl Selector for Narrowing {
    fn select(
        &mut self,
        _request: &dyn Request,
        candidates: &dyn Candidates,
        _host: &dyn Env,
    ) -> Option<usize> {
        candidates.restrict_fallback(self.0);
        None
    }
}

#[test]
fn fallback_is_explained_with_the_candidates_left_to_it() {
    let table: &[(&[usize], &str)] = &[
        (
            &[1, 2],
            "b2 by Fallback: narrowed candidate candidate disabled",
        ),
        (
            &[],
            "b1 by Fallback: candidate candidate candidate disabled",
        ),
        (
            &[9],
            "b1 by Fallback: candidate candidate candidate disabled",
        ),
    ];
    for (left, expected) in table {
        let selector = Box::new(Narrowing(left));
        let site = Site::with_selector(settings(), selector, &["", "", "", "status=D"]);
        assert_eq!(summary(site.explain(&free(), &[])), *expected, "{left:?}");
    }
}

/// Explaining is not deciding otherwise.
#[test]
fn decisions_are_the_same_whether_they_are_explained_or_not() {
    let members = [
        "loadfactor=3 route=r",
        "slow-start=9",
        "lbset=1",
        "status=H",
    ];
    let (seen, unseen) = (Site::new(&members), Site::new(&members));
    for site in [&seen, &unseen] {
        site.fail(&["b2"]);
    }
    for round in 0..200 {
        for site in [&seen, &unseen] {
            site.wait(Duration::from_secs(1));
        }
        let request = if round % 7 == 0 {
            session_of("r")
        } else {
            free()
        };
        let explained = seen.explain(&request, &[]).0.unwrap();
        let chosen = unseen.choose(&request, &[], 0).unwrap();
        assert_eq!(
            explained.lease.member().id,
            chosen.lease.member().id,
            "{round}"
        );
        assert_eq!(explained.reason, chosen.reason);
    }
}

#[test]
fn pick_reasons_are_numbered_in_their_order() {
    for (number, by) in PickReason::ALL.into_iter().enumerate() {
        assert_eq!(by as usize, number);
    }
}
