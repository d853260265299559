//! Sessions: routes, redirects, `nofailover`, and the charge for sticky hits.

use std::time::Duration;

use equipoise_balancer::{BalancerSettings, NoMember};
use equipoise_sdk::testing::{FakeEnv, FakeRequest};
use equipoise_sdk::{Affinity, SessionReader};
use equipoise_session::Session;
use proptest::prelude::*;

use crate::site::{Site, name, session_of, settings};

const ROUTES: [&str; 3] = ["route=r1", "route=r2", "route=r3"];

/// The member that takes the request, and whether its route changed.
fn outcome(site: &Site, request: &FakeRequest) -> (String, bool) {
    let selection = site.choose(request, &[], 0).unwrap();
    let changed = selection.route_changed;
    (name(Ok(selection)), changed)
}

/// Apache 2.4.71's results (apache-semantics 1.6), but for `xsidp`: here only whole names count.
#[test]
fn session_finds_its_member() {
    let cookie = |cookie| FakeRequest::get("/").with_header("Cookie", cookie);
    let table = [
        (cookie("SID=abc.r2"), "b2", false),
        (cookie("SID=.r2"), "b2", false),
        (cookie("a=b; SID=abc.r2; c=d"), "b2", false),
        (cookie("SID=r2"), "b1", true),
        (cookie("sid=abc.r2"), "b1", true),
        (cookie("XSID=abc.r2"), "b1", true),
        (FakeRequest::get("/"), "b1", true),
        (FakeRequest::get("/?sidp=abc.r3"), "b3", false),
        (FakeRequest::get("/x;sidp=abc.r3"), "b3", false),
        (FakeRequest::get("/?xsidp=abc.r3"), "b1", true),
        (
            FakeRequest::get("/?sidp=abc.r3").with_header("Cookie", "SID=abc.r1"),
            "b3",
            false,
        ),
        (cookie("SID=abc.zz; SID=abc.r2"), "b2", false),
        (cookie("SID=abc.zz; SID=abc.yy"), "b1", true),
        (FakeRequest::get("/?sidp=.zz&sidp=.r3"), "b3", false),
    ];
    for (request, member, changed) in table {
        let site = Site::new(&ROUTES);
        assert_eq!(
            outcome(&site, &request),
            (member.to_owned(), changed),
            "{request:?}"
        );
    }
}

#[test]
fn sticky_hits_are_charged_to_the_schedule() {
    let site = Site::new(&ROUTES);
    for _ in 0..3 {
        assert_eq!(site.serve_session("r1"), "b1");
    }
    assert_eq!(site.sequence(9), "b2 b3 b2 b3 b2 b3 b1 b2 b3");
    assert_eq!(site.member("b1").counters.elected(), 4);
}

