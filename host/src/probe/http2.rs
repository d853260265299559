//! One request over HTTP/2.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use equipoise_http::Fields;
use equipoise_sdk::health::Answer;
use http::{HeaderMap, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::expectation::{complaint, reported};
use super::target::Inquiry;
use super::{MOST_BODY, Reply, Stage, Trouble, grpc};
use crate::upstream::MemberStream;
use crate::whole::Whole;

/// The most bytes of the answer's head.
const MOST_HEAD: u32 = 64 * 1024;

/// Asks a question of HTTP; reads the answer as far as anybody wants to know it.
///
/// # Errors
/// There is no answer, or not all of it.
pub(super) async fn ask(
    stream: MemberStream,
    request: &Request<Bytes>,
    inquiry: &Inquiry,
    stage: &Cell<Stage>,
) -> Result<Reply, Trouble> {
    exchange(stream, request, async |response| {
        stage.set(Stage::EndOfAnswer);
        let (head, incoming) = response.into_parts();
        let mut fields = Fields::default();
        for (name, value) in &head.headers {
            let pushed = fields.push(name.as_str().as_bytes(), value.as_bytes());
            pushed.map_err(|violation| Trouble::unintelligible(violation.to_string()))?;
        }
        let status = head.status.as_u16();
        let mut wrong = complaint(&inquiry.expect, status, &fields);
        let mut body = Vec::new();
        if inquiry.wants_body {
            (body, _) = read(incoming).await?;
            wrong = wrong.or_else(|| inquiry.body_complaint(&body));
        }
        let answer = Answer {
            status,
            headers: reported(&inquiry.report, &fields),
            body,
        };
        Ok(Reply::of(answer, wrong))
    })
    .await
}

/// Asks whether a service of gRPC serves.
///
/// # Errors
/// There is no answer, or none of gRPC.
pub(super) async fn ask_grpc(
    stream: MemberStream,
    request: &Request<Bytes>,
    stage: &Cell<Stage>,
) -> Result<Reply, Trouble> {
    exchange(stream, request, async |response| {
        stage.set(Stage::EndOfAnswer);
        let (head, incoming) = response.into_parts();
        let status = head.status.as_u16();
        let (body, trailers) = read(incoming).await?;
        let complaint = grpc::complaint(status, &head.headers, &body, trailers.as_ref())?;
        Ok(Reply::of_service(status, complaint))
    })
    .await
}

/// Sends a request on a connection of its own, and does something with the answer. The connection ends with that.
async fn exchange<T>(
    stream: MemberStream,
    request: &Request<Bytes>,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let tasks = Tasks::default();
    let mut http = Builder::new(tasks);
    http.max_header_list_size(MOST_HEAD);
    let (sender, connection) = http.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut connection = pin!(connection);
    let mut talk = pin!(talk(sender, request.clone(), read));
    let mut has_ended = false;
    poll_fn(|context| {
        if !has_ended {
            // What it ended by, the exchange is told.
            has_ended = connection.as_mut().poll(context).is_ready();
        }
        talk.as_mut().poll(context)
    })
    .await
}

async fn talk<T>(
    mut sender: SendRequest<Whole>,
    request: Request<Bytes>,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    sender.ready().await.map_err(broken)?;
    let request = request.map(Whole::from);
    read(sender.send_request(request).await.map_err(broken)?).await
}

/// The first 64 KiB of a body, and its trailers if that was all.
async fn read(incoming: Incoming) -> Result<(Vec<u8>, Option<HeaderMap>), Trouble> {
    let (mut incoming, mut body) = (pin!(incoming), Vec::new());
    while let Some(frame) = poll_fn(|context| incoming.as_mut().poll_frame(context)).await {
        match frame.map_err(broken)?.into_data() {
            Ok(data) => {
                let room = MOST_BODY - body.len();
                body.extend_from_slice(&data[..data.len().min(room)]);
                if body.len() == MOST_BODY {
                    break;
                }
            }
            Err(frame) => return Ok((body, frame.into_trailers().ok())),
        }
    }
    Ok((body, None))
}

fn broken(error: hyper::Error) -> Trouble {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Trouble::broken_off(format!("broke off: {cause}"))
}

/// What belongs to a connection; ended with it.
#[derive(Clone, Default)]
struct Tasks(Rc<RefCell<JoinSet<()>>>);

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, future: F) {
        self.0.borrow_mut().spawn_local(future);
    }
}
