//! A request that is accepted is the same one in HTTP/1: for tests, and for a fuzz target.

use equipoise_http::http1::{Framing, HeadEvent, RequestReader};
use equipoise_http::http2::hpack::HpackError;
use equipoise_http::http2::message::Reader;
use equipoise_http::{Edit, Fields, Head, Limits};

/// Names in lower case, and values.
pub(crate) fn pairs(fields: &Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    let fields = fields.iter();
    fields
        .map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec()))
        .collect()
}

/// Reads a request, and what it becomes in HTTP/1.
///
/// # Panics
/// It is accepted, and HTTP/1 refuses it, or understands something else.
///
/// # Errors
/// The block cannot be decoded.
pub(crate) fn compare(
    reader: &mut Reader,
    block: &[u8],
    limits: &Limits,
    head: &mut Head,
) -> Result<(), HpackError> {
    let Ok(request) = reader.request(block, limits, true, head)? else {
        return Ok(());
    };
    let mut bytes = Vec::new();
    Edit::new().write(head, &mut bytes);
    // What extended CONNECT adds counts for nothing.
    if !request.is_connect {
        assert!(bytes.len() <= limits.head.bytes as usize);
        assert!(head.len() <= usize::from(limits.head.fields));
    }
    let (mut http1, mut again) = (RequestReader::new(Limits::default()), Head::new());
    let read = http1.head(&bytes, &mut again);
    assert_eq!(read, (bytes.len(), HeadEvent::Head));
    assert_eq!(head.target(), again.target());
    assert_eq!(head.method_bytes(), again.method_bytes());
    assert_eq!(head.authority(), again.authority());
    assert_eq!(pairs(head), pairs(&again));
    assert_eq!(request.framing, http1.framing());
    assert!(matches!(
        request.framing,
        Framing::None | Framing::Length(_)
    ));
    assert_eq!(request.is_connect, head.upgrades().next().is_some());
    Ok(())
}
