//! The checks of all members, and where their findings go.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::task::JoinSet;

use super::rounds::conclude;
use crate::live::View;
use crate::probe::{Finding, Target, permits, watch};
use crate::snapshot::{Cluster, Snapshot};

/// Begins to check every member that is to be checked, each in a task of its own.
pub(super) fn spawn(tasks: &mut JoinSet<()>, mut view: View) {
    let snapshot = view.pin();
    let view = Rc::new(RefCell::new(view));
    let permits = permits();
    for (number, cluster) in snapshot.clusters.iter().enumerate() {
        let is_judged = cluster.config.judge.is_some();
        for (id, upstream) in (0..).zip(cluster.upstreams.iter()) {
            let target = Target::new(id, &upstream.config, is_judged, permits.clone());
            let Some(target) = target else {
                continue;
            };
            let (view, started) = (view.clone(), snapshot.started());
            let note = move |finding| {
                let snapshot = view.borrow_mut().pin();
                note(&snapshot, &snapshot.clusters[number], finding);
            };
            tasks.spawn_local(watch(target, move || started.elapsed(), note));
        }
    }
}

/// A check of a member ended.
fn note(snapshot: &Snapshot, cluster: &Cluster, finding: Finding) {
    let Finding { probe, detail } = finding;
    let (member, passed) = (probe.member, probe.expected);
    cluster.chronicle.note_check(member, passed, detail);
    cluster.balancer.note_check(member, passed, snapshot.now());
    conclude(snapshot, cluster, |judgement, host| {
        judgement.judge_probes(&[probe], host)
    });
}
