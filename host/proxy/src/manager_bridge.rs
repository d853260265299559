//! The balancer-manager on the listeners for clients: hands its requests from the workers to the admin thread.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::Bytes;
use equipoise_config::Manager;
use http::request::Parts;
use http::{Request, Response};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, OwnedPermit, Receiver};
use tokio::sync::oneshot;
use tokio_util::sync::PollSender;

/// How many requests may wait.
const MAX_WAITING: usize = 64;

/// How many pieces of a body may wait.
pub const MAX_PIECES: usize = 4;

/// A request for the manager that came to a listener for clients.
pub struct ManagerRequest {
    /// The client.
    pub from: SocketAddr,
    /// The request, whose body is still to come.
    pub request: Request<ManagerBody>,
    /// Where the response goes; closed where the client has gone.
    pub response: oneshot::Sender<Response<String>>,
}

/// What workers answer themselves, without the thread that answers the others.
#[derive(Debug, Clone, Copy)]
pub struct ManagerPolicy {
    /// Why a request is refused; none where it may be handed over. A crowd of those that may not must not keep the other thread from its
    /// work.
    pub refuse: fn(&Parts, SocketAddr, &Manager) -> Option<Response<String>>,
    /// The response to one that cannot be handed over, with the reason.
    pub unavailable: fn(&'static str) -> Response<String>,
}

/// Where workers hand requests over. A clone leads to the same place.
#[derive(Clone)]
pub struct ManagerBridge {
    requests: mpsc::Sender<ManagerRequest>,
    policy: ManagerPolicy,
}

impl ManagerBridge {
    /// A bridge, and where its requests arrive.
    pub fn new(policy: ManagerPolicy) -> (Self, Receiver<ManagerRequest>) {
        let (requests, receiver) = mpsc::channel(MAX_WAITING);
        (Self { requests, policy }, receiver)
    }

    /// Has a request answered that came from there.
    pub(crate) async fn ask(
        &self,
        manager: &Manager,
        from: SocketAddr,
        request: Parts,
        body: ManagerBody,
    ) -> Response<String> {
        if let Some(refusal) = (self.policy.refuse)(&request, from, manager) {
            return refusal;
        }
        let request = Request::from_parts(request, body);
        let (response, answered) = oneshot::channel();
        let request = ManagerRequest {
            from,
            request,
            response,
        };
        match self.requests.try_send(request) {
            Ok(()) => answered.await.unwrap_or_else(|_| self.ended()),
            Err(TrySendError::Closed(_)) => self.ended(),
            Err(TrySendError::Full(_)) => {
                (self.policy.unavailable)("too many concurrent manager requests: try again")
            }
        }
    }

    /// The response of a program that answers no admin requests any more.
    fn ended(&self) -> Response<String> {
        let reason = "this program ends: ask again, for another program that has taken over";
        (self.policy.unavailable)(reason)
    }
}

/// The body of such a request, in pieces.
pub struct ManagerBody(Receiver<Result<Bytes, BodyCutShort>>);

/// The client broke off within the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client broke off within the body")]
pub struct BodyCutShort;

impl ManagerBody {
    /// The next piece; none at the end.
    ///
    /// # Errors
    /// The client broke off.
    pub async fn piece(&mut self) -> Option<Result<Bytes, BodyCutShort>> {
        self.0.recv().await
    }
}

/// A body, and where its pieces are put in, at most four at a time.
pub fn body() -> (BodySender, ManagerBody) {
    let (sender, receiver) = mpsc::channel(MAX_PIECES + 1);
    let sender = BodySender {
        // There is room, since the channel is new.
        failure: sender.clone().try_reserve_owned().ok(),
        pieces: PollSender::new(sender),
    };
    (sender, ManagerBody(receiver))
}

/// Where the pieces of a body are put in. The body has come to its end when this is dropped.
pub struct BodySender {
    pieces: PollSender<Result<Bytes, BodyCutShort>>,
    /// A place that is kept for a failure, so that it need not wait.
    failure: Option<OwnedPermit<Result<Bytes, BodyCutShort>>>,
}

/// The body is not read any more: its request has been answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed;

impl BodySender {
    /// Ready when there is room for a piece.
    ///
    /// # Errors
    /// The body is not read any more.
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.pieces.poll_reserve(context).map_err(|_| Closed)
    }

    /// Puts a piece in; one that is not read any more is dropped.
    ///
    /// # Panics
    /// [`poll_ready`](Self::poll_ready) has not said since the last piece that there is room.
    pub fn send(&mut self, piece: Bytes) {
        let _ = self.pieces.send_item(Ok(piece));
    }

    /// The client broke off: the body ends with an error.
    pub fn fail(self) {
        if let Some(place) = self.failure {
            place.send(Err(BodyCutShort));
        }
    }
}
