//! Names of fields that are known by a small number, so that looking for one compares numbers (RFC 9110, 5.1: names are the
//! same whatever their case).
//!
//! A name is found by one multiplication of its first and last eight bytes and one look into a table, which is made when
//! this is compiled; then it is compared in full.

use std::ops::BitOr;

use crate::syntax::word_at;

macro_rules! known {
    ($($variant:ident = $name:literal,)+) => {
        /// A field whose name is known.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each is named like its field")]
        pub enum Known {
            $($variant,)+
        }

        /// All of them, in their order.
        const ALL: &[Known] = &[$(Known::$variant,)+];

        /// Their names, in lower case.
        const NAMES: &[&str] = &[$($name,)+];

        /// The same as a line begins with them.
        const BEGINNINGS: &[&str] = &[$(concat!($name, ": "),)+];
    };
}

known! {
    Accept = "accept",
    AcceptCharset = "accept-charset",
    AcceptEncoding = "accept-encoding",
    AcceptLanguage = "accept-language",
    AcceptRanges = "accept-ranges",
    AccessControlAllowOrigin = "access-control-allow-origin",
    Age = "age",
    Allow = "allow",
    AltSvc = "alt-svc",
    Authorization = "authorization",
    CacheControl = "cache-control",
    ClientCert = "client-cert",
    ClientCertChain = "client-cert-chain",
    ClientCertChainUnderscored = "client_cert_chain",
    ClientCertUnderscored = "client_cert",
    Connection = "connection",
    ContentDisposition = "content-disposition",
    ContentEncoding = "content-encoding",
    ContentLanguage = "content-language",
    ContentLength = "content-length",
    ContentLocation = "content-location",
    ContentRange = "content-range",
    ContentSecurityPolicy = "content-security-policy",
    ContentType = "content-type",
    Cookie = "cookie",
    Date = "date",
    Dnt = "dnt",
    Etag = "etag",
    Expect = "expect",
    Expires = "expires",
    Forwarded = "forwarded",
    From = "from",
    GrpcMessage = "grpc-message",
    GrpcStatus = "grpc-status",
    Host = "host",
    Http2Settings = "http2-settings",
    IfMatch = "if-match",
    IfModifiedSince = "if-modified-since",
    IfNoneMatch = "if-none-match",
    IfRange = "if-range",
    IfUnmodifiedSince = "if-unmodified-since",
    KeepAlive = "keep-alive",
    LastModified = "last-modified",
    Link = "link",
    Location = "location",
    MaxForwards = "max-forwards",
    Origin = "origin",
    Pragma = "pragma",
    Priority = "priority",
    Proxy = "proxy",
    ProxyAuthenticate = "proxy-authenticate",
    ProxyAuthenticationInfo = "proxy-authentication-info",
    ProxyAuthorization = "proxy-authorization",
    ProxyConnection = "proxy-connection",
    Range = "range",
    Referer = "referer",
    Refresh = "refresh",
    RetryAfter = "retry-after",
    SecChUa = "sec-ch-ua",
    SecChUaMobile = "sec-ch-ua-mobile",
    SecChUaPlatform = "sec-ch-ua-platform",
    SecFetchDest = "sec-fetch-dest",
    SecFetchMode = "sec-fetch-mode",
    SecFetchSite = "sec-fetch-site",
    SecFetchUser = "sec-fetch-user",
    SecWebsocketAccept = "sec-websocket-accept",
    SecWebsocketExtensions = "sec-websocket-extensions",
    SecWebsocketKey = "sec-websocket-key",
    SecWebsocketProtocol = "sec-websocket-protocol",
    SecWebsocketVersion = "sec-websocket-version",
    Server = "server",
    SetCookie = "set-cookie",
    StrictTransportSecurity = "strict-transport-security",
    Te = "te",
    Traceparent = "traceparent",
    Tracestate = "tracestate",
    Trailer = "trailer",
    TransferEncoding = "transfer-encoding",
    Upgrade = "upgrade",
    UpgradeInsecureRequests = "upgrade-insecure-requests",
    Uri = "uri",
    UserAgent = "user-agent",
    Vary = "vary",
    Via = "via",
    Warning = "warning",
    WwwAuthenticate = "www-authenticate",
    XContentTypeOptions = "x-content-type-options",
    XForwardedFor = "x-forwarded-for",
    XForwardedForUnderscored = "x_forwarded_for",
    XForwardedHost = "x-forwarded-host",
    XForwardedHostUnderscored = "x_forwarded_host",
    XForwardedPort = "x-forwarded-port",
    XForwardedPortUnderscored = "x_forwarded_port",
    XForwardedProto = "x-forwarded-proto",
    XForwardedProtoUnderscored = "x_forwarded_proto",
    XForwardedServer = "x-forwarded-server",
    XForwardedServerUnderscored = "x_forwarded_server",
    XFrameOptions = "x-frame-options",
    XRealIp = "x-real-ip",
    XRealIpUnderscored = "x_real_ip",
    XRequestId = "x-request-id",
}

