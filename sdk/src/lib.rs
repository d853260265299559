//! What a balancing policy is written against: the seam between Equipoise and whoever decides for it.
//!
//! A policy answers one question: which member takes a request ([`Selector`]), which session it belongs to
//! ([`SessionReader`]), or which members can serve ([`health::Judge`]). It is plain, synchronous Rust without clock,
//! socket or global state: what it may know reaches it through [`Request`], [`Candidates`] and [`Host`], so that the same
//! crate runs linked into the host and as a sandboxed component, and a recorded decision replays exactly.
//!
//! The host decides who *may* be chosen (status flags, sets, spares, standbys, errors, attempts) and hands over candidates
//! only; the policy compares them.
//!
//! # A plugin
//!
//! This is a whole one, which gives each request to the member with the fewest in flight:
//!
//! ```
//! use equipoise_sdk::{Candidates, Column, Host, Request, Selector, export_selector};
//!
//! #[derive(Default)]
//! struct LeastBusy;
//!
//! impl Selector for LeastBusy {
//!     fn columns() -> &'static [Column] {
//!         &[Column::Busy]
//!     }
//!
//!     fn select(&mut self, _: &dyn Request, all: &dyn Candidates, _: &dyn Host) -> Option<usize> {
//!         (0..all.len()).min_by_key(|&position| all.busy()[position])
//!     }
//! }
//! export_selector!(LeastBusy);
//! ```
//!
//! Its `Cargo.toml` says that it is a library to be loaded:
//!
//! ```toml
//! [package]
//! name = "least-busy"
//! version = "0.1.0"
//! edition = "2024"
//!
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! equipoise-sdk = { path = "../equipoise/sdk" }
//!
//! [profile.release]
//! lto = true
//! strip = true
//! ```
//!
//! `cargo build --target wasm32-wasip2 --release` makes `target/wasm32-wasip2/release/least_busy.wasm` of it, a component
//! that the host loads as it is. `lto` and `strip` take a third off its 90 kB. For `cargo test` to ask the policy from
//! other crates, too, write `crate-type = ["rlib", "cdylib"]`.
//!
//! # What a call costs
//!
//! A question to a component takes about 100 ns, and each thing a policy asks for adds to it: about 40 ns for a number
//! ([`Request::attempt`], [`Host::random`]), 90 ns for a hash of a text ([`Request::header_hash`]), 120 ns for a column
//! of [`Candidates`] or for a text ([`Request::header`]). A column is fetched once a call, however often it is looked at.
//! Those that [`Selector::columns`] names are not fetched: they come with the question, for about 50 ns together.
//!
//! # Tests
//!
//! [`testing`] has a request, candidates and a host made by hand, so that `cargo test` asks the policy without a proxy.
//!
//! # Mistakes
//!
//! A panic ends the component's instance; its message goes to the host's log, the fallback method answers the request,
//! and a fresh instance takes over. So does an answer outside `0..candidates.len()` count as a fault. Settings that cannot
//! be used are refused in `configure`, in words that help: see [`Setup::allow`].

mod candidates;
mod column;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod component;
pub mod cookie;
mod export;
#[cfg(any(test, target_family = "wasm"))]
mod halves;
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
pub use column::Column;
pub use host::{Host, Level};
pub use request::Request;
pub use schedule::Schedule;
pub use selector::Selector;
pub use session::{Affinity, SessionReader};
pub use setup::{Peer, Setup};
