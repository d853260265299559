//! The admin listener: a small HTTP server for operators, apart from clients.

mod added;
mod api;
mod auth;
mod balancers;
mod body;
mod configuration;
mod connections;
mod endpoint;
mod explain;
mod heartbeat;
mod io;
mod json;
mod manager;
mod metrics;
mod mutations;
mod openapi;
mod plugins;
mod response;
mod socket;
mod terms;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::header::ORIGIN;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::select;
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::background::EvaluatorHandle;
use crate::background::heartbeat::Heartbeats;
use crate::control::Handle;
use api::{Api, Caller};
use body::AdminBody;
use connections::{CROWD, Connection, Connections};
use endpoint::Endpoint;
use equipoise_proxy::current::CurrentSnapshot;
use equipoise_proxy::downstream::{
    self, ConnectionLimit, ConnectionPermit, DescriptorBudget, Liveness, accept,
};
use equipoise_proxy::manager_bridge::{ManagerBridge, ManagerPolicy, ManagerRequest};
use equipoise_proxy::snapshot::Snapshot;
use io::AdminIo;
use manager::Manager;
use metrics::Metrics;
use response::{AdminResponse, not_allowed, problem, text};
pub(crate) use socket::{Bound, Listener, Peer, SocketFile, bind};

/// Connections open at once, for more than a moment: where there are descriptors for them.
const MAX_CONNECTIONS: usize = 64;

/// The least of them.
const MIN_CONNECTIONS: usize = 2;

/// How long a client may stall: within a body, a response, or between requests.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a head may take: short, since its client is not authorized yet.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a request's head.
const HEADER_SIZE: usize = 16 * 1024;

/// The service of the admin listener.
pub(crate) struct Admin {
    current: CurrentSnapshot,
    api: Api,
    metrics: Metrics,
    /// The page for browsers; none where the system gives no random bytes for its token.
    manager: Option<Manager>,
    heartbeats: Rc<Heartbeats>,
    liveness: Liveness,
}

/// How long responses in flight may take once the listener closes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What leads from listeners for clients to the manager, and where the requests arrive.
pub(crate) fn bridge() -> (ManagerBridge, mpsc::Receiver<ManagerRequest>) {
    ManagerBridge::new(ManagerPolicy {
        refuse: auth::manager_refusal,
        unavailable: |reason| problem(StatusCode::SERVICE_UNAVAILABLE, reason),
    })
}

/// Serves the admin listener until `closing`, and then requests in flight, for [`CLOSE_TIMEOUT`].
///
/// # Errors
/// The system does not tell of connections.
pub(crate) async fn serve(
    listener: Listener,
    admin: Rc<Admin>,
    closing: impl Future,
) -> std::io::Result<()> {
    match listener {
        Listener::Tcp(listener) => {
            serve_on(tokio::net::TcpListener::from_std(listener)?, admin, closing).await;
        }
        Listener::Unix(listener) => {
            serve_on(
                tokio::net::UnixListener::from_std(listener)?,
                admin,
                closing,
            )
            .await;
        }
    }
    Ok(())
}

async fn serve_on<L>(listener: L, admin: Rc<Admin>, closing: impl Future)
where
    L: downstream::Listener<Address: Into<Peer>, Stream: AsyncRead + AsyncWrite + Unpin + 'static>,
{
    let most = most_connections(&admin.current);
    // With those that are being closed for others; more wait in the kernel.
    let most_of_all = (CROWD + 1) * most;
    let (limit, connections) = (ConnectionLimit::new(most_of_all), Connections::new(most));
    accept(
        listener,
        async || limit.acquire().await,
        closing,
        |stream, address, permit| {
            let from: Peer = address.into();
            spawn_local(serve_connection(
                stream,
                from,
                admin.clone(),
                connections.admit(from.ip(), Instant::now()),
                permit,
            ));
        },
    )
    .await;
    // Once every permit is acquired, no connection is left.
    let mut taken = Vec::with_capacity(most_of_all);
    let all_have_gone = async {
        while taken.len() < most_of_all {
            taken.push(limit.acquire().await);
        }
    };
    let _ = timeout(CLOSE_TIMEOUT, all_have_gone).await;
}

