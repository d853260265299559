//! A member as it is checked.

use std::sync::Arc;
use std::time::Duration;

use equipoise_http::{Head, Limits};
use http::Version;
use tokio::sync::Semaphore;

use super::grpc;
use equipoise_config::{CheckKind, CheckMethod, Expect, GrpcCheck, HttpCheck, Member, Protocol};
use equipoise_proxy::upstream::Endpoint;

/// A member's checks, prepared.
pub(crate) struct Target {
    /// The member's id in its balancer.
    pub(super) id: u32,
    /// How to reach it.
    pub(super) endpoint: Arc<Endpoint>,
    /// Where to connect to instead of the member's own port.
    pub(super) port: Option<u16>,
    /// See [`Check`](equipoise_config::Check).
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) request: CheckRequest,
    /// Of its responses, as of those to requests.
    pub(super) limits: Limits,
    /// Bounds the checks under way of all members together.
    pub(super) permits: Arc<Semaphore>,
}

/// The request of a check.
pub(super) enum CheckRequest {
    /// Nothing: a connection is all, with TLS where that is spoken.
    Connection,
    /// A request in HTTP/1, as bytes.
    Http1(Box<[u8]>, Expectation),
    /// A request in HTTP/2.
    Http2(Box<Head>, Expectation),
    /// The call of gRPC's health checking protocol, and its message.
    Grpc(Box<Head>, Box<[u8]>),
    /// A ping of AJP; the largest packet that may come back, in bytes.
    Cping(usize),
}

/// What is read of a response, and expected of it.
#[derive(Debug)]
pub(super) struct Expectation {
    /// Whether the body of the response is read, and it has one.
    pub(super) reads_body: bool,
    pub(super) expect: Expect,
    /// Names in lower case.
    pub(super) report: Vec<String>,
}

impl Target {
    /// The member with this id, if it is to be checked: not without `hcmethod`, and not while it is stopped, as in Apache.
    ///
    /// `reads_bodies` says that a plugin evaluates its checks, and so sees the bodies of responses; `limits` bound these; `permits` are those that all
    /// members share.
    pub(crate) fn new(
        id: u32,
        endpoint: Arc<Endpoint>,
        reads_bodies: bool,
        limits: Limits,
        permits: Arc<Semaphore>,
    ) -> Option<Self> {
        let member = &endpoint.config;
        let is_stopped = member.settings.status.stopped;
        let check = member.check.as_ref().filter(|_| !is_stopped)?;
        let request = match &check.kind {
            CheckKind::Tcp => CheckRequest::Connection,
            CheckKind::Http(http) => CheckRequest::http(member, http, reads_bodies),
            CheckKind::Grpc(grpc) => CheckRequest::grpc(grpc),
            CheckKind::Cping => CheckRequest::Cping(member.ajp_packet_size),
        };
        Some(Self {
            id,
            port: check.port,
            interval: check.interval,
            timeout: check.timeout,
            request,
            limits,
            permits,
            endpoint,
        })
    }

    /// The member's URL, for logs.
    pub(super) fn url(&self) -> &str {
        &self.endpoint.config.settings.name
    }
}

impl CheckRequest {
    /// A request in what is spoken with the member; HTTP/1 where that is found out with each connection.
    fn http(member: &Member, http: &HttpCheck, reads_bodies: bool) -> Self {
        let expectation = Expectation::new(http, reads_bodies);
        match member.protocol {
            Protocol::Http2 => Self::Http2(Box::new(http2_request(http)), expectation),
            Protocol::Http1 | Protocol::Negotiated | Protocol::Ajp => {
                Self::Http1(http1_request(http).into_bytes().into(), expectation)
            }
        }
    }

    fn grpc(check: &GrpcCheck) -> Self {
        let fields = [("content-type", "application/grpc"), ("te", "trailers")];
        let theirs = pairs(&check.headers).filter(|(name, _)| {
            let is_local = |(ours, _): &(&str, &str)| ours.eq_ignore_ascii_case(name);
            !fields.iter().any(is_local)
        });
        let fields = theirs.chain(fields);
        let request = request("POST", grpc::PATH, &check.host, fields);
        Self::Grpc(Box::new(request), grpc::request_body(&check.service).into())
    }

    /// Whether it needs HTTP/1.
    pub(super) fn is_http1(&self) -> bool {
        matches!(self, Self::Http1(..))
    }
}

impl Expectation {
    fn new(http: &HttpCheck, reads_bodies: bool) -> Self {
        let is_read = reads_bodies || http.expect.body.is_some();
        Self {
            reads_body: is_read && http.method != CheckMethod::Head,
            expect: http.expect.clone(),
            report: http.report.clone(),
        }
    }

    /// What is wrong with a body.
    pub(super) fn body_mismatch(&self, body: &[u8]) -> Option<String> {
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

fn http2_request(http: &HttpCheck) -> Head {
    request(method(http), &http.target, &http.host, pairs(&http.headers))
}

/// A request in HTTP/2. What is no part of a request was refused where the configuration was read, so nothing is left out.
fn request<'f>(
    method: &str,
    target: &str,
    host: &'f str,
    fields: impl Iterator<Item = (&'f str, &'f str)>,
) -> Head {
    let mut head = Head::new();
    let version = equipoise_http::Version::Http2;
    let _ = head.begin_request(method.as_bytes(), target.as_bytes(), version);
    for (name, value) in [("host", host)].into_iter().chain(fields) {
        let _ = head.push(name.as_bytes(), value.as_bytes());
    }
    head
}

fn pairs(fields: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    fields.iter().map(|(name, value)| (&**name, &**value))
}

/// The method's name.
fn method(http: &HttpCheck) -> &'static str {
    match http.method {
        CheckMethod::Options => "OPTIONS",
        CheckMethod::Head => "HEAD",
        CheckMethod::Get => "GET",
    }
}
