//! What the tests are made of: sample members, the proxy under test, and a client, all on real sockets.
//!
//! Everything is written by hand, byte for byte, because the point of most tests is what a proper library would refuse
//! to send. Whoever waits, waits for an event and gives up after [`PATIENCE`]; nobody sleeps for a fixed time.

mod blackhole;
pub(crate) mod client;
pub(crate) mod component;
mod dns;
pub(crate) mod fixtures;
pub(crate) mod frames;
mod gate;
pub(crate) mod http2;
mod itself;
mod load;
pub(crate) mod origin;
mod outlet;
pub(crate) mod peers;
pub(crate) mod plugin;
pub(crate) mod proxy;
pub(crate) mod raw;
mod rehearsal;
mod wire;

use std::time::{Duration, Instant};

pub(crate) use blackhole::Blackhole;
pub(crate) use client::{Client, Response};
pub(crate) use dns::{Dns, Said};
pub(crate) use gate::Gate;
pub(crate) use load::Load;
pub(crate) use origin::{Exchange, Log, Origin, State};
pub(crate) use outlet::Outlet;
pub(crate) use proxy::{Proxy, Signal, program};

/// How long anybody waits for anything before the test fails: long enough for a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes.
pub(crate) const MEGABYTE: u64 = 1_000_000;

/// What may wait in the proxy and in the system's socket buffers on both sides of it.
pub(crate) const BUFFERED: u64 = 64 * MEGABYTE;

/// What the program may need at most, whatever passes through it: built for debugging, a few connections.
pub(crate) const MEMORY: u64 = 60 * MEGABYTE;

/// Looks until `found` finds something, for what sends no event: the state of a process, the content of a file.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