/// How many connections may be open at once for more than a moment.
fn most_connections(current: &CurrentSnapshot) -> usize {
    let snapshot = current.load();
    let config = &snapshot.config;
    let share = DescriptorBudget::now(config.workers.get(), config.listeners.len()).admin;
    (share / (CROWD + 1)).clamp(MIN_CONNECTIONS, MAX_CONNECTIONS)
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    from: Peer,
    admin: Rc<Admin>,
    connection: Connection,
    _permit: ConnectionPermit,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let (admin, connection) = (&admin, &connection);
        let request = request.map(AdminBody::Incoming);
        async move { Ok::<_, Infallible>(admin.respond(from, connection, request).await) }
    });
    // Time is kept by `AdminIo`.
    let served = http1::Builder::new()
        .header_read_timeout(None)
        .half_close(true)
        .max_header_size(HEADER_SIZE)
        .max_buf_size(HEADER_SIZE)
        .serve_connection(TokioIo::new(AdminIo::new(stream)), service);
    select! {
        served = served => if let Err(error) = served {
            tracing::debug!(%from, %error, "an admin connection ended");
        },
        () = connection.closing() => {
            tracing::debug!(%from, "an admin connection is closed for another");
        }
    }
}

impl Admin {
    /// Shows and changes what is in force, for clients with the token, and receives heartbeats.
    pub(crate) fn new(
        current: CurrentSnapshot,
        control: Handle,
        evaluator: EvaluatorHandle,
        heartbeats: Rc<Heartbeats>,
        liveness: Liveness,
    ) -> Self {
        let manager = Manager::new()
            .inspect_err(|error| tracing::error!(%error, "the balancer-manager cannot be served"));
        Self {
            manager: manager.ok(),
            metrics: Metrics::new(current.clone()),
            api: Api::new(current.clone(), control, evaluator),
            current,
            heartbeats,
            liveness,
        }
    }

    /// Responds to a request: the only table of paths.
    async fn respond(
        &self,
        from: Peer,
        connection: &Connection,
        request: Request<AdminBody>,
    ) -> AdminResponse {
        let (parts, body) = request.into_parts();
        // Taken anew each time: kept, it would keep an old version of a plugin until the next request.
        let snapshot = self.current.load();
        let path = parts.uri.path();
        let heartbeat = snapshot.config.heartbeat.as_ref();
        if heartbeat.is_some_and(|heartbeat| heartbeat.path == path) {
            return match parts.method {
                Method::POST => heartbeat::receive(&self.heartbeats, from, body).await,
                _ => not_allowed("POST"),
            };
        }
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        match path {
            // Whoever watches over the process knows no token.
            "/healthz" if is_read => return alive(&self.liveness),
            "/readyz" if is_read => return self.ready(&snapshot),
            _ => {}
        }
        let config = snapshot.config.admin.as_ref();
        let token = config.and_then(|config| config.token.as_ref());
        let hosts = config.map_or(&[][..], |config| &config.hosts);
        if let Some(file) = self.file(path) {
            return match is_read {
                true => auth::refusal(&parts, from, hosts, None).unwrap_or(file),
                false => not_allowed("GET, HEAD"),
            };
        }
        let endpoint = Endpoint::at(path);
        let others = ["/metrics", "/healthz", "/readyz", openapi::PATH];
        if endpoint.is_none() && !others.contains(&path) {
            return problem(StatusCode::NOT_FOUND, "there is nothing here");
        }
        if let Some(refusal) = auth::refusal(&parts, from, hosts, token) {
            return refusal;
        }
        connection.mark_authorized();
        let Some(endpoint) = endpoint else {
            return match is_read {
                true if path == openapi::PATH => openapi::respond(),
                true => self.metrics.respond(),
                false => not_allowed("GET, HEAD"),
            };
        };
        if !endpoint.allows(&parts.method) {
            return not_allowed(endpoint.allowed());
        }
        match self.csrf_refusal(&parts) {
            Some(refusal) => refusal,
            None => {
                let caller = Caller {
                    name: from.to_string(),
                    connection: Some(connection),
                };
                self.api.respond(&caller, endpoint, &parts, body).await
            }
        }
    }
}

impl Admin {
    /// Responds to requests for the manager at listeners for clients, for ever.
    pub(crate) async fn receive(self: Rc<Self>, mut requests: mpsc::Receiver<ManagerRequest>) {
        while let Some(asked) = requests.recv().await {
            let admin = self.clone();
            spawn_local(async move {
                let response = admin
                    .welcome(asked.from, asked.request.map(AdminBody::Bridge))
                    .await;
                // The client may have gone.
                let _ = asked.response.send(response);
            });
        }
    }

