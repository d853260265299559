//! The seam between Equipoise and its balancing policies.
//!
//! A policy answers one question: which member takes a request ([`Selector`]), which session it belongs to
//! ([`SessionReader`]), or which members can serve ([`health::Judge`]). It is plain, synchronous Rust without clock, socket or global state: what it may know reaches it
//! through [`Request`], [`Candidates`] and [`Host`], so that the same crate runs linked into the host and as a sandboxed
//! component, and a recorded decision replays exactly.
//!
//! The host decides who *may* be chosen (status flags, sets, spares, standbys, errors, attempts) and hands over candidates
//! only; the policy compares them.

mod candidates;
pub mod cookie;
pub mod hash;
pub mod health;
mod host;
mod request;
mod schedule;
mod selector;
mod session;
mod setup;
pub mod testing;

pub use candidates::Candidates;
pub use host::{Host, Level};
pub use request::Request;
pub use schedule::Schedule;
pub use selector::Selector;
pub use session::{Affinity, SessionReader};
pub use setup::{Peer, Setup};
