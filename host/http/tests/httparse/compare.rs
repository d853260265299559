//! Wherever the engine and httparse differ about a head, the difference is one of those listed here, each with its reason.

use equipoise_http::http1::{HeadEvent, RequestReader, ResponseReader};
use equipoise_http::{Head, Limits, Method, Violation};
use httparse::{EMPTY_HEADER, Error, Header, Status};

/// As many fields as we read by default.
const FIELDS: usize = 100;

/// What httparse lets pass, for it is no business of a parser of single lines, or for it is lenient.
fn is_ours_alone(violation: Violation) -> bool {
    use Violation::*;
    match violation {
        // Lenient: LF alone ends a line. Behind a proxy there may be a reader for whom it does not.
        BareLf => true,
        // What a head means as a whole: by which two readers would come to different ends or hosts.
        HostMissing | HostRepeated | HostInvalid | HostMismatch => true,
        Length | LengthRepeated | LengthAndCoding => true,
        Coding | CodingUnknown | CodingInHttp10 => true,
        // What a target means: it takes any bytes of a URI, of any form, for any method.
        Connect | Fragment | TargetForm => true,
        // Limits that it has not.
        EmptyLines | HeadTooLarge | LineTooLong | TargetTooLong => true,
        _ => false,
    }
}

/// What is read by both has to be the same, but that of equal lengths we keep the first.
fn compare_fields(head: &Head, theirs: &[Header<'_>]) {
    let mut has_length = false;
    let theirs = theirs.iter().filter(|field| {
        let is_length = field.name.eq_ignore_ascii_case("content-length");
        !is_length || !std::mem::replace(&mut has_length, true)
    });
    let theirs: Vec<_> = theirs
        .map(|field| (field.name.as_bytes(), field.value))
        .collect();
    let ours: Vec<_> = head.iter().map(|field| (field.name, field.value)).collect();
    assert_eq!(ours, theirs);
}

fn compare_requests(bytes: &[u8]) {
    let (mut reader, mut head) = (RequestReader::new(Limits::default()), Head::new());
    let (used, ours) = reader.head(bytes, &mut head);
    let mut fields = [EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match (ours, request.parse(bytes)) {
        (HeadEvent::Head, Ok(Status::Complete(length))) => {
            assert_eq!(used, length);
            assert_eq!(Some(head.method_bytes()), request.method.map(str::as_bytes));
            assert_eq!(Some(head.target()), request.path.map(str::as_bytes));
            assert_eq!(head.version() as u8, request.version.unwrap());
            compare_fields(&head, request.headers);
        }
        // It takes targets of text alone; ours are bytes, and browsers send what is no UTF-8.
        (HeadEvent::Head, Err(Error::Token)) => {
            assert!(std::str::from_utf8(head.target()).is_err(), "{head:?}");
        }
        // A line is judged when its LF has come; it judges each byte.
        (HeadEvent::More, Err(_) | Ok(Status::Partial)) => {}
        (HeadEvent::Refused(_), Err(_)) => {}
        // A first byte that is no token, and LF before a request, are lenient there until more comes.
        (HeadEvent::Refused(violation), Ok(_)) => assert!(is_ours_alone(violation), "{violation}"),
        (ours, theirs) => panic!("{ours:?}, {theirs:?}: {}", bytes.escape_ascii()),
    }
}

fn compare_responses(bytes: &[u8]) {
    let (mut reader, mut head) = (ResponseReader::new(Limits::default()), Head::new());
    reader.expect_response_to(Method::Get);
    let (used, ours) = reader.head(bytes, &mut head);
    let mut fields = [EMPTY_HEADER; FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    match (ours, response.parse(bytes)) {
        (HeadEvent::Head | HeadEvent::Interim, Ok(Status::Complete(length))) => {
            assert_eq!(used, length);
            assert_eq!(Some(head.status()), response.code);
            assert_eq!(head.version() as u8, response.version.unwrap());
            // It leaves out a reason that is not ASCII.
            let reason = response.reason.unwrap();
            assert!(head.reason() == reason.as_bytes() || !head.reason().is_ascii());
            compare_fields(&head, response.headers);
        }
        (HeadEvent::More, Err(_) | Ok(Status::Partial)) => {}
        (HeadEvent::Refused(_), Err(_)) => {}
        // Empty lines before a response are skipped there: whoever sends them may have sent more.
        (HeadEvent::Refused(Violation::StatusLine), Ok(_)) => {
            assert!(
                matches!(bytes[0], b'\r' | b'\n'),
                "{}",
                bytes.escape_ascii()
            );
        }
        // Statuses below 100 are numbers of three digits to it.
        (HeadEvent::Refused(Violation::Status), Ok(_)) => {
            assert_eq!(bytes[9], b'0', "{}", bytes.escape_ascii());
        }
        (HeadEvent::Refused(violation), Ok(_)) => assert!(is_ours_alone(violation), "{violation}"),
        (ours, theirs) => panic!("{ours:?}, {theirs:?}: {}", bytes.escape_ascii()),
    }
}

/// Reads these bytes as a request and as a response, by both.
///
/// # Panics
/// They differ, and it is not known why.
pub(crate) fn compare(bytes: &[u8]) {
    compare_requests(bytes);
    compare_responses(bytes);
}
