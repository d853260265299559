//! Clients: listeners, connections, and HTTP as clients speak it. One worker thread a core serves them.

mod accept;
mod client;
mod connection_limit;
mod date;
mod descriptor_budget;
mod drain;
mod handshake;
mod http1;
mod http2;
mod inherited_sockets;
mod lingering_close;
mod listeners;
mod liveness;
mod sockets;
mod stream;
mod worker;
mod worker_listeners;
mod worker_liveness;
mod write_timeout;

pub use accept::{Listener, accept};
pub(crate) use client::Client;
pub use connection_limit::{ConnectionLimit, ConnectionPermit};
pub use descriptor_budget::DescriptorBudget;
pub use inherited_sockets::{HandoverSocket, InheritedSockets, MatchedSockets, SocketRole};
pub use lingering_close::LingeringClose;
pub use listeners::{Listeners, PreparedListeners};
pub use liveness::{Liveness, LivenessGuard};
pub use worker::{Worker, WorkerConfig, run as run_worker};
pub use worker_liveness::WorkerLiveness;
