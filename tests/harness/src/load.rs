//! Load that notices every request that fails.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};

use super::{Client, WAIT_TIMEOUT, eventually};

/// Clients that ask all the time: some on a new connection for every request, some on one connection until the answer says
/// that it was the last.
pub struct Load {
    ends: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Six of them, at this address.
    pub fn on(address: SocketAddr) -> Self {
        let (ends, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let clients = (0..6).map(|number| {
            let (ends, served) = (ends.clone(), served.clone());
            thread::spawn(move || ask_until(&ends, &served, address, number % 2 == 0))
        });
        Self {
            clients: clients.collect(),
            ends,
            served,
        }
    }

    /// Waits until another so many requests have been served.
    #[track_caller]
    pub fn await_more(&self, count: usize) {
        let before = self.served.load(SeqCst);
        eventually("requests are served", || {
            (self.served.load(SeqCst) >= before + count).then_some(())
        });
    }

    /// Ends all clients and makes sure that every request of theirs was answered.
    #[track_caller]
    pub fn expect_all_served(self) {
        self.ends.store(true, SeqCst);
        let failures = self.clients.into_iter().flat_map(|client| client.join());
        let failures: Vec<String> = failures.flatten().collect();
        assert_eq!(failures, [""; 0], "of {}", self.served.load(SeqCst));
    }
}

/// Asks until it is to end; says what went wrong.
fn ask_until(
    ends: &AtomicBool,
    served: &AtomicUsize,
    address: SocketAddr,
    keeps: bool,
) -> Vec<String> {
    let mut failures = Vec::new();
    let mut kept = None;
    while !ends.load(SeqCst) {
        let (client, result) = ask(kept.take(), address);
        match result {
            Ok(()) => _ = served.fetch_add(1, SeqCst),
            Err(failure) => failures.push(failure),
        }
        kept = client.filter(|_| keeps);
    }
    failures
}

/// Asks once; the client comes back if its connection goes on.
fn ask(kept: Option<Client>, address: SocketAddr) -> (Option<Client>, Result<(), String>) {
    let how = if kept.is_some() { "kept" } else { "new" };
    let failed = |error: std::io::Error| (None, Err(format!("{how}: {error}")));
    let mut client = match kept.map_or_else(
        || TcpStream::connect_timeout(&address, WAIT_TIMEOUT).map(Client::on),
        Ok,
    ) {
        Ok(client) => client,
        Err(error) => return failed(error),
    };
    if let Err(error) = client.try_send("GET / HTTP/1.1\r\nHost: lb.test\r\n\r\n") {
        return failed(error);
    }
    match client.try_response("GET /") {
        Ok(response) if response.status() == 200 && response.complete => {
            let is_last = response.field("connection") == Some("close");
            (Some(client).filter(|_| !is_last), Ok(()))
        }
        Ok(response) => (None, Err(format!("{how}: {response:?}"))),
        Err(error) => failed(error),
    }
}
