//! Messages as header blocks (RFC 9113, 8): read into heads and trailers, and written from them.
//!
//! A head that is read here is the one that HTTP/1 would have had: `:path` is its target, `:authority` its `Host`, cookies stand on
//! one line (8.2.3), and extended CONNECT is a GET that wishes for an upgrade (RFC 8441). So routes, policies and logs know of one
//! kind of head. What two readers could understand in two ways once it is passed on as HTTP/1 is refused, and whatever RFC 9113
//! calls malformed (8.1.1); both are faults of the message alone, for a block is decoded to its end whatever it says.

mod cookie;
mod request;
mod response;
mod room;
mod trailers;
mod write;

pub use request::Request;
pub use response::Response;
pub use write::Writer;

use crate::fields::Fields;
use crate::head::Head;
use crate::http1::Sender;
use crate::http2::hpack::{Decoder, HpackError};
use crate::http2::message::cookie::Crumbs;
use crate::http2::message::request::RequestReading;
use crate::http2::message::response::ResponseReading;
use crate::http2::message::trailers::TrailersReading;
use crate::http2::pseudo::PseudoFields;
use crate::known::{Known, KnownSet};
use crate::limits::Limits;
use crate::method::Method;
use crate::violation::Violation;

/// Fields that HTTP/2 has not (RFC 9113, 8.2.2).
const OF_CONNECTION: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::TransferEncoding,
    Known::Upgrade,
]);

/// Reads the blocks that come by a connection. All of them have to be read, in their order, also those of messages that do not
/// count any more.
///
/// The outer error of each is of the connection (COMPRESSION_ERROR), the inner one of the message: its stream is refused, and
/// what was right before is in the head.
#[derive(Debug, Clone)]
pub struct Reader {
    decoder: Decoder,
    pseudo: PseudoFields,
    crumbs: Crumbs,
}

impl Reader {
    /// One with a table of up to this size, which is what SETTINGS_HEADER_TABLE_SIZE told the other side.
    pub fn new(max_table: usize) -> Self {
        Self {
            decoder: Decoder::new(max_table),
            pseudo: PseudoFields::default(),
            crumbs: Crumbs::default(),
        }
    }

    /// Bytes of memory that are held.
    pub fn capacity(&self) -> usize {
        self.decoder.capacity() + self.pseudo.capacity() + self.crumbs.capacity()
    }

    /// Gives back memory that is of no use until the next block comes.
    pub(crate) fn shrink(&mut self) {
        self.decoder.shrink();
        self.pseudo = PseudoFields::default();
        self.crumbs = Crumbs::default();
    }

    /// Reads a request. `takes_connect` says whether clients were told that they may use extended CONNECT.
    ///
    /// # Errors
    /// See [`Reader`].
    pub fn request(
        &mut self,
        block: &[u8],
        limits: &Limits,
        takes_connect: bool,
        head: &mut Head,
    ) -> Result<Result<Request, Violation>, HpackError> {
        let (pseudo, crumbs) = (&mut self.pseudo, &mut self.crumbs);
        let mut reading = RequestReading::new(head, pseudo, crumbs, limits, takes_connect);
        let mut taken = Ok(());
        self.decoder.decode(block, |line| {
            if taken.is_ok() {
                taken = reading.take(line);
            }
        })?;
        let request = reading.end(taken);
        self.pseudo.clear();
        self.crumbs.clear();
        Ok(request)
    }

    /// Reads a response, be it interim or not. `method` is that of its request: CONNECT where that was extended CONNECT.
    ///
    /// # Errors
    /// See [`Reader`].
    pub fn response(
        &mut self,
        block: &[u8],
        limits: &Limits,
        method: Method,
        head: &mut Head,
    ) -> Result<Result<Response, Violation>, HpackError> {
        let mut reading = ResponseReading::new(head, limits);
        let mut taken = Ok(());
        self.decoder.decode(block, |line| {
            if taken.is_ok() {
                taken = reading.take(line);
            }
        })?;
        Ok(taken.and_then(|()| reading.end(method)))
    }

    /// Reads a trailer section. What must not be in a member's is left out.
    ///
    /// # Errors
    /// See [`Reader`].
    pub fn trailers(
        &mut self,
        block: &[u8],
        limits: &Limits,
        sender: Sender,
        trailers: &mut Fields,
    ) -> Result<Result<(), Violation>, HpackError> {
        let mut reading = TrailersReading::new(trailers, limits, sender);
        let mut taken = Ok(());
        self.decoder.decode(block, |line| {
            if taken.is_ok() {
                taken = reading.take(line);
            }
        })?;
        Ok(taken)
    }

    /// Reads a block that is of no use: its stream was closed, and the table has to be as the other side has it.
    ///
    /// # Errors
    /// It cannot be decoded.
    pub fn skip(&mut self, block: &[u8]) -> Result<(), HpackError> {
        self.decoder.decode(block, |_| {})
    }
}
