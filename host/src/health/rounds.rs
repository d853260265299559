//! What the health thread does, round after round.

use std::sync::PoisonError;
use std::time::Duration;

use equipoise_balancer::Judgement;
use equipoise_sdk::health::{State, Transition};
use tokio::time::{MissedTickBehavior, interval};

use crate::live::View;
use crate::proxy::Services;
use crate::snapshot::{Cluster, Snapshot};

/// How often exchanges are taken to the judge.
const ROUND: Duration = Duration::from_millis(100);

/// After so many rounds the judge is asked even if there was nothing.
const IDLE_ROUNDS: u32 = 10;

/// How many exchanges a judge is told of at a time, and how many times a round: the rest waits for the next.
const BATCH: usize = 1024;
const BATCHES: usize = 16;

/// Takes exchanges to the judges, for ever.
pub(super) async fn judge_exchanges(mut view: View) {
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 0_u32.. {
        rounds.tick().await;
        let snapshot = view.pin();
        for cluster in &snapshot.clusters {
            judge(&snapshot, cluster, round.is_multiple_of(IDLE_ROUNDS));
        }
    }
}

/// Takes the exchanges of one balancer to its judge; `even_none` asks the judge even if there are none.
fn judge(snapshot: &Snapshot, cluster: &Cluster, mut even_none: bool) {
    let Some(exchanges) = &cluster.exchanges else {
        return;
    };
    for _ in 0..BATCHES {
        let batch = exchanges.take(BATCH);
        if batch.is_empty() && !even_none {
            break;
        }
        even_none = false;
        conclude(snapshot, cluster, |judgement, host| {
            judgement.judge_exchanges(&batch, host)
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
pub(super) fn conclude(
    snapshot: &Snapshot,
    cluster: &Cluster,
    ask: impl FnOnce(&mut Judgement, &Services) -> Vec<Transition>,
) {
    let services = Services::at(snapshot.now());
    let transitions = {
        let judgement = cluster.judgement.lock();
        ask(
            &mut judgement.unwrap_or_else(PoisonError::into_inner),
            &services,
        )
    };
    for transition in transitions {
        let is_healthy = transition.state == State::Healthy;
        let balancer = &cluster.balancer;
        balancer.judge(
            transition.member,
            is_healthy,
            &transition.reason,
            services.now,
        );
    }
}
