//! Heads and trailers as header blocks (RFC 9113, 8.3).

use crate::edit::Edit;
use crate::fields::{Field, Fields};
use crate::head::Head;
use crate::http2::hpack::{Encoder, Label};
use crate::http2::message::OF_CONNECTION;
use crate::http2::pseudo::Pseudo;
use crate::known::{Known, KnownSet};
use crate::method::Method;
use crate::syntax::{is_token, is_trailers, trim};
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
        encoder.pseudo(Pseudo::Method, method, false, out);
        encoder.pseudo(Pseudo::Scheme, scheme, false, out);
        encoder.pseudo(Pseudo::Authority, host.value, host.is_never_indexed, out);
        encoder.pseudo(Pseudo::Path, target, is_never_indexed, out);
        if let Some(protocol) = protocol {
            encoder.pseudo(Pseudo::Protocol, protocol, false, out);
        }
        let left_out = protocol.map_or(NOT_OF_REQUESTS, |_| NOT_OF_CONNECT);
        edit.each_field(head, left_out, |field| self.field(field, out));
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
        edit.each_field(head, OF_CONNECTION, |field| self.field(field, out));
        Ok(())
    }

    /// Writes a trailer section behind what is in `out`.
    pub fn trailers(&mut self, trailers: &Fields, out: &mut Vec<u8>) {
        self.encoder.begin(out);
        let is_passed = |known: Known| !OF_CONNECTION.contains(known);
        let fields = trailers.iter();
        fields
            .filter(|field| field.known.is_none_or(is_passed))
            .for_each(|field| self.field(&field, out));
    }

    /// Writes a field: by its index, where it has the value that is in the table.
    #[inline(always)]
    fn field(&mut self, field: &Field<'_>, out: &mut Vec<u8>) {
        let is_indexed = field.known.is_some_and(|known| {
            !field.is_never_indexed && self.encoder.repeat(known, field.value, out)
        });
        if !is_indexed {
            self.other_field(field, out);
        }
    }

    #[inline(never)]
    fn other_field(&mut self, field: &Field<'_>, out: &mut Vec<u8>) {
        let label = match field.known {
            Some(Known::Te) if !is_trailers(field.value) => return,
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
