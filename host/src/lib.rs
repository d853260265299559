//! Equipoise: a programmable HTTP load balancer.
//!
//! The shell around [`equipoise_balancer`]: configuration, sockets, HTTP, logs. ARCHITECTURE.md has the map.

pub mod access_log;
pub mod cli;
pub mod config;
pub mod control;
pub mod server;

#[doc(hidden)]
pub mod bench;
#[doc(hidden)]
pub mod fuzz;

mod admin;
mod bounded;
mod clock;
mod deadline;
mod demo;
mod explain;
mod health;
mod heartbeat;
mod live;
mod log;
mod meters;
mod mux;
mod names;
mod path;
mod patience;
mod probe;
mod proxy;
mod proxy_header;
mod rate;
mod router;
mod shown;
mod signals;
mod snapshot;
mod supervisor;
mod tls;
mod traces;
mod upstream;
mod wasm;
mod watcher;
mod whole;
mod wire;
