//! A member as it is checked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use equipoise_http::Limits;
use http::header::{CONTENT_TYPE, TE};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Uri, Version};
use tokio::sync::Semaphore;

use super::grpc;
use crate::config::{CheckKind, CheckMethod, Expect, GrpcCheck, HttpCheck, Member, Protocol};
use crate::upstream::Upstream;

/// Everything that checks of a member need, prepared.
pub(crate) struct Target {
    /// The member's id in its balancer.
    pub(super) id: u32,
    /// How to reach it.
    pub(super) upstream: Arc<Upstream>,
    /// Where to connect to instead of the member's own port.
    pub(super) port: Option<u16>,
    /// See [`Check`](crate::config::Check).
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) question: Question,
    /// On its answers, as on those of requests.
    pub(super) limits: Limits,
    /// Bounds the checks under way of all members together.
    pub(super) permits: Arc<Semaphore>,
}

/// What to ask.
pub(super) enum Question {
    /// Nothing: a connection is all, with TLS where that is spoken.
    Connection,
    /// A request in HTTP/1, as bytes.
    Http1(Box<[u8]>, Inquiry),
    /// A request in HTTP/2.
    Http2(Request<Bytes>, Inquiry),
    /// The call of gRPC's health checking protocol.
    Grpc(Request<Bytes>),
}

/// What is to be learnt from an answer.
#[derive(Debug)]
pub(super) struct Inquiry {
    /// Whether anybody wants to see the body of the answer, and it has one.
    pub(super) wants_body: bool,
    pub(super) expect: Expect,
    /// Names in lower case.
    pub(super) report: Vec<String>,
}

impl Target {
    /// The member with this id, if it is to be checked: not without `hcmethod`, and not while it is stopped, as in Apache.
    ///
    /// `is_judged` says that a plugin judges its checks, and so sees the bodies of answers; `limits` bound these; `permits` are those that all
    /// members share.
    pub(crate) fn new(
        id: u32,
        upstream: Arc<Upstream>,
        is_judged: bool,
        limits: Limits,
        permits: Arc<Semaphore>,
    ) -> Option<Self> {
        let member = &upstream.config;
        let is_stopped = member.settings.status.stopped;
        let check = member.check.as_ref().filter(|_| !is_stopped)?;
        let question = match &check.kind {
            CheckKind::Tcp => Question::Connection,
            CheckKind::Http(http) => Question::http(member, http, is_judged),
            CheckKind::Grpc(grpc) => Question::Grpc(grpc_request(member, grpc)),
        };
        Some(Self {
            id,
            port: check.port,
            interval: check.interval,
            timeout: check.timeout,
            question,
            limits,
            permits,
            upstream,
        })
    }

    /// The member's URL, for logs.
    pub(super) fn url(&self) -> &str {
        &self.upstream.config.settings.name
    }
}

impl Question {
    /// A request in what is spoken with the member; HTTP/1 where that is found out with each connection.
    fn http(member: &Member, http: &HttpCheck, is_judged: bool) -> Self {
        let inquiry = Inquiry::new(http, is_judged);
        match member.protocol {
            Protocol::Http2 => Self::Http2(http2_request(member, http), inquiry),
            Protocol::Http1 | Protocol::Negotiated => {
                Self::Http1(http1_request(http).into_bytes().into(), inquiry)
            }
        }
    }

    /// Whether it cannot be asked in HTTP/2.
    pub(super) fn is_http1(&self) -> bool {
        matches!(self, Self::Http1(..))
    }
}

impl Inquiry {
    fn new(http: &HttpCheck, is_judged: bool) -> Self {
        let is_read = is_judged || http.expect.body.is_some();
        Self {
            wants_body: is_read && http.method != CheckMethod::Head,
            expect: http.expect.clone(),
            report: http.report.clone(),
        }
    }

    /// What is wrong with a body.
    pub(super) fn body_complaint(&self, body: &[u8]) -> Option<String> {
        let pattern = self.expect.body.as_ref()?;
        let is_wrong = !pattern.matches(body);
        is_wrong.then(|| format!("the body does not match `{}`", pattern.as_str()))
    }
}

fn http1_request(http: &HttpCheck) -> String {
    let method = method(http);
    // HTTP/1.0 closes anyway.
    let (version, close) = match http.version {
        Version::HTTP_10 => ("1.0", ""),
        _ => ("1.1", "Connection: close\r\n"),
    };
    let fields: String = http
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let (target, host) = (&http.target, &http.host);
    format!("{method} {target} HTTP/{version}\r\nHost: {host}\r\n{close}{fields}\r\n")
}

fn http2_request(member: &Member, http: &HttpCheck) -> Request<Bytes> {
    let uri = uri(member, &http.host, &http.target);
    request(method(http), uri, &http.headers, Bytes::new())
}

fn grpc_request(member: &Member, check: &GrpcCheck) -> Request<Bytes> {
    let uri = uri(member, &check.host, grpc::PATH);
    let message = grpc::question(&check.service);
    let mut request = request(Method::POST, uri, &check.headers, message);
    let fields = request.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    fields.insert(TE, HeaderValue::from_static("trailers"));
    request
}

/// A request in HTTP/2. What is no part of a request was refused where the configuration was read, so nothing is left out.
fn request(method: Method, uri: Uri, fields: &[(String, String)], body: Bytes) -> Request<Bytes> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    for (name, value) in fields {
        if let (Ok(name), Ok(value)) = (
            http::HeaderName::try_from(name),
            HeaderValue::try_from(value),
        ) {
            request.headers_mut().append(name, value);
        }
    }
    request
}

fn uri(member: &Member, host: &str, target: &str) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(if member.is_tls() {
        Scheme::HTTPS
    } else {
        Scheme::HTTP
    });
    parts.authority = host.parse().ok();
    parts.path_and_query = PathAndQuery::try_from(target).ok();
    Uri::from_parts(parts).unwrap_or_default()
}

fn method(http: &HttpCheck) -> Method {
    match http.method {
        CheckMethod::Options => Method::OPTIONS,
        CheckMethod::Head => Method::HEAD,
        CheckMethod::Get => Method::GET,
    }
}
