//! The balancer-manager on the listeners for clients: a way from the workers to the thread that answers admin requests.

use std::net::SocketAddr;

use http::request::Parts;
use http::{Request, Response, StatusCode};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::answer::{Answer, problem};
use super::body::AdminBody;
use super::guard;
use equipoise_config::Manager;

/// How many visitors may wait.
const MOST_WAITING: usize = 64;

/// A request for the manager that came to a listener for clients.
pub(crate) struct Visit {
    pub(super) from: SocketAddr,
    pub(super) request: Request<AdminBody>,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// Where workers hand visits over. A clone leads to the same place.
#[derive(Clone)]
pub(crate) struct Portal(mpsc::Sender<Visit>);

/// A portal, and where its visits arrive.
pub(crate) fn portal() -> (Portal, mpsc::Receiver<Visit>) {
    let (sender, receiver) = mpsc::channel(MOST_WAITING);
    (Portal(sender), receiver)
}

impl Portal {
    /// Has a request answered that came from there. Whoever may not come is sent away here: a crowd of them must not keep the
    /// other thread from its work.
    pub(crate) async fn ask(
        &self,
        manager: &Manager,
        from: SocketAddr,
        request: Parts,
        body: AdminBody,
    ) -> Response<String> {
        if let Some(refusal) = guard::refusal_of_visit(&request, from, manager) {
            return refusal;
        }
        let request = Request::from_parts(request, body);
        let (answer, answered) = oneshot::channel();
        let visit = Visit {
            from,
            request,
            answer,
        };
        match self.0.try_send(visit) {
            Ok(()) => answered.await.unwrap_or_else(|_| ended()),
            Err(TrySendError::Closed(_)) => ended(),
            Err(TrySendError::Full(_)) => {
                problem(StatusCode::SERVICE_UNAVAILABLE, "too many ask: try again")
            }
        }
    }
}

/// The answer of a program that answers no admin requests any more.
fn ended() -> Answer {
    let reason = "this program ends: ask again, for another program that has taken over";
    problem(StatusCode::SERVICE_UNAVAILABLE, reason)
}
