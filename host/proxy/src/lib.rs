//! The data plane: from a client's connection to a member's response, and what is observed of it.
//!
//! - [`downstream`]: listeners, client connections, HTTP as clients speak it.
//! - [`forward`]: the life of one request.
//! - [`upstream`]: connections to members, HTTP as members speak it.
//! - [`snapshot`]: the configuration ready to serve, and how one succeeds another; [`current`] has the one in force.
//! - [`observe`]: access log, metrics, traces, explained decisions, and what health is judged by.
//!
//! Nothing here assembles the program, changes its configuration, serves operators or knows how plugins run.

pub mod current;
pub mod downstream;
pub mod error;
pub mod forward;
pub mod lazy_timer;
pub mod manager_bridge;
pub mod mux;
pub mod observe;
pub mod path;
pub mod progress_timeout;
pub mod proxy_protocol;
pub mod retry_budget;
pub mod snapshot;
pub mod upstream;

mod body_frame;
mod client_tls;
mod duplex;
mod min_rate;
mod router;
mod target;
mod wire;
