//! Another implementation as the peer: the engine as its server and as its client, over pipes in memory.

mod driver;
mod engine_as_client;
mod engine_as_server;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::HeaderMap;
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::timeout;

/// Runs a test; one that does not end has failed.
fn run(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let local = LocalSet::new();
    let test = async { timeout(Duration::from_secs(60), test).await };
    local.block_on(&runtime, test).expect("it ends");
}

/// Bodies of these lengths are met: nothing, little, frames, windows and a byte more or less.
const LENGTHS: [usize; 10] = [
    0, 1, 100, 16_383, 16_384, 16_385, 65_535, 65_536, 200_000, 1_000_000,
];

/// A body that is not the same at any two places near each other.
fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// Sends a body by h2, as far as windows allow, with trailers behind it.
async fn send(mut stream: SendStream<Bytes>, body: Vec<u8>, has_trailers: bool) {
    let mut left = Bytes::from(body);
    while !left.is_empty() {
        stream.reserve_capacity(left.len());
        let capacity = std::future::poll_fn(|context| stream.poll_capacity(context));
        let Some(Ok(room)) = capacity.await else {
            return;
        };
        let piece = left.split_to(room.min(left.len()));
        let ends = left.is_empty() && !has_trailers;
        stream.send_data(piece, ends).unwrap();
        if ends {
            return;
        }
    }
    if has_trailers {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
    } else {
        stream.send_data(Bytes::new(), true).unwrap();
    }
}

/// Reads a body by h2; says whether trailers were behind it.
async fn read(mut stream: RecvStream) -> Result<(Vec<u8>, bool), h2::Error> {
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?;
    Ok((body, trailers.is_some_and(|it| it.contains_key("x-sum"))))
}
