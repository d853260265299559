//! Equipoise: a programmable HTTP load balancer.
//!
//! The shell around [`equipoise_balancer`]: configuration, sockets, HTTP, logs. ARCHITECTURE.md has the map.

pub mod access_log;
pub mod cli;
pub mod control;
pub mod server;

#[doc(hidden)]
pub mod bench;
#[doc(hidden)]
pub mod fuzz;

mod admin;
mod deadline;
mod demo;
mod dns_refresh;
mod explain;
mod health;
mod heartbeat;
mod live;
mod meters;
mod mux;
mod path;
mod patience;
mod probe;
mod proxy;
mod proxy_header;
mod rate;
mod router;
mod signals;
mod snapshot;
mod supervisor;
mod traces;
mod upstream;
mod whole;
mod wire;
