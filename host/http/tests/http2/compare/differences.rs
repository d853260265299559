//! The differences, each with its reason.

use equipoise_http::Violation;
use equipoise_http::http2::ConnectionError;

use super::ours::Ours;
use super::script::{
    ACK, CONTINUATION, DATA, Frame, GOAWAY, HEADERS, PRIORITY_UPDATE, SETTINGS, WINDOW_UPDATE,
};
use super::theirs::Theirs;
use super::{End, Message};

/// Why h2 does not tell of a request that is right to us, or ends the connection for it.
pub(super) fn is_refused_by_theirs(message: &Message) -> bool {
    // Its strings are UTF-8, and its `Uri` takes no bytes that no URI may have, which clients send all the same; see the targets of
    // HTTP/1.
    let is_odd = |byte: &u8| b"\"<>\\^`{|}".contains(byte);
    let path = &message.path;
    if str::from_utf8(path).is_err() || path.iter().any(is_odd) {
        return true;
    }
    // It holds extended CONNECT to a Content-Length, which says nothing of a tunnel (RFC 9110, 9.3.6); we leave it out.
    message.method == b"CONNECT"
}

/// Why h2 breaks off a request that is right to us.
pub(super) fn is_broken_by_theirs(our: &Message, their: &Message) -> bool {
    // See above.
    their.end == End::Broken && our.method == b"CONNECT"
}

/// What h2 lets pass.
pub(super) fn is_refused_by_ours(violation: Violation) -> bool {
    use Violation::*;
    match violation {
        // It leaves `Host` to its user, and takes an authority with a user's name, which RFC 9113, 8.3.1 has not.
        HostRepeated | HostMismatch | HostInvalid | HostMissing => true,
        // It cuts fragments off, takes any scheme, and `*` of any method, and takes no path for `/` (RFC 9113, 8.3.1).
        Fragment | TargetForm | PseudoMissing => true,
        // It tells of CONNECT, which is for forward proxies.
        Connect => true,
        // It takes whatever trailers there are, and leaves out pseudo-fields among them (RFC 9113, 8.1); it takes trailers in
        // tunnels (8.5).
        Trailer | PseudoLate | Headers => true,
        // It takes a number with a sign, or none (RFC 9110, 8.6), and blanks around a value (RFC 9113, 8.2.1).
        Length | BlankAround => true,
        // A bound of ours.
        TooManyFields => true,
        _ => false,
    }
}

/// What of the connection h2 lets pass.
pub(super) fn is_over_for_ours_alone(
    error: ConnectionError,
    theirs: &Theirs,
    said: &[Frame],
) -> bool {
    let Some(last) = said.last() else {
        return false;
    };
    match error {
        // It does not know of PRIORITY_UPDATE (RFC 9218, 7.1), nor of the settings of RFC 8441, 3 and RFC 9218, 2.1.
        ConnectionError::FrameSize | ConnectionError::StreamId if last.kind == PRIORITY_UPDATE => {
            true
        }
        ConnectionError::Setting => last.kind == SETTINGS,
        // It judges a block, and whether a stream depends on itself, before it looks whether there may be such a stream, and resets
        // that.
        ConnectionError::StreamId => theirs.refused.contains(&last.number()),
        // It reads the block of a push first, and resets the stream if that is malformed (RFC 9113, 8.4 has another error).
        ConnectionError::Push => true,
        // It forgets that a block goes on when it has refused what came of it (RFC 9113, 6.10).
        ConnectionError::Continuation => {
            let before = said.iter().rev().nth(1);
            before.is_some_and(|it| it.leaves_block_open() && theirs.refused.contains(&it.number()))
        }
        // It ignores whatever comes for a stream that it has reset, also behind the client's own end of it (RFC 9113, 5.1).
        ConnectionError::ClosedStream => true,
        _ => false,
    }
}

/// What of the connection we let pass.
pub(super) fn is_over_for_theirs_alone(ours: &mut Ours, theirs: &Theirs, said: &[Frame]) -> bool {
    let Some(last) = said.last() else {
        return false;
    };
    // Behind GOAWAY of the client it closes by itself when nothing is under way, where we only say that we may be closed.
    let is_going_away = said.iter().any(|frame| frame.kind == GOAWAY);
    if is_going_away && theirs.is_idle(&ours.reset) {
        return true;
    }
    match last.kind {
        // It takes an answer to no SETTINGS of its own for an error, of which RFC 9113, 6.5 does not speak.
        SETTINGS => last.has(ACK),
        // The last stream must not go up (RFC 9113, 6.8); we hold on to the lowest that was said, and have opened none.
        GOAWAY => is_leaving_twice(said),
        // Fields that cannot be are to it an error of decoding, also in blocks that are of no use any more; to us, of the message
        // (RFC 9113, 8.1.1). It judges those of a frame at once, we of a block that is whole.
        HEADERS | CONTINUATION => {
            ours.end_block(last);
            let message = ours.requests.get(&last.number());
            ours.over.is_some()
                || !ours.is_open(last.number())
                || message.is_some_and(is_refused_by_theirs)
        }
        // What comes behind the end of a message is to us an error of its stream (RFC 9113, 5.1), as is whatever else is wrong of
        // one; and what comes for one that we have reset may have crossed that.
        DATA | WINDOW_UPDATE => !ours.is_open(last.number()),
        _ => false,
    }
}

fn is_leaving_twice(said: &[Frame]) -> bool {
    said.iter().filter(|frame| frame.kind == GOAWAY).count() > 1
}
