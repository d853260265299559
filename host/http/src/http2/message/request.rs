//! Requests (RFC 9113, 8.3.1; RFC 8441, 4).

use crate::head::{Head, Version};
use crate::host;
use crate::http1::{Framing, request_framing, request_length};
use crate::http2::hpack::{FieldLine, Named};
use crate::http2::message::OF_CONNECTION;
use crate::http2::message::cookie::Crumbs;
use crate::http2::message::room::Room;
use crate::http2::pseudo::{Pseudo, PseudoFields, is_tls};
use crate::known::{Known, KnownSet};
use crate::limits::{Excess, Limits};
use crate::syntax::is_trailers;
use crate::violation::Violation;

/// What a request is, beside its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// How long its body is, as far as its head says so: [`Framing::None`] or [`Framing::Length`]. Where its stream does not end with
    /// the head, there is one all the same.
    pub framing: Framing,
    /// Whether `:scheme` is `https`.
    pub is_tls: bool,
    /// Whether it is extended CONNECT, which is a GET with `Upgrade` in the head: the stream becomes a tunnel with a 2xx response.
    /// A `Sec-WebSocket-Key`, which has to be random, is to be added where the head is passed on as HTTP/1.
    pub is_connect: bool,
}

/// Fields that are not just added.
const SPECIAL: KnownSet = OF_CONNECTION.union(KnownSet::of(&[
    Known::ContentLength,
    Known::Cookie,
    Known::Host,
    Known::SecWebsocketKey,
    Known::Te,
]));

/// A request on its way from a block into a head.
pub(super) struct RequestReading<'r> {
    head: &'r mut Head,
    pseudo: &'r mut PseudoFields,
    crumbs: &'r mut Crumbs,
    limits: &'r Limits,
    room: Room,
    takes_connect: bool,
    /// Whether the head has its first line, and no pseudo-field may come any more.
    has_begun: bool,
    has_host: bool,
    request: Request,
}

impl<'r> RequestReading<'r> {
    pub(super) fn new(
        head: &'r mut Head,
        pseudo: &'r mut PseudoFields,
        crumbs: &'r mut Crumbs,
        limits: &'r Limits,
        takes_connect: bool,
    ) -> Self {
        head.clear();
        Self {
            head,
            pseudo,
            crumbs,
            limits,
            room: Room::new(&limits.head, Excess::OF_HEAD),
            takes_connect,
            has_begun: false,
            has_host: false,
            request: Request {
                framing: Framing::None,
                is_tls: false,
                is_connect: false,
            },
        }
    }

    /// Takes the next line.
    #[inline]
    pub(super) fn take(&mut self, line: FieldLine<'_>) -> Result<(), Violation> {
        let known = match line.named() {
            Named::Pseudo(pseudo) => return self.take_pseudo(pseudo, &line),
            Named::Known(known) => Some(known),
            Named::Other => None,
            Named::Wrong(violation) => return Err(violation),
        };
        if let Some(violation) = line.fault() {
            return Err(violation);
        }
        if !self.has_begun {
            self.begin()?;
        }
        match known {
            Some(known) if SPECIAL.contains(known) => self.take_special(known, &line),
            _ => self.room.push(&mut self.head.fields, &line, known),
        }
    }

    fn take_pseudo(&mut self, pseudo: Pseudo, line: &FieldLine<'_>) -> Result<(), Violation> {
        let is_known_here = match pseudo {
            Pseudo::Status => false,
            Pseudo::Protocol => self.takes_connect,
            _ => true,
        };
        if self.has_begun {
            return Err(Violation::PseudoLate);
        }
        if !is_known_here {
            return Err(Violation::PseudoUnknown);
        }
        if let Some(violation) = line.fault() {
            return Err(violation);
        }
        self.pseudo
            .add(pseudo, line.value(), line.is_never_indexed())
    }

