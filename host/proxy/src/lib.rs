//! The data plane: from a client's connection to a member's response, and what is observed of it.
//!
//! - [`downstream`]: listeners, connections of clients, HTTP as clients speak it.
//! - [`forward`]: the life of one request.
//! - [`upstream`]: connections to members, HTTP as members speak it.
//! - [`snapshot`]: the configuration ready to serve, and how one succeeds another; [`live`] has the one in force.
//! - [`observe`]: access log, metrics, traces, explained decisions, and what health is judged by.
//!
//! Nothing here assembles the program, changes its configuration, answers operators or knows how plugins run.

pub mod deadline;
pub mod downstream;
pub mod forward;
pub mod live;
pub mod manager_bridge;
pub mod observe;
pub mod path;
pub mod progress_timeout;
pub mod proxy_header;
pub mod snapshot;
pub mod upstream;

pub mod mux;
mod rate;
mod router;
mod wire;
