//! The bodies of admin requests, which are short.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use equipoise_proxy::manager_bridge::{BodyCutShort, ManagerBody};
use http::StatusCode;
use http_body::Body as _;
use hyper::body::Incoming;
use thiserror::Error;
use tokio::time::timeout;

use super::STALL_TIMEOUT;
use super::response::{AdminResponse, problem};
use equipoise_wasm as wasm;

/// How long and how slow a body may be.
pub(super) struct BodyLimits {
    /// In bytes.
    longest: usize,
    /// From its first byte to its last.
    time: Duration,
}

impl BodyLimits {
    /// A change of the configuration.
    pub(super) const CHANGE: Self = Self {
        longest: 1024 * 1024,
        time: STALL_TIMEOUT,
    };

    /// A plugin.
    pub(super) const UPLOAD: Self = Self {
        longest: wasm::MAX_COMPONENT as usize,
        time: Duration::from_secs(60),
    };
}

/// The body of an admin request.
pub(crate) enum AdminBody {
    /// By the admin listener.
    Incoming(Incoming),
    /// By a listener for clients, from another thread.
    Bridge(ManagerBody),
}

/// Why a body is incomplete.
#[derive(Debug, Error)]
pub(crate) enum BodyError {
    /// By the admin listener.
    #[error("{0}")]
    Incoming(#[from] hyper::Error),
    /// By a listener for clients.
    #[error("{0}")]
    Bridge(#[from] BodyCutShort),
}

impl AdminBody {
    /// The next piece; none at the end.
    async fn piece(&mut self) -> Result<Option<Bytes>, BodyError> {
        let piece = match self {
            Self::Incoming(body) => poll_fn(|context| poll_data(body, context)).await,
            Self::Bridge(body) => body.piece().await.map(|it| it.map_err(BodyError::from)),
        };
        piece.transpose()
    }
}

/// The next piece of data: trailers mean nothing here.
fn poll_data(
    incoming: &mut Incoming,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, BodyError>>> {
    loop {
        let frame = ready!(Pin::new(&mut *incoming).poll_frame(context));
        match frame.map(|frame| frame.map(http_body::Frame::into_data)) {
            Some(Ok(Ok(data))) => return Poll::Ready(Some(Ok(data))),
            Some(Ok(Err(_trailers))) => {}
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        }
    }
}

/// A whole body.
///
/// # Errors
/// The response to one that is too long, incomplete or too slow.
pub(super) async fn whole(
    body: AdminBody,
    limits: &BodyLimits,
) -> Result<Vec<u8>, Box<AdminResponse>> {
    let bytes = read_within(body, limits.longest, limits.time).await?;
    if bytes.len() > limits.longest {
        let detail = format!("the body may have {} bytes", limits.longest);
        return Err(Box::new(problem(StatusCode::PAYLOAD_TOO_LARGE, detail)));
    }
    Ok(bytes)
}

/// A body, or as much of it as tells that it is longer than `longest` bytes.
///
/// # Errors
/// The response to one that is incomplete or too slow.
pub(super) async fn beginning(
    body: AdminBody,
    longest: usize,
) -> Result<Vec<u8>, Box<AdminResponse>> {
    read_within(body, longest, STALL_TIMEOUT).await
}

async fn read_within(
    body: AdminBody,
    longest: usize,
    time: Duration,
) -> Result<Vec<u8>, Box<AdminResponse>> {
    match timeout(time, read(body, longest)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(Box::new(problem(
            StatusCode::BAD_REQUEST,
            error.to_string(),
        ))),
        Err(_) => {
            let detail = format!("the body took longer than {time:?}");
            Err(Box::new(problem(StatusCode::REQUEST_TIMEOUT, detail)))
        }
    }
}

async fn read(mut body: AdminBody, longest: usize) -> Result<Vec<u8>, BodyError> {
    let mut beginning = Vec::new();
    while beginning.len() <= longest {
        let Some(piece) = body.piece().await? else {
            break;
        };
        let room = longest + 1 - beginning.len();
        beginning.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    Ok(beginning)
}

#[cfg(test)]
mod tests {
    use equipoise_proxy::manager_bridge::{self, BodySender, Closed, MAX_PIECES};
    use tokio::time::sleep;

    use super::*;

    fn channel() -> (BodySender, AdminBody) {
        let (sender, body) = manager_bridge::body();
        (sender, AdminBody::Bridge(body))
    }

    async fn ready(sender: &mut BodySender) -> Result<(), Closed> {
        poll_fn(|context| sender.poll_ready(context)).await
    }

    async fn send(sender: &mut BodySender, piece: &'static str) {
        ready(sender).await.expect("the body is read");
        sender.send(Bytes::from_static(piece.as_bytes()));
    }

    #[test]
    fn a_body_in_a_channel_goes_to_another_thread() {
        fn assert_send<T: Send>() {}
        assert_send::<(BodySender, AdminBody)>();
    }

    #[tokio::test]
    async fn the_pieces_of_a_body_are_read_until_its_sender_is_dropped() {
        let (mut sender, body) = channel();
        let sending = async move {
            for piece in ["a"; 20] {
                send(&mut sender, piece).await;
            }
        };
        let (read, ()) = tokio::join!(whole(body, &BodyLimits::CHANGE), sending);
        assert_eq!(read.expect("a body"), [b'a'; 20]);
    }

    #[tokio::test]
    async fn a_body_is_not_read_ahead_of_without_bound() {
        let (mut sender, body) = channel();
        for piece in ["a"; MAX_PIECES] {
            send(&mut sender, piece).await;
        }
        let is_ready = |sender: &mut BodySender| {
            let mut context = Context::from_waker(std::task::Waker::noop());
            sender.poll_ready(&mut context).is_ready()
        };
        assert!(!is_ready(&mut sender));
        drop(body);
        assert_eq!(ready(&mut sender).await, Err(Closed));
    }

    #[tokio::test]
    async fn a_client_that_breaks_off_is_told_from_the_end_of_a_body() {
        let (mut sender, body) = channel();
        for piece in ["a"; MAX_PIECES] {
            send(&mut sender, piece).await;
        }
        // With no room for another piece.
        sender.fail();
        let refusal = whole(body, &BodyLimits::CHANGE)
            .await
            .expect_err("an error");
        assert_eq!(refusal.status(), StatusCode::BAD_REQUEST);
        assert!(refusal.body().contains("broke off"), "{}", refusal.body());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_given_up() {
        let (mut sender, body) = channel();
        let drip = async {
            loop {
                send(&mut sender, "a").await;
                sleep(STALL_TIMEOUT / 2).await;
            }
        };
        let refusal = tokio::select! {
            () = drip => unreachable!(),
            read = whole(body, &BodyLimits::UPLOAD) => read.expect_err("it drips"),
        };
        assert_eq!(refusal.status(), StatusCode::REQUEST_TIMEOUT);
        assert!(refusal.body().contains("60s"), "{}", refusal.body());
    }
}
