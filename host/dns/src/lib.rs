//! Names of members, and the addresses that they stand for.
//!
//! [`refresh()`] asks for one again whenever an answer has had its time, so that no request ever waits for a name but the first
//! ones. What is known of a member's name is in its [`Addresses`], which a connect reads. A
//! failure changes nothing there: the last good addresses are kept until there are others.
//!
//! A name whose first label begins with `_`, such as `_web._tcp.app.internal`, stands for SRV records (RFC 2782).
//!
//! The rules are in files without sockets: `candidates` (which names are asked for), `lifetime` (when again), `known` (what an
//! answer changes), `order` (which address is tried first). `resolver` asks, by hickory; `system` is what the system says.

mod addresses;
mod candidates;
mod known;
mod lifetime;
mod order;
mod refresh;
mod resolver;
mod system;

pub use addresses::{Address, Addresses, Summary};
pub use refresh::{refresh, refresh_once};
pub use resolver::Resolver;
