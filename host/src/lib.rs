//! Equipoise: a programmable HTTP load balancer.
//!
//! The shell around [`equipoise_balancer`]: configuration, sockets, HTTP, logs. See ARCHITECTURE.md for the map.

pub mod config;
