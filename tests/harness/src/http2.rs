//! Clients and members that speak HTTP/2, for tests that run on a runtime of their own.

use std::collections::VecDeque;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

use super::WAIT_TIMEOUT;

/// Runs a test that waits, no longer than patience lasts.
#[track_caller]
pub fn wait_for<F: Future>(test: F) -> F::Output {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let bounded = async { timeout(WAIT_TIMEOUT, test).await };
    let done = LocalSet::new().block_on(&runtime, bounded);
    done.expect("it takes too long")
}

/// A connection of a client.
pub async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let mut builder = h2::client::Builder::new();
    // One answer that is not taken does not keep the others waiting.
    builder.initial_connection_window_size(1024 * 1024);
    let (client, connection) = builder.handshake(stream).await.expect("HTTP/2");
    spawn_local(async move {
        let _ = connection.await;
    });
    client.ready().await.expect("room for a request")
}

/// A `GET` by this client, for `http://lb.test`.
pub fn get(path: &str) -> Request<()> {
    let request = Request::get(format!("http://lb.test{path}"));
    request.body(()).expect("a request")
}

/// The answer to a request without a body, with its whole body.
pub async fn ask(client: &SendRequest<Bytes>, request: Request<()>) -> Whole {
    try_ask(client, request).await.expect("an answer")
}

/// The same, of which nothing may come.
pub async fn try_ask(
    client: &SendRequest<Bytes>,
    request: Request<()>,
) -> Result<Whole, h2::Error> {
    let mut client = client.clone().ready().await?;
    let (answer, _) = client.send_request(request, true)?;
    whole(answer.await?).await
}

/// A request with a body that is sent piece by piece.
pub async fn begin(
    client: &SendRequest<Bytes>,
    request: Request<()>,
) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
    let mut client = client.clone().ready().await.expect("room for a request");
    client.send_request(request, false).expect("a request")
}

/// An answer, or a request, to its end.
#[derive(Debug)]
pub struct Whole {
    /// Status and fields.
    pub head: http::response::Parts,
    /// All of its body.
    pub body: Vec<u8>,
    /// The fields behind the body.
    pub trailers: Option<HeaderMap>,
}

impl Whole {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Reads an answer to its end.
pub async fn whole(answer: Response<RecvStream>) -> Result<Whole, h2::Error> {
    let (head, mut stream) = answer.into_parts();
    let (body, trailers) = read(&mut stream).await?;
    Ok(Whole {
        head,
        body,
        trailers,
    })
}

/// Reads a body to its end, with its trailers.
pub async fn read(stream: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        body.extend(piece);
    }
    Ok((body, stream.trailers().await?))
}

/// Sends a whole body, as fast as it is taken.
pub async fn send(stream: &mut SendStream<Bytes>, mut body: Bytes) -> Result<(), h2::Error> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
        let Some(room) = room.transpose()? else {
            return Err(h2::Reason::CANCEL.into());
        };
        stream.send_data(body.split_to(room.min(body.len())), false)?;
    }
    Ok(())
}

/// A request as a member got it.
pub type Asked = (Request<RecvStream>, SendResponse<Bytes>);

/// A member that speaks HTTP/2, without TLS and from the first byte on. It does nothing by itself: a test takes the requests.
pub struct Member {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    connections: AtomicUsize,
    asked: Mutex<VecDeque<Asked>>,
    arrived: Notify,
}

impl Member {
    /// A member that takes so many requests at once on a connection.
    pub async fn start(most_streams: u32) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::<Shared>::default();
        let theirs = shared.clone();
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                theirs.connections.fetch_add(1, Relaxed);
                spawn_local(serve(stream, most_streams, theirs.clone()));
            }
        });
        Self { address, shared }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("h2c://{}", self.address)
    }

    /// How many connections were made in all.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Relaxed)
    }

    /// The next request.
    pub async fn next(&self) -> Asked {
        loop {
            let arrived = self.shared.arrived.notified();
            let next = self.shared.asked.lock().expect("a lock").pop_front();
            if let Some(asked) = next {
                return asked;
            }
            arrived.await;
        }
    }

    /// Answers the next request with 200 and a text.
    pub async fn answer_next(&self, text: &'static str) -> Request<RecvStream> {
        let (request, mut answer) = self.next().await;
        let mut stream = answer
            .send_response(Response::new(()), false)
            .expect("an answer");
        stream
            .send_data(Bytes::from_static(text.as_bytes()), true)
            .expect("a body");
        request
    }
}

async fn serve(stream: TcpStream, most_streams: u32, shared: Arc<Shared>) {
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(most_streams)
        .enable_connect_protocol();
    let Ok(mut connection) = builder.handshake(stream).await else {
        return;
    };
    while let Some(Ok(asked)) = connection.accept().await {
        shared.asked.lock().expect("a lock").push_back(asked);
        shared.arrived.notify_one();
    }
}
