//! Reads the answer to CPING, by the rules that traffic is held to.

use equipoise_http::ajp::{Event, ResponseReader};
use equipoise_http::{Head, Limits};
use tokio::io::AsyncReadExt as _;

use super::{CheckError, CheckReply, plain};
use equipoise_proxy::upstream::MemberStream;

/// The room for what comes, in bytes: an answer is one of five.
const READ_SIZE: usize = 64;

/// Reads the answer.
///
/// # Errors
/// There is none, or it is another.
pub(super) async fn read_pong(
    stream: &mut MemberStream,
    limits: Limits,
    max_packet: usize,
) -> Result<CheckReply, CheckError> {
    let mut reader = ResponseReader::new(limits, max_packet);
    reader.pinged();
    let (mut bytes, mut head) = ([0; READ_SIZE], Head::new());
    loop {
        let read = stream.read(&mut bytes).await;
        let broken = |error| CheckError::reset(format!("connection lost: {}", plain(&error)));
        let read = read.map_err(broken)?;
        if read == 0 {
            return Err(CheckError::reset("closed without an answer to CPING"));
        }
        match reader.read(&bytes[..read], &mut head).1 {
            Event::Pong => return Ok(CheckReply::of_pong()),
            Event::More => {}
            Event::Refused(violation) => {
                let detail = format!("invalid answer to CPING: {violation}");
                return Err(CheckError::invalid_response(detail));
            }
            _ => return Err(CheckError::invalid_response("another answer than to CPING")),
        }
    }
}
