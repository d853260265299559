//! Requests by HTTP/1.1, from a fixed number of clients, each sending its next request when the answer to the last is there.
//!
//! One thread and one small runtime, so that it costs less than the proxy it drives. Every answer is checked; one that is
//! not the origin's ends the run with an error, for a proxy that fails fast would look fast.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tokio::task::JoinSet;

use crate::kind::{Driver, Kind};
use crate::load::Until;
use crate::proxy::Addresses;
use crate::requests::Requests;

/// Clients, each with one connection and one request in flight.
pub(crate) const CLIENTS: usize = 32;

/// How far apart in the list of requests the clients begin: an odd number, so that they do not all send the same kind.
const STRIDE: usize = 7;

/// Room for what is read at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// How long an answer may take where one client asks at a time.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// What clients ask of one proxy.
#[derive(Debug, Clone)]
pub(crate) struct Conversation {
    /// Where the proxy is.
    address: SocketAddr,
    /// What is sent.
    requests: Requests,
    /// Length of every answer's body.
    body_bytes: usize,
    /// Whether connections are kept. Otherwise the proxy closes each behind its answer.
    keeps_alive: bool,
}

/// Clients of one proxy, with their open connections.
#[derive(Debug)]
pub(crate) struct Clients {
    runtime: Runtime,
    clients: Vec<Client>,
}

impl Conversation {
    /// That of this kind, with what listens at these addresses.
    pub(crate) fn of(kind: &Kind, addresses: Addresses) -> Self {
        Self {
            address: addresses.plain,
            requests: (kind.requests)(),
            body_bytes: kind.answer.body_bytes(),
            keeps_alive: kind.driver != Driver::ConnectionEach,
        }
    }
}

impl Clients {
    /// So many clients, which connect with their first request.
    pub(crate) fn new(count: usize, conversation: &Conversation) -> Result<Self> {
        let clients = (0..count).map(|client| Client {
            conversation: conversation.clone(),
            position: client * STRIDE,
            stream: None,
            received: Vec::with_capacity(BUFFER_BYTES),
        });
        Ok(Self {
            clients: clients.collect(),
            runtime: runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
        })
    }

    /// Sends requests from all clients; the time each one took, sorted.
    ///
    /// # Errors
    /// A connection that broke, an answer that is not the origin's, or a proxy that stopped answering.
    pub(crate) fn run(&mut self, until: &Until) -> Result<Vec<Duration>> {
        let clients = std::mem::take(&mut self.clients);
        let drive = async {
            let mut tasks = JoinSet::new();
            for client in clients {
                tasks.spawn(client.drive(until.clone()));
            }
            let mut latencies = Vec::new();
            while let Some(ended) = tasks.join_next().await {
                let (client, mut own) = ended??;
                self.clients.push(client);
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

    /// Sends one request from each client, one after the other.
    ///
    /// # Errors
    /// As of [`run`](Self::run).
    pub(crate) fn take_turns(&mut self) -> Result<()> {
        self.runtime.block_on(async {
            for client in &mut self.clients {
                let answered = tokio::time::timeout(WAIT_TIMEOUT, client.exchange()).await;
                answered.context("the proxy stopped answering")??;
            }
            Ok(())
        })
    }
}

#[derive(Debug)]
struct Client {
    conversation: Conversation,
    /// The next request.
    position: usize,
    stream: Option<TcpStream>,
    received: Vec<u8>,
}

impl Client {
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
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.conversation.address).await?,
        };
        let request = self.conversation.requests.at(self.position);
        self.position += 1;
        stream.write_all(request).await?;
        self.read_answer(&mut stream).await?;
        if self.conversation.keeps_alive {
            self.stream = Some(stream);
        } else {
            ensure!(
                stream.read_buf(&mut self.received).await? == 0,
                "there is something behind the answer"
            );
        }
        Ok(())
    }

    /// Reads all of an answer. It must be the origin's: 200 and its length.
    async fn read_answer(&mut self, stream: &mut TcpStream) -> Result<()> {
        self.received.clear();
        let head = loop {
            self.read(stream).await?;
            if let Some(end) = memchr::memmem::find(&self.received, b"\r\n\r\n") {
                break end + 4;
            }
        };
        let mut left = self.conversation.body_bytes;
        let mut read = self.received.len() - head;
        loop {
            if !self.received.starts_with(b"HTTP/1.1 200 ") || read > left {
                bail!("not the origin's answer: {}", self.head(head));
            }
            left -= read;
            if left == 0 {
                return Ok(());
            }
            // The head stays, to be told of.
            self.received.truncate(head);
            self.read(stream).await?;
            read = self.received.len() - head;
        }
    }

    async fn read(&mut self, stream: &mut TcpStream) -> Result<()> {
        let count = stream.read_buf(&mut self.received).await?;
        ensure!(count > 0, "the proxy closed the connection");
        Ok(())
    }

    fn head(&self, length: usize) -> String {
        String::from_utf8_lossy(&self.received[..length]).into_owned()
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
