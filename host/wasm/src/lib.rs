//! Policies as WebAssembly components: compiled, checked, sandboxed, and replaced when their files change.
//!
//! From a file's content to a decision: `complexity` (whether it may be compiled) → `compiler` (in a child process) or `cache`
//! (on disk) → `plugin_versions` (the current version and previous ones) → `version` (checked: which roles it has) → `smoke_test` →
//! `instance_slot` (an instance in a role of a balancer, a fresh one by `renewal` after every fault) → `policy` (the SDK's traits, with every
//! result checked). `engine` has the limits of the sandbox, `limits` those of an instance, `host_state` the imports of an
//! instance; `prefetch` passes columns with a call; `budget` limits the processor time of all calls together, as `watch`
//! measures it; `fault` and `stats` count faults. Code for one version of the contract is in `since_v0_1_0`.
//!
//! Nothing here knows HTTP, and nothing outside knows wasmtime.

pub mod bench;
mod budget;
pub mod builtin_components;
mod cache;
mod call_context;
mod clock;
mod compilations;
pub mod compiler;
mod complexity;
mod engine;
mod fault;
mod host_state;
mod inspection;
mod instance;
mod instance_slot;
mod limits;
#[cfg(test)]
mod log_capture;
#[cfg(test)]
mod native_parity;
mod plugin_log;
mod plugin_versions;
mod policy;
mod prefetch;
mod renewal;
mod roles;
mod since_v0_1_0;
mod smoke_test;
mod stats;
mod version;
mod wasi;
mod watch;

pub use cache::Cache;
pub use compilations::{Compilation, Compilations};
pub use compiler::Compiler;
pub use engine::{Code, Sandbox};
pub use inspection::Inspection;
pub use plugin_versions::{
    Event, EventLog, EventLogState, Loaded, MAX_COMPONENT, OnQuarantine, PluginVersions,
};
pub use stats::Stats;
pub use version::Version;
