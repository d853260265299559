//! Edits of a head that is passed on: fields left out, replaced, added, and another start line (RFC 9110, 7.6).
//!
//! An [`Edit`] says what is different, and the head stays as it is: so it can be passed on again, to another member. Writing it
//! copies what is between two differences in one piece. A field with odd white space is never among that: it is written anew,
//! since readers differ in what they take for white space, and a `Transfer-Encoding` that one of them misses is a way to smuggle.

use std::ops::Range;

use crate::fields::{
    Entry, Field, FieldLine, Fields, Name, offset, without_controls, write_field, write_parts,
    write_text, write_value,
};
use crate::head::{Head, Line, Version, write_status_line};
use crate::known::{Known, KnownSet};
use crate::syntax::{is_keep_alive, is_token, target_end};
use crate::violation::Violation;

/// Hop-by-hop fields (RFC 9110, 7.6.1), with those that say where a body ends: each hop writes its own.
pub const HOP_BY_HOP: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::TransferEncoding,
    Known::Upgrade,
    Known::Http2Settings,
]);

/// Fields that are not left out when `Connection` names them: members rely on them.
pub const PROTECTED: KnownSet = KnownSet::of(&[
    Known::Authorization,
    Known::CacheControl,
    Known::ClientCert,
    Known::ContentLength,
    Known::ContentType,
    Known::Cookie,
    Known::Forwarded,
    Known::Host,
    Known::SetCookie,
    Known::TransferEncoding,
    Known::Via,
    Known::XForwardedFor,
    Known::XForwardedHost,
    Known::XForwardedPort,
    Known::XForwardedProto,
    Known::XRealIp,
]);

/// What is different when a head is passed on. Made anew for each head, in the same memory.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    left_out: KnownSet,
    /// Names of others that are left out.
    names: Vec<Piece>,
    /// Fields that are left out or replaced, by their place.
    places: Vec<(usize, Option<Piece>)>,
    /// Lines of fields behind those that came, and what is in them.
    added: Vec<u8>,
    lines: Vec<AddedLine>,
    target: Option<Piece>,
    status: Option<(u16, Piece)>,
    version: Version,
    /// What pieces are of.
    text: Vec<u8>,
}

/// Where something is in the text.
#[derive(Debug, Clone, Copy)]
struct Piece {
    from: u32,
    to: u32,
}

/// A line that is added, behind the one before.
#[derive(Debug, Clone, Copy)]
struct AddedLine {
    /// Behind its end.
    end: u32,
    name_length: u32,
    known: Option<Known>,
}

/// A few places, in their order.
#[derive(Default)]
struct Few {
    places: [usize; 4],
    count: usize,
}

impl Few {
    /// Adds a place; none where there is no room.
    fn insert(&mut self, place: usize) -> Option<()> {
        let mut at = self.count;
        *self.places.get_mut(at)? = place;
        while at > 0 && self.places[at - 1] > place {
            self.places.swap(at - 1, at);
            at -= 1;
        }
        self.count += 1;
        Some(())
    }

    fn places(&self) -> &[usize] {
        &self.places[..self.count]
    }
}

impl Edit {
    /// Nothing is different but the version, which is HTTP/1.1: each hop has its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything; the memory stays.
    pub fn clear(&mut self) {
        self.left_out = KnownSet::EMPTY;
        self.names.clear();
        self.places.clear();
        self.added.clear();
        self.lines.clear();
        self.target = None;
        self.status = None;
        self.version = Version::Http11;
        self.text.clear();
    }

    /// How much memory it holds, in bytes.
    pub fn capacity(&self) -> usize {
        self.added.capacity()
            + self.text.capacity()
            + self.lines.capacity() * size_of::<AddedLine>()
            + self.names.capacity() * size_of::<Piece>()
            + self.places.capacity() * size_of::<(usize, Option<Piece>)>()
    }

    /// Leaves all fields of these names out.
    pub fn leave_out(&mut self, names: KnownSet) {
        self.left_out = self.left_out | names;
    }

