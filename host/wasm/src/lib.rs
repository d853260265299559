//! Policies as WebAssembly components: compiled, checked, sandboxed, and exchanged when their files change.
//!
//! From a file's content to a decision: `complexity` (whether it may be compiled) → `compiler` (in a child process) or `cache`
//! (on disk) → `shelf` (the versions at hand) → `version` (checked, what it is fit for) → `rehearsal` → `seat` (an instance in a role of a balancer, a fresh one after every fault) → `policy` (the SDK's traits, with
//! every answer checked). `engine` has the bounds of the sandbox, `limits` those of an instance, `context` what an instance
//! may call; `prefetch` the columns it is handed; `budget` what all calls together may take, as `watch` sees it; `fault` and `record` count what goes wrong. What is specific to a version of the contract is in `since_v0_1_0`.
//!
//! Nothing here knows HTTP, and nothing outside knows wasmtime.

mod ambient;
pub mod bench;
mod budget;
mod cache;
mod clock;
mod compilations;
pub mod compiler;
mod complexity;
mod context;
pub mod defaults;
mod engine;
#[cfg(test)]
mod equality;
mod examination;
mod fault;
#[cfg(test)]
mod heard;
mod instance;
mod limits;
mod policy;
mod prefetch;
mod record;
mod rehearsal;
mod roles;
mod seat;
mod shelf;
mod since_v0_1_0;
mod version;
mod voice;
mod wasi;
mod watch;

pub use cache::Cache;
pub use compilations::{Compilation, Compilations};
pub use compiler::Compiler;
pub use engine::{Code, Sandbox};
pub use examination::Examination;
pub use record::Record;
pub use shelf::{Book, Event, LARGEST, Loaded, OnQuarantine, Pages, Shelf};
pub use version::Version;
