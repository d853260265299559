//! The thread that asks plugins off the way of requests: judges, and where members stand in schedules.
//!
//! Checks that ended come by a queue and are judged at once; requests that ended are taken to the judges ten times a second.
//! All of it is done in turn. A judge that takes long holds up the others, for as long as its budget allows, and nothing else: the
//! thread that makes checks and answers the admin listener leaves its work here and goes on.

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

/// How often exchanges are taken to the judges.
const ROUND: Duration = Duration::from_millis(100);

/// After so many rounds a judge is asked even if there was nothing.
const IDLE_ROUNDS: u32 = 10;

/// How many exchanges a judge is told of at a time, and how many times a round: the rest waits for the next.
const BATCH: usize = 1024;
const BATCHES: usize = 16;

/// How much work waits for the thread at most.
const MOST_WAITING: usize = 4096;

/// After a judge that took so long there is a pause, so that control, which may wait for the same lock, gets it.
const LONG: Duration = Duration::from_millis(10);
const PAUSE: Duration = Duration::from_millis(1);

/// How long loads are waited for; those that are known are shown then.
const PATIENCE: Duration = Duration::from_millis(100);

/// Where work for the thread is left. It ends when the last of these is dropped.
#[derive(Clone)]
pub(crate) struct Judges {
    queue: SyncSender<Work>,
    /// Checks that nobody judged, since too many waited.
    left_out: Arc<AtomicU64>,
}

/// What the thread is to do besides its rounds.
enum Work {
    /// HealthPolicy a check of a member of this balancer.
    Check {
        balancer: String,
        probe: CheckResult,
    },
    /// Ask where the members of these balancers stand; who wants to know may have gone.
    Loads {
        clusters: Vec<Arc<Cluster>>,
        done: oneshot::Sender<()>,
    },
}

impl Judges {
    /// Starts the thread.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(current: CurrentSnapshot, liveness: &Liveness) -> Result<Self> {
        let (queue, work) = sync_channel(MOST_WAITING);
        let left_out = Arc::new(AtomicU64::new(0));
        let judges = Self {
            queue,
            left_out: left_out.clone(),
        };
        let guard = liveness.guard("judging members");
        thread::Builder::new()
            .name("judges".to_owned())
            .spawn(move || {
                let _guard = guard;
                run(current.reader(), &work, &left_out);
            })
            .context("starting the thread that asks judges")?;
        Ok(judges)
    }

    /// A check of a member of this balancer ended. Never waits; what does not fit is left out, and counted.
    pub(super) fn judge(&self, balancer: &str, probe: CheckResult) {
        let balancer = balancer.to_owned();
        if self
            .queue
            .try_send(Work::Check { balancer, probe })
            .is_err()
        {
            self.left_out.fetch_add(1, Relaxed);
        }
    }

    /// Has the members of these balancers asked about anew, unless that was done within the last second, and waits until it is
    /// done, for a moment at most.
    pub(crate) async fn ask_loads(&self, clusters: impl Iterator<Item = &Arc<Cluster>>) {
        let now = Instant::now();
        let old = clusters.filter(|cluster| cluster.loads.claim(now));
        let clusters: Vec<_> = old.cloned().collect();
        if clusters.is_empty() {
            return;
        }
        let (done, is_done) = oneshot::channel();
        if self.queue.try_send(Work::Loads { clusters, done }).is_ok() {
            // Where it is not, what is known is shown.
            let _ = timeout(PATIENCE, is_done).await;
        }
    }
}

/// The life of the thread.
fn run(mut reader: SnapshotReader, work: &Receiver<Work>, left_out: &AtomicU64) {
    let mut next_round = Instant::now() + ROUND;
    let mut round = 0_u32;
    loop {
        let wait = next_round.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            let snapshot = reader.pin();
            for cluster in &snapshot.clusters {
                evaluate_requests(&snapshot, cluster, round.is_multiple_of(IDLE_ROUNDS));
            }
            warn_of_left_out(left_out);
            round = round.wrapping_add(1);
            next_round = Instant::now() + ROUND;
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

fn warn_of_left_out(left_out: &AtomicU64) {
    let checks = left_out.swap(0, Relaxed);
    if checks > 0 {
        tracing::warn!(
            "{checks} checks of members were not judged: too many waited for their judges"
        );
    }
}

/// Judges a check, if its member is still there and checked.
fn evaluate_check(snapshot: &Snapshot, balancer: &str, probe: CheckResult) {
    let Some((_, cluster)) = snapshot.cluster(balancer) else {
        return;
    };
    let place = cluster.member(probe.member).map(|(place, _)| place);
    let upstream = place.and_then(|place| cluster.upstreams.get(place));
    if upstream.is_some_and(|upstream| upstream.config.check.is_some()) {
        conclude(snapshot, cluster, |health_evaluator, host| {
            health_evaluator.on_checks(&[probe], host)
        });
    }
}

/// Takes the exchanges of one balancer to its judge; `even_none` asks the judge even if there are none.
fn evaluate_requests(snapshot: &Snapshot, cluster: &Cluster, mut even_none: bool) {
    let Some(exchanges) = &cluster.exchanges else {
        return;
    };
    for _ in 0..BATCHES {
        let batch = exchanges.take(BATCH);
        if batch.is_empty() && !even_none {
            break;
        }
        even_none = false;
        conclude(snapshot, cluster, |health_evaluator, host| {
            health_evaluator.on_requests(&batch, host)
        });
    }
    let left_out = exchanges.take_left_out();
    if left_out > 0 {
        let balancer = &cluster.balancer.settings().name;
        tracing::warn!(
            "balancer {balancer}: the judge was not told of {left_out} requests, which came too fast"
        );
    }
}

/// Asks a balancer's judge, and tells the balancer what it says.
fn conclude(
    snapshot: &Snapshot,
    cluster: &Cluster,
    ask: impl FnOnce(&mut HealthEvaluator, &PolicyEnv) -> Vec<Transition>,
) {
    let (env, begun) = (PolicyEnv::at(snapshot.now()), Instant::now());
    let transitions = {
        let health_evaluator = cluster.health_evaluator.lock();
        ask(
            &mut health_evaluator.unwrap_or_else(PoisonError::into_inner),
            &env,
        )
    };
    for transition in transitions {
        let is_healthy = transition.state == State::Healthy;
        let balancer = &cluster.balancer;
        balancer.set_health(transition.member, is_healthy, &transition.reason, env.now);
    }
    if begun.elapsed() >= LONG {
        thread::sleep(PAUSE);
    }
}
