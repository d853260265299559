//! Clients: where they connect to, and HTTP as they speak it. One worker thread a core serves them.

mod accept;
mod client;
mod date;
mod descriptors;
mod doors;
mod drain;
mod front;
mod http1;
mod http2;
mod inherited;
mod linger;
mod listeners;
mod liveness;
mod outlet;
mod places;
mod pulse;
mod sockets;
mod stream;
mod worker;

pub use accept::{Listening, accept};
pub(crate) use client::Client;
pub use descriptors::Shares;
pub use inherited::{Found, Gift, Inherited, Role};
pub use linger::Linger;
pub use listeners::{Listeners, Prepared};
pub use liveness::{Guard, Liveness};
pub use places::{Place, Places};
pub use pulse::Pulse;
pub use worker::{Worker, WorkerConfig, run as run_worker};