    /// Responds to a request for the manager at a listener for clients.
    async fn welcome(&self, from: SocketAddr, request: Request<AdminBody>) -> AdminResponse {
        let (parts, body) = request.into_parts();
        let snapshot = self.current.load();
        let Some(config) = &snapshot.config.manager else {
            return problem(StatusCode::NOT_FOUND, "there is nothing here");
        };
        let token = snapshot
            .config
            .admin
            .as_ref()
            .and_then(|it| it.token.as_ref());
        let token = token.filter(|_| config.requires_token);
        let (mount, path) = (&*config.path, parts.uri.path());
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        let folder = mount.rsplit('/').next().unwrap_or_default();
        let api = format!("{folder}/{}", manager::API);
        let file = self.manager.as_ref();
        if let Some(file) = file.and_then(|manager| manager.respond(mount, &api, path)) {
            return match is_read {
                true => file,
                false => not_allowed("GET, HEAD"),
            };
        }
        let Some(endpoint) = path.strip_prefix(mount).and_then(Endpoint::at) else {
            return problem(StatusCode::NOT_FOUND, "there is nothing here");
        };
        if !endpoint.allows(&parts.method) {
            return not_allowed(endpoint.allowed());
        }
        let refusal = auth::token_refusal(&parts, token);
        match refusal.or_else(|| self.csrf_refusal(&parts)) {
            Some(refusal) => refusal,
            None => {
                let caller = Caller {
                    name: from.ip().to_string(),
                    connection: None,
                };
                self.api.respond(&caller, endpoint, &parts, body).await
            }
        }
    }

    /// Why a request may not change anything; none where it may, or does not want to.
    fn csrf_refusal(&self, parts: &Parts) -> Option<AdminResponse> {
        if matches!(parts.method, Method::GET | Method::HEAD) {
            return None;
        }
        auth::csrf_refusal(parts).or_else(|| self.wrong_origin(parts))
    }

    /// Whether all plugins serve, and nothing has died that the program cannot do without. The listeners serve: their sockets are
    /// bound before this one is served.
    fn ready(&self, snapshot: &Snapshot) -> AdminResponse {
        if self.liveness.dead().is_some() {
            return alive(&self.liveness);
        }
        let plugins = snapshot.config.plugins.iter().zip(&snapshot.versions);
        let missing = plugins.filter(|(_, version)| version.is_none());
        let lines: String = missing
            .map(
                |(plugin, _)| match self.api.is_being_compiled(&plugin.name) {
                    true => format!("plugin {} is being compiled\n", plugin.name),
                    false => format!("plugin {} is not loaded\n", plugin.name),
                },
            )
            .collect();
        match lines.is_empty() {
            true => text(StatusCode::OK, "ready\n"),
            false => text(StatusCode::SERVICE_UNAVAILABLE, lines),
        }
    }

    /// The page at a path, or a file of it.
    fn file(&self, path: &str) -> Option<AdminResponse> {
        let manager = self.manager.as_ref()?;
        manager.respond(manager::PATH, manager::API, path)
    }

    /// Why a request that comes from a browser may not change anything; none where it may.
    fn wrong_origin(&self, parts: &Parts) -> Option<AdminResponse> {
        parts.headers.get(ORIGIN)?;
        let given = parts.headers.get(manager::CSRF_TOKEN);
        let is_known = given
            .zip(self.manager.as_ref())
            .is_some_and(|(given, manager)| manager.is_known(given));
        let reason = "this does not come from the page of this program: load it again";
        (!is_known).then(|| problem(StatusCode::FORBIDDEN, reason))
    }
}

/// Whether everything lives that the program cannot do without.
fn alive(liveness: &Liveness) -> AdminResponse {
    match liveness.dead() {
        None => text(StatusCode::OK, "ok\n"),
        Some(part) => {
            let reason = format!("{part} is dead: start the program again\n");
            text(StatusCode::SERVICE_UNAVAILABLE, reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn healthz_says_what_is_dead() {
        let liveness = Liveness::default();
        assert_eq!(alive(&liveness).status(), StatusCode::OK);
        liveness.report_dead("control");
        let response = alive(&liveness);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            response.body(),
            "control is dead: start the program again\n"
        );
    }
}
