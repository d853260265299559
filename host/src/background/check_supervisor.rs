//! Runs the checks of all members of the snapshot in force, and reports their results.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use equipoise_http::Limits;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

use super::check::{CheckReport, Target, permits, run_checks};
use super::health_evaluation::EvaluatorHandle;
use equipoise_config::Check;
use equipoise_proxy::current::{CurrentSnapshot, SnapshotReader};
use equipoise_proxy::snapshot::{Cluster, Snapshot};
use equipoise_proxy::upstream::Endpoint;

/// Keeps one task of checks running for every member with checks, for ever.
pub(super) async fn supervise(current: CurrentSnapshot, evaluator: EvaluatorHandle) {
    let mut changes = current.subscribe();
    let mut checks = Checks {
        reader: Rc::new(RefCell::new(current.reader())),
        evaluator,
        permits: permits(),
        tasks: JoinSet::new(),
        running: BTreeMap::new(),
        round: 0,
    };
    loop {
        changes.borrow_and_update();
        checks.reconcile();
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
    evaluator: EvaluatorHandle,
    permits: Arc<Semaphore>,
    tasks: JoinSet<()>,
    /// By the members' [`Endpoint::key`].
    running: BTreeMap<u64, Running>,
    /// How often they were made those of the snapshot in force.
    round: u64,
}

/// Checks of a member.
struct Running {
    /// What they are; begun anew when that changes.
    check: Check,
    reads_bodies: bool,
    limits: Limits,
    task: AbortHandle,
    /// When the member was last found to be checked.
    round: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Checks {
    /// Begins and ends checks until they are those of the snapshot in force. Those that stay are not disturbed.
    fn reconcile(&mut self) {
        let snapshot = self.reader.borrow_mut().pin();
        self.round += 1;
        for cluster in &snapshot.clusters {
            let limits = snapshot.limits.message_limits();
            let reads_bodies = cluster.config.health_plugin.is_some();
            for (member, endpoint) in cluster.balancer.members().iter().zip(&cluster.endpoints) {
                let check = endpoint.config.check.as_ref();
                let Some(check) = check.filter(|_| !member.settings.status.stopped) else {
                    continue;
                };
                if let Some(running) = self.running.get_mut(&endpoint.key)
                    && running.check == *check
                    && running.reads_bodies == reads_bodies
                    && running.limits == limits
                {
                    running.round = self.round;
                    continue;
                }
                let task = self.begin(&snapshot, cluster, endpoint, member.id);
                let running = task.map(|task| Running {
                    check: check.clone(),
                    reads_bodies,
                    limits,
                    task,
                    round: self.round,
                });
                self.running
                    .extend(running.map(|running| (endpoint.key, running)));
            }
        }
        let round = self.round;
        self.running.retain(|_, running| running.round == round);
    }

    fn begin(
        &mut self,
        snapshot: &Snapshot,
        cluster: &Cluster,
        endpoint: &Arc<Endpoint>,
        id: u32,
    ) -> Option<AbortHandle> {
        let reads_bodies = cluster.config.health_plugin.is_some();
        let limits = snapshot.limits.message_limits();
        let target = Target::new(
            id,
            endpoint.clone(),
            reads_bodies,
            limits,
            self.permits.clone(),
        )?;
        let (reader, evaluator) = (self.reader.clone(), self.evaluator.clone());
        let started = snapshot.started();
        let balancer = cluster.name().to_owned();
        let note = move |report| {
            let snapshot = reader.borrow_mut().pin();
            if let Some((_, cluster)) = snapshot.cluster(&balancer) {
                note(&snapshot, cluster, &evaluator, report);
            }
        };
        let checking = run_checks(target, move || started.elapsed(), note);
        Some(self.tasks.spawn_local(checking))
    }
}

/// Records a check: its error state at once, its health by the evaluator.
fn note(snapshot: &Snapshot, cluster: &Cluster, evaluator: &EvaluatorHandle, report: CheckReport) {
    let CheckReport { probe, detail } = report;
    let (member, passed) = (probe.member, probe.passed);
    if cluster.member(member).is_none() {
        return;
    }
    cluster.health_history.record_check(member, passed, detail);
    cluster
        .balancer
        .record_check(member, passed, snapshot.now());
    evaluator.evaluate(cluster.name(), probe);
}
