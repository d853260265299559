//! Clients of every kind, each of which knows what it must be answered.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio_rustls::TlsConnector;

use super::WAIT_TIMEOUT;
use super::configuration::BALANCERS;
use super::fixtures::{FAULT, READ_FAULTS, SELECT_FAULTS};
use super::ledger::Ledger;
use super::members::{NAMES, echo};
use super::site::{HOST, Site};

/// How long a client rests after an answer: what bounds the load.
const INTERVAL: Duration = Duration::from_millis(15);

/// Requests that a client of HTTP/2 has under way at once.
const AT_ONCE: usize = 4;

/// What the kinds of clients are called, and how many of each there are.
const KINDS: [(Kind, usize); 4] = [
    (Kind::Kept, 4),
    (Kind::Fresh, 2),
    (Kind::FreshByTls, 2),
    (Kind::Http2, 2),
];

/// How a client comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// On one connection, until an answer says that it was the last.
    Kept,
    /// On a new connection for every request.
    Fresh,
    /// The same by TLS.
    FreshByTls,
    /// By TLS and HTTP/2, with several requests at once.
    Http2,
}

/// Clients that ask until they are told to leave, on a thread of their own.
pub(super) struct Clients {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

struct Shared {
    leave: AtomicBool,
    next: AtomicU64,
    plain: SocketAddr,
    tls: SocketAddr,
    /// By HTTP/1 and by HTTP/2.
    connectors: [TlsConnector; 2],
    ledger: Arc<Ledger>,
    /// The hashes of the certificates they were shown.
    certificates: Mutex<BTreeSet<u32>>,
}

impl Clients {
    pub(super) fn come_to(site: &Site, ledger: &Arc<Ledger>) -> Self {
        let shared = Arc::new(Shared {
            leave: AtomicBool::new(false),
            next: AtomicU64::new(0),
            plain: site.plain,
            tls: site.tls,
            connectors: ["http/1.1", "h2"].map(|protocol| connector(&site.roots(), protocol)),
            ledger: ledger.clone(),
            certificates: Mutex::default(),
        });
        let visiting = shared.clone();
        let thread = thread::spawn(move || visit(&visiting));
        Self { shared, thread }
    }

    /// How many certificates they were shown.
    pub(super) fn certificates(&self) -> usize {
        let certificates = self.shared.certificates.lock();
        certificates.unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Has them finish what they are at, and go.
    pub(super) fn leave(self) {
        self.shared.leave.store(true, SeqCst);
        self.thread
            .join()
            .expect("clients have nothing to panic about");
    }
}

fn connector(roots: &RootCertStore, protocol: &str) -> TlsConnector {
    let provider = rustls::crypto::aws_lc_rs::default_provider().into();
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.into()];
    if protocol == "http/1.1" {
        // Who resumes a session is shown no certificate.
        config.resumption = Resumption::disabled();
    }
    TlsConnector::from(Arc::new(config))
}

fn visit(shared: &Arc<Shared>) {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let clients = KINDS.iter().flat_map(|(kind, count)| {
            (0..*count).map(|_| tokio::spawn(ask_until_told(*kind, shared.clone())))
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.expect("clients have nothing to panic about");
        }
    });
}