    /// Leaves all fields of this name out.
    pub fn leave_out_name<'n>(&mut self, name: impl Into<Name<'n>>) {
        match name.into() {
            Name::Known(known) => self.left_out.insert(known),
            Name::Other(name) => {
                let name = self.keep(name);
                self.names.push(name);
            }
        }
    }

    /// Leaves the field at this place out.
    pub fn leave_out_at(&mut self, index: usize) {
        self.change(index, None);
    }

    /// Leaves out what `Connection` names, but for what is [`PROTECTED`] (RFC 9110, 7.6.1); `Connection` itself is among
    /// [`HOP_BY_HOP`].
    #[inline]
    pub fn leave_out_named_in_connection(&mut self, head: &Head) {
        if head.has(Known::Connection) {
            self.leave_out_options(head);
        }
    }

    /// The same where it names something.
    fn leave_out_options(&mut self, head: &Head) {
        let is_one = !head.repeated.contains(Known::Connection);
        match head.get(Known::Connection) {
            None => return,
            // The usual ones name no field but one that never passes.
            Some(option) if is_one && is_keep_alive(option) => {
                return self.left_out.insert(Known::KeepAlive);
            }
            Some(option) if is_one && option.eq_ignore_ascii_case(b"close") => return,
            Some(_) => {}
        }
        for name in head.elements(Known::Connection).filter(|it| is_token(it)) {
            match Name::of(name) {
                Name::Known(known) if PROTECTED.contains(known) => {}
                name => self.leave_out_name(name),
            }
        }
    }

    /// Removes all fields of this name: those that came, and those that were added before.
    pub fn remove<'n>(&mut self, name: impl Into<Name<'n>>) {
        let name = name.into();
        self.leave_out_name(name);
        self.take_added(|added| added.eq_ignore_ascii_case(name.as_bytes()));
    }

    /// Takes back the fields that were added and whose names are such.
    fn take_added(&mut self, is_such: impl Fn(&[u8]) -> bool) {
        let (mut start, mut index) = (0, 0);
        while let Some(line) = self.lines.get(index) {
            let end = line.end as usize;
            let name = &self.added[start..start + line.name_length as usize];
            if !is_such(name) {
                (start, index) = (end, index + 1);
                continue;
            }
            self.added.drain(start..end);
            self.lines.remove(index);
            let taken = offset(end - start);
            let behind = self.lines[index..].iter_mut();
            behind.for_each(|line| line.end -= taken);
        }
    }

    /// Gives the field at this place another value; its name stays as it came.
    pub fn replace_at(&mut self, index: usize, value: &[u8]) {
        let value = self.keep_value(&[value]);
        self.change(index, Some(value));
    }

    /// Gives a field one value: where the first of its name is, or behind all others.
    pub fn set<'n>(&mut self, head: &Head, name: impl Into<Name<'n>>, value: &[u8]) {
        let name = name.into();
        let Some(first) = head.first(name) else {
            return self.add(name, value);
        };
        self.replace_at(first, value);
        let others = head.positions(name).skip(1);
        others.for_each(|other| self.leave_out_at(other));
    }

    /// Gives a field one value, as [`set`](Self::set) does, that of a line that is made already.
    #[inline]
    pub fn set_line(&mut self, head: &Head, line: &FieldLine) {
        let known = line.known();
        match head.first(known.into()) {
            None => self.add_line(line),
            Some(first) if !head.repeated.contains(known) => {
                let value = self.keep(line.value());
                self.change(first, Some(value));
            }
            Some(_) => self.set(head, known, line.value()),
        }
    }

    /// Adds an element to a list, as [`append`](Self::append) does, in a line that is made already where there is no such list yet.
    #[inline]
    pub fn append_line(&mut self, head: &Head, line: &FieldLine) {
        match head.has(line.known()) {
            true => self.append(head, line.known(), line.value()),
            false => self.add_line(line),
        }
    }

    /// Adds the value of a field that came to a list, as [`append`](Self::append) does; nothing where it did not come.
    #[inline]
    pub fn append_value_of(&mut self, head: &Head, field: Known, list: Known) {
        match head.get(field) {
            None => {}
            Some(value) if head.has(list) => self.append(head, list, value),
            // It was judged when it came.
            Some(value) => {
                write_text(&mut self.added, list.beginning(), value);
                self.end_line(list.name().len(), Some(list));
            }
        }
    }

    /// Adds an element to a list: behind what came in the last field of its name, or in a field of its own (RFC 9110, 5.3).
    pub fn append<'n>(&mut self, head: &Head, name: impl Into<Name<'n>>, value: &[u8]) {
        let name = name.into();
        if !head.has(name) || self.leaves_out(name) {
            return self.add(name, value);
        }
        let is_left_out = |index: usize| {
            let place = self.place(index);
            place.is_ok_and(|at| self.places[at].1.is_none())
        };
        let positions = head.positions(name).filter(|index| !is_left_out(*index));
        let Some(last) = positions.last() else {
            return self.add(name, value);
        };
        let before = match self.place(last).map(|at| self.places[at].1) {
            // What was appended before, or took its place.
            Ok(before) => before.map(|piece| self.piece(piece).to_vec()),
            Err(_) => None,
        };
        let before = match &before {
            Some(before) => before,
            None => head.at(last).map_or(&[][..], |field| field.value),
        };
        let comma: &[u8] = if before.is_empty() { b"" } else { b", " };
        let value = self.keep_value(&[before, comma, value]);
        self.change(last, Some(value));
    }

    /// Adds a field behind all others. A name that is no token is not added.
    pub fn add<'n>(&mut self, name: impl Into<Name<'n>>, value: &[u8]) {
        match name.into() {
            Name::Known(known) => {
                write_value(&mut self.added, known.beginning(), value);
                self.end_line(known.name().len(), Some(known));
            }
            Name::Other(name) if is_token(name) => {
                write_parts(&mut self.added, name, &[value]);
                self.end_line(name.len(), None);
            }
            Name::Other(_) => {}
        }
    }

    /// The same with a value that is in several parts.
    pub fn add_parts<'n>(&mut self, name: impl Into<Name<'n>>, value: &[&[u8]]) {
        let (name, known) = match name.into() {
            Name::Known(known) => (known.name().as_bytes(), Some(known)),
            Name::Other(name) if is_token(name) => (name, None),
            Name::Other(_) => return,
        };
        write_parts(&mut self.added, name, value);
        self.end_line(name.len(), known);
    }

    /// Adds a field behind all others, whose line is made already.
    #[inline]
    pub fn add_line(&mut self, line: &FieldLine) {
        self.added.extend_from_slice(line.as_bytes());
        let known = line.known();
        self.end_line(known.name().len(), Some(known));
    }

    /// The line that was written last is one of a field.
    #[inline]
    fn end_line(&mut self, name_length: usize, known: Option<Known>) {
        self.lines.push(AddedLine {
            end: offset(self.added.len()),
            name_length: offset(name_length),
            known,
        });
    }

    /// Adds fields behind all others, as they were pushed: those that are the same for many heads, and so made once.
    pub fn add_all(&mut self, fields: &Fields) {
        let (Some(first), Some(last)) = (fields.table.first(), fields.table.last()) else {
            return;
        };
        if fields.has_odd {
            for field in fields.iter() {
                let name = field.known.map_or(Name::Other(field.name), Name::Known);
                self.add(name, field.value);
            }
            return;
        }
        let before = offset(self.added.len());
        let lines = first.start as usize..last.end as usize;
        self.added.extend_from_slice(&fields.bytes[lines]);
        for entry in &fields.table {
            self.lines.push(AddedLine {
                end: before + entry.end - first.start,
                name_length: entry.name_end - entry.start,
                known: entry.known,
            });
        }
    }

    /// Gives a request another target.
    ///
    /// # Errors
    /// It is empty, or has a byte that none may have; then the one before stays.
    pub fn set_target(&mut self, target: &[u8]) -> Result<(), Violation> {
        if target.is_empty() || target_end(target, 0) < target.len() {
            return Err(Violation::TargetByte);
        }
        self.target = Some(self.keep(target));
        Ok(())
    }

    /// Gives a response another status and another reason phrase.
    ///
    /// # Errors
    /// The status has not three digits; then the one before stays.
    pub fn set_status(&mut self, status: u16, reason: &str) -> Result<(), Violation> {
        if !(100..1000).contains(&status) {
            return Err(Violation::Status);
        }
        self.status = Some((status, self.keep_value(&[reason.as_bytes()])));
        Ok(())
    }

    /// Says another version than HTTP/1.1.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// The target as it is passed on.
    pub fn target<'e>(&'e self, head: &'e Head) -> &'e [u8] {
        self.target
            .map_or_else(|| head.target(), |target| self.piece(target))
    }

    /// The status as it is passed on.
    pub fn status(&self, head: &Head) -> u16 {
        self.status
            .map_or_else(|| head.status(), |(status, _)| status)
    }

    /// The fields as they are passed on.
    pub fn fields<'e>(&'e self, head: &'e Head) -> impl Iterator<Item = Field<'e>> {
        let mut fields = Vec::new();
        self.each_field(head, KnownSet::EMPTY, |field| fields.push(*field));
        fields.into_iter()
    }

    /// Hands over the same fields, but for those of the names in `left_out`, one after the other: for a version that does not
    /// write them as lines. Each is looked at once.
    #[inline]
    pub(crate) fn each_field<'e>(
        &'e self,
        head: &'e Head,
        left_out: KnownSet,
        mut each: impl FnMut(&Field<'e>),
    ) {
        let of_head = self.left_out | left_out;
        let mut changes = &self.places[..];
        for (index, entry) in head.fields.table.iter().enumerate() {
            let mut field = head.fields.field(entry);
            let mut is_left_out = match entry.known {
                Some(known) => of_head.contains(known),
                None => !self.names.is_empty() && self.is_named(field.name),
            };
            if let [(place, value), rest @ ..] = changes
                && *place == index
            {
                changes = rest;
                match value {
                    Some(value) => field.value = self.piece(*value),
                    None => is_left_out = true,
                }
            }
            if !is_left_out {
                each(&field);
            }
        }
        let is_passed = |known: Known| !left_out.contains(known);
        let added = self.added();
        added
            .filter(|field| field.known.is_none_or(is_passed))
            .for_each(|field| each(&field));
    }

    /// The fields that are added.
    fn added(&self) -> impl Iterator<Item = Field<'_>> {
        let mut next = 0;
        self.lines.iter().map(move |line| {
            let (start, end) = (next, line.end as usize);
            let name_end = start + line.name_length as usize;
            next = end;
            Field {
                name: &self.added[start..name_end],
                // Between a colon with a space, and CRLF.
                value: &self.added[name_end + 2..end - 2],
                known: line.known,
                is_never_indexed: false,
            }
        })
    }

    /// The first of the fields of a known name as they are passed on.
    pub(crate) fn first<'e>(&'e self, head: &'e Head, known: Known) -> Option<Field<'e>> {
        let passed = |index: usize| self.passed(head, index);
        let first = head.fields.first(known.into()).and_then(passed);
        first
            .or_else(|| head.positions(known).skip(1).find_map(passed))
            .or_else(|| self.added().find(|field| field.known == Some(known)))
    }

    /// Writes the head as HTTP/1, with the empty line behind it.
    pub fn write(&self, head: &Head, out: &mut Vec<u8>) {
        out.reserve(head.fields.bytes.len() + self.text.len() + self.added.len() + 64);
        let run = self.write_start(head, out);
        match self.few_left_out(head) {
            Some(few) => self.write_between(head, run.start, &few, out),
            None => self.write_each(head, run, out),
        }
        out.extend_from_slice(&self.added);
        out.extend_from_slice(b"\r\n");
    }

    /// The places of fields that are left out for their names. None where they are many, or each field has to be looked at.
    #[inline]
    fn few_left_out(&self, head: &Head) -> Option<Few> {
        let fields = &head.fields;
        let left_out = self.left_out.intersection(fields.present);
        if fields.has_odd || !self.names.is_empty() || left_out.intersects(fields.repeated) {
            return None;
        }
        let mut few = Few::default();
        for known in left_out.iter() {
            few.insert(fields.first(known.into())?)?;
        }
        Some(few)
    }

    /// Writes fields from the byte at `from` on: what is between two changes, in one piece.
    #[inline]
    fn write_between(&self, head: &Head, mut from: usize, few: &Few, out: &mut Vec<u8>) {
        let bytes = &head.fields.bytes[..];
        let (mut places, mut few) = (&self.places[..], few.places());
        loop {
            let (place, value) = match (places, few) {
                ([], []) => break,
                ([(place, value), ..], []) => (*place, *value),
                ([(place, value), ..], [first, ..]) if place < first => (*place, *value),
                (_, [first, ..]) => (*first, None),
            };
            if places.first().is_some_and(|(first, _)| *first == place) {
                places = &places[1..];
            }
            if few.first() == Some(&place) {
                few = &few[1..];
            }
            let entry = &head.fields.table[place];
            out.extend_from_slice(&bytes[from..entry.start as usize]);
            from = entry.end as usize;
            if let Some(value) = value {
                write_field(out, head.fields.name(entry), self.piece(value));
            }
        }
        out.extend_from_slice(&bytes[from..]);
    }

    /// Writes one field after the other, those that stay as they are together; `run` is what is before them.
    fn write_each(&self, head: &Head, mut run: Range<usize>, out: &mut Vec<u8>) {
        let bytes = &head.fields.bytes[..];
        let mut places = self.places.iter();
        let mut next = places.next();
        for (index, entry) in head.fields.table.iter().enumerate() {
            let change = match next {
                Some((place, value)) if *place == index => {
                    next = places.next();
                    Some(*value)
                }
                _ => None,
            };
            let is_left_out = self.is_left_out(head, entry);
            if entry.is_plain && change.is_none() && !is_left_out {
                // Behind a field that was taken out of the table, another run begins.
                if run.end != entry.start as usize {
                    out.extend_from_slice(&bytes[run]);
                    run = entry.start as usize..0;
                }
                run.end = entry.end as usize;
                continue;
            }
            out.extend_from_slice(&bytes[run]);
            run = entry.end as usize..entry.end as usize;
            match change {
                _ if is_left_out => {}
                None => write_field(out, head.fields.name(entry), head.fields.value(entry)),
                Some(Some(value)) => write_field(out, head.fields.name(entry), self.piece(value)),
                Some(None) => {}
            }
        }
        out.extend_from_slice(&bytes[run]);
    }

    /// Writes what is different of the start line, and says what of it is not.
    fn write_start(&self, head: &Head, out: &mut Vec<u8>) -> Range<usize> {
        let end = head.start.end as usize;
        let is_same_version = head.start.version == self.version;
        match head.start.line {
            Line::Request { .. } if is_same_version && self.target.is_none() => 0..end,
            Line::Request { .. } => {
                out.extend_from_slice(head.method_bytes());
                out.push(b' ');
                out.extend_from_slice(self.target(head));
                out.push(b' ');
                out.extend_from_slice(self.version.text().as_bytes());
                out.extend_from_slice(b"\r\n");
                end..end
            }
            // One without a space behind the status is written anew: not every reader takes it.
            Line::Response {
                reason: (from, _), ..
            } if is_same_version
                && self.status.is_none()
                && head.fields.bytes[from as usize - 1] == b' ' =>
            {
                0..end
            }
            Line::Response { status, .. } => {
                let (status, reason) = match self.status {
                    Some((status, reason)) => (status, self.piece(reason)),
                    None => (status, head.reason()),
                };
                write_status_line(out, self.version, status, reason);
                end..end
            }
            Line::Missing => end..end,
        }
    }

    /// The field that came at this place, as it is passed on.
    fn passed<'e>(&'e self, head: &'e Head, index: usize) -> Option<Field<'e>> {
        let entry = head.fields.table.get(index)?;
        let mut field = head.fields.field(entry);
        if self.is_left_out(head, entry) {
            return None;
        }
        if let Ok(at) = self.place(index) {
            field.value = self.piece(self.places[at].1?);
        }
        Some(field)
    }

    /// Whether a field is left out for its name.
    #[inline(always)]
    fn is_left_out(&self, head: &Head, entry: &Entry) -> bool {
        match entry.known {
            Some(known) => self.left_out.contains(known),
            None => !self.names.is_empty() && self.is_named(head.fields.name(entry)),
        }
    }

    /// Whether all fields of this name are left out.
    fn leaves_out(&self, name: Name<'_>) -> bool {
        match name {
            Name::Known(known) => self.left_out.contains(known),
            Name::Other(name) => self.is_named(name),
        }
    }

    /// Where the change of the field at this place is, or would be.
    fn place(&self, index: usize) -> Result<usize, usize> {
        self.places
            .binary_search_by_key(&index, |(place, _)| *place)
    }

    fn is_named(&self, name: &[u8]) -> bool {
        let mut names = self.names.iter();
        names.any(|&it| self.piece(it).eq_ignore_ascii_case(name))
    }

    fn change(&mut self, index: usize, value: Option<Piece>) {
        // They mostly come in their order.
        if self.places.last().is_none_or(|(last, _)| *last < index) {
            return self.places.push((index, value));
        }
        match self.place(index) {
            Ok(at) => self.places[at].1 = value,
            Err(at) => self.places.insert(at, (index, value)),
        }
    }

    /// Keeps a value. A control byte in it becomes a space (RFC 9110, 5.5), for it could end the line.
    fn keep_value(&mut self, parts: &[&[u8]]) -> Piece {
        let from = self.text.len();
        for part in parts {
            self.text.extend_from_slice(part);
        }
        without_controls(&mut self.text, from);
        self.since(from)
    }

    fn keep(&mut self, bytes: &[u8]) -> Piece {
        let from = self.text.len();
        self.text.extend_from_slice(bytes);
        self.since(from)
    }

    fn since(&self, from: usize) -> Piece {
        Piece {
            from: offset(from),
            to: offset(self.text.len()),
        }
    }

    fn piece(&self, piece: Piece) -> &[u8] {
        &self.text[piece.from as usize..piece.to as usize]
    }
}
