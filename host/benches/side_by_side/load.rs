//! The load: a fixed number of keep-alive connections, each sending its next request when the answer to the last is there.
//!
//! One thread and one small runtime, so that it costs less than the proxy it drives. Every answer is checked; one that is
//! not the origin's ends the run with an error, for a proxy that fails fast would look fast.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tokio::task::JoinSet;

use crate::origin::BODY_BYTES;
use crate::requests::Requests;

/// Connections, each with one request in flight.
pub(crate) const CONNECTIONS: usize = 32;

/// How far apart in the list of requests the connections begin: an odd number, so that they do not all send the same kind.
const STRIDE: usize = 7;

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

/// Open connections to one proxy.
#[derive(Debug)]
pub(crate) struct Load {
    runtime: Runtime,
    connections: Vec<Connection>,
}

impl Load {
    /// Opens [`CONNECTIONS`] connections, which are to send these requests.
    pub(crate) fn connect(address: SocketAddr, requests: &Requests) -> Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let connections = runtime.block_on(async {
            let mut connections = Vec::new();
            for position in (0..CONNECTIONS).map(|connection| connection * STRIDE) {
                connections.push(Connection::open(address, requests.clone(), position).await?);
            }
            anyhow::Ok(connections)
        })?;
        Ok(Self {
            runtime,
            connections,
        })
    }

    /// Sends requests on all connections; the time each one took, sorted.
    ///
    /// # Errors
    /// A connection that broke, an answer that is not the origin's, or a proxy that stopped answering.
    pub(crate) fn run(&mut self, until: &Until) -> Result<Vec<Duration>> {
        let connections = std::mem::take(&mut self.connections);
        let drive = async {
            let mut tasks = JoinSet::new();
            for connection in connections {
                tasks.spawn(connection.drive(until.clone()));
            }
            let mut latencies = Vec::new();
            while let Some(ended) = tasks.join_next().await {
                let (connection, mut own) = ended??;
                self.connections.push(connection);
                latencies.append(&mut own);
            }
            anyhow::Ok(latencies)
        };
        let patience = until.patience();
        let mut latencies = self
            .runtime
            .block_on(async { tokio::time::timeout(patience, drive).await })
            .context("the proxy stopped answering")??;
        latencies.sort_unstable();
        ensure!(!latencies.is_empty(), "no request was answered");
        Ok(latencies)
    }
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    requests: Requests,
    /// The next one of them.
    position: usize,
    received: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr, requests: Requests, position: usize) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let received = Vec::with_capacity(8 * BODY_BYTES);
        Ok(Self {
            stream,
            requests,
            position,
            received,
        })
    }

    /// Sends one request after another; the time each took.
    async fn drive(mut self, until: Until) -> Result<(Self, Vec<Duration>)> {
        let mut latencies = Vec::new();
        let mut sent = Instant::now();
        while until.allows_another(sent) {
            self.exchange().await?;
            let now = Instant::now();
            latencies.push(now - sent);
            sent = now;
        }
        Ok((self, latencies))
    }

    async fn exchange(&mut self) -> Result<()> {
        let request = self.requests.at(self.position);
        self.stream.write_all(request).await?;
        self.position += 1;
        self.received.clear();
        loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                bail!("the proxy closed the connection");
            }
            if is_complete(&self.received)? {
                return Ok(());
            }
        }
    }
}

/// Whether the whole answer is there. It must be the origin's: 200 and its length.
fn is_complete(received: &[u8]) -> Result<bool> {
    let Some(end) = memchr::memmem::find(received, b"\r\n\r\n") else {
        return Ok(false);
    };
    let (head, body) = (&received[..end], &received[end + 4..]);
    if !head.starts_with(b"HTTP/1.1 200 ") || body.len() > BODY_BYTES {
        bail!(
            "not the origin's answer: {}",
            String::from_utf8_lossy(received)
        );
    }
    Ok(body.len() == BODY_BYTES)
}
