//! The admin listener: a small HTTP server for those who run the site, beside serving and apart from clients.

mod api;
mod body;
mod guard;
mod heartbeat;
mod manager;
mod metrics;
mod operator;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::header::{ALLOW, CONTENT_TYPE, ORIGIN};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_local;

use crate::config::{self, Limits, Token};
use crate::heartbeat::Heartbeats;
use crate::live::Live;
use crate::server::{ClientIo, accept};
use crate::snapshot::Snapshot;
use manager::Manager;
use metrics::Metrics;

/// Connections open at once; more wait in the kernel.
const CONNECTIONS: usize = 64;

/// How long anybody may stall: within a head, a body, an answer, or between requests.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a request's head.
const HEADER_SIZE: usize = 16 * 1024;

/// What the admin listener answers.
pub(crate) struct Admin {
    live: Live,
    metrics: Metrics,
    /// The page for those who ask by a browser; none where the system gives no random bytes for its token.
    manager: Option<Manager>,
    /// What those who ask must know.
    token: Option<Token>,
    /// The path that heartbeats are sent to, and who hears them.
    heartbeats: Option<(String, Rc<Heartbeats>)>,
}

/// Binds the admin listener.
///
/// # Errors
/// Its address cannot be bound; the message names it.
pub(crate) fn bind(config: &config::Admin) -> Result<TcpListener> {
    let bind = || {
        let listener = TcpListener::bind(config.address)?;
        listener.set_nonblocking(true)?;
        Ok::<_, std::io::Error>(listener)
    };
    bind().with_context(|| format!("cannot listen for admin requests on {}", config.address))
}

/// Serves the admin listener for ever.
pub(crate) async fn serve(listener: tokio::net::TcpListener, admin: Admin) {
    let admin = Rc::new(admin);
    let limits = Rc::new(limits());
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    accept(listener, places, |stream, address, place| {
        spawn_local(serve_connection(
            stream,
            address,
            admin.clone(),
            limits.clone(),
            place,
        ));
    })
    .await;
}

fn limits() -> Limits {
    Limits {
        connections: CONNECTIONS,
        header_size: HEADER_SIZE,
        header_timeout: PATIENCE,
        keepalive_timeout: PATIENCE,
        client_timeout: PATIENCE,
        ..Limits::default()
    }
}

async fn serve_connection(
    stream: TcpStream,
    address: SocketAddr,
    admin: Rc<Admin>,
    limits: Rc<Limits>,
    _place: OwnedSemaphorePermit,
) {
    let service = service_fn(move |request| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(admin.answer(address, request).await) }
    });
    // Time is kept by `ClientIo`.
    let served = http1::Builder::new()
        .header_read_timeout(None)
        .half_close(true)
        .max_header_size(HEADER_SIZE)
        .max_buf_size(HEADER_SIZE)
        .serve_connection(TokioIo::new(ClientIo::new(stream, limits)), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%address, %error, "an admin connection ended");
    }
}

impl Admin {
    /// Tells of what is in force to whoever knows the token, and hears heartbeats at this path, if any.
    pub(crate) fn new(
        live: Live,
        token: Option<Token>,
        heartbeats: Option<(String, Rc<Heartbeats>)>,
    ) -> Self {
        let manager = Manager::new()
            .inspect_err(|error| tracing::error!(%error, "the balancer-manager cannot be served"));
        Self {
            manager: manager.ok(),
            metrics: Metrics::new(live.clone()),
            live,
            token,
            heartbeats,
        }
    }

    /// Answers a request: the only table of what is where.
    async fn answer(&self, from: SocketAddr, request: Request<Incoming>) -> Response<String> {
        let (parts, body) = request.into_parts();
        let is_heartbeat = |(path, _): &&(String, _)| parts.uri.path() == path;
        if let Some((_, heartbeats)) = self.heartbeats.as_ref().filter(is_heartbeat) {
            return match parts.method {
                Method::POST => heartbeat::hear(heartbeats, from, body).await,
                _ => not_allowed("POST"),
            };
        }
        if let Some(place) = operator::place(parts.uri.path()) {
            return match parts.method {
                Method::PATCH => self.change(&place, from, &parts, body).await,
                _ => not_allowed("PATCH"),
            };
        }
        if let Some(file) = self.file(parts.uri.path()) {
            return match parts.method {
                Method::GET | Method::HEAD => guard::refusal(&parts, None).unwrap_or(file),
                _ => not_allowed("GET, HEAD"),
            };
        }
        let is_open = match parts.uri.path() {
            // Whoever watches over the process knows no token.
            "/healthz" | "/readyz" => true,
            "/metrics" | "/api/v1/balancers" => false,
            _ => return text(StatusCode::NOT_FOUND, "there is nothing here\n"),
        };
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return not_allowed("GET, HEAD");
        }
        let refusal = guard::refusal(&parts, self.token.as_ref()).filter(|_| !is_open);
        refusal.unwrap_or_else(|| self.tell(parts.uri.path()))
    }

    /// The page at a path, or a file of it.
    fn file(&self, path: &str) -> Option<Response<String>> {
        let manager = self.manager.as_ref()?;
        manager.answer(manager::PATH, manager::API, path)
    }

    /// Why a request that comes from a browser may not change anything; none where it may.
    fn foreign(&self, parts: &Parts) -> Option<Response<String>> {
        parts.headers.get(ORIGIN)?;
        let given = parts.headers.get(manager::CSRF_TOKEN);
        let is_known = given
            .zip(self.manager.as_ref())
            .is_some_and(|(given, manager)| manager.is_known(given));
        let reason = "this does not come from the page of this program: load it again\n";
        (!is_known).then(|| text(StatusCode::FORBIDDEN, reason))
    }

    /// What is at a path.
    fn tell(&self, path: &str) -> Response<String> {
        // Taken anew each time: kept, it would keep an old version of a plugin until the next request.
        let snapshot = self.live.view().pin();
        match path {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => ready(&snapshot),
            "/metrics" => self.metrics.answer(),
            _ => api::balancers(&snapshot),
        }
    }
}

impl Admin {
    /// A request that changes a member.
    async fn change(
        &self,
        place: &operator::Place<'_>,
        from: SocketAddr,
        parts: &Parts,
        body: Incoming,
    ) -> Response<String> {
        let refusal = guard::refusal(parts, self.token.as_ref());
        let refusal = refusal.or_else(|| operator::refusal(parts));
        if let Some(refusal) = refusal.or_else(|| self.foreign(parts)) {
            return refusal;
        }
        match body::beginning(body, operator::LONGEST).await {
            Ok(body) => operator::change(&self.live, place, from, &body),
            Err(refusal) => *refusal,
        }
    }
}

/// Whether all plugins serve. The listeners do: their sockets are bound before this one is served.
fn ready(snapshot: &Snapshot) -> Response<String> {
    match snapshot.is_ready() {
        true => text(StatusCode::OK, "ready\n"),
        false => text(StatusCode::SERVICE_UNAVAILABLE, "a plugin is not loaded\n"),
    }
}

/// An answer of one text.
fn text(status: StatusCode, text: impl Into<String>) -> Response<String> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// The answer to a method that is not among those `allowed`.
fn not_allowed(allowed: &'static str) -> Response<String> {
    let mut response = text(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("the method here is {allowed}\n"),
    );
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}
