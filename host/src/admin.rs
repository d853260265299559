//! The admin listener: a small HTTP server for those who run the site, beside serving and apart from clients.

mod api;
mod body;
mod guard;
mod heartbeat;
mod metrics;
mod operator;
mod socket;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_local;

use crate::config::{Limits, Token};
use crate::heartbeat::Heartbeats;
use crate::live::Live;
use crate::server::{ClientIo, Listening, Place, Places, accept};
use crate::snapshot::Snapshot;
use metrics::Metrics;
pub(crate) use socket::{Bound, Listener, Peer, SocketFile, bind};

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
    /// What those who ask must know.
    token: Option<Token>,
    /// The path that heartbeats are sent to, and who hears them.
    heartbeats: Option<(String, Rc<Heartbeats>)>,
}

/// Serves the admin listener for ever.
///
/// # Errors
/// The system does not tell of connections.
pub(crate) async fn serve(listener: Listener, admin: Admin) -> io::Result<()> {
    match listener {
        Listener::Tcp(listener) => {
            serve_on(tokio::net::TcpListener::from_std(listener)?, admin).await;
        }
        Listener::Unix(listener) => {
            serve_on(tokio::net::UnixListener::from_std(listener)?, admin).await;
        }
    }
    Ok(())
}

async fn serve_on<L>(listener: L, admin: Admin)
where
    L: Listening<Address: Into<Peer>, Stream: AsyncRead + AsyncWrite + Unpin + 'static>,
{
    let admin = Rc::new(admin);
    let limits = Arc::new(limits());
    let places = Places::new(CONNECTIONS);
    accept(
        listener,
        places,
        pending::<()>(),
        |stream, address, place| {
            spawn_local(serve_connection(
                stream,
                address.into(),
                admin.clone(),
                limits.clone(),
                place,
            ));
        },
    )
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
    stream: impl AsyncRead + AsyncWrite + Unpin,
    from: Peer,
    admin: Rc<Admin>,
    limits: Arc<Limits>,
    _place: Place,
) {
    let service = service_fn(move |request| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(admin.answer(from, request).await) }
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
        tracing::debug!(%from, %error, "an admin connection ended");
    }
}

impl Admin {
    /// Tells of what is in force to whoever knows the token, and hears heartbeats at this path, if any.
    pub(crate) fn new(
        live: Live,
        token: Option<Token>,
        heartbeats: Option<(String, Rc<Heartbeats>)>,
    ) -> Self {
        Self {
            metrics: Metrics::new(live.clone()),
            live,
            token,
            heartbeats,
        }
    }

    /// Answers a request: the only table of what is where.
    async fn answer(&self, from: Peer, request: Request<Incoming>) -> Response<String> {
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
        let is_open = match parts.uri.path() {
            // Whoever watches over the process knows no token.
            "/healthz" | "/readyz" => true,
            "/metrics" | "/api/v1/balancers" => false,
            _ => return text(StatusCode::NOT_FOUND, "there is nothing here\n"),
        };
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return not_allowed("GET, HEAD");
        }
        let refusal = guard::refusal(&parts, from, self.token.as_ref()).filter(|_| !is_open);
        refusal.unwrap_or_else(|| self.tell(parts.uri.path()))
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
        from: Peer,
        parts: &Parts,
        body: Incoming,
    ) -> Response<String> {
        let refusal = guard::refusal(parts, from, self.token.as_ref());
        if let Some(refusal) = refusal.or_else(|| operator::refusal(parts)) {
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
