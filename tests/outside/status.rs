//! What an operator's flags do.

use crate::client::Request;
use crate::cluster::{Cluster, dead, live};
use crate::compare::{Pair, Step, agree_on, gets};

#[test]
fn disabled_and_stopped_members_take_nothing() {
    for flag in ["D", "S", "+D", "+DS"] {
        let cluster = Cluster::of([live(), live().status(flag), live()]);
        assert_eq!(agree_on(&cluster, gets(4)), "b1 b3 b1 b3", "{flag}");
    }
}

#[test]
fn a_flag_can_be_taken_back() {
    let cluster = Cluster::of([live(), live().status("+D-D")]);
    assert_eq!(agree_on(&cluster, gets(2)), "b1 b2");
}

#[test]
fn a_draining_member_takes_no_new_requests() {
    let cluster = Cluster::of([live(), live().status("N"), live()]);
    assert_eq!(agree_on(&cluster, gets(4)), "b1 b3 b1 b3");
}

#[test]
fn nobody_left_is_503() {
    let cluster = Cluster::of([live().status("D"), live().status("S"), live().status("N")]);
    assert_eq!(agree_on(&cluster, gets(2)), "503 503");
}

#[test]
fn a_request_waits_for_a_member_as_long_as_timeout_says() {
    let mut cluster = Cluster::of([live().status("D"), live().status("D")]);
    cluster.timeout = Some(1);
    assert_eq!(agree_on(&cluster, gets(1)), "503");
}

#[test]
fn a_member_that_ignores_errors_never_rests() {
    let mut cluster = Cluster::of([live().status("+I"), live()]);
    cluster.failonstatus = vec![503];
    let failing = Request::get("/").with("Answer", "b1=503");
    let expected = "b1:503 b2 b1:503 b2";
    assert_eq!(agree_on(&cluster, vec![failing; 4]), expected);
}

/// Apache asks again only when the member became unusable, which one with `I` never does; we ask the next one.
#[test]
fn we_differ_where_a_dead_member_ignores_errors() {
    let cluster = Cluster::of([dead().status("+I"), live()]);
    let steps: Vec<Step> = gets(4).into_iter().map(Step::Ask).collect();
    let both = Pair::start(&cluster).drive(&steps);
    assert_eq!(both.apache, "503 b2 503 b2");
    assert_eq!(both.equipoise, "b2 b2 b2 b2");
}
