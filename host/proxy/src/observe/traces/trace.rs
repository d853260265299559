//! The spans of one request: one of the whole, and one of each try.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use equipoise_balancer::Selection;
use equipoise_http::{Edit, Head, Known, KnownSet, Method};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use super::Traces;
use super::context::{Context, new_span, new_trace};
use crate::downstream::Client;
use crate::error::ProxyError;
use crate::observe::metrics;
use crate::target;
use equipoise_config::{self as config, Route};
use equipoise_http::host;
use equipoise_text::sanitize;

/// Characters of a path and of `tracestate`, of which W3C Trace Context guarantees 512 to pass.
const MAX_LENGTHS: (usize, usize) = (1024, 512);

/// A request's place in its trace. The span of the whole ends when this is dropped.
pub(crate) struct Trace {
    traces: Arc<Traces>,
    /// Our span of the whole.
    context: Context,
    /// Our span of the try that is under way, or was the last.
    attempt: u64,
    attempts: i64,
    /// Whether the trace began elsewhere.
    is_continued: bool,
    /// The span of the whole as it stands; none where it is not exported.
    request_span: Option<Box<Span>>,
    /// The span of the try that is under way.
    attempt_span: Option<Box<Span>>,
}

impl Trace {
    /// A request that begins now: in the trace that it says, or in a new one.
    pub(crate) fn begin(traces: &Arc<Traces>, client: &Client, request: &Head) -> Self {
        let parent = Context::of(request);
        let context = Context {
            trace: parent.map_or_else(new_trace, |parent| parent.trace),
            span: new_span(),
            is_sampled: parent.map_or_else(|| traces.samples(), |parent| parent.is_sampled),
        };
        let is_exported = context.is_sampled && traces.is_exported();
        let whole = || Box::new(request_span(context, parent, client, request));
        Self {
            traces: traces.clone(),
            context,
            attempt: context.span,
            attempts: 0,
            is_continued: parent.is_some(),
            request_span: is_exported.then(whole),
            attempt_span: None,
        }
    }

    /// Its route is found.
    pub(crate) fn record_route(&mut self, route: &Route, balancer: Option<&str>) {
        if let Some(span) = &mut self.request_span {
            let method = method_name(span);
            let path = route.path_label();
            span.name = format!("{method} {path}");
            span.attributes.push(text("http.route", path.into_owned()));
            let balancer = balancer.map(|it| text("equipoise.balancer", it.to_owned()));
            span.attributes.extend(balancer);
        }
    }

    /// A member was selected.
    pub(crate) fn start_attempt(
        &mut self,
        choice: &Selection,
        method: config::Method,
        member: &config::Member,
    ) {
        self.attempt = new_span();
        self.attempts += 1;
        let Some(whole) = &self.request_span else {
            return;
        };
        let name = method_name(whole);
        let mut attributes = vec![
            text("http.request.method", name.clone()),
            text("server.address", member.host.clone()),
            number("server.port", member.port.into()),
            text("equipoise.member", member.settings.name.clone()),
            text(
                "equipoise.policy",
                metrics::policy(choice.reason, method).to_owned(),
            ),
        ];
        if self.attempts > 1 {
            attributes.push(number("http.request.resend_count", self.attempts - 1));
        }
        self.attempt_span = Some(Box::new(Span {
            trace_id: whole.trace_id.clone(),
            span_id: self.attempt.to_be_bytes().to_vec(),
            parent_span_id: whole.span_id.clone(),
            trace_state: whole.trace_state.clone(),
            flags: whole.flags & 0xff,
            name,
            kind: SpanKind::Client.into(),
            start_time_unix_nano: now(),
            attributes,
            ..Span::default()
        }));
    }

    /// The outcome of the attempt: the status, or the error.
    pub(crate) fn end_attempt(&mut self, outcome: Result<u16, &ProxyError>) {
        let Some(mut span) = self.attempt_span.take() else {
            return;
        };
        match outcome {
            Ok(status) => record_status(&mut span, status, 400),
            Err(failure) => {
                let kind = metrics::word(failure).to_owned();
                record_error(&mut span, kind, failure.to_string());
            }
        }
        self.put(span);
    }

