//! Responses that the proxy gives itself: those of routes without a balancer, and pages for errors.

use std::borrow::Cow;
use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;

use equipoise_balancer::Selection;
use equipoise_http::{Edit, Head, Known, KnownSet, Version, reason};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use tokio::time::timeout;

use super::response_body::{self, Ended};
use super::template::{RequestId, Values};
use super::{ForwardedRequest, MemberResponse, RequestState, speaks_grpc};
use crate::body_frame::BodyFrame;
use crate::downstream::Client;
use crate::path::Captures;
use crate::snapshot::Snapshot;
use equipoise_config::{Action, ErrorPage, Route, Template};

/// What no URL may hold as it stands (RFC 3986, 2).
const NOT_IN_URLS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// How much of a member's response is read to no purpose, so that its connection can serve another request, in bytes.
const MAX_DISCARDED: usize = 64 * 1024;

/// How long that may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// What stays of a member's response that is replaced: what its status means nothing without.
const KEPT: [Known; 3] = [Known::WwwAuthenticate, Known::RetryAfter, Known::Allow];

/// A request whose route has no balancer.
pub(super) struct LocalRequest<'request> {
    pub(super) client: &'request Client,
    pub(super) snapshot: &'request Snapshot,
    pub(super) request: &'request Head,
    pub(super) route: &'request Route,
    /// The normalized path, and what the route's pattern has captured of it.
    pub(super) path: Cow<'request, [u8]>,
    pub(super) captures: Option<Box<Captures>>,
}

impl LocalRequest<'_> {
    /// Responds as the route says.
    pub(super) async fn respond(&self, state: &mut RequestState<'_>) {
        let (buffers, observer) = (&mut *state.buffers, &mut state.observer);
        let (response, edit) = (&mut *buffers.response, &mut buffers.edit);
        edit.clear();
        let id = RequestId::default();
        let values = Values {
            client: self.client,
            request: self.request,
            route: self.route,
            asked: None,
            captured: self.captures.as_deref().map(|it| (it, &*self.path)),
            id: &id,
        };
        let body = match &self.route.action {
            Action::Redirect(redirect) => {
                let text = begin(response, redirect.status);
                let place = location(&redirect.to, &values);
                push(response, Known::Location, place.as_bytes());
                push(response, Known::ContentType, TEXT);
                Cow::Owned(text.into_bytes())
            }
            Action::Respond(respond) => {
                begin(response, respond.status);
                respond
                    .content
                    .as_ref()
                    .map_or_else(Cow::default, |content| {
                        push(
                            response,
                            Known::ContentType,
                            content.content_type.as_bytes(),
                        );
                        Cow::Borrowed(self.snapshot.bodies.bytes(&content.body))
                    })
            }
            // Such a request is forwarded.
            Action::Balancer(_) => Cow::default(),
        };
        if let Some(rules) = &self.route.response_headers {
            super::header_rules::apply_to_response(rules, response, &values, edit);
        }
        observer.record_response(response.status(), edit);
        response_body::send_local(self.request, &body, state).await;
    }
}

const TEXT: &[u8] = b"text/plain; charset=utf-8";

/// Begins a response with this status; answers a line of text that tells of it.
fn begin(response: &mut Head, status: u16) -> String {
    // Three digits, and a phrase without control bytes.
    let _ = response.begin_response(status, reason(status), Version::Http11);
    format!("{status} {}\n", reason(status))
}

fn push(response: &mut Head, name: Known, value: &[u8]) {
    // Known names are tokens, and what is pushed here has no control bytes.
    let _ = response.push(name.name().as_bytes(), value);
}

/// A place that a client is sent to, for `Location`. A path never becomes one that begins with two slashes, which would be another
/// host.
fn location(template: &Template, values: &Values<'_>) -> String {
    let mut place = Vec::new();
    values.fill(template, &mut place);
    let is_slash = |byte: &&u8| matches!(byte, b'/' | b'\\');
    let slashes = place.iter().take_while(is_slash).count();
    if slashes > 1 {
        place.drain(1..slashes);
    }
    percent_encode(&place, NOT_IN_URLS).to_string()
}

