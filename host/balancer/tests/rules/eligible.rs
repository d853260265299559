//! Eligibility: sets, spares, standbys, draining and disabled members.

use crate::site::Site;

#[test]
fn standbys_are_used_when_no_other_of_their_set_can() {
    let site = Site::new(&["", "", "status=+H"]);
    assert_eq!(site.sequence(4), "b1 b2 b1 b2");
    site.fail(&["b1"]);
    assert_eq!(site.sequence(2), "b2 b2");
    site.fail(&["b2"]);
    assert_eq!(site.sequence(3), "b3 b3 b3");
}

#[test]
fn standbys_take_turns() {
    let site = Site::new(&["status=D", "status=+H", "status=+H"]);
    assert_eq!(site.sequence(4), "b2 b3 b2 b3");
}

#[test]
fn next_set_is_used_when_the_one_before_has_no_candidate() {
    let site = Site::new(&["", "lbset=1", "lbset=2"]);
    site.fail(&["b1"]);
    assert_eq!(site.sequence(3), "b2 b2 b2");
    site.fail(&["b2"]);
    assert_eq!(site.sequence(3), "b3 b3 b3");
}

#[test]
fn sets_may_have_gaps_and_stand_in_any_order() {
    let site = Site::new(&["lbset=99", "lbset=7", "lbset=7", "lbset=3"]);
    assert_eq!(site.sequence(2), "b4 b4");
    site.fail(&["b4"]);
    assert_eq!(site.sequence(4), "b2 b3 b2 b3");
    site.fail(&["b2", "b3"]);
    assert_eq!(site.sequence(2), "b1 b1");
}

#[test]
fn standby_comes_before_the_next_set() {
    let site = Site::new(&["", "status=H", "lbset=1"]);
    site.fail(&["b1"]);
    assert_eq!(site.sequence(3), "b2 b2 b2");
    site.fail(&["b2"]);
    assert_eq!(site.sequence(2), "b3 b3");
}

#[test]
fn one_spare_stands_in_for_each_missing_member() {
    let site = Site::new(&["", "", "", "status=R", "status=R"]);
    assert_eq!(site.sequence(4), "b1 b2 b3 b1");
    let site = Site::new(&["", "", "", "status=R", "status=R"]);
    site.fail(&["b1"]);
    assert_eq!(site.sequence(6), "b2 b3 b4 b2 b3 b4");
    let site = Site::new(&["", "", "", "status=R", "status=R"]);
    site.fail(&["b1", "b3"]);
    assert_eq!(site.sequence(6), "b2 b4 b5 b2 b4 b5");
}

#[test]
fn unusable_spare_leaves_its_place_to_the_next() {
    let site = Site::new(&["status=D", "", "status=R", "status=R"]);
    site.fail(&["b3"]);
    assert_eq!(site.sequence(4), "b2 b4 b2 b4");
}

#[test]
fn spares_stand_in_for_members_of_their_own_set_only() {
    let site = Site::new(&["status=D", "", "lbset=1", "lbset=1 status=R"]);
    assert_eq!(site.sequence(2), "b2 b2");
    site.fail(&["b2"]);
    assert_eq!(site.sequence(2), "b3 b3");
}

#[test]
fn unusable_standby_lets_no_spare_in() {
    let site = Site::new(&["", "status=HD", "status=R"]);
    assert_eq!(site.sequence(3), "b1 b1 b1");
}

#[test]
fn member_that_is_spare_and_standby_is_a_spare() {
    let site = Site::new(&["status=D", "", "status=RH"]);
    assert_eq!(site.sequence(4), "b2 b3 b2 b3");
    let site = Site::new(&["status=RH"]);
    assert_eq!(site.serve(), "503");
}

#[test]
fn spare_without_a_missing_member_is_never_used() {
    let site = Site::new(&["status=R"]);
    assert_eq!(site.serve(), "503");
}

#[test]
fn draining_member_takes_only_its_own_sessions() {
    let site = Site::new(&["status=N route=r1", "route=r2"]);
    assert_eq!(site.sequence(3), "b2 b2 b2");
    assert_eq!(site.serve_session("r1"), "b1");
    assert_eq!(site.serve_session("r2"), "b2");
    let site = Site::new(&["status=N"]);
    assert_eq!(site.serve(), "503");
}

#[test]
fn draining_active_member_lets_a_spare_in() {
    let site = Site::new(&["status=N", "", "status=R"]);
    assert_eq!(site.sequence(4), "b2 b3 b2 b3");
}

#[test]
fn draining_spare_or_standby_is_not_used_and_lets_no_spare_in() {
    let site = Site::new(&["", "status=NR", "status=NH", "status=R"]);
    assert_eq!(site.sequence(2), "b1 b1");
    site.fail(&["b1"]);
    assert_eq!(site.sequence(2), "b4 b4");
    site.fail(&["b4"]);
    assert_eq!(site.serve(), "503");
}

#[test]
fn disabled_and_stopped_members_take_nothing() {
    for status in ["D", "S"] {
        let site = Site::new(&[&format!("status={status} route=r1"), ""]);
        assert_eq!(site.sequence(2), "b2 b2");
        assert_eq!(site.serve_session("r1"), "b2");
    }
}

#[test]
fn member_that_may_not_be_chosen_is_owed_nothing() {
    let site = Site::new(&["", "", "status=H", "lbset=1"]);
    site.serve();
    assert_eq!(site.balancer.lbstatus(&[2, 3]), [0, 0]);
}
