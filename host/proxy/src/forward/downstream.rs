//! The client's side of one request, by whatever version of HTTP it came.

use std::task::{Context, Poll};

use equipoise_http::http1::Framing;
use equipoise_http::{Edit, Fields, Head};

use crate::body_frame::BodyFrame;
use crate::duplex::Duplex;
use crate::error::ClientError;

/// The client's side of one request: its body, and where the response goes.
///
/// Everything is polled by the task that serves the request, and nothing blocks it.
pub(crate) trait Downstream {
    /// Where the request's body ends.
    fn framing(&self) -> Framing;

    /// What comes next of the request's body. Payload is taken before this is asked again.
    ///
    /// # Errors
    /// The body does not come to its end.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<BodyFrame, ClientError>>;

    /// The payload that has come and is not taken yet.
    fn payload(&self) -> &[u8];

    /// So many bytes of it are taken.
    fn consume(&mut self, bytes: usize);

    /// The trailers of the request's body, once they have come.
    fn trailers(&self) -> &Fields;

    /// Ready when the client wants no response any more: it is gone, or has closed its sending side for `limits.half-close`.
    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<ClientError>;

    /// Sends an interim response (1xx).
    fn interim(&mut self, head: &Head, edit: &Edit);

    /// Begins the response: as `head` with `edit`, and a body that ends like this. What says where the body ends, and what becomes of
    /// the connection, is added here.
    fn begin(&mut self, head: &Head, edit: &mut Edit, framing: Framing);

    /// Takes payload of the response, at least a byte. What was begun has to come again until all of it was taken.
    ///
    /// # Errors
    /// The client is gone, or takes it too slowly.
    fn poll_payload(
        &mut self,
        context: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<Result<usize, ClientError>>;

    /// The response is the last of its connection, where that is told in a response.
    fn close_after_response(&mut self);

    /// The response is over.
    fn end(&mut self, trailers: Option<&Fields>);

    /// The response breaks off: the client is to see that it is not whole.
    fn abort(&mut self);

    /// Ready when all of the response was written.
    ///
    /// # Errors
    /// The client is gone, or takes it too slowly.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ClientError>>;

    /// What the client's connection or stream is behind a response that makes it a tunnel.
    fn tunnel(&mut self) -> Option<&mut dyn Duplex>;
}