/// Makes the response to an error, which has begun, that of a page; answers its body.
pub(super) fn put_page<'page>(
    page: &'page ErrorPage,
    snapshot: &'page Snapshot,
    values: &Values<'_>,
    response: &Head,
    edit: &mut Edit,
) -> &'page [u8] {
    match page {
        ErrorPage::Content(content) => {
            edit.set(
                response,
                Known::ContentType,
                content.content_type.as_bytes(),
            );
            snapshot.bodies.bytes(&content.body)
        }
        ErrorPage::Redirect(to) => {
            // Three digits.
            let _ = edit.set_status(302, reason(302));
            edit.leave_out(KnownSet::of(&[Known::ContentType]));
            edit.add(Known::Location, location(to, values).as_bytes());
            &[]
        }
    }
}

impl ForwardedRequest<'_> {
    /// Whether a member's response with this status is replaced.
    #[inline]
    pub(super) fn replaces(&self, status: u16) -> bool {
        self.route.replace_member_errors && status >= 400 && !speaks_grpc(self.request)
    }

    /// Responds with the route's page for a member's status, or with a line of text, in place of the member's response.
    pub(super) async fn replace_response(
        &self,
        choice: Selection,
        mut member_response: MemberResponse,
        state: &mut RequestState<'_>,
    ) {
        let is_over = self.discard(&mut member_response, state).await;
        let (buffers, observer) = (&mut *state.buffers, &mut state.observer);
        let (response, edit) = (&mut *buffers.response, &mut buffers.edit);
        edit.clear();
        let status = response.status();
        let kept = KEPT
            .iter()
            .flat_map(|name| response.all(*name).map(|it| (*name, it.to_vec())));
        let kept: Vec<_> = kept.collect();
        let text = begin(response, status);
        push(response, Known::ContentType, TEXT);
        kept.iter()
            .for_each(|(name, value)| push(response, *name, value));
        let page = self.route.error_pages.as_ref();
        let body = match page.and_then(|pages| pages.page(status)) {
            None => text.as_bytes(),
            Some(page) => put_page(page, self.snapshot, &self.values(None), response, edit),
        };
        if choice.route_changed {
            self.set_sticky_cookies(&choice, edit);
        }
        match is_over {
            true => self.release(choice, member_response, &Ended::Whole),
            // With it, its connection is closed, or its stream reset.
            false => member_response.close(None),
        }
        let status = edit.status(response);
        observer.record_response(status, edit);
        response_body::send_local(self.request, body, state).await;
    }

    /// Reads the rest of a member's response to no purpose; whether it is over. One that is large or slow is not read to its end, and
    /// neither is one to a request that is not sent to its end.
    async fn discard(
        &self,
        member_response: &mut MemberResponse,
        state: &mut RequestState<'_>,
    ) -> bool {
        if let Some(body) = &mut state.body {
            body.response_started();
            if !body.is_done() {
                return false;
            }
        }
        let (connection, mut left) = (&mut member_response.connection, MAX_DISCARDED);
        let discarded = poll_fn(|context| {
            loop {
                match ready!(connection.poll_body(context)) {
                    Ok(BodyFrame::Data) => {
                        let bytes = connection.payload().len();
                        let Some(rest) = left.checked_sub(bytes) else {
                            return Poll::Ready(false);
                        };
                        left = rest;
                        connection.consume(bytes);
                    }
                    Ok(BodyFrame::Trailers) => {}
                    Ok(BodyFrame::End) => return Poll::Ready(true),
                    Err(_) => return Poll::Ready(false),
                }
            }
        });
        let is_over = timeout(DISCARD_TIMEOUT, discarded).await;
        self.read_clock();
        is_over.unwrap_or(false)
    }
}
