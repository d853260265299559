//! The SDK for balancing policies: the traits that a policy implements, and what it is given.
//!
//! A policy decides one thing: which member takes a request ([`Selector`]), which session it belongs to
//! ([`SessionReader`]), or which members are healthy ([`health::HealthPolicy`]). It is plain, synchronous Rust without clock,
//! socket or global state: all its inputs come through [`Request`], [`Candidates`] and [`Env`], so that the same
//! crate runs linked into the host and as a sandboxed component, and a recorded decision replays exactly.
//!
//! The host decides which members are *eligible* (status flags, sets, spares, standbys, errors, attempts) and passes only
//! those as candidates; the policy compares them.
//!
//! # A plugin
//!
//! This is a whole one, which gives each request to the member with the fewest in flight:
//!
//! ```
//! use equipoise_sdk::{Candidates, Column, Env, Request, Selector, export_selector};
//!
//! #[derive(Default)]
//! struct LeastBusy;
//!
//! impl Selector for LeastBusy {
//!     fn columns() -> &'static [Column] {
//!         &[Column::Busy]
//!     }
//!
//!     fn select(&mut self, _: &dyn Request, all: &dyn Candidates, _: &dyn Env) -> Option<usize> {
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
//! that the host loads as it is. `lto` and `strip` take a third off its 90 kB. To use the policy from the tests of
//! other crates, too, write `crate-type = ["rlib", "cdylib"]`.
//!
//! # What a call costs
//!
//! A call to a component takes about 100 ns, and each import that a policy calls adds to it: about 40 ns for a number
//! ([`Request::attempt`], [`Env::random`]), 90 ns for a hash of a text ([`Request::header_hash`]), 120 ns for a column
//! of [`Candidates`] or for a text ([`Request::header`]). A column is fetched once a call, however often it is read.
//! Those that [`Selector::columns`] names are not fetched: they are passed with the call, for about 50 ns together.
//!
//! # Tests
//!
//! [`testing`] has a fake request, candidates and environment, so that `cargo test` tries a policy without a proxy.
//!
//! # Faults
//!
//! A panic ends the component's instance; its message goes to the host's log, the fallback method decides instead,
//! and a fresh instance takes over. A position outside `0..candidates.len()` is a fault, too. Settings that cannot
//! be used are refused in `configure`, in words that help: see [`PolicyConfig::deny_unknown`].

mod candidates;
mod column;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod component;
mod config;
pub mod cookie;
mod env;
mod export;
#[cfg(any(test, target_family = "wasm"))]
mod halves;
pub mod hash;
pub mod health;
mod lbstatus;
mod request;
mod selector;
mod session;
pub mod testing;

pub use candidates::Candidates;
pub use column::Column;
pub use config::{MemberConfig, PolicyConfig};
pub use env::{Env, LogLevel};
pub use lbstatus::LbStatus;
pub use request::Request;
pub use selector::Selector;
pub use session::{Affinity, SessionReader};
