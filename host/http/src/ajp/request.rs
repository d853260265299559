//! Requests, as they are written to a container.

use crate::ajp::codes::{self, FIELD, STORED_METHOD};
use crate::ajp::{HEADER, MAX_PACKET};
use crate::edit::{Edit, HOP_BY_HOP};
use crate::head::Head;
use crate::known::{Known, KnownSet};
use crate::violation::Violation;

/// Bytes of the longest secret.
pub const MAX_SECRET: usize = 1024;

const FORWARD_REQUEST: u8 = 2;
/// A text that is not there.
const NO_TEXT: u16 = 0xffff;
const END: u8 = 0xff;

/// Fields that say of a connection what a packet says otherwise; the proxy settles `Expect` itself.
const NOT_OF_REQUESTS: KnownSet = {
    let mut names = HOP_BY_HOP;
    names.insert(Known::Expect);
    names
};

/// Attributes by their code.
mod attribute {
    pub(super) const QUERY: u8 = 0x05;
    pub(super) const ROUTE: u8 = 0x06;
    pub(super) const TLS_CERTIFICATE: u8 = 0x07;
    pub(super) const TLS_CIPHER: u8 = 0x08;
    pub(super) const NAMED: u8 = 0x0a;
    pub(super) const TLS_KEY_SIZE: u8 = 0x0b;
    pub(super) const SECRET: u8 = 0x0c;
    pub(super) const METHOD: u8 = 0x0d;
}

/// What a request says beside its head. Texts have no NUL; those that are too long are refused with the request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// The client's address.
    pub client_address: &'a str,
    /// The client's port.
    pub client_port: u16,
    /// The proxy's own address, on which the client is connected; empty where it is not known.
    pub local_address: &'a str,
    /// The host that the client asked, without its port.
    pub server_name: &'a str,
    /// The port that the client asked.
    pub server_port: u16,
    /// How the client is connected, where that is by TLS.
    pub tls: Option<Tls<'a>>,
    /// The member's route, by which sessions stay with it (`jvmRoute`).
    pub route: Option<&'a str>,
    /// What the container has to hear before it takes a request.
    pub secret: Option<&'a str>,
}

/// A client's TLS.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tls<'a> {
    /// The cipher suite's name.
    pub cipher: &'a str,
    /// Bits of the cipher's key.
    pub key_size: u16,
    /// The version, such as `TLSv1.3`.
    pub protocol: &'a str,
    /// The client's certificate, in PEM.
    pub certificate: Option<&'a str>,
}

impl Request<'_> {
    /// Writes the packet of a request behind what is in `out`; `max_packet` bounds it, in bytes.
    ///
    /// # Errors
    /// Its target is no path, or it is larger than a packet may be; then nothing is written.
    pub fn write(
        &self,
        head: &Head,
        edit: &Edit,
        max_packet: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        let target = edit.target(head);
        if !target.starts_with(b"/") {
            return Err(Violation::TargetForm);
        }
        let start = out.len();
        out.extend_from_slice(&[0x12, 0x34, 0, 0, FORWARD_REQUEST]);
        let mut packet = Packet {
            out,
            is_whole: true,
        };
        self.write_payload(&mut packet, head, edit, target);
        let is_whole = packet.is_whole;
        let length = out.len() - start;
        if !is_whole || length > max_packet.min(MAX_PACKET) {
            out.truncate(start);
            return Err(Violation::HeadTooLarge);
        }
        let payload = (length - HEADER) as u16;
        out[start + 2..start + HEADER].copy_from_slice(&payload.to_be_bytes());
        Ok(())
    }

    fn write_payload(&self, packet: &mut Packet<'_>, head: &Head, edit: &Edit, target: &[u8]) {
        let mut parts = target.splitn(2, |&byte| byte == b'?');
        let (path, query) = (parts.next().unwrap_or_default(), parts.next());
        let method = codes::method(head.method_bytes());
        packet.byte(method);
        packet.text(b"HTTP/1.1");
        packet.text(path);
        packet.text(self.client_address.as_bytes());
        // The client's name, which the proxy does not look up.
        packet.number(NO_TEXT);
        packet.text(self.server_name.as_bytes());
        packet.number(self.server_port);
        packet.byte(u8::from(self.tls.is_some()));
        packet.fields(head, edit);
        if method == STORED_METHOD {
            packet.attribute(attribute::METHOD, Some(head.method_bytes()));
        }
        packet.attribute(attribute::QUERY, query);
        packet.attribute(attribute::ROUTE, self.route.map(str::as_bytes));
        packet.attribute(attribute::SECRET, self.secret.map(str::as_bytes));
        packet.named("AJP_REMOTE_PORT", self.client_port.to_string().as_bytes());
        if !self.local_address.is_empty() {
            packet.named("AJP_LOCAL_ADDR", self.local_address.as_bytes());
        }
        if let Some(tls) = &self.tls {
            packet.tls(tls);
        }
        packet.byte(END);
    }
}

/// A packet that is being written.
struct Packet<'o> {
    out: &'o mut Vec<u8>,
    /// Whether all of it could be said.
    is_whole: bool,
}

impl Packet<'_> {
    fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    fn number(&mut self, number: u16) {
        self.out.extend_from_slice(&number.to_be_bytes());
    }

    fn text(&mut self, text: &[u8]) {
        // Longer ones would be codes of fields, or none at all.
        match u16::try_from(text.len()) {
            Ok(length) if length < u16::from(FIELD) << 8 => {
                self.number(length);
                self.out.extend_from_slice(text);
                self.byte(0);
            }
            _ => self.is_whole = false,
        }
    }

    fn attribute(&mut self, code: u8, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.byte(code);
            self.text(value);
        }
    }

    fn named(&mut self, name: &str, value: &[u8]) {
        self.byte(attribute::NAMED);
        self.text(name.as_bytes());
        self.text(value);
    }

    /// The fields as they are passed on, behind their number.
    fn fields(&mut self, head: &Head, edit: &Edit) {
        let at = self.out.len();
        let mut count = 0_u16;
        self.number(0);
        edit.each_field(head, NOT_OF_REQUESTS, |field| {
            count = count.saturating_add(1);
            match field.known.and_then(codes::request_field) {
                Some(code) => self.out.extend_from_slice(&[FIELD, code]),
                None => self.text(field.name),
            }
            self.text(field.value);
        });
        self.out[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }

    fn tls(&mut self, tls: &Tls<'_>) {
        self.attribute(attribute::TLS_CIPHER, Some(tls.cipher.as_bytes()));
        self.byte(attribute::TLS_KEY_SIZE);
        self.number(tls.key_size);
        self.named("AJP_SSL_PROTOCOL", tls.protocol.as_bytes());
        let certificate = tls.certificate.map(str::as_bytes);
        self.attribute(attribute::TLS_CERTIFICATE, certificate);
    }
}

/// The most payload of one chunk of a request's body, in bytes, where packets are bounded by `max_packet`.
pub const fn max_chunk(max_packet: usize) -> usize {
    max_packet - HEADER - 2
}

/// Writes a chunk of a request's body behind what is in `out`; an empty one says that there is no more. No more than
/// [`max_chunk`] is to be handed in.
pub fn write_chunk(payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x12, 0x34]);
    let Ok(length) = u16::try_from(payload.len()) else {
        debug_assert!(false, "a chunk larger than a packet");
        return;
    };
    if length == 0 {
        return out.extend_from_slice(&[0, 0]);
    }
    out.extend_from_slice(&length.saturating_add(2).to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(payload);
}
