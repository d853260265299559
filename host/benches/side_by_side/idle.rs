//! What a connection takes of memory that waits for its next request.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use equipoise_harness::proc;

use crate::Bench;
use crate::contender::Contender;
use crate::http1::{Clients, Conversation};
use crate::http2::Client;
use crate::kind::{Driver, Kind};
use crate::load::{Load, Until};
use crate::proxy::Proxy;

/// Connections that wait.
const CONNECTIONS: usize = 4_000;

/// File descriptors besides: the members' connections, and whatever else is open.
const OTHER_FILES: u64 = 1_000;

/// Requests before, so that pools have their size.
const WARM_UP: u32 = 2_000;

/// How often memory is looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// How often in a row it has to be the same: for two seconds, as a proxy may give memory back when a connection was idle for one.
const SAME: u32 = 10;

/// How often it is looked at if it is never the same for so long.
const LOOKS: u32 = 100;

/// Bytes of resident memory for each of [`CONNECTIONS`] connections that have sent one request, one after the other.
///
/// # Errors
/// A request was not answered, or there are too few file descriptors.
pub(crate) fn measure(kind: &Kind, contender: &Contender, bench: &Bench) -> Result<f64> {
    eprintln!("{}: {}", kind.name, contender.name);
    let wanted = CONNECTIONS as u64 + OTHER_FILES;
    let files = rlimit::increase_nofile_limit(wanted)?;
    ensure!(
        files >= wanted,
        "it takes {wanted} file descriptors (ulimit -n), there are {files}"
    );
    let proxy = Proxy::start(contender, bench)?;
    Load::new(&Kind::SMALL, proxy.addresses, bench)?.run(&Until::requests(WARM_UP))?;
    let before = settled_memory(&proxy)?;
    let waiting = Waiting::after_one_request_each(kind, &proxy)?;
    let after = settled_memory(&proxy)?;
    drop(waiting);
    Ok((after as f64 - before as f64) / CONNECTIONS as f64)
}

/// Connections that wait; they are closed with this.
#[expect(dead_code, reason = "they are held, and that is all")]
enum Waiting {
    Http1(Clients),
    Http2(Vec<Client>),
}

impl Waiting {
    /// Each has sent one request, one after the other.
    fn after_one_request_each(kind: &Kind, proxy: &Proxy) -> Result<Self> {
        if kind.driver == Driver::IdleH2c {
            let (address, bytes) = (proxy.addresses.h2c, kind.answer.body_bytes());
            let clients = (0..CONNECTIONS).map(|_| Client::after_one_request(address, bytes));
            return Ok(Self::Http2(clients.collect::<Result<_>>()?));
        }
        let conversation = Conversation::of(kind, proxy.addresses);
        let mut clients = Clients::new(CONNECTIONS, &conversation)?;
        clients.take_turns()?;
        Ok(Self::Http1(clients))
    }
}

/// Resident memory that has not changed for a moment: what connections have left behind is given back by and by.
fn settled_memory(proxy: &Proxy) -> Result<u64> {
    let look = || proc::memory(proxy.process()).context("the proxy has no memory");
    let (mut memory, mut same) = (look()?, 0);
    for _ in 0..LOOKS {
        thread::sleep(INTERVAL);
        let before = std::mem::replace(&mut memory, look()?);
        same = if memory == before { same + 1 } else { 0 };
        if same == SAME {
            break;
        }
    }
    Ok(memory)
}
