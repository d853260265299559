//! Unary gRPC calls: what is sent, and the members that answer it, by HTTP/2 with prior knowledge.

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use tokio::net::{TcpListener, TcpStream};

/// The path of every call; the configurations have a route for what begins with its first segment.
pub(crate) const PATH: &str = "/bench.Echo/Call";

/// The fields that make a request a call.
pub(crate) const FIELDS: [&str; 2] = ["content-type: application/grpc", "te: trailers"];

/// Length of a message, without what is before it.
const MESSAGE_BYTES: u8 = 25;

/// Length of the body with one message.
pub(crate) const BODY_BYTES: usize = 5 + MESSAGE_BYTES as usize;

/// A body with one message, which is not compressed, of this letter.
pub(crate) fn body(letter: u8) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 0, MESSAGE_BYTES];
    body.resize(BODY_BYTES, letter);
    body
}

/// Answers the calls that come to a member, with messages of its letter.
pub(crate) async fn accept(listener: TcpListener, letter: u8) {
    let body = Bytes::from(body(letter));
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, body.clone()));
    }
}

async fn serve(stream: TcpStream, body: Bytes) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        tokio::spawn(answer(request.into_body(), respond, body.clone()));
    }
    Ok(())
}

/// Answers a call when all of it is there.
async fn answer(
    mut asked: RecvStream,
    mut respond: SendResponse<Bytes>,
    body: Bytes,
) -> Result<(), h2::Error> {
    while let Some(piece) = asked.data().await {
        let bytes = piece?.len();
        asked.flow_control().release_capacity(bytes)?;
    }
    let mut head = Response::new(());
    let content_type = HeaderValue::from_static("application/grpc");
    head.headers_mut().insert(CONTENT_TYPE, content_type);
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(body, false)?;
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)
}
