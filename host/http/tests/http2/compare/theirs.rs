//! h2 as the server, over a pipe in memory: it is polled whenever a frame has come, so that nothing is ever waited for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::RecvStream;
use h2::ext::Protocol;
use h2::server::{Builder, Connection, SendResponse};
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{End, Message, Pair};

/// The bytes that have come and are not read, and those that were written.
#[derive(Debug, Clone, Default)]
struct Pipe(Rc<RefCell<(VecDeque<u8>, Vec<u8>)>>);

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let inbound = &mut self.0.borrow_mut().0;
        if inbound.is_empty() {
            return Poll::Pending;
        }
        let length = inbound.len().min(buffer.remaining());
        for byte in inbound.drain(..length) {
            buffer.put_slice(&[byte]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().1.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

pub(super) struct Theirs {
    connection: Connection<Pipe, Bytes>,
    pipe: Pipe,
    /// What of requests is still to come, and the handles that keep it from being reset.
    bodies: BTreeMap<u32, RecvStream>,
    handles: Vec<SendResponse<Bytes>>,
    pub(super) requests: BTreeMap<u32, Message>,
    /// The streams that it has reset.
    pub(super) refused: BTreeSet<u32>,
    /// Why it is over.
    pub(super) over: Option<String>,
}

impl Theirs {
    /// One to which this was said.
    pub(super) fn new(beginning: &[u8]) -> Self {
        let pipe = Pipe::default();
        pipe.0.borrow_mut().0.extend(beginning);
        // Bounds that are not met: ours are told apart in what they refuse, and have tests of their own.
        let mut builder = Builder::new();
        builder
            .enable_connect_protocol()
            .max_concurrent_reset_streams(1_000)
            .max_pending_accept_reset_streams(1_000);
        let mut handshake = pin!(builder.handshake(pipe.clone()));
        let mut context = Context::from_waker(Waker::noop());
        let connection = loop {
            if let Poll::Ready(connection) = handshake.as_mut().poll(&mut context) {
                break connection.expect("the beginning is right");
            }
        };
        Self {
            connection,
            pipe,
            bodies: BTreeMap::new(),
            handles: Vec::new(),
            requests: BTreeMap::new(),
            refused: BTreeSet::new(),
            over: None,
        }
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.pipe.0.borrow_mut().0.extend(bytes);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match self.connection.poll_accept(&mut context) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok((request, handle)))) => self.begin(request, handle),
                Poll::Ready(Some(Err(error))) => {
                    self.over = Some(error.to_string());
                    break;
                }
                Poll::Ready(None) => {
                    self.over = Some("it is closed".to_owned());
                    break;
                }
            }
        }
        for (number, body) in &mut self.bodies {
            let message = self.requests.get_mut(number).expect("it began");
            read(body, message, &mut context);
        }
        self.note_resets();
    }

    /// Whether nothing is under way, where all that is told waits for an answer, but for what was broken off, or was reset
    /// behind its end.
    pub(super) fn is_idle(&self, reset: &BTreeSet<u32>) -> bool {
        let mut requests = self.requests.iter();
        requests.all(|(number, it)| it.end == End::Broken || reset.contains(number))
    }

    fn begin(&mut self, request: Request<RecvStream>, handle: SendResponse<Bytes>) {
        let number = handle.stream_id().as_u32();
        self.handles.push(handle);
        self.requests.insert(number, message(&request));
        self.bodies.insert(number, request.into_body());
    }

    /// Looks for RST_STREAM in what was written, which are whole frames.
    fn note_resets(&mut self) {
        let written = std::mem::take(&mut self.pipe.0.borrow_mut().1);
        let mut rest = &written[..];
        while let [high, middle, low, kind, _, stream @ ..] = rest {
            let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
            let number = u32::from_be_bytes(*stream.first_chunk().expect("a whole frame"));
            if *kind == super::script::RST_STREAM {
                self.refused.insert(number);
            }
            rest = &rest[9 + length..];
        }
    }
}

/// Reads what has come of a body.
fn read(body: &mut RecvStream, message: &mut Message, context: &mut Context<'_>) {
    while message.end == End::Open {
        match body.poll_data(context) {
            Poll::Pending => return,
            Poll::Ready(Some(Ok(data))) => {
                body.flow_control()
                    .release_capacity(data.len())
                    .expect("it has come");
                message.body.extend_from_slice(&data);
            }
            Poll::Ready(Some(Err(_))) => message.break_off(),
            Poll::Ready(None) => match body.poll_trailers(context) {
                Poll::Pending => return,
                Poll::Ready(Ok(trailers)) => {
                    message.trailers = pairs(&trailers.unwrap_or_default());
                    message.end_if(true);
                }
                Poll::Ready(Err(_)) => message.break_off(),
            },
        }
    }
}

/// A request as ours is: with `:authority` for `Host`, and cookies on one line.
fn message(request: &Request<RecvStream>) -> Message {
    let (uri, mut fields) = (request.uri(), pairs(request.headers()));
    let at = fields.iter().position(|(name, _)| name == b"host");
    let host = at.map(|at| fields.remove(at).1);
    let authority = uri.authority().map(|it| it.as_str().as_bytes().to_vec());
    if request.extensions().get::<Protocol>().is_some() {
        // Ours leaves out what has no meaning there (RFC 8441, 5).
        fields.retain(|(name, _)| name != b"content-length" && name != b"sec-websocket-key");
    }
    let path = uri.path_and_query().map_or("", |it| it.as_str());
    Message {
        method: request.method().as_str().as_bytes().to_vec(),
        path: path.as_bytes().to_vec(),
        authority: authority.or(host),
        fields,
        body: Vec::new(),
        trailers: Vec::new(),
        end: End::Open,
    }
}

/// Fields by their names, those of one name in their order.
fn pairs(fields: &HeaderMap) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    for name in fields.keys() {
        let values = fields.get_all(name).iter().map(|it| it.as_bytes().to_vec());
        let name = name.as_str().as_bytes();
        match name {
            b"cookie" => {
                let crumbs: Vec<_> = values.filter(|crumb| !crumb.is_empty()).collect();
                pairs.push((name.to_vec(), crumbs.join(&b"; "[..])));
            }
            // Others say the same number (RFC 9110, 8.6), and ours leaves them out.
            b"content-length" => pairs.extend(values.take(1).map(|value| (name.to_vec(), value))),
            _ => pairs.extend(values.map(|value| (name.to_vec(), value))),
        }
    }
    pairs.sort_by(|one, other| one.0.cmp(&other.0));
    pairs
}
