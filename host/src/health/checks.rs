//! The checks of all members, and where their findings go.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use equipoise_http::Limits;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

use super::judges::Judges;
use crate::probe::{Finding, Target, permits, watch};
use equipoise_config::Check;
use equipoise_proxy::current::{CurrentSnapshot, SnapshotReader};
use equipoise_proxy::snapshot::{Cluster, Snapshot};
use equipoise_proxy::upstream::Upstream;

/// Checks every member that is to be checked, as the snapshot in force has it, for ever.
pub(super) async fn supervise(current: CurrentSnapshot, judges: Judges) {
    let mut changes = current.subscribe();
    let mut checks = Checks {
        reader: Rc::new(RefCell::new(current.reader())),
        judges,
        permits: permits(),
        tasks: JoinSet::new(),
        running: BTreeMap::new(),
    };
    loop {
        changes.borrow_and_update();
        checks.adjust();
        // What was ended leaves nothing behind.
        while checks.tasks.try_join_next().is_some() {}
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// The checks that are made, each in a task of its own.
struct Checks {
    reader: Rc<RefCell<SnapshotReader>>,
    judges: Judges,
    permits: Arc<Semaphore>,
    tasks: JoinSet<()>,
    /// By the members' [`Upstream::key`].
    running: BTreeMap<u64, Running>,
}

/// Checks of a member.
struct Running {
    /// What they are; begun anew when that changes.
    check: Check,
    is_judged: bool,
    limits: Limits,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Checks {
    /// Begins and ends checks until they are those of the snapshot in force. Those that stay are not disturbed.
    fn adjust(&mut self) {
        let snapshot = self.reader.borrow_mut().pin();
        let mut before = std::mem::take(&mut self.running);
        for cluster in &snapshot.clusters {
            let limits = snapshot.limits.message_limits();
            let is_judged = cluster.config.health_plugin.is_some();
            for (member, upstream) in cluster.balancer.members().iter().zip(&cluster.upstreams) {
                let check = upstream.config.check.as_ref();
                let Some(check) = check.filter(|_| !member.settings.status.stopped) else {
                    continue;
                };
                let running = before.remove(&upstream.key);
                let running = running.filter(|it| {
                    it.check == *check && it.is_judged == is_judged && it.limits == limits
                });
                let running = running.or_else(|| {
                    let task = self.begin(&snapshot, cluster, upstream, member.id)?;
                    Some(Running {
                        check: check.clone(),
                        is_judged,
                        limits,
                        task,
                    })
                });
                self.running
                    .extend(running.map(|running| (upstream.key, running)));
            }
        }
    }

    fn begin(
        &mut self,
        snapshot: &Snapshot,
        cluster: &Cluster,
        upstream: &Arc<Upstream>,
        id: u32,
    ) -> Option<AbortHandle> {
        let is_judged = cluster.config.health_plugin.is_some();
        let limits = snapshot.limits.message_limits();
        let target = Target::new(
            id,
            upstream.clone(),
            is_judged,
            limits,
            self.permits.clone(),
        )?;
        let (reader, judges) = (self.reader.clone(), self.judges.clone());
        let started = snapshot.started();
        let balancer = cluster.name().to_owned();
        let note = move |finding| {
            let snapshot = reader.borrow_mut().pin();
            if let Some((_, cluster)) = snapshot.cluster(&balancer) {
                note(&snapshot, cluster, &judges, finding);
            }
        };
        let watching = watch(target, move || started.elapsed(), note);
        Some(self.tasks.spawn_local(watching))
    }
}

/// A check of a member ended: what it is in error for is known at once, how healthy it is by its judge.
fn note(snapshot: &Snapshot, cluster: &Cluster, judges: &Judges, finding: Finding) {
    let Finding { probe, detail } = finding;
    let (member, passed) = (probe.member, probe.passed);
    if cluster.member(member).is_none() {
        return;
    }
    cluster.chronicle.note_check(member, passed, detail);
    cluster
        .balancer
        .record_check(member, passed, snapshot.now());
    judges.judge(cluster.name(), probe);
}
