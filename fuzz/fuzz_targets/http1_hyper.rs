//! What clients send, beside hyper's server: heads, bodies, and where the next request begins. Wherever the two differ, the
//! difference is one of those listed here, each with its reason.
//!
//! Responses are compared with httparse alone: hyper's client says of one connection no more than of one request.

#![no_main]

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use equipoise_http::transcript::{Message, requests};
use equipoise_http::{Limits, Violation};
use hyper::body::{Body as _, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};

/// What has come, and then the end.
struct Stream<'b>(&'b [u8]);

impl Read for Stream<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let length = self.0.len().min(buffer.remaining());
        let (now, later) = self.0.split_at(length);
        buffer.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

impl Write for Stream<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A request as hyper has it.
#[derive(Debug)]
struct Seen {
    method: String,
    target: String,
    fields: usize,
    body: Vec<u8>,
    is_whole: bool,
}

/// The requests that hyper sees in these bytes.
fn seen(bytes: &[u8]) -> Vec<Seen> {
    let all = Rc::new(RefCell::new(Vec::new()));
    let noted = all.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let noted = noted.clone();
        async move {
            let seen = see(request).await;
            noted.borrow_mut().push(seen);
            Ok::<_, Infallible>(Response::new(String::new()))
        }
    });
    let connection = http1::Builder::new()
        .half_close(true)
        .serve_connection(Stream(bytes), service);
    let mut connection = pin!(connection);
    let mut context = Context::from_waker(Waker::noop());
    // Nothing is ever waited for, so a future that is not ready has woken itself.
    for _ in 0..bytes.len() + 100 {
        if connection.as_mut().poll(&mut context).is_ready() {
            break;
        }
    }
    all.take()
}

async fn see(request: Request<Incoming>) -> Seen {
    let (head, mut body) = request.into_parts();
    let mut seen = Seen {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        fields: head.headers.len(),
        body: Vec::new(),
        is_whole: false,
    };
    loop {
        match poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            None => {
                seen.is_whole = true;
                return seen;
            }
            Some(Ok(frame)) => seen.body.extend(frame.into_data().unwrap_or_default()),
            Some(Err(_)) => return seen,
        }
    }
}

/// Why hyper does not see a request that is right to us: its `Uri` takes no bytes that no URI may have, which clients send all the
/// same; and of targets with an authority, only those that follow rules of its own (percent signs, ports of 16 bits).
fn is_refused_by_hyper(message: &Message) -> bool {
    let target = message.start.split(' ').nth(1).unwrap_or_default();
    // A byte that is no ASCII is shown with a backslash.
    let is_odd = |byte: u8| {
        matches!(
            byte,
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
        )
    };
    target.bytes().any(is_odd) || !target.starts_with('/')
}

/// What hyper lets pass, or refuses later; see httparse's list for the reasons of those that concern heads.
fn is_ours_alone(violation: Violation) -> bool {
    use Violation::*;
    matches!(
        violation,
        BareLf
            | HostMissing
            | HostRepeated
            | HostInvalid
            | HostMismatch
            | Length
            | LengthRepeated
            | LengthAndCoding
            | Coding
            | CodingUnknown
            | CodingInHttp10
            | Connect
            | Fragment
            | TargetForm
            | EmptyLines
            | HeadTooLarge
            | LineTooLong
            | TargetTooLong
    )
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let ours = requests(bytes, usize::MAX, Limits::default());
    let theirs = seen(bytes);
    let mut theirs = theirs.iter();
    for message in &ours.messages {
        let Some(seen) = theirs.next() else {
            assert!(
                is_refused_by_hyper(message) || !message.is_whole,
                "hyper does not see {message:?} of {}",
                bytes.escape_ascii()
            );
            return;
        };
        let (method, target) = message.start.split_once(' ').unwrap();
        assert_eq!(method, seen.method.as_bytes().escape_ascii().to_string());
        let target = target.rsplit_once(' ').unwrap().0;
        if target.starts_with('/') {
            assert_eq!(target, seen.target.as_bytes().escape_ascii().to_string());
        }
        assert!(message.fields.len() <= seen.fields);
        if message.is_whole {
            assert!(seen.is_whole, "{message:?} {seen:?}");
            assert_eq!(message.body, seen.body);
        }
        if !message.is_whole || !message.is_reusable {
            return;
        }
    }
    // What hyper sees behind that, we refuse for a reason that it has not.
    if let Some(seen) = theirs.next() {
        let violation = ours.refused.expect("a request that only hyper sees");
        assert!(is_ours_alone(violation), "{violation}: {seen:?}");
    }
});
