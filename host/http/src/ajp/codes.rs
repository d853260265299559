//! What has a code of its own in AJP/1.3.

use crate::known::Known;

/// What stands in place of a method that has no code; its name is an attribute then.
pub(super) const STORED_METHOD: u8 = 0xff;

/// The first byte of a field's code, where a name's length would be.
pub(super) const FIELD: u8 = 0xa0;

/// The code of a method.
pub(super) fn method(name: &[u8]) -> u8 {
    const METHODS: [&str; 27] = [
        "OPTIONS",
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "DELETE",
        "TRACE",
        "PROPFIND",
        "PROPPATCH",
        "MKCOL",
        "COPY",
        "MOVE",
        "LOCK",
        "UNLOCK",
        "ACL",
        "REPORT",
        "VERSION-CONTROL",
        "CHECKIN",
        "CHECKOUT",
        "UNCHECKOUT",
        "SEARCH",
        "MKWORKSPACE",
        "UPDATE",
        "LABEL",
        "MERGE",
        "BASELINE-CONTROL",
        "MKACTIVITY",
    ];
    let place = METHODS.iter().position(|it| it.as_bytes() == name);
    place.map_or(STORED_METHOD, |place| place as u8 + 1)
}

/// The second byte of a request field's code.
pub(super) fn request_field(known: Known) -> Option<u8> {
    Some(match known {
        Known::Accept => 0x01,
        Known::AcceptCharset => 0x02,
        Known::AcceptEncoding => 0x03,
        Known::AcceptLanguage => 0x04,
        Known::Authorization => 0x05,
        Known::ContentType => 0x07,
        Known::ContentLength => 0x08,
        Known::Cookie => 0x09,
        Known::Host => 0x0b,
        Known::Pragma => 0x0c,
        Known::Referer => 0x0d,
        Known::UserAgent => 0x0e,
        _ => return None,
    })
}

/// The name of a response's field by the second byte of its code.
pub(super) fn response_field(code: u8) -> Option<&'static [u8]> {
    const NAMES: [&str; 11] = [
        "Content-Type",
        "Content-Language",
        "Content-Length",
        "Date",
        "Last-Modified",
        "Location",
        "Set-Cookie",
        "Set-Cookie2",
        "Servlet-Engine",
        "Status",
        "WWW-Authenticate",
    ];
    let place = usize::from(code).checked_sub(1)?;
    NAMES.get(place).map(|name| name.as_bytes())
}
