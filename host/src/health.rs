//! Health: the thread that checks members and asks their judges, off the way of requests.
//!
//! Requests that end leave their outcome in [`Exchanges`]; checks end on the thread itself. Ten times a second the thread
//! takes what is there to the balancer's judge ([`equipoise_balancer::Judgement`]) and tells the balancer what follows.
//! What changes is logged and remembered by the [`Chronicle`].

mod checks;
mod chronicle;
mod exchanges;
mod rounds;

use std::convert::Infallible;
use std::thread;

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::live::Live;

pub(crate) use chronicle::Chronicle;
pub(crate) use exchanges::{Account, Exchanges, Opening};

/// The health thread. Dropped, it ends.
pub(crate) struct Health {
    /// Closed when this is dropped.
    _end: oneshot::Sender<Infallible>,
}

impl Health {
    /// Begins to look after the members of the configuration in force.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(live: Live) -> Result<Self> {
        let (end, ended) = oneshot::channel();
        thread::Builder::new()
            .name("health".to_owned())
            .spawn(move || attend(&live, ended))
            .context("starting the thread that looks after members' health")?;
        Ok(Self { _end: end })
    }
}

/// The life of the thread: until `ended` is.
fn attend(live: &Live, ended: oneshot::Receiver<Infallible>) {
    let runtime = match Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
    {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "the health thread has no runtime"),
    };
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        checks::spawn(&mut tasks, live.view());
        tasks.spawn_local(rounds::judge_exchanges(live.view()));
        // Nobody sends anything: this waits for the other end to be dropped.
        let _ = ended.await;
    });
}