async fn ask_until_told(kind: Kind, shared: Arc<Shared>) {
    let mut kept = None;
    while !shared.leave.load(SeqCst) {
        let connection = match kept.take() {
            Some(connection) => Ok(connection),
            None => within(WAIT_TIMEOUT, shared.connect(kind)).await,
        };
        match connection {
            Ok(connection) => kept = shared.ask_some(kind, connection).await,
            Err(error) => shared.ledger.bad(&format!("{kind:?}: connecting: {error}")),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// A connection to the proxy.
enum Connection {
    Http1(http1::SendRequest<String>),
    Http2(http2::SendRequest<String>),
}

impl Shared {
    async fn connect(&self, kind: Kind) -> Result<Connection, String> {
        let address = match kind {
            Kind::Kept | Kind::Fresh => self.plain,
            Kind::FreshByTls | Kind::Http2 => self.tls,
        };
        let stream = TcpStream::connect(address).await.map_err(in_words)?;
        stream.set_nodelay(true).map_err(in_words)?;
        let [by_http1, by_http2] = &self.connectors;
        match kind {
            Kind::Kept | Kind::Fresh => speak_http1(stream).await,
            Kind::FreshByTls => speak_http1(self.shake_hands(by_http1, stream).await?).await,
            Kind::Http2 => {
                let stream = TokioIo::new(self.shake_hands(by_http2, stream).await?);
                let executor = TokioExecutor::new();
                let shaken = http2::handshake(executor, stream).await.map_err(in_words)?;
                tokio::spawn(shaken.1);
                Ok(Connection::Http2(shaken.0))
            }
        }
    }

    async fn shake_hands(
        &self,
        connector: &TlsConnector,
        stream: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
        let name = ServerName::try_from(HOST).expect("a name");
        let stream = connector.connect(name, stream).await.map_err(in_words)?;
        let shown = stream.get_ref().1.peer_certificates();
        let hash = equipoise_sdk::hash::bytes(shown.map_or(&[], |shown| &shown[0]));
        let certificates = self.certificates.lock();
        certificates
            .unwrap_or_else(PoisonError::into_inner)
            .insert(hash);
        Ok(stream)
    }

    /// Asks once, or several times at once; the connection comes back if it is to be used again.
    async fn ask_some(&self, kind: Kind, connection: Connection) -> Option<Connection> {
        match connection {
            Connection::Http1(mut sender) => {
                let (asked, begun) = (self.next(), Instant::now());
                let answering = sender.send_request(asked.to_http1());
                let answer = within(WAIT_TIMEOUT, receive(answering)).await;
                let goes_on = answer.as_ref().is_ok_and(|answer| !answer.is_last);
                self.judge(kind, &asked, begun, answer);
                let is_kept = goes_on && kind == Kind::Kept;
                is_kept.then_some(Connection::Http1(sender))
            }
            Connection::Http2(sender) => {
                let asking = (0..AT_ONCE).map(|_| self.ask_by_http2(sender.clone()));
                let went_well = futures_util::future::join_all(asking).await;
                let goes_on = went_well.into_iter().all(|well| well) && !sender.is_closed();
                goes_on.then_some(Connection::Http2(sender))
            }
        }
    }

    async fn ask_by_http2(&self, mut sender: http2::SendRequest<String>) -> bool {
        let (asked, begun) = (self.next(), Instant::now());
        let answering = sender.send_request(asked.to_http2());
        let answer = within(WAIT_TIMEOUT, receive(answering)).await;
        let is_answered = answer.is_ok();
        self.judge(Kind::Http2, &asked, begun, answer);
        is_answered
    }

    fn next(&self) -> Asked {
        Asked::number(self.next.fetch_add(1, SeqCst))
    }

    fn judge(&self, kind: Kind, asked: &Asked, begun: Instant, answer: Result<Answer, String>) {
        let wrong = match answer {
            Ok(answer) if asked.is_answered_by(&answer) => return self.ledger.good(),
            Ok(answer)
                if asked.method == Method::POST
                    && answer.status == 502
                    && self.ledger.excuses(begun) =>
            {
                return;
            }
            Ok(answer) => format!("{} {:?}", answer.status, answer.text),
            Err(error) => error,
        };
        let (took, path) = (begun.elapsed().as_millis(), &asked.path);
        let asked = format!("{} {path} ({FAULT}: {})", asked.method, asked.fault);
        self.ledger
            .bad(&format!("{kind:?}: {asked}: {wrong}, after {took} ms"));
    }
}

async fn speak_http1<S>(stream: S) -> Result<Connection, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(in_words)?;
    tokio::spawn(connection);
    Ok(Connection::Http1(sender))
}

/// A request.
struct Asked {
    method: Method,
    path: String,
    /// Which of a hostile plugin's faults it meets, if that is the plugin that serves.
    fault: &'static str,
    body: String,
}

/// An answer.
struct Answer {
    status: u16,
    text: String,
    /// Whether nothing may follow on the connection.
    is_last: bool,
}

impl Asked {
    /// One of the requests there are, which differs from all others. Every eighth is a POST.
    fn number(number: u64) -> Self {
        let (selects, reads) = (SELECT_FAULTS.iter(), READ_FAULTS.iter());
        let faults: Vec<_> = (selects.map(|it| it.0))
            .chain(reads.map(|it| it.0))
            .collect();
        let pick = |from: usize| fastrand::usize(..from);
        let is_post = number % 8 == 7;
        Self {
            method: if is_post { Method::POST } else { Method::GET },
            path: format!("/{}/{number}", BALANCERS[pick(BALANCERS.len())]),
            fault: faults[pick(faults.len())],
            body: if is_post {
                format!("{number:06}").repeat(pick(1500))
            } else {
                String::new()
            },
        }
    }

    fn to_http1(&self) -> Request<String> {
        self.to(self.path.clone())
            .header("host", HOST)
            .body(self.body.clone())
            .expect("a request")
    }

    fn to_http2(&self) -> Request<String> {
        self.to(format!("https://{HOST}{}", self.path))
            .body(self.body.clone())
            .expect("a request")
    }

    fn to(&self, uri: String) -> http::request::Builder {
        Request::builder()
            .method(&self.method)
            .uri(uri)
            .header(FAULT, self.fault)
            .header("authorization", "Bearer soak")
            .header("cookie", "SID=a.r2")
    }

    /// Whether this is what a member answers to it.
    fn is_answered_by(&self, answer: &Answer) -> bool {
        let Some((name, said)) = answer.text.split_once(' ') else {
            return false;
        };
        answer.status == 200
            && NAMES.contains(&name)
            && said == echo(self.method.as_str(), &self.path, self.body.as_bytes())
    }
}

/// The answer to a request on a connection of its own: 200, or what went wrong.
pub(super) async fn ask_for(address: SocketAddr, path: &str) -> Result<String, String> {
    let stream = TcpStream::connect(address).await.map_err(in_words)?;
    let Connection::Http1(mut sender) = speak_http1(stream).await? else {
        return Err("it was HTTP/1".to_owned());
    };
    let request = Request::builder().uri(path).header("host", HOST);
    let request = request.body(String::new()).map_err(in_words)?;
    let answer = receive(sender.send_request(request)).await?;
    match answer.status {
        200 => Ok(answer.text),
        status => Err(format!("{status} {:?}", answer.text)),
    }
}

async fn receive(
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
) -> Result<Answer, String> {
    let answer = answer.await.map_err(in_words)?;
    let status = answer.status().as_u16();
    let connection = answer.headers().get("connection");
    let is_last = connection.is_some_and(|value| value == "close");
    let body = whole(answer.into_body()).await;
    let body = body.map_err(|error| format!("{status}, then {}", in_words(error)))?;
    Ok(Answer {
        status,
        text: String::from_utf8_lossy(&body).into_owned(),
        is_last,
    })
}

/// A body, to its end.
pub(super) async fn whole(mut body: Incoming) -> hyper::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

async fn within<T>(
    time: Duration,
    answer: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let answered = tokio::time::timeout(time, answer).await;
    answered.unwrap_or_else(|_| Err(format!("nothing within {time:?}")))
}

/// An error with its causes.
fn in_words(error: impl std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words += &format!(": {error}");
        cause = error.source();
    }
    words
}
