//! HTTP/2 on the wire (RFC 9113), for both sides of a proxy.
//!
//! - [`hpack`]: how fields are compressed (RFC 7541).
//! - [`message`]: header blocks read into heads and trailers, and written from them.

pub mod hpack;
pub mod message;
mod pseudo;