/// How many there are.
pub(crate) const COUNT: usize = ALL.len();

// A set of them has 128 bits.
const _: () = assert!(COUNT <= 128);

impl Known {
    /// The name in lower case.
    pub const fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// What a line with it begins with: the name, a colon and a space.
    pub(crate) const fn beginning(self) -> &'static str {
        BEGINNINGS[self as usize]
    }

    /// All of them, in their order.
    pub(crate) const ALL: &[Self] = ALL;

    /// The known field of this name, in any case.
    pub fn of(name: &[u8]) -> Option<Self> {
        find(name)
    }
}

/// Fields by their known names; which of them are wanted, unwanted or there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KnownSet([u64; 2]);

impl KnownSet {
    /// None.
    pub const EMPTY: Self = Self([0; 2]);

    /// These.
    pub const fn of(members: &[Known]) -> Self {
        let (mut set, mut index) = (Self::EMPTY, 0);
        while index < members.len() {
            set.insert(members[index]);
            index += 1;
        }
        set
    }

    /// Whether it is among them.
    #[inline]
    pub const fn contains(&self, known: Known) -> bool {
        self.0[word_of(known)] & bit_of(known) != 0
    }

    /// Adds one.
    #[inline]
    pub const fn insert(&mut self, known: Known) {
        self.0[word_of(known)] |= bit_of(known);
    }

    /// Takes one out.
    pub const fn remove(&mut self, known: Known) {
        self.0[word_of(known)] &= !bit_of(known);
    }

    /// Those of both.
    pub const fn union(self, other: Self) -> Self {
        Self([self.0[0] | other.0[0], self.0[1] | other.0[1]])
    }

    /// Those that are in both.
    #[inline]
    pub const fn intersection(self, other: Self) -> Self {
        Self([self.0[0] & other.0[0], self.0[1] & other.0[1]])
    }

    /// All of them, in their order.
    pub(crate) fn iter(self) -> impl Iterator<Item = Known> {
        let Self([mut low, mut high]) = self;
        std::iter::from_fn(move || {
            let (word, first) = match low {
                0 => (&mut high, 64),
                _ => (&mut low, 0),
            };
            let known = ALL.get(first + word.trailing_zeros() as usize)?;
            *word &= word.wrapping_sub(1);
            Some(*known)
        })
    }

    /// Whether any of these is among the others.
    #[inline]
    pub const fn intersects(self, other: Self) -> bool {
        self.0[0] & other.0[0] | self.0[1] & other.0[1] != 0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0[0] | self.0[1] == 0
    }
}

impl BitOr for KnownSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

#[inline]
const fn word_of(known: Known) -> usize {
    known as usize >> 6 & 1
}

#[inline]
const fn bit_of(known: Known) -> u64 {
    1 << (known as u64 & 63)
}

/// Places in the table; so many that a multiplier is found soon by which no two names have the same.
const PLACES: usize = 2048;

/// What makes a letter lower case, in every byte; other bytes are changed, too.
const LOWER: u64 = u64::from_ne_bytes([b' '; 8]);

