//! DNS: the names of members, and their addresses.
//!
//! [`refresh()`] looks one up again whenever its TTL is over, so that no request ever waits for a name but the first
//! ones. What is known of a member's name is in its [`Addresses`], which a connect reads. A
//! failure changes nothing there: the last good addresses are kept until there are others.
//!
//! A name whose first label begins with `_`, such as `_web._tcp.app.internal`, stands for SRV records (RFC 2782).
//!
//! The rules are in files without sockets: `search_list` (which names are looked up), `ttl` (when again), `records` (what a
//! resolution changes), `address_order` (which address is tried first). `resolver` queries, by hickory; `system_files` reads resolv.conf and hosts.

mod address_order;
mod addresses;
mod records;
mod refresh;
mod resolver;
mod search_list;
mod system_files;
mod ttl;

pub use addresses::{Address, Addresses, Summary};
pub use refresh::{refresh, refresh_once};
pub use resolver::Resolver;
