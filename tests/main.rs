//! End to end: the built program between real clients and real members, seen from outside only.
//!
//! One file a subject. A test's name says what is so; where it is not obvious, a comment says why and how it is shown.

mod access_log;
mod admin;
mod admin_socket;
mod api;
mod balancing;
mod bodies;
mod breaking_off;
mod capacity;
mod command_line;
mod connections;
mod demo;
mod error_state;
mod explain;
mod failover;
mod harness;
mod headers;
mod health;
mod health_checks;
mod health_plugins;
mod heartbeats;
mod interim;
mod limits;
mod live;
mod metrics;
mod names;
mod nonsense;
mod ping;
mod plugin_command;
mod plugin_faults;
mod plugin_swaps;
mod plugins;
mod readme;
mod restart;
mod rewriting;
mod routes;
mod service_files;
mod shutdown;
mod sticky;
mod streaming;
mod strictness;
mod supervision;
mod timeouts;
mod traces;