const MULTIPLIER: u64 = multiplier();

/// Which name may be at a place.
static TABLE: [Option<Known>; PLACES] = table();

/// By what each name is recognized.
static KEYS: [Key; ALL.len()] = keys();

/// A name's first and last eight bytes; of a shorter one, the bytes it has, and none.
#[derive(Clone, Copy)]
struct Key {
    first: u64,
    last: u64,
    /// What makes its letters lower case, and changes no other byte: so nothing but the name becomes the name.
    first_letters: u64,
    last_letters: u64,
    length: usize,
}

impl Key {
    const fn of(name: &[u8]) -> Self {
        let (first, first_letters) = letters_of(name, 0);
        let (last, last_letters) = match name.len() {
            0..8 => (0, 0),
            length => letters_of(name, length - 8),
        };
        Self {
            first,
            last,
            first_letters,
            last_letters,
            length: name.len(),
        }
    }
}

/// Up to eight bytes, and what makes letters among them lower case.
const fn letters_of(name: &[u8], from: usize) -> (u64, u64) {
    let (mut word, mut letters, mut index) = (0, 0, 0);
    while index < 8 && from + index < name.len() {
        let byte = name[from + index];
        word |= (byte as u64) << (8 * index);
        if byte.is_ascii_alphabetic() {
            letters |= 0x20 << (8 * index);
        }
        index += 1;
    }
    (word, letters)
}

/// The low bytes of a word, fewer than eight.
const fn mask(length: usize) -> u64 {
    (1 << (8 * length)) - 1
}

/// Where a name has its place, by its ends in any case.
const fn place(first: u64, last: u64, length: usize, multiplier: u64) -> usize {
    let mixed = (first | LOWER) ^ (last | LOWER).rotate_left(27) ^ length as u64;
    (mixed.wrapping_mul(multiplier) >> (64 - PLACES.trailing_zeros())) as usize
}

const fn keys() -> [Key; ALL.len()] {
    let mut keys = [Key::of(b""); ALL.len()];
    let mut index = 0;
    while index < ALL.len() {
        keys[index] = Key::of(NAMES[index].as_bytes());
        index += 1;
    }
    keys
}

/// The first multiplier by which every name has a place of its own.
const fn multiplier() -> u64 {
    let (keys, mut multiplier) = (keys(), 0x9e37_79b9_7f4a_7c15_u64);
    loop {
        let (mut taken, mut index) = ([0_u64; PLACES / 64], 0);
        while index < ALL.len() {
            let Key {
                first,
                last,
                length,
                ..
            } = keys[index];
            let place = place(first, last, length, multiplier);
            if taken[place / 64] >> (place % 64) & 1 != 0 {
                break;
            }
            taken[place / 64] |= 1 << (place % 64);
            index += 1;
        }
        if index == ALL.len() {
            return multiplier;
        }
        multiplier = multiplier.wrapping_add(0xd134_2543_de82_ef94);
    }
}

const fn table() -> [Option<Known>; PLACES] {
    let (keys, mut table, mut index) = (keys(), [None; PLACES], 0);
    while index < ALL.len() {
        let Key {
            first,
            last,
            length,
            ..
        } = keys[index];
        table[place(first, last, length, MULTIPLIER)] = Some(ALL[index]);
        index += 1;
    }
    table
}

/// The known field of this name; what is no name is none.
pub(crate) fn find(name: &[u8]) -> Option<Known> {
    find_by(name, first_word(name))
}

/// A number below [`PLACES`] that names in another case have, too, and few other names.
pub(crate) fn class(name: &[u8]) -> usize {
    let last = name
        .len()
        .checked_sub(8)
        .and_then(|from| word_at(name, from));
    place(first_word(name), last.unwrap_or(0), name.len(), MULTIPLIER)
}

/// The first eight bytes, or those there are, and none.
#[inline]
fn first_word(name: &[u8]) -> u64 {
    word_at(name, 0).unwrap_or_else(|| {
        let mut word = [0; 8];
        word[..name.len()].copy_from_slice(name);
        u64::from_le_bytes(word)
    })
}