#[test]
fn sticky_hits_are_charged_over_all_usable_members_of_any_set_and_role() {
    let members = [
        "route=r1",
        "lbset=4 loadfactor=2",
        "status=R",
        "status=H",
        "status=N",
        "status=D",
        "",
    ];
    let site = Site::new(&members);
    site.fail(&["b7"]);
    site.serve_session("r1");
    let loads = site.balancer.lbstatus(&[0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(loads, [-500, 200, 100, 100, 100, 0, 0]);
}

#[test]
fn sticky_hits_are_charged_to_the_fallback_while_that_decides() {
    let site = Site::by("heartbeat", &ROUTES);
    assert_eq!(site.sequence(3), "b1 b2 b3");
    for _ in 0..3 {
        site.serve_session("r1");
    }
    assert_eq!(site.sequence(9), "b2 b3 b2 b3 b2 b3 b1 b2 b3");
}

#[test]
fn unusable_member_loses_its_session_and_the_route_changes() {
    for status in ["D", "S"] {
        let site = Site::new(&[&format!("route=r1 status={status}"), "route=r2"]);
        assert_eq!(outcome(&site, &session_of("r1")), ("b2".to_owned(), true));
    }
    let site = Site::new(&ROUTES);
    site.fail(&["b1"]);
    assert_eq!(outcome(&site, &session_of("r1")), ("b2".to_owned(), true));
}

#[test]
fn session_reaches_its_member_whatever_its_set_and_role() {
    let site = Site::new(&[
        "",
        "route=r2 lbset=9",
        "route=r3 status=R",
        "route=r4 status=H",
    ]);
    for (route, member) in [("r2", "b2"), ("r3", "b3"), ("r4", "b4")] {
        assert_eq!(
            outcome(&site, &session_of(route)),
            (member.to_owned(), false)
        );
    }
}

#[test]
fn members_that_share_a_route_are_asked_in_order_standbys_last() {
    let site = Site::new(&["route=r status=H", "route=r", "route=r"]);
    assert_eq!(site.serve_session("r"), "b2");
    site.fail(&["b2"]);
    assert_eq!(site.serve_session("r"), "b3");
    site.fail(&["b3"]);
    assert_eq!(site.serve_session("r"), "b1");
}

#[test]
fn redirect_takes_over_for_an_unusable_member() {
    let site = Site::new(&["route=r1 status=D redirect=r3", "route=r2", "route=r3"]);
    assert_eq!(outcome(&site, &session_of("r1")), ("b3".to_owned(), true));
    assert_eq!(outcome(&site, &session_of("r3")), ("b3".to_owned(), false));
}

#[test]
fn redirects_are_followed_along_a_chain() {
    let site = Site::new(&[
        "route=r1 redirect=r3",
        "route=r2",
        "route=r3 redirect=r4",
        "route=r4",
    ]);
    site.fail(&["b1"]);
    assert_eq!(site.serve_session("r1"), "b3");
    site.fail(&["b3"]);
    assert_eq!(site.serve_session("r1"), "b4");
}

#[test]
fn redirect_is_followed_before_the_next_member_of_the_route() {
    let site = Site::new(&["route=r redirect=s status=D", "route=r", "route=s"]);
    assert_eq!(site.serve_session("r"), "b3");
    site.fail(&["b3"]);
    assert_eq!(site.serve_session("r"), "b2");
}

#[test]
fn circle_of_redirects_ends_in_normal_balancing() {
    let site = Site::new(&[
        "route=r1 redirect=r2",
        "route=r2 redirect=r1",
        "route=r3 redirect=r3",
        "route=r4",
    ]);
    site.fail(&["b1", "b2", "b3"]);
    for route in ["r1", "r2", "r3"] {
        assert_eq!(outcome(&site, &session_of(route)), ("b4".to_owned(), true));
    }
}

#[test]
fn redirect_to_an_unknown_route_ends_in_normal_balancing() {
    let site = Site::new(&["route=r1 status=D redirect=none", "route=r2"]);
    assert_eq!(site.serve_session("r1"), "b2");
}

fn nofailover() -> BalancerSettings {
    BalancerSettings {
        nofailover: true,
        ..settings()
    }
}

#[test]
fn nofailover_refuses_a_session_whose_member_is_unusable() {
    let site = Site::with(nofailover(), "byrequests", &ROUTES);
    site.fail(&["b1"]);
    let no_member = site.choose(&session_of("r1"), &[], 0).unwrap_err();
    assert_eq!(no_member, NoMember::SessionUnusable);
    assert_eq!(site.serve(), "b2");
    assert_eq!(site.serve_session("r2"), "b2");
}

#[test]
fn nofailover_still_follows_redirects() {
    let members = ["route=r1 redirect=r2 status=D", "route=r2"];
    let site = Site::with(nofailover(), "byrequests", &members);
    assert_eq!(site.serve_session("r1"), "b2");
}

#[test]
fn nofailover_balances_a_session_of_no_members_route() {
    let site = Site::with(nofailover(), "byrequests", &ROUTES);
    assert_eq!(outcome(&site, &session_of("gone")), ("b1".to_owned(), true));
}

#[test]
fn sticky_member_comes_back_after_its_retry_time() {
    let site = Site::new(&["route=r1 retry=5", "route=r2"]);
    site.fail(&["b1"]);
    assert_eq!(site.serve_session("r1"), "b2");
    site.wait(Duration::from_secs(6));
    assert_eq!(site.serve_session("r1"), "b1");
}

proptest! {
    #[test]
    fn no_request_text_makes_the_session_reader_panic(
        target in "\\PC*",
        cookie in "\\PC*",
        name in "\\PC{0,3}",
        routes in prop::option::of("\\PC{0,3}"),
        separator in prop::option::of(any::<char>()),
        semicolon_ends: bool,
    ) {
        let session = Session {
            cookie: name.clone(),
            parameter: name,
            separator,
            semicolon_ends,
            routes: routes.into_iter().collect(),
        };
        let request = FakeRequest::get(&target).with_header("Cookie", &cookie);
        let session = session.read(&request, &FakeEnv::default());
        prop_assert!(session.is_none_or(|session| session != Affinity::Route(String::new())));
    }

    #[test]
    fn text_full_of_the_readers_own_signs_is_read_without_a_panic(
        target in "[/?&;=.sä]{0,24}",
        cookie in "[;,=. \ts\u{e4}\"]{0,24}",
        routes in prop::option::of("[=.s]{1,2}"),
        semicolon_ends: bool,
    ) {
        let session = Session {
            cookie: "s".to_owned(),
            parameter: "s".to_owned(),
            separator: Some('.'),
            semicolon_ends,
            routes: routes.into_iter().collect(),
        };
        let request = FakeRequest::get(&target).with_header("Cookie", &cookie);
        let session = session.read(&request, &FakeEnv::default());
        prop_assert!(session.is_none_or(|session| session != Affinity::Route(String::new())));
    }
}
