//! Equipoise: a programmable HTTP load balancer.
//!
//! The program: assembly, control, background work, the admin listener and the command line, around the data plane of
//! [`equipoise_proxy`]. ARCHITECTURE.md has the map.

pub mod cli;
pub mod control;
pub mod hot_restart;
pub mod run;

#[doc(hidden)]
pub mod bench;
#[doc(hidden)]
pub mod fuzz;

mod admin;
mod apache;
mod background;
mod demo;
mod full_body;
mod signals;
mod span_exporter;
mod systemd;
