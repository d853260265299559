//! The thread that evaluates health, by rule and plugin, off the request path, and reads `lbstatus` of members for display.
//!
//! Checks that ended come by a queue and are evaluated at once; requests that ended are evaluated ten times a second.
//! All of it is done in turn. A plugin that takes long delays the others, for as long as its budget allows, and nothing else: the
//! background thread leaves its work here and goes on.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use equipoise_balancer::HealthEvaluator;
use equipoise_sdk::health::{CheckResult, State, Transition};
use tokio::sync::oneshot;
use tokio::time::timeout;

use equipoise_proxy::current::{CurrentSnapshot, SnapshotReader};
use equipoise_proxy::downstream::Liveness;
use equipoise_proxy::forward::PolicyEnv;
use equipoise_proxy::snapshot::{Cluster, Snapshot};

/// How often requests that ended are evaluated.
const EVALUATION_INTERVAL: Duration = Duration::from_millis(100);

/// After so many intervals health is evaluated even without requests.
const IDLE_INTERVALS: u32 = 10;

/// How many requests are evaluated at a time, and how many times an interval: the rest waits for the next.
const BATCH: usize = 1024;
const BATCHES: usize = 16;

/// The longest queue of work for the thread.
const MAX_QUEUED: usize = 4096;

/// After an evaluation that took so long the thread yields, so that control, which may wait for the same lock, gets it.
const SLOW_EVALUATION: Duration = Duration::from_millis(10);
const YIELD_INTERVAL: Duration = Duration::from_millis(1);

/// How long loads are waited for; those that are known are shown then.
const LOADS_TIMEOUT: Duration = Duration::from_millis(100);

/// Queues work for the thread, which ends when the last of these is dropped.
#[derive(Clone)]
pub(crate) struct EvaluatorHandle {
    queue: SyncSender<Work>,
    /// Checks that were not evaluated, since the queue was full.
    dropped: Arc<AtomicU64>,
}

/// What the thread is to do besides its rounds.
enum Work {
    /// HealthPolicy a check of a member of this balancer.
    Check {
        balancer: String,
        probe: CheckResult,
    },
    /// Read the loads of the members of these balancers; the requester may be gone.
    Loads {
        clusters: Vec<Arc<Cluster>>,
        done: oneshot::Sender<()>,
    },
}

impl EvaluatorHandle {
    /// Starts the thread.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(current: CurrentSnapshot, liveness: &Liveness) -> Result<Self> {
        let (queue, work) = sync_channel(MAX_QUEUED);
        let dropped = Arc::new(AtomicU64::new(0));
        let evaluator = Self {
            queue,
            dropped: dropped.clone(),
        };
        let guard = liveness.guard("evaluating health");
        thread::Builder::new()
            .name("health".to_owned())
            .spawn(move || {
                let _guard = guard;
                run(current.reader(), &work, &dropped);
            })
            .context("starting the thread that evaluates health")?;
        Ok(evaluator)
    }

    /// Queues a check that ended. Never waits; what does not fit is dropped, and counted.
    pub(super) fn evaluate(&self, balancer: &str, probe: CheckResult) {
        let balancer = balancer.to_owned();
        if self
            .queue
            .try_send(Work::Check { balancer, probe })
            .is_err()
        {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Has the members of these balancers asked about anew, unless that was done within the last second, and waits until it is
    /// done, for a moment at most.
    pub(crate) async fn refresh_loads(&self, clusters: impl Iterator<Item = &Arc<Cluster>>) {
        let now = Instant::now();
        let old = clusters.filter(|cluster| cluster.loads.claim(now));
        let clusters: Vec<_> = old.cloned().collect();
        if clusters.is_empty() {
            return;
        }
        let (done, is_done) = oneshot::channel();
        if self.queue.try_send(Work::Loads { clusters, done }).is_ok() {
            // Where it is not, what is known is shown.
            let _ = timeout(LOADS_TIMEOUT, is_done).await;
        }
    }
}

/// The life of the thread.
fn run(mut reader: SnapshotReader, work: &Receiver<Work>, dropped: &AtomicU64) {
    let mut next_round = Instant::now() + EVALUATION_INTERVAL;
    let mut round = 0_u32;
    loop {
        let wait = next_round.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            let snapshot = reader.pin();
            for cluster in &snapshot.clusters {
                evaluate_requests(&snapshot, cluster, round.is_multiple_of(IDLE_INTERVALS));
            }
            warn_of_dropped(dropped);
            round = round.wrapping_add(1);
            next_round = Instant::now() + EVALUATION_INTERVAL;
            continue;
        }
        match work.recv_timeout(wait) {
            Ok(Work::Check { balancer, probe }) => evaluate_check(&reader.pin(), &balancer, probe),
            Ok(Work::Loads { clusters, done }) => {
                for cluster in clusters {
                    cluster.loads.ask(&cluster.balancer);
                }
                let _ = done.send(());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn warn_of_dropped(dropped: &AtomicU64) {
    let checks = dropped.swap(0, Relaxed);
    if checks > 0 {
        tracing::warn!("{checks} health checks were not evaluated: the queue was full");
    }
}

/// EvaluatorHandle a check, if its member is still there and checked.
fn evaluate_check(snapshot: &Snapshot, balancer: &str, probe: CheckResult) {
    let Some((_, cluster)) = snapshot.cluster(balancer) else {
        return;
    };
    let place = cluster.member(probe.member).map(|(place, _)| place);
    let endpoint = place.and_then(|place| cluster.endpoints.get(place));
    if endpoint.is_some_and(|endpoint| endpoint.config.check.is_some()) {
        apply_transitions(snapshot, cluster, |evaluator, env| {
            evaluator.on_checks(&[probe], env)
        });
    }
}

/// Evaluates the requests of one balancer; with `even_none` even if there are none.
fn evaluate_requests(snapshot: &Snapshot, cluster: &Cluster, mut even_none: bool) {
    let Some(exchanges) = &cluster.outcomes else {
        return;
    };
    for _ in 0..BATCHES {
        let batch = exchanges.take(BATCH);
        if batch.is_empty() && !even_none {
            break;
        }
        even_none = false;
        apply_transitions(snapshot, cluster, |evaluator, env| {
            evaluator.on_requests(&batch, env)
        });
    }
    let dropped = exchanges.take_dropped();
    if dropped > 0 {
        let balancer = &cluster.balancer.settings().name;
        tracing::warn!(
            "balancer {balancer}: {dropped} requests were not evaluated for health: they came too fast"
        );
    }
}

/// Calls a balancer's evaluator, and applies the transitions that it returns.
fn apply_transitions(
    snapshot: &Snapshot,
    cluster: &Cluster,
    evaluate: impl FnOnce(&mut HealthEvaluator, &PolicyEnv) -> Vec<Transition>,
) {
    let (env, begun) = (PolicyEnv::at(snapshot.now()), Instant::now());
    let transitions = {
        let evaluator = cluster.health_evaluator.lock();
        evaluate(&mut evaluator.unwrap_or_else(PoisonError::into_inner), &env)
    };
    for transition in transitions {
        let is_healthy = transition.state == State::Healthy;
        let balancer = &cluster.balancer;
        balancer.set_health(transition.member, is_healthy, &transition.reason, env.now);
    }
    if begun.elapsed() >= SLOW_EVALUATION {
        thread::sleep(YIELD_INTERVAL);
    }
}
