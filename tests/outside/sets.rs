//! Who may be chosen: sets, spares and standbys.

use crate::cluster::{Cluster, dead, live};
use crate::compare::{agree_on, gets};

#[test]
fn the_lowest_set_with_a_usable_member_serves() {
    let cluster = Cluster::of([live().set(1), live(), live().set(1), live()]);
    assert_eq!(agree_on(&cluster, gets(4)), "b2 b4 b2 b4");
}

#[test]
fn a_dead_set_is_left_for_the_next_one() {
    let cluster = Cluster::of([dead(), live().set(1), live().set(2)]);
    assert_eq!(agree_on(&cluster, gets(4)), "b2 b2 b2 b2");
}

#[test]
fn sets_may_have_gaps() {
    let cluster = Cluster::of([dead(), live().set(7), live().set(99)]);
    assert_eq!(agree_on(&cluster, gets(3)), "b2 b2 b2");
    let cluster = Cluster::of([live().set(99), live().set(98)]);
    assert_eq!(agree_on(&cluster, gets(3)), "b2 b2 b2");
}

#[test]
fn a_standby_waits_until_its_set_has_nobody() {
    let cluster = Cluster::of([live(), live(), live().status("+H")]);
    assert_eq!(agree_on(&cluster, gets(4)), "b1 b2 b1 b2");
    let cluster = Cluster::of([dead(), dead(), live().status("+H")]);
    assert_eq!(agree_on(&cluster, gets(3)), "b3 b3 b3");
}

#[test]
fn a_standby_comes_before_the_next_set() {
    let cluster = Cluster::of([dead(), live().status("+H"), live().set(1)]);
    assert_eq!(agree_on(&cluster, gets(3)), "b2 b2 b2");
}

#[test]
fn standbys_share_by_weight() {
    let standby = || live().status("+H");
    let cluster = Cluster::of([dead(), standby().weight("2"), standby(), standby()]);
    agree_on(&cluster, gets(12));
}

#[test]
fn one_spare_stands_in_for_each_unusable_member() {
    let spare = || live().status("+R");
    let cluster = Cluster::of([live(), dead(), spare(), spare()]);
    agree_on(&cluster, gets(9));
    let cluster = Cluster::of([live(), live().status("+D"), dead(), spare(), spare()]);
    agree_on(&cluster, gets(12));
    let cluster = Cluster::of([live(), live(), spare()]);
    assert_eq!(agree_on(&cluster, gets(4)), "b1 b2 b1 b2");
}

#[test]
fn a_spare_stands_in_for_a_draining_member() {
    let cluster = Cluster::of([live(), live().status("+N"), live().status("+R")]);
    assert_eq!(agree_on(&cluster, gets(4)), "b1 b3 b1 b3");
}

#[test]
fn spares_are_of_their_set_only() {
    let cluster = Cluster::of([dead(), live(), live().status("+R").set(1), live().set(1)]);
    agree_on(&cluster, gets(6));
}

#[test]
fn a_dead_spare_makes_room_for_the_next() {
    let cluster = Cluster::of([dead(), live(), dead().status("+R"), live().status("+R")]);
    agree_on(&cluster, gets(8));
}

#[test]
fn spares_come_before_standbys() {
    let cluster = Cluster::of([dead(), live().status("+H"), live().status("+R")]);
    assert_eq!(agree_on(&cluster, gets(3)), "b3 b3 b3");
    let cluster = Cluster::of([dead(), live().status("+RH"), live().status("+H")]);
    agree_on(&cluster, gets(3));
}
