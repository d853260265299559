//! Heads and trailers as header blocks (RFC 9113, 8.3).

use crate::edit::Edit;
use crate::fields::{Field, Fields};
use crate::head::Head;
use crate::http2::hpack::{Encoder, Label};
use crate::http2::message::OF_CONNECTION;
use crate::http2::pseudo::Pseudo;
use crate::known::{Known, KnownSet};
use crate::method::Method;
use crate::syntax::{is_token, trim};
use crate::violation::Violation;

/// What a request says otherwise, or not at all.
const NOT_OF_REQUESTS: KnownSet = OF_CONNECTION.union(KnownSet::of(&[Known::Host]));

/// The same of extended CONNECT (RFC 8441, 5).
const NOT_OF_CONNECT: KnownSet = NOT_OF_REQUESTS.union(KnownSet::of(&[
    Known::ContentLength,
    Known::SecWebsocketKey,
]));

/// Writes the blocks that leave by a connection.
///
/// A block that was written has to be sent, whole and in its order: the other side's table follows it.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    encoder: Encoder,
}

impl Writer {
    /// One at the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// The other side's SETTINGS_HEADER_TABLE_SIZE.
    pub fn set_max_size(&mut self, size: usize) {
        self.encoder.set_max_size(size);
    }

    /// Bytes of memory that are held.
    pub fn capacity(&self) -> usize {
        self.encoder.capacity()
    }

    /// Gives back memory that is of no use until the next block leaves.
    pub(crate) fn shrink(&mut self) {
        self.encoder.shrink();
    }

    /// Writes a request behind what is in `out`. `protocol` makes it extended CONNECT, which the other side must have allowed.
    ///
    /// # Errors
    /// It has no `Host`, its target is no path, or the protocol is no token; then nothing is written.
    pub fn request(
        &mut self,
        head: &Head,
        edit: &Edit,
        is_tls: bool,
        protocol: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        let target = edit.target(head);
        let is_asterisk = target == b"*" && head.method() == Method::Options;
        if !target.starts_with(b"/") && !is_asterisk {
            return Err(Violation::TargetForm);
        }
        if protocol.is_some_and(|protocol| !is_token(protocol)) {
            return Err(Violation::Protocol);
        }
        let host = edit
            .first(head, Known::Host)
            .ok_or(Violation::HostMissing)?;
        let encoder = &mut self.encoder;
        encoder.begin(out);
        let method = match protocol {
            Some(_) => b"CONNECT",
            None => head.method_bytes(),
        };
        let is_never_indexed = head.start.is_target_never_indexed;
        let scheme: &[u8] = if is_tls { b"https" } else { b"http" };
        for (pseudo, value, is_never_indexed) in [
            (Pseudo::Method, method, false),
            (Pseudo::Scheme, scheme, false),
            (Pseudo::Authority, host.value, host.is_never_indexed),
            (Pseudo::Path, target, is_never_indexed),
        ] {
            encoder.add(Label::Pseudo(pseudo), value, is_never_indexed, out);
        }
        if let Some(protocol) = protocol {
            encoder.add(Label::Pseudo(Pseudo::Protocol), protocol, false, out);
        }
        let left_out = protocol.map_or(NOT_OF_REQUESTS, |_| NOT_OF_CONNECT);
        edit.fields(head)
            .for_each(|field| self.field(&field, left_out, out));
        Ok(())
    }

    /// Writes a response, be it interim or not, behind what is in `out`.
    ///
    /// # Errors
    /// Its status is 101, which HTTP/2 has not (RFC 9113, 8.6); then nothing is written.
    pub fn response(
        &mut self,
        head: &Head,
        edit: &Edit,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        let status = edit.status(head);
        if status == 101 {
            return Err(Violation::Switching);
        }
        self.encoder.begin(out);
        self.encoder.status(status, out);
        edit.fields(head)
            .for_each(|field| self.field(&field, OF_CONNECTION, out));
        Ok(())
    }

    /// Writes a trailer section behind what is in `out`.
    pub fn trailers(&mut self, trailers: &Fields, out: &mut Vec<u8>) {
        self.encoder.begin(out);
        for field in trailers.iter() {
            self.field(&field, OF_CONNECTION, out);
        }
    }

    #[inline]
    fn field(&mut self, field: &Field<'_>, left_out: KnownSet, out: &mut Vec<u8>) {
        let label = match field.known {
            Some(Known::Te) if !field.value.eq_ignore_ascii_case(b"trailers") => return,
            Some(known) if left_out.contains(known) => return,
            Some(known) => Label::Known(known),
            None => Label::Other(field.name),
        };
        let value = match field.value {
            [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => trim(field.value),
            value => value,
        };
        self.encoder.add(label, value, field.is_never_indexed, out);
    }
}
