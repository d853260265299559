//! Members that answer every request with what they got, and that can be killed.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Handle};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::WAIT_TIMEOUT;
use super::clients::whole;
use super::ledger::Ledger;

/// What they are called.
pub(super) const NAMES: [&str; 4] = ["b1", "b2", "b3", "b4"];

/// How many milliseconds an answer takes at most.
const SLOWEST: u64 = 8;

/// Requests to this path are held until they are let go.
pub(super) const HELD: &str = "/native/held";

/// Members, on a thread of their own.
pub(super) struct Members {
    runtime: Handle,
    addresses: Vec<SocketAddr>,
    /// What listens and answers, of each; none of one that is dead.
    alive: Mutex<Vec<Option<JoinHandle<()>>>>,
    gate: Arc<Gate>,
    ledger: Arc<Ledger>,
}

/// Where requests are held.
struct Gate {
    arrived: AtomicUsize,
    passes: Semaphore,
}

impl Members {
    pub(super) fn start(ledger: &Arc<Ledger>) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let handle = runtime.handle().clone();
        thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        let mut members = Self {
            runtime: handle,
            addresses: Vec::new(),
            alive: Mutex::default(),
            gate: Arc::new(Gate {
                arrived: AtomicUsize::new(0),
                passes: Semaphore::new(0),
            }),
            ledger: ledger.clone(),
        };
        for (number, name) in (1..).zip(NAMES) {
            // Addresses that nothing else binds to: the port stays free while the member is dead.
            let address = SocketAddr::from((Ipv4Addr::new(127, 77, 0, number), 0));
            let listener = members.listen(address);
            let address = listener.local_addr().expect("it is bound");
            members.addresses.push(address);
            let serving = members
                .runtime
                .spawn(serve(listener, name, members.gate.clone()));
            members.alive().push(Some(serving));
        }
        members
    }

    /// The URL of the member at this position.
    pub(super) fn url(&self, position: usize) -> String {
        format!("http://{}", self.addresses[position])
    }

    /// Cuts a member's connections, with whatever is under way on them, and refuses new ones.
    pub(super) fn kill(&self, position: usize) {
        let Some(serving) = self.alive()[position].take() else {
            return;
        };
        self.ledger.note_kill(NAMES[position]);
        serving.abort();
        let start = Instant::now();
        while !serving.is_finished() {
            assert!(start.elapsed() < WAIT_TIMEOUT, "a member does not die");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets a member that is dead listen again.
    pub(super) fn revive(&self, position: usize) {
        if self.alive()[position].is_some() {
            return;
        }
        let listener = self.listen(self.addresses[position]);
        let serving = serve(listener, NAMES[position], self.gate.clone());
        self.alive()[position] = Some(self.runtime.spawn(serving));
        self.ledger.note(&format!("{} is back", NAMES[position]));
    }

    /// Lets all members live.
    pub(super) fn revive_all(&self) {
        (0..NAMES.len()).for_each(|position| self.revive(position));
    }

    /// Waits until so many requests are held.
    pub(super) fn await_held(&self, count: usize) {
        let start = Instant::now();
        while self.gate.arrived.load(SeqCst) < count {
            assert!(start.elapsed() < WAIT_TIMEOUT, "requests do not arrive");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets go what is held.
    pub(super) fn release(&self) {
        self.gate.passes.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    fn listen(&self, address: SocketAddr) -> TcpListener {
        let _runtime = self.runtime.enter();
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("a socket takes options");
        socket.bind(address).expect("nothing else has the address");
        socket.listen(1024).expect("a bound socket can listen")
    }

    fn alive(&self) -> MutexGuard<'_, Vec<Option<JoinHandle<()>>>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers until the task is aborted, which ends all connections with it.
async fn serve(listener: TcpListener, name: &'static str, gate: Arc<Gate>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let gate = gate.clone();
                let service = service_fn(move |request| answer(request, name, gate.clone()));
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                connections.spawn(async move {
                    // How it ends is the proxy's business.
                    let _ = connection.await;
                });
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    name: &str,
    gate: Arc<Gate>,
) -> hyper::Result<Response<String>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = whole(request.into_body()).await?;
    if path == HELD {
        gate.arrived.fetch_add(1, SeqCst);
        // The gate is never closed.
        let _ = gate.passes.acquire().await;
    }
    // So that there is something to be cut off.
    tokio::time::sleep(Duration::from_millis(fastrand::u64(..=SLOWEST))).await;
    let said = echo(method.as_str(), &path, &body);
    Ok(Response::new(format!("{name} {said}")))
}

/// What is said of a request, behind the member's name.
pub(super) fn echo(method: &str, path: &str, body: &[u8]) -> String {
    let hash = equipoise_sdk::hash::bytes(body);
    format!("{method} {path} {} {hash:08x}", body.len())
}