/// The known field of this name; `first` is the eight bytes from its start on, of which it may have fewer.
#[inline(always)]
pub(crate) fn find_by(name: &[u8], first: u64) -> Option<Known> {
    let length = name.len();
    let (first, last) = match name.last_chunk() {
        Some(last) => (first, u64::from_le_bytes(*last)),
        None => (first & mask(length), 0),
    };
    let known = TABLE[place(first, last, length, MULTIPLIER)]?;
    let key = &KEYS[known as usize];
    if first | key.first_letters != key.first
        || last | key.last_letters != key.last
        || length != key.length
    {
        return None;
    }
    // Of a name of up to 16 bytes, everything has been compared.
    (length <= 16 || is_middle(name, known)).then_some(known)
}

/// Compares what is between the ends of a name.
#[inline]
fn is_middle(came: &[u8], known: Known) -> bool {
    let name = known.name().as_bytes();
    let mut at = 8;
    while at + 8 < name.len() {
        let (Some(came), Some(name)) = (word_at(came, at), word_at(name, at)) else {
            return false;
        };
        // Letters in lower case are the bytes with both of these bits.
        let letters = name & (name >> 1) & LOWER;
        if came | letters != name {
            return false;
        }
        at += 8;
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_name_is_found_in_every_case_and_wherever_it_stands() {
        for &known in ALL {
            let name = known.name();
            assert_eq!(name, name.to_ascii_lowercase());
            for name in [name.to_owned(), name.to_ascii_uppercase()] {
                assert_eq!(Known::of(name.as_bytes()), Some(known), "{name}");
                let lines = format!("a: b\r\n{name}: value\r\n");
                let line = &lines.as_bytes()[6..];
                let first = word_at(line, 0).unwrap();
                assert_eq!(find_by(&line[..name.len()], first), Some(known));
            }
        }
    }

    #[test]
    fn what_differs_in_a_byte_is_not_found() {
        for &known in ALL {
            for at in 0..known.name().len() {
                let mut name = known.name().as_bytes().to_vec();
                for byte in 0..=255 {
                    name[at] = byte;
                    let expected = ALL
                        .iter()
                        .find(|it| it.name().as_bytes().eq_ignore_ascii_case(&name));
                    assert_eq!(
                        Known::of(&name),
                        expected.copied(),
                        "{}",
                        name.escape_ascii()
                    );
                }
            }
        }
    }

    #[test]
    fn a_set_has_what_was_put_into_it() {
        let mut set = KnownSet::of(&[Known::Host, Known::XRequestId]);
        assert!(set.contains(Known::Host) && set.contains(Known::XRequestId));
        assert!(!set.contains(Known::Accept));
        set.insert(Known::Accept);
        set.remove(Known::Host);
        assert_eq!(set, KnownSet::of(&[Known::Accept, Known::XRequestId]));
        assert!(set.intersects(KnownSet::of(&[Known::Accept])));
        assert!(KnownSet::EMPTY.is_empty() && !set.is_empty());
    }

    #[test]
    fn all_of_a_set_are_told_in_their_order() {
        assert_eq!(KnownSet::EMPTY.iter().count(), 0);
        assert!(KnownSet::of(ALL).iter().eq(ALL.iter().copied()));
        for &known in ALL {
            assert!(KnownSet::of(&[known]).iter().eq([known]));
        }
        let (some, others) = (
            KnownSet::of(&[Known::Host, Known::Accept]),
            KnownSet::of(&[Known::Host, Known::XRequestId]),
        );
        assert_eq!(some.intersection(others), KnownSet::of(&[Known::Host]));
    }

    proptest! {
        #[test]
        fn other_names_are_not_found(name in proptest::collection::vec(any::<u8>(), 0..40)) {
            let expected = ALL.iter().find(|it| it.name().as_bytes().eq_ignore_ascii_case(&name));
            prop_assert_eq!(Known::of(&name), expected.copied());
        }
    }
}
