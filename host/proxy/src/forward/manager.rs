//! Requests for the balancer-manager on client listeners, which the admin thread serves.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use equipoise_http::{Head, Version, reason};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, Uri};

use super::downstream::Downstream;
use super::observer::RequestObserver;
use super::workspace::Buffers;
use super::{ProxyError, RequestState, respond_with_error, response_body};
use crate::body_frame::BodyFrame;
use crate::downstream::Client;
use crate::error::ClientError;
use crate::manager_bridge::{self, BodySender};
use crate::path;
use crate::target;
use equipoise_config::Manager;

/// Whether a request is for the manager.
#[cold]
pub(super) fn is_for(manager: &Manager, request: &Head) -> bool {
    let (path, _) = target::split(request);
    path::normalize(path).is_some_and(|path| path::strip_prefix(&path, &manager.path).is_some())
}

/// Serves a request by the manager.
pub(super) async fn serve(
    client: &Client,
    manager: &Manager,
    request: &Head,
    downstream: &mut dyn Downstream,
    buffers: &mut Buffers,
) {
    let snapshot = client.worker.snapshot();
    let mut observer = RequestObserver::begin(client, &snapshot, request);
    observer.record_manager();
    let mut state = RequestState::new(downstream, buffers, observer);
    match ask(client, manager, request, state.downstream).await {
        Ok(answer) => {
            let Buffers { response, edit, .. } = &mut *state.buffers;
            edit.clear();
            write(response, &answer);
            state.observer.record_response(response.status(), edit);
            response_body::send_local(request, answer.body().as_bytes(), &mut state).await;
        }
        Err(error) => respond_with_error(client, request, &error, &mut state).await,
    }
    state.observer.close();
}

/// Passes a request and its body to the manager, and waits for the response.
async fn ask(
    client: &Client,
    manager: &Manager,
    request: &Head,
    downstream: &mut dyn Downstream,
) -> Result<Response<String>, ProxyError> {
    let parts =
        parts(request).ok_or(ProxyError::BadRequest("invalid URI in the request target"))?;
    let (sender, body) = manager_bridge::body();
    let mut sender = Some(sender);
    let bridge = &client.worker.manager;
    let mut asking = pin!(bridge.ask(manager, client.address, parts, body));
    poll_fn(|context| {
        if let Poll::Ready(answer) = asking.as_mut().poll(context) {
            return Poll::Ready(Ok(answer));
        }
        let ended = match &mut sender {
            Some(sender) => ready!(poll_pump(sender, downstream, context)),
            None => {
                return downstream
                    .poll_closed(context)
                    .map(|fault| Err(fault.into()));
            }
        };
        if let Some(sender) = sender.take()
            && let Err(fault) = ended
        {
            sender.fail();
            return Poll::Ready(Err(fault.into()));
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Ready when the body is over, or is not wanted.
fn poll_pump(
    sender: &mut BodySender,
    downstream: &mut dyn Downstream,
    context: &mut Context<'_>,
) -> Poll<Result<(), ClientError>> {
    loop {
        match ready!(downstream.poll_body(context))? {
            BodyFrame::Data => {
                if ready!(sender.poll_ready(context)).is_err() {
                    return Poll::Ready(Ok(()));
                }
                let payload = downstream.payload();
                let bytes = payload.len();
                sender.send(Bytes::copy_from_slice(payload));
                downstream.consume(bytes);
            }
            BodyFrame::Trailers => {}
            BodyFrame::End => return Poll::Ready(Ok(())),
        }
    }
}

/// A head as the admin thread reads it; `None` for a target that is no URI.
fn parts(request: &Head) -> Option<Parts> {
    let mut made = Request::new(());
    *made.method_mut() = http::Method::from_bytes(request.method_bytes()).ok()?;
    *made.uri_mut() = Uri::try_from(request.target()).ok()?;
    *made.version_mut() = match request.version() {
        Version::Http10 => http::Version::HTTP_10,
        Version::Http11 => http::Version::HTTP_11,
        Version::Http2 => http::Version::HTTP_2,
    };
    for field in request.iter() {
        let name = HeaderName::from_bytes(field.name).ok()?;
        made.headers_mut()
            .append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some(made.into_parts().0)
}

fn write(head: &mut Head, answer: &Response<String>) {
    let status = answer.status().as_u16();
    // Three digits; names are tokens, and values have no control bytes.
    let _ = head.begin_response(status, reason(status), Version::Http11);
    for (name, value) in answer.headers() {
        let _ = head.push(name.as_str().as_bytes(), value.as_bytes());
    }
}
