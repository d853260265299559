//! What all that drives the built program is made of, end-to-end tests, outside tests and benchmarks: sample members, the program,
//! and clients, all on real sockets.
//!
//! Everything is written by hand, byte for byte, because the point of most tests is what a proper library would refuse
//! to send. Waiting is for an event, up to [`WAIT_TIMEOUT`]; there are no sleeps of a fixed time.
//!
//! Cargo tells those it runs where the program is, in a variable of their environment ([`program()`]).

pub mod ajp;
mod blackhole;
pub mod certificates;
pub mod client;
pub mod component;
mod dns;
mod duration;
pub mod fixtures;
pub mod frames;
mod gate;
pub mod http2;
pub mod installed;
#[cfg(test)]
mod itself;
mod lines;
mod load;
pub mod origin;
mod outlet;
pub mod peers;
pub mod plugin;
pub mod port;
pub mod proc;
pub mod process;
pub mod program;
pub mod proxy;
pub mod raw;
#[cfg(test)]
mod rehearsal;
pub mod wire;

use std::time::{Duration, Instant};

pub use blackhole::Blackhole;
pub use client::{Client, Response};
pub use dns::{Dns, Said};
pub use gate::Gate;
pub use lines::Lines;
pub use load::Load;
pub use origin::{Exchange, Log, Origin, State};
pub use outlet::Outlet;
pub use process::Process;
pub use program::program;
pub use proxy::{Proxy, Signal};

/// How long an event is waited for before the test fails: long enough for a loaded machine.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes.
pub const MEGABYTE: u64 = 1_000_000;

/// What may wait in the proxy and in the system's socket buffers on both sides of it.
pub const BUFFERED: u64 = 64 * MEGABYTE;

/// What the program may need at most, whatever passes through it: built for debugging, a few connections.
pub const MEMORY: u64 = 60 * MEGABYTE;

/// Looks until `found` finds something, for what sends no event: the state of a process, the content of a file.
#[track_caller]
pub fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < WAIT_TIMEOUT, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
