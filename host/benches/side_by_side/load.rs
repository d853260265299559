//! One kind of load on one proxy, and when it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::Bench;
use crate::h2load::{self, Sent};
use crate::handshakes;
use crate::http1::{CLIENTS, Clients, Conversation};
use crate::kind::{Driver, Kind};
use crate::proxy::Addresses;

/// When a run ends.
#[derive(Debug, Clone)]
pub(crate) enum Until {
    /// At this time.
    Deadline(Instant),
    /// When this many requests were sent.
    Requests(Arc<AtomicU32>),
}

impl Until {
    /// After this time.
    pub(crate) fn elapsed(duration: Duration) -> Self {
        Self::Deadline(Instant::now() + duration)
    }

    /// After this many requests.
    pub(crate) fn requests(count: u32) -> Self {
        Self::Requests(Arc::new(AtomicU32::new(count)))
    }

    /// Whether one more request is to be sent; takes it off the count.
    pub(crate) fn allows_another(&self, now: Instant) -> bool {
        match self {
            Self::Deadline(deadline) => now < *deadline,
            Self::Requests(left) => left
                .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                })
                .is_ok(),
        }
    }

    /// When the run is given up: a proxy under a counting tool may be a hundred times slower, but not dead.
    pub(crate) fn patience(&self) -> Duration {
        match self {
            Self::Deadline(deadline) => {
                deadline.saturating_duration_since(Instant::now()) + Duration::from_secs(10)
            }
            Self::Requests(_) => Duration::from_secs(180),
        }
    }
}

/// What a run showed.
#[derive(Debug)]
pub(crate) struct Run {
    /// Requests that were answered, or handshakes that were done.
    pub(crate) requests: u32,
    /// A second.
    pub(crate) throughput: f64,
    /// The time that each request took, sorted; none where that is not known.
    pub(crate) latencies: Vec<Duration>,
}

/// Load of one kind on one proxy.
#[derive(Debug)]
pub(crate) enum Load<'a> {
    /// Requests by HTTP/1.1.
    Http1(Clients),
    /// Requests by HTTP/2.
    H2load(Sent),
    /// Handshakes of TLS.
    Handshakes(SocketAddr, &'a Bench),
}

impl<'a> Load<'a> {
    /// For what listens at these addresses.
    pub(crate) fn new(kind: &Kind, addresses: Addresses, bench: &'a Bench) -> Result<Self> {
        Ok(match kind.driver {
            Driver::H2c => Self::H2load(Sent::requests("http", addresses.h2c)),
            Driver::H2 => Self::H2load(Sent::requests("https", addresses.tls)),
            Driver::Grpc => Self::H2load(Sent::calls(addresses.h2c)?),
            Driver::Handshakes => Self::Handshakes(addresses.tls, bench),
            Driver::KeepAlive | Driver::ConnectionEach | Driver::Idle | Driver::IdleH2c => {
                let conversation = Conversation::of(kind, addresses);
                Self::Http1(Clients::new(CLIENTS, &conversation)?)
            }
        })
    }

    /// Sends requests.
    ///
    /// # Errors
    /// One that was not answered as it should be, or a proxy that stopped answering.
    pub(crate) fn run(&mut self, until: &Until) -> Result<Run> {
        let started = Instant::now();
        let (requests, latencies) = match self {
            Self::H2load(sent) => return h2load::run(sent, until),
            Self::Http1(clients) => {
                let latencies = clients.run(until)?;
                (u32::try_from(latencies.len())?, latencies)
            }
            Self::Handshakes(address, bench) => {
                let count = handshakes::run(*address, &bench.certificate, until)?;
                (count, Vec::new())
            }
        };
        Ok(Run {
            requests,
            throughput: f64::from(requests) / started.elapsed().as_secs_f64(),
            latencies,
        })
    }
}
