//! `ping`: a request's body waits for the member's go-ahead.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use http::{Request, StatusCode};
use hyper::ext::on_informational;

use crate::proxy::upload::Upload;

/// Where a body waits until the member says `100 Continue`. An answer without it leaves the body unsent for good.
#[derive(Clone)]
pub(crate) struct Gate {
    state: Arc<Mutex<GateState>>,
}

#[derive(Default)]
struct GateState {
    is_open: bool,
    /// Who waits for it.
    waker: Option<Waker>,
}

impl Gate {
    /// A gate that opens when the member asks for this request's body.
    pub(crate) fn before(request: &mut Request<Upload>) -> Self {
        let gate = Self {
            state: Arc::default(),
        };
        let opened = gate.clone();
        on_informational(request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                opened.open();
            }
        });
        gate
    }

    /// Whether the member has yet to ask for the body.
    pub(crate) fn is_shut(&self) -> bool {
        !self.lock().is_open
    }

    fn open(&self) {
        let mut state = self.lock();
        state.is_open = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Ready when it is open.
    pub(crate) fn poll_open(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.is_open {
            return Poll::Ready(());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
