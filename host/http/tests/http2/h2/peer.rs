//! What tests do with the h2 crate: bodies sent and read, within a time.

use std::future::{Future, poll_fn};
use std::time::Duration;

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::HeaderMap;
use tokio::runtime::Builder;
use tokio::task::{LocalSet, yield_now};
use tokio::time::timeout;

/// Runs a test; one that does not end has failed.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let local = LocalSet::new();
    let test = async { timeout(Duration::from_secs(60), test).await };
    local.block_on(&runtime, test).expect("it ends")
}

/// A body that is not the same at any two places near each other.
pub(crate) fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// Lets others go on, so often.
pub(crate) async fn pause(times: usize) {
    for _ in 0..times {
        yield_now().await;
    }
}

/// Sends a body as far as windows allow, pausing before each piece, with trailers behind it.
///
/// # Errors
///
/// If the stream is reset before its end.
pub(crate) async fn send(
    stream: &mut SendStream<Bytes>,
    body: Vec<u8>,
    has_trailers: bool,
    pauses: usize,
) -> Result<(), h2::Error> {
    let mut left = Bytes::from(body);
    while !left.is_empty() {
        pause(pauses).await;
        stream.reserve_capacity(left.len());
        let capacity = poll_fn(|context| stream.poll_capacity(context)).await;
        // A stream that is reset has no capacity any more; sending on it says why.
        let room = capacity.transpose()?.unwrap_or(1);
        let piece = left.split_to(room.min(left.len()));
        let ends = left.is_empty() && !has_trailers;
        stream.send_data(piece, ends)?;
        if ends {
            return Ok(());
        }
    }
    if !has_trailers {
        return stream.send_data(Bytes::new(), true);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    stream.send_trailers(trailers)
}

/// A body that was read, as far as it came, and how it ended: with trailers or not, or by a reset.
pub(crate) type Received = (Vec<u8>, Result<bool, h2::Error>);

/// Reads a body, pausing before each piece is acknowledged.
pub(crate) async fn read(mut stream: RecvStream, pauses: usize) -> Received {
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = match data {
            Ok(data) => data,
            Err(error) => return (body, Err(error)),
        };
        pause(pauses).await;
        body.extend_from_slice(&data);
        if let Err(error) = stream.flow_control().release_capacity(data.len()) {
            return (body, Err(error));
        }
    }
    let trailers = stream.trailers().await;
    let has_trailers = trailers.map(|it| it.is_some_and(|it| it.contains_key("x-sum")));
    (body, has_trailers)
}
