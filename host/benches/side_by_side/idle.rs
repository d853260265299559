//! What a connection takes of memory that waits for its next request.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::Bench;
use crate::contender::Contender;
use crate::http1::{Clients, Conversation};
use crate::kind::Kind;
use crate::load::{Load, Until};
use crate::process::resident_memory;
use crate::proxy::Proxy;

/// Connections that wait.
const CONNECTIONS: usize = 4_000;

/// File descriptors besides: the members' connections, and whatever else is open.
const OTHER_FILES: u64 = 1_000;

/// Requests before, so that pools have their size.
const WARM_UP: u32 = 2_000;

/// How often memory is looked at until it stays as it is.
const LOOKS: u32 = 50;

/// How long it has to stay as it is.
const PAUSE: Duration = Duration::from_millis(200);

/// Bytes of resident memory for each of [`CONNECTIONS`] connections that have sent one request, one after the other.
///
/// # Errors
/// A request was not answered, or there are too few file descriptors.
pub(crate) fn measure(contender: &Contender, bench: &Bench) -> Result<f64> {
    eprintln!("idle: {}", contender.name);
    let wanted = CONNECTIONS as u64 + OTHER_FILES;
    let files = rlimit::increase_nofile_limit(wanted)?;
    ensure!(
        files >= wanted,
        "it takes {wanted} file descriptors (ulimit -n), there are {files}"
    );
    let proxy = Proxy::start(contender, bench)?;
    Load::new(&Kind::SMALL, proxy.addresses, bench)?.run(&Until::requests(WARM_UP))?;
    let before = settled_memory(&proxy)?;
    let mut clients = Clients::new(CONNECTIONS, &Conversation::of(&Kind::IDLE, proxy.addresses))?;
    clients.take_turns()?;
    let after = settled_memory(&proxy)?;
    drop(clients);
    Ok((after as f64 - before as f64) / CONNECTIONS as f64)
}

/// Resident memory that has not changed for a moment: what connections have left behind is given back by and by.
fn settled_memory(proxy: &Proxy) -> Result<u64> {
    let look = || resident_memory(proxy.process()).context("the proxy has no memory");
    let mut memory = look()?;
    for _ in 0..LOOKS {
        thread::sleep(PAUSE);
        let before = std::mem::replace(&mut memory, look()?);
        if memory == before {
            break;
        }
    }
    Ok(memory)
}
