//! gRPC's health checking protocol: `grpc.health.v1.Health/Check`, as far as a check needs it.

use equipoise_http::Fields;
use prost::Message;

use super::CheckError;

/// The method of gRPC.
pub(super) const PATH: &str = "/grpc.health.v1.Health/Check";

/// What stands before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The most of a `grpc-message` that is quoted, in characters.
const MAX_MESSAGE: usize = 60;

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    status: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

/// The body of a request for this service; the empty name stands for the server as a whole.
pub(super) fn request_body(service: &str) -> Vec<u8> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    // A service's name has no 4 GiB.
    let length = u32::try_from(request.encoded_len()).unwrap_or(u32::MAX);
    let mut body = vec![0];
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(&request.encode_to_vec());
    body
}

/// What is wrong with a response; `None` where the service serves. The call's status is in the trailers, or in the head where there
/// is nothing else.
///
/// # Errors
/// It is not a response of gRPC.
pub(super) fn mismatch(
    status: u16,
    head: &Fields,
    body: &[u8],
    trailers: Option<&Fields>,
) -> Result<Option<String>, CheckError> {
    let field = |name: &str| {
        let fields = [trailers, Some(head)].into_iter().flatten();
        let value = fields.filter_map(|fields| fields.get(name)).next()?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    if status != 200 {
        return Ok(Some(format!("{status}, expected 200")));
    }
    match field("grpc-status").as_deref() {
        None => Err(CheckError::invalid_response(
            "invalid gRPC response: no grpc-status",
        )),
        Some("0") => serving(body),
        Some(code) => {
            let message = field("grpc-message").unwrap_or_default();
            let message: String = message.chars().take(MAX_MESSAGE).collect();
            let message = message.escape_debug();
            Ok(Some(format!("grpc-status {code} ({message}), expected 0")))
        }
    }
}

fn serving(body: &[u8]) -> Result<Option<String>, CheckError> {
    let broken = || CheckError::invalid_response("invalid gRPC response: malformed message");
    let (prefix, message) = body.split_at_checked(PREFIX).ok_or_else(broken)?;
    let length = prefix[1..]
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte));
    if prefix[0] != 0 || message.len() != length {
        return Err(broken());
    }
    let response = HealthCheckResponse::decode(message).map_err(|_| broken())?;
    let word = match response.status() {
        ServingStatus::Serving => return Ok(None),
        ServingStatus::Unknown => "UNKNOWN",
        ServingStatus::NotServing => "NOT_SERVING",
        ServingStatus::ServiceUnknown => "SERVICE_UNKNOWN",
    };
    Ok(Some(format!("{word}, expected SERVING")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in text {
            let pushed = fields.push(name.as_bytes(), value.as_bytes());
            pushed.expect("a field");
        }
        fields
    }

    #[test]
    fn question_is_a_message_with_its_length() {
        assert_eq!(&request_body("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&request_body("ab")[..], [0, 0, 0, 0, 4, 10, 2, b'a', b'b']);
    }

    /// The head's fields, the body, the trailers, and what is wrong; an error where it is no answer.
    #[test]
    fn only_a_service_that_serves_is_well() {
        type Pairs = &'static [(&'static str, &'static str)];
        type Row = (
            u16,
            Pairs,
            &'static [u8],
            Option<Pairs>,
            Result<&'static str, &'static str>,
        );
        let ok: Pairs = &[("grpc-status", "0")];
        let table: [Row; 10] = [
            (200, &[], &[0, 0, 0, 0, 2, 8, 1], Some(ok), Ok("")),
            (
                200,
                &[],
                &[0, 0, 0, 0, 2, 8, 2],
                Some(ok),
                Ok("NOT_SERVING, expected SERVING"),
            ),
            (
                200,
                &[],
                &[0, 0, 0, 0, 2, 8, 3],
                Some(ok),
                Ok("SERVICE_UNKNOWN, expected SERVING"),
            ),
            (
                200,
                &[],
                &[0, 0, 0, 0, 0],
                Some(ok),
                Ok("UNKNOWN, expected SERVING"),
            ),
            (
                200,
                &[],
                &[0, 0, 0, 0, 3, 8, 1],
                Some(ok),
                Err("invalid gRPC response: malformed message"),
            ),
            (
                200,
                &[],
                &[1, 0, 0, 0, 2, 8, 1],
                Some(ok),
                Err("invalid gRPC response: malformed message"),
            ),
            (
                200,
                ok,
                &[],
                None,
                Err("invalid gRPC response: malformed message"),
            ),
            (
                200,
                &[],
                &[0, 0, 0, 0, 2, 8, 1],
                None,
                Err("invalid gRPC response: no grpc-status"),
            ),
            (
                200,
                &[("grpc-status", "12"), ("grpc-message", "unknown\tmethod")],
                &[],
                None,
                Ok("grpc-status 12 (unknown\\tmethod), expected 0"),
            ),
            (404, &[], &[], None, Ok("404, expected 200")),
        ];
        for (status, head, body, trailers, expected) in table {
            let trailers = trailers.map(fields);
            let found = mismatch(status, &fields(head), body, trailers.as_ref());
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.unwrap_or_default(), expected),
                (Err(error), Err(expected)) => assert_eq!(error.detail, expected),
                (found, expected) => panic!("{expected:?}: {:?}", found.map_err(|it| it.detail)),
            }
        }
    }
}