    fn take_special(&mut self, known: Known, line: &FieldLine<'_>) -> Result<(), Violation> {
        match known {
            Known::Cookie => {
                let room = &mut self.room;
                self.crumbs.add(line.value(), line.is_never_indexed(), room)
            }
            Known::Host => self.take_host(line),
            Known::Te if is_trailers(line.value()) => self.push(known, line),
            Known::Te => Err(Violation::Te),
            // Behind extended CONNECT there is no body, and it needs no key (RFC 8441, 5).
            Known::ContentLength | Known::SecWebsocketKey if self.request.is_connect => Ok(()),
            Known::ContentLength | Known::SecWebsocketKey => self.push(known, line),
            _ => Err(Violation::ConnectionField),
        }
    }

    /// `:authority` is told before `Host`, which may only say the same.
    fn take_host(&mut self, line: &FieldLine<'_>) -> Result<(), Violation> {
        if std::mem::replace(&mut self.has_host, true) {
            return Err(Violation::HostRepeated);
        }
        match self.pseudo.get(Pseudo::Authority) {
            None => self.push(Known::Host, line),
            Some(authority) => match host::is_same(line.value(), authority, self.request.is_tls) {
                true => Ok(()),
                false => Err(Violation::HostMismatch),
            },
        }
    }

    #[inline(never)]
    fn push(&mut self, known: Known, line: &FieldLine<'_>) -> Result<(), Violation> {
        self.room.push(&mut self.head.fields, line, Some(known))
    }

    /// All pseudo-fields have come: begins the head with them.
    fn begin(&mut self) -> Result<(), Violation> {
        self.has_begun = true;
        let mut method = self.pseudo.need(Pseudo::Method)?;
        let is_options = method == b"OPTIONS";
        match (method, self.pseudo.get(Pseudo::Protocol)) {
            (b"CONNECT", None) => return Err(Violation::Connect),
            (b"CONNECT", Some(_)) => {
                self.request.is_connect = true;
                method = b"GET";
            }
            (_, None) => {}
            (_, Some(_)) => return Err(Violation::Protocol),
        }
        self.request.is_tls = is_tls(self.pseudo.need(Pseudo::Scheme)?).unwrap_or_default();
        let target = self.pseudo.need(Pseudo::Path)?;
        if target.len() > self.limits.target as usize {
            return Err(Violation::TargetTooLong);
        }
        if target == b"*" && !is_options {
            return Err(Violation::TargetForm);
        }
        self.head.write_request_line(method, target, Version::Http2);
        self.head.start.is_target_never_indexed = self.pseudo.is_never_indexed(Pseudo::Path);
        self.room.take(self.head.fields.bytes.len())?;
        self.push_authority()
    }

    fn push_authority(&mut self) -> Result<(), Violation> {
        let Some(authority) = self.pseudo.get(Pseudo::Authority) else {
            return Ok(());
        };
        self.room.take("host: \r\n".len() + authority.len())?;
        self.room.check_count(&self.head.fields)?;
        let is_never_indexed = self.pseudo.is_never_indexed(Pseudo::Authority);
        let (name, known) = (Known::Host.name().as_bytes(), Some(Known::Host));
        self.head
            .fields
            .write(name, authority, known, is_never_indexed);
        Ok(())
    }

    /// The block is over.
    pub(super) fn end(mut self, taken: Result<(), Violation>) -> Result<Request, Violation> {
        let begun = match self.has_begun {
            true => Ok(()),
            false => self.begin(),
        };
        taken.and(begun)?;
        self.crumbs.push(&mut self.head.fields, &self.room)?;
        if self.request.is_connect {
            self.head
                .push(b"upgrade", self.pseudo.need(Pseudo::Protocol)?)?;
            self.head.push(b"connection", b"upgrade")?;
        }
        self.request.framing = match self.pseudo.get(Pseudo::Authority) {
            Some(_) => request_length(self.head)?,
            None => request_framing(self.head)?,
        };
        Ok(self.request)
    }
}
