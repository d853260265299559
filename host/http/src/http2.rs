//! HTTP/2 on the wire (RFC 9113), for both sides of a proxy.
//!
//! - [`Connection`]: the state of a connection, for either [`Role`]: bytes in, [`Event`]s out; heads and payload in, bytes out.
//! - [`message`]: header blocks read into heads and trailers, and written from them.
//! - [`hpack`]: how fields are compressed (RFC 7541).
//!
//! A message that is malformed is refused with its [`Violation`](crate::Violation), as one of HTTP/1 is, and the connection goes
//! on; what breaks the connection's own state is a [`ConnectionError`].

mod code;
mod connection;
mod error;
mod flood_guard;
mod flow;
mod frame;
pub mod hpack;
pub mod message;
mod output;
mod priority;
mod pseudo;
mod settings;
mod stream;
mod streams;

pub use code::ErrorCode;
pub use connection::{Connection, Event, Options, Role, SendError};
pub use error::ConnectionError;
pub use priority::Priority;
pub use stream::StreamId;
