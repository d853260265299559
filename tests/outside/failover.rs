//! What becomes of requests to members that fail.

use std::time::Duration;

use crate::client::Request;
use crate::cluster::{Cluster, dead, live};
use crate::compare::{Pair, Step, agree, agree_on, gets};
use crate::members::MEMBERS;

#[test]
fn a_dead_member_is_passed_over_within_the_request() {
    let cluster = Cluster::of([dead(), dead(), dead(), live()]);
    assert_eq!(agree_on(&cluster, gets(3)), "b4 b4 b4");
}

#[test]
fn maxattempts_bounds_the_tries_of_a_request() {
    let mut cluster = Cluster::of([dead(), dead(), dead(), live()]);
    cluster.maxattempts = Some(1);
    assert_eq!(agree_on(&cluster, gets(3)), "503 b4 b4");
    cluster.maxattempts = Some(0);
    assert_eq!(agree_on(&cluster, gets(5)), "503 503 503 b4 b4");
}

#[test]
fn a_request_with_a_body_moves_on_from_a_dead_member() {
    let cluster = Cluster::of([dead(), live()]);
    assert_eq!(agree_on(&cluster, [Request::post(5_000)]), "b2");
}

#[test]
fn a_single_dead_member_is_503() {
    let cluster = Cluster::of([dead()]);
    assert_eq!(agree_on(&cluster, gets(3)), "503 503 503");
}

#[test]
fn nobody_alive_is_503_with_and_without_forced_recovery() {
    let mut cluster = Cluster::of([dead(), dead()]);
    assert_eq!(agree_on(&cluster, gets(3)), "503 503 503");
    cluster.forcerecovery = false;
    assert_eq!(agree_on(&cluster, gets(3)), "503 503 503");
}

#[test]
fn failonstatus_delivers_the_answer_and_rests_the_member() {
    let mut cluster = Cluster::of([live().retry(5), live()]);
    cluster.failonstatus = vec![500, 503];
    let failing = Request::get("/").with("Answer", "b1=503");
    let steps = [
        Step::Ask(failing.clone()),
        Step::Ask(failing),
        Step::Ask(Request::get("/")),
        Step::Wait(Duration::from_millis(5_300)),
        Step::Ask(Request::get("/")),
        Step::Ask(Request::get("/")),
        Step::Ask(Request::get("/")),
        Step::Ask(Request::get("/")),
    ];
    assert_eq!(agree(&cluster, &steps), "b1:503 b2 b2 b2 b1 b2 b1");
}

#[test]
fn an_answer_outside_failonstatus_changes_nothing() {
    let mut cluster = Cluster::of([live(), live()]);
    cluster.failonstatus = vec![500];
    let failing = Request::get("/").with("Answer", "b1=503 b2=404");
    assert_eq!(
        agree_on(&cluster, vec![failing; 4]),
        "b1:503 b2:404 b1:503 b2:404"
    );
}

#[test]
fn forced_recovery_brings_everybody_back_when_all_have_failed() {
    let mut cluster = Cluster::of([live(), live(), live()]);
    cluster.failonstatus = vec![503];
    let failing = Request::get("/").with("Answer", "b1=503 b2=503 b3=503");
    agree_on(&cluster, vec![failing.clone(); 9]);
    cluster.forcerecovery = false;
    let expected = "b1:503 b2:503 b3:503 503 503";
    assert_eq!(agree_on(&cluster, vec![failing; 5]), expected);
}

#[test]
fn retry_zero_tries_a_failed_member_at_once() {
    let mut cluster = Cluster::of([live().retry(0), live().retry(0)]);
    cluster.failonstatus = vec![503];
    let failing = Request::get("/").with("Answer", "b1=503");
    agree_on(&cluster, vec![failing; 6]);
}

#[test]
fn a_stopped_member_is_not_recovered_by_force() {
    let mut cluster = Cluster::of([live().status("S"), live()]);
    cluster.failonstatus = vec![503];
    let failing = Request::get("/").with("Answer", "b2=503");
    agree_on(&cluster, vec![failing; 4]);
}

/// With `retry=0` Apache takes a dead member back at once, and asks it again for the same request; we ask the next one.
#[test]
fn we_differ_where_a_dead_member_is_retried_at_once() {
    let mut cluster = Cluster::of([dead().retry(0).weight("10"), live()]);
    cluster.maxattempts = Some(1);
    let steps: Vec<Step> = gets(4).into_iter().map(Step::Ask).collect();
    let both = Pair::start(&cluster).drive(&steps);
    assert!(both.apache.starts_with("503"), "{}", both.apache);
    assert_eq!(both.equipoise, "b2 b2 b2 b2");
}

/// Apache calls it a bad gateway when a member takes too long; we call it a timeout. The member rests, or not, with both.
#[test]
fn we_differ_in_the_status_for_a_member_that_takes_too_long() {
    let mut cluster = Cluster::of([live().timeout(2), live()]);
    for (failontimeout, then) in [(false, "b2 b1 b2"), (true, "b2 b2 b2")] {
        cluster.failontimeout = failontimeout;
        let slow = Request::get("/").with("Hold", "too long");
        let steps = [vec![slow], gets(3)].concat().into_iter().map(Step::Ask);
        let both = Pair::start(&cluster).drive(&steps.collect::<Vec<_>>());
        assert_eq!(both.apache, format!("502 {then}"));
        assert_eq!(both.equipoise, format!("504 {then}"));
    }
    MEMBERS.release("too long");
}

#[test]
fn a_request_that_must_not_be_repeated_fails_with_its_member() {
    let cluster = Cluster::of([live(), live()]);
    let breaking = Request::post(10).with("Answer", "b1=nothing");
    assert_eq!(agree_on(&cluster, [breaking]), "502");
}

/// Apache gives a request up when its member breaks off; we ask the next one, if the method allows that.
#[test]
fn we_differ_where_a_member_breaks_off() {
    let cluster = Cluster::of([live(), live()]);
    let breaking = Request::get("/").with("Answer", "b1=nothing");
    let both = Pair::start(&cluster).ask(&breaking);
    assert_eq!(both.apache.to_string(), "502");
    assert_eq!(both.equipoise.to_string(), "b2");
}

/// On a client's connection that has served a request, Apache closes without an answer; we answer.
#[test]
fn we_differ_where_a_member_breaks_off_behind_another_request() {
    let cluster = Cluster::of([live(), live()]);
    let breaking = Request::post(10).with("Answer", "b2=nothing");
    let both = Pair::start(&cluster).ask_behind(&Request::get("/"), &breaking);
    assert_eq!(both.apache.to_string(), "closed");
    assert_eq!(both.equipoise.to_string(), "502");
}
