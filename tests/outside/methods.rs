//! The load balancing methods: who is next.

use crate::client::Request;
use crate::cluster::Cluster;
use crate::compare::{Step, agree, agree_on, gets};

#[test]
fn byrequests_takes_turns() {
    let cluster = Cluster::weighted(["1", "1", "1"]);
    assert_eq!(agree_on(&cluster, gets(7)), "b1 b2 b3 b1 b2 b3 b1");
}

#[test]
fn byrequests_spreads_weights_smoothly() {
    let cluster = Cluster::weighted(["1", "2"]);
    let expected = "b2 b1 b2 b2 b1 b2 b2 b1 b2 b2 b1 b2";
    assert_eq!(agree_on(&cluster, gets(12)), expected);
    agree_on(&Cluster::weighted(["3", "1", "2"]), gets(18));
    agree_on(&Cluster::weighted(["100", "1", "7", "7"]), gets(120));
}

#[test]
fn byrequests_takes_fractional_weights() {
    agree_on(&Cluster::weighted(["1.5", "1"]), gets(20));
    agree_on(&Cluster::weighted(["1.25", "3.99", "2"]), gets(40));
}

#[test]
fn bybusyness_without_overlap_is_byrequests() {
    let cluster = Cluster::weighted(["1", "2"]).by("bybusyness");
    let expected = "b2 b1 b2 b2 b1 b2 b2 b1 b2 b2 b1 b2";
    assert_eq!(agree_on(&cluster, gets(12)), expected);
}

#[test]
fn bybusyness_avoids_the_busy() {
    let cluster = Cluster::weighted(["1", "1", "1"]).by("bybusyness");
    let hold = || Step::Hold(Request::get("/"));
    let ask = || Step::Ask(Request::get("/"));
    let steps = [
        hold(),
        ask(),
        ask(),
        ask(),
        hold(),
        ask(),
        ask(),
        hold(),
        hold(),
        ask(),
        Step::Release,
        ask(),
        Step::Release,
        ask(),
        ask(),
        Step::Release,
        Step::Release,
        ask(),
    ];
    agree(&cluster, &steps);
    agree(&Cluster::weighted(["4", "1", "2"]).by("bybusyness"), &steps);
}

#[test]
fn bytraffic_counts_what_members_send() {
    let cluster = Cluster::weighted(["1", "1", "1"]).by("bytraffic");
    let sizes = [
        900_000, 100_000, 300_000, 50_000, 700_000, 350_000, 20_000, 10_000,
    ];
    let answers = sizes.map(|size| Request::get("/").with("Length", &size.to_string()));
    let expected = "b1 b2 b3 b2 b2 b3 b3 b3";
    assert_eq!(agree_on(&cluster, answers), expected);
}

#[test]
fn bytraffic_counts_what_members_receive() {
    let cluster = Cluster::weighted(["1", "1", "1"]).by("bytraffic");
    let sizes = [
        900_000, 100_000, 300_000, 50_000, 700_000, 350_000, 20_000, 10_000,
    ];
    let expected = "b1 b2 b3 b2 b2 b3 b3 b3";
    assert_eq!(agree_on(&cluster, sizes.map(Request::post)), expected);
}

#[test]
fn bytraffic_divides_by_the_weight() {
    let cluster = Cluster::weighted(["4", "1"]).by("bytraffic");
    let answers = [400_000, 300_000, 600_000, 100_000, 50_000, 30_000, 900_000]
        .map(|size| Request::get("/").with("Length", &size.to_string()));
    agree_on(&cluster, answers);
}
