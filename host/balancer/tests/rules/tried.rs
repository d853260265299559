//! Earlier tries: members at which a request failed are left out of its next decision while another is eligible.

use std::collections::HashSet;

use equipoise_balancer::{BalancerSettings, NoMember};
use equipoise_sdk::testing::FakeRequest;
use proptest::prelude::*;

use crate::site::{Site, name, session_of, settings};

#[test]
fn tried_member_is_passed_over() {
    let site = Site::new(&["", "", ""]);
    assert_eq!(site.serve_tried(&["b1"]), "b2");
    assert_eq!(site.serve_tried(&["b1", "b2"]), "b3");
}

#[test]
fn spare_standby_and_next_set_step_in_for_tried_members() {
    let site = Site::new(&["", "status=R", "status=H", "lbset=1"]);
    assert_eq!(site.serve_tried(&["b1"]), "b2");
    assert_eq!(site.serve_tried(&["b1", "b2"]), "b3");
    assert_eq!(site.serve_tried(&["b1", "b2", "b3"]), "b4");
}

#[test]
fn tried_member_is_tried_again_when_no_other_is_left() {
    let site = Site::new(&["", "status=D"]);
    assert_eq!(site.serve_tried(&["b1"]), "b1");
    let site = Site::new(&["", ""]);
    assert_eq!(site.serve_tried(&["b2", "b1"]), "b1");
}

#[test]
fn tried_member_that_is_not_usable_is_not_tried_again() {
    let site = Site::new(&["", "status=D"]);
    site.fail(&["b1"]);
    assert_eq!(site.serve_tried(&["b1"]), "503");
}

#[test]
fn forced_recovery_lets_an_untried_member_go_first() {
    let site = Site::new(&["", ""]);
    site.fail(&["b1", "b2"]);
    assert_eq!(site.serve_tried(&["b1"]), "b2");
}

#[test]
fn session_leaves_a_tried_member() {
    let site = Site::new(&["route=r1 redirect=r3", "route=r2", "route=r3"]);
    let session = session_of("r1");
    assert_eq!(name(site.choose(&session, &["b1"], 0)), "b3");
    let selection = site.choose(&session, &["b1", "b3"], 0).unwrap();
    assert!(!selection.sticky && selection.route_changed);
    assert_eq!(name(Ok(selection)), "b2");
    assert_eq!(name(site.choose(&session, &["b1", "b2", "b3"], 0)), "b1");
}

#[test]
fn nofailover_keeps_a_session_at_its_tried_member() {
    let settings = BalancerSettings {
        nofailover: true,
        ..settings()
    };
    let site = Site::with(settings, "byrequests", &["route=r1", "route=r2"]);
    let selection = site.choose(&session_of("r1"), &["b1"], 0).unwrap();
    assert!(selection.sticky && !selection.route_changed);
    assert_eq!(name(Ok(selection)), "b1");
    site.fail(&["b1"]);
    let no_member = site.choose(&session_of("r1"), &["b1"], 0).unwrap_err();
    assert_eq!(no_member, NoMember::SessionUnusable);
}

const FLAGS: [&str; 8] = ["-D", "-D", "-D", "D", "R", "H", "N", "I"];

proptest! {
    #[test]
    fn request_goes_round_every_eligible_member_before_it_comes_back(
        members in prop::collection::vec((0..FLAGS.len(), 0_u8..3, any::<bool>()), 1..9),
    ) {
        let words: Vec<_> = members
            .iter()
            .map(|&(flag, lbset, _)| format!("status={} lbset={lbset}", FLAGS[flag]))
            .collect();
        let site = Site::new(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let settings = site.balancer.members().iter().map(|m| m.settings.name.as_str());
        let failed: Vec<_> = settings.zip(&members).filter(|(_, m)| m.2).map(|(n, _)| n).collect();
        site.fail(&failed);
        let mut tried = Vec::new();
        while let Ok(selection) = site.choose(&FakeRequest::get("/"), &tried, 0) {
            let member = site.member(&selection.lease.member().settings.name);
            prop_assert!(member.is_usable() && !member.settings.status.draining);
            if tried.contains(&member.settings.name.as_str()) {
                break;
            }
            tried.push(&member.settings.name);
        }
        // Every member that a new request could get, this one got, without earlier tries, in some order of failures.
        let reached: HashSet<_> = tried.iter().copied().collect();
        for member in site.balancer.members() {
            let status = member.settings.status;
            let plain = member.is_usable() && !status.draining && !status.spare && !status.standby;
            prop_assert!(!plain || reached.contains(&*member.settings.name));
        }
    }
}
