//! AJP/1.3 on the wire, the side of a proxy: requests written, responses of containers read. Source: the protocol's description
//! that comes with Tomcat's connectors.
//!
//! One request at a time on a connection. Packets have a length of two bytes, and a bound that both sides know. A request's body
//! goes to the container in chunks: the first of a body whose length is known by itself, each other when it is
//! [asked for](Event::BodyWanted), and an empty one says that there is no more.
//!
//! - [`Request`]: what a request says beside its head; [`write_chunk`] and [`PING`].
//! - [`ResponseReader`]: bytes in, [`Event`]s out.

mod codes;
mod request;
mod response;

pub use request::{MAX_SECRET, Request, Tls, max_chunk, write_chunk};
pub use response::{Event, ResponseReader};

/// The largest packet unless both sides are configured otherwise, in bytes, with its four bytes of magic and length.
pub const DEFAULT_PACKET: usize = 8192;

/// The largest packet that may be configured, in bytes.
pub const MAX_PACKET: usize = 65_536;

/// Asks a container whether it is there (CPING); it has to respond with [`Event::Pong`].
pub const PING: [u8; 5] = [0x12, 0x34, 0, 1, 10];

/// Magic and length, in front of each packet.
const HEADER: usize = 4;