    /// Injects the attempt's span as `traceparent`.
    pub(crate) fn inject(&self, edit: &mut Edit, request: &Head) {
        let context = Context {
            span: self.attempt,
            ..self.context
        };
        edit.set(request, Known::Traceparent, context.value().as_bytes());
        if !self.is_continued {
            // It belongs to a trace that is none.
            edit.leave_out(KnownSet::of(&[Known::Tracestate]));
        }
    }

    /// The decision can be looked up by this id.
    pub(crate) fn record_decision(&mut self, id: &str) {
        if let Some(span) = &mut self.request_span {
            let id = text("equipoise.decision", id.to_owned());
            span.attributes.push(id);
        }
    }

    /// The head of the response is there.
    pub(crate) fn record_response(&mut self, status: u16) {
        if let Some(span) = &mut self.request_span {
            record_status(span, status, 500);
        }
    }

    /// The response was aborted within its body.
    pub(crate) fn record_abort(&mut self, error: &dyn std::fmt::Display) {
        if let Some(span) = &mut self.request_span {
            record_error(span, "body".to_owned(), error.to_string());
        }
    }

    fn put(&self, mut span: Box<Span>) {
        span.end_time_unix_nano = now();
        self.traces.push(*span);
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // A try that has not ended by itself was given up: the program ends, or the connection broke.
        if let Some(mut span) = self.attempt_span.take() {
            record_error(&mut span, "cancelled".to_owned(), String::new());
            self.put(span);
        }
        if let Some(span) = self.request_span.take() {
            self.put(span);
        }
    }
}

/// The span of the whole as it begins.
fn request_span(
    context: Context,
    parent: Option<Context>,
    client: &Client,
    request: &Head,
) -> Span {
    let method = match request.method() {
        // What clients may invent.
        Method::Other => "_OTHER".into(),
        _ => String::from_utf8_lossy(request.method_bytes()),
    };
    let (path, _) = target::split(request);
    let host = String::from_utf8_lossy(request.authority().unwrap_or_default());
    let host = host::without_port(&host);
    let attributes = vec![
        text("http.request.method", method.to_string()),
        text(
            "url.path",
            sanitize::path(&String::from_utf8_lossy(path), MAX_LENGTHS.0),
        ),
        text("url.scheme", client.scheme().to_owned()),
        text("server.address", sanitize::text(host, 253)),
        text("client.address", client.address.ip().to_string()),
    ];
    let state = request.get(Known::Tracestate);
    let state = state.filter(|_| parent.is_some());
    let state = state.and_then(|state| std::str::from_utf8(state).ok());
    let state = state.filter(|state| state.len() <= MAX_LENGTHS.1);
    let parent_span = parent.map(|parent| parent.span.to_be_bytes().to_vec());
    Span {
        trace_id: context.trace.to_be_bytes().to_vec(),
        span_id: context.span.to_be_bytes().to_vec(),
        parent_span_id: parent_span.unwrap_or_default(),
        trace_state: state.unwrap_or_default().to_owned(),
        // Sampled; that it is known whether the parent is another program's, and that it is.
        flags: 1 | 0x100 | parent.map_or(0, |_| 0x200),
        name: method.into_owned(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: now(),
        attributes,
        ..Span::default()
    }
}

/// The method that a span of the whole tells of.
fn method_name(whole: &Span) -> String {
    let name = whole.name.split(' ').next();
    name.unwrap_or_default().to_owned()
}

/// Records the status; from `error` on it is an error.
fn record_status(span: &mut Span, status: u16, error: u16) {
    let code = number("http.response.status_code", status.into());
    span.attributes.push(code);
    if status >= error {
        record_error(span, status.to_string(), String::new());
    }
}

fn record_error(span: &mut Span, kind: String, message: String) {
    span.attributes.push(text("error.type", kind));
    span.status = Some(Status {
        message,
        code: StatusCode::Error.into(),
    });
}

/// An attribute that is text.
pub fn text(key: &str, value: String) -> KeyValue {
    pair(key, Value::StringValue(value))
}

fn number(key: &str, value: i64) -> KeyValue {
    pair(key, Value::IntValue(value))
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}
