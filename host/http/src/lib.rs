//! HTTP on the wire, sans I/O: bytes in, events out. No socket, no clock, no async, no unsafe.
//!
//! - [`head`]: a message's [`Head`] is its bytes as they came and a table of its [`Fields`]; the same whether it came by HTTP/1 or
//!   by HTTP/2.
//! - [`edit`]: how a head is passed on; what is not changed is copied in one piece.
//! - [`http1`]: reading and writing HTTP/1, strict as RFC 9110 and RFC 9112 demand of an edge. Where two readers of the same bytes
//!   could disagree, the bytes are refused, for behind a proxy there is always a second reader.
//! - [`http2`]: reading and writing HTTP/2, as strict.
//! - [`ajp`]: writing requests and reading responses of AJP/1.3, which servlet containers speak.
//!
//! What is refused is a [`Violation`], with its reason and the status that it deserves. No call allocates once the buffers
//! that it is handed have grown to what messages need.

pub mod ajp;
pub mod edit;
mod fields;
pub mod head;
pub mod host;
pub mod http1;
pub mod http2;
mod known;
mod limits;
mod method;
mod status;
mod syntax;
#[doc(hidden)]
pub mod transcript;
mod violation;

pub use edit::Edit;
pub use fields::{Field, FieldLine, Fields, Name};
pub use head::{Head, Version};
pub use known::{Known, KnownSet};
pub use limits::{Limits, Section};
pub use method::Method;
pub use status::reason;
pub use violation::Violation;
