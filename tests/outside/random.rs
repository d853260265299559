//! Random clusters and requests: whatever is configured, both do the same.
//!
//! The seed is fixed, so that a failure is one tomorrow, too; `OUTSIDE_SEED=7` tries others.

use fastrand::Rng;

use crate::client::Request;
use crate::cluster::{Cluster, Member, dead, live};
use crate::compare::{Both, Pair, Step};
use crate::members::COUNT;

const CLUSTERS: u64 = 30;
const REQUESTS: usize = 60;

/// One generator for each cluster of a test, with its seed.
fn generators(test: u64) -> impl Iterator<Item = (u64, Rng)> {
    let seed = std::env::var("OUTSIDE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let first: u64 = seed.unwrap_or(1) * 1_000 + test * CLUSTERS;
    (first..first + CLUSTERS).map(|seed| (seed, Rng::with_seed(seed)))
}

fn one_in(rng: &mut Rng, count: u32) -> bool {
    rng.u32(..count) == 0
}

/// A member with anything that can be said of one. Without route: those are given by the cluster.
///
/// Dead ones neither ignore errors nor are tried again at once: that is where we differ on purpose.
fn member(rng: &mut Rng) -> Member {
    let mut member = if one_in(rng, 6) { dead() } else { live() };
    member.loadfactor = rng
        .choice(["1", "1", "1", "2", "3", "1.5", "10"])
        .expect("there are some");
    if one_in(rng, 4) {
        member.lbset = rng.u32(0..3);
    }
    for (flag, rarity) in [
        ('D', 20),
        ('S', 30),
        ('N', 15),
        ('H', 9),
        ('R', 9),
        ('I', 20),
    ] {
        if one_in(rng, rarity) && !(flag == 'I' && member.is_dead) {
            member.status.push(flag);
        }
    }
    if one_in(rng, 10) && !member.is_dead {
        member.retry = Some(0);
    }
    member
}

/// A cluster with anything that can be said of one, chosen by `lbmethod`.
fn cluster(rng: &mut Rng, lbmethod: &'static str) -> Cluster {
    let count = if one_in(rng, 15) {
        1
    } else {
        rng.usize(2..=COUNT)
    };
    let mut cluster = Cluster::of((0..count).map(|_| member(rng))).by(lbmethod);
    cluster.nofailover = one_in(rng, 5);
    cluster.forcerecovery = !one_in(rng, 4);
    cluster.maxattempts = one_in(rng, 3).then(|| rng.u32(0..4));
    if one_in(rng, 3) {
        cluster.failonstatus = vec![503];
    }
    if rng.bool() {
        return cluster;
    }
    let mut cluster = cluster.sticky();
    for position in 0..count {
        let other = cluster.members[rng.usize(..count)].route.clone();
        if one_in(rng, 8) {
            cluster.members[position].route = other;
        } else if one_in(rng, 4) {
            cluster.members[position].redirect = other;
        }
    }
    forget_lost_redirects(&mut cluster);
    cluster
}

/// Redirects must name a route of the cluster; sharing routes may have taken one away.
fn forget_lost_redirects(cluster: &mut Cluster) {
    let routes: Vec<_> = cluster
        .members
        .iter()
        .map(|member| member.route.clone())
        .collect();
    for member in &mut cluster.members {
        member
            .redirect
            .take_if(|redirect| !routes.contains(&Some(redirect.clone())));
    }
}

/// A request with or without a session, at which some members fail.
fn request(rng: &mut Rng) -> Request {
    let route = rng.usize(0..=COUNT + 1);
    let mut request = match rng.u32(..6) {
        0 | 1 => Request::get("/").cookie(&format!("SID=a.r{route}")),
        2 => Request::get(&format!("/x;sidp=a.r{route}")).cookie("SID=a.r1"),
        3 => Request::post(rng.usize(1..1_000)),
        _ => Request::get("/"),
    };
    if one_in(rng, 3) {
        let failing = rng.usize(1..=COUNT);
        request = request.with("Answer", &format!("b{failing}=503"));
    }
    request
}

fn compare_random(test: u64, lbmethod: &'static str) {
    for (seed, mut rng) in generators(test) {
        let cluster = cluster(&mut rng, lbmethod);
        let steps: Vec<Step> = (0..REQUESTS)
            .map(|_| Step::Ask(request(&mut rng)))
            .collect();
        let both = Pair::start(&cluster).drive(&steps);
        both.agreed(&cluster, &format!("seed {seed}: {steps:?}"));
    }
}

#[test]
fn any_cluster_by_requests() {
    compare_random(0, "byrequests");
}

#[test]
fn any_cluster_by_busyness() {
    compare_random(1, "bybusyness");
}

/// All members are up and no request fails, so that every held request is at a member.
#[test]
fn any_overlap_by_busyness() {
    for (seed, mut rng) in generators(2) {
        let weight = |rng: &mut Rng| rng.choice(["1", "1", "2", "5"]).expect("there are some");
        let count = rng.usize(2..=COUNT);
        let members = (0..count).map(|_| live().weight(weight(&mut rng)));
        let cluster = Cluster::of(members.collect::<Vec<_>>()).by("bybusyness");
        let mut held = 0;
        let steps: Vec<Step> = (0..REQUESTS)
            .map(|_| match rng.u32(..3) {
                0 if held < 8 => {
                    held += 1;
                    Step::Hold(Request::get("/"))
                }
                1 if held > 0 => {
                    held -= 1;
                    Step::Release
                }
                _ => Step::Ask(Request::get("/")),
            })
            .collect();
        let both = Pair::start(&cluster).drive(&steps);
        both.agreed(&cluster, &format!("seed {seed}: {steps:?}"));
    }
}

/// Apache and we add fields of different lengths, so that sums of bytes differ by some hundreds a request. Sizes are chosen
/// so that no two members ever come closer than that can matter.
#[test]
fn any_traffic_by_traffic() {
    const MARGIN: i64 = 40_000;
    for (seed, mut rng) in generators(3) {
        let weights: Vec<&str> = (0..rng.usize(2..=4))
            .map(|_| rng.choice(["1", "2", "4"]).expect("there are some"))
            .collect();
        let cluster =
            Cluster::of(weights.iter().map(|weight| live().weight(weight))).by("bytraffic");
        let pair = Pair::start(&cluster);
        let mut loads = vec![0; weights.len()];
        for _ in 0..REQUESTS / 3 {
            let next = (0..loads.len())
                .min_by_key(|&member| loads[member])
                .expect("there are members");
            let weight: i64 = weights[next].parse().expect("a number");
            let size = (0..1_000)
                .map(|_| rng.i64(MARGIN..1_500_000))
                .find(|size| {
                    let load = loads[next] + size / weight;
                    loads
                        .iter()
                        .enumerate()
                        .all(|(member, other)| member == next || (load - other).abs() > MARGIN)
                })
                .expect("there is room between the members");
            loads[next] += size / weight;
            let request = if rng.bool() {
                Request::post(size as usize).with("Length", "1")
            } else {
                Request::get("/").with("Length", &size.to_string())
            };
            let Both { apache, equipoise } = pair.ask(&request);
            let expected = format!("b{}", next + 1);
            assert_eq!(
                (apache.to_string(), equipoise.to_string()),
                (expected.clone(), expected),
                "seed {seed}: {loads:?}"
            );
        }
    }
}
