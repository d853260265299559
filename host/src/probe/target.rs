//! A member as it is checked.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use http::Version;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::config::{CheckKind, CheckMethod, Expect, HttpCheck, Member};

/// Everything that checks of a member need, prepared.
#[derive(Debug)]
pub(crate) struct Target {
    /// The member's id in its balancer.
    pub(super) id: u32,
    /// The member's URL, for logs.
    pub(super) url: String,
    /// Name or address to connect to.
    pub(super) host: String,
    pub(super) port: u16,
    /// Both, where the host is an address.
    pub(super) address: Option<SocketAddr>,
    /// See [`Check`](crate::config::Check).
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    /// What to ask; `None` where a connection is all.
    pub(super) inquiry: Option<Inquiry>,
    /// Bounds the checks under way of all members together.
    pub(super) permits: Arc<Semaphore>,
    /// A question for the addresses of the host that is not answered yet.
    lookup: RefCell<Option<Lookup>>,
}

/// The system answers in a thread of its own, which cannot be interrupted.
type Lookup = JoinHandle<io::Result<Vec<SocketAddr>>>;

/// A request, and what is to be learnt from its answer.
#[derive(Debug)]
pub(super) struct Inquiry {
    /// The bytes of the request.
    pub(super) request: Box<[u8]>,
    /// Whether anybody wants to see the body of the answer, and it has one.
    pub(super) wants_body: bool,
    pub(super) expect: Expect,
    /// Names in lower case.
    pub(super) report: Vec<String>,
}

impl Target {
    /// The member with this id, if it is to be checked: not without `hcmethod`, and not while it is stopped, as in Apache.
    ///
    /// `is_judged` says that a plugin judges its checks, and so sees the bodies of answers; `permits` are those that all
    /// members share.
    pub(crate) fn new(
        id: u32,
        member: &Member,
        is_judged: bool,
        permits: Arc<Semaphore>,
    ) -> Option<Self> {
        let is_stopped = member.settings.status.stopped;
        let check = member.check.as_ref().filter(|_| !is_stopped)?;
        let inquiry = match &check.kind {
            CheckKind::Tcp => None,
            CheckKind::Http(http) => Some(Inquiry::new(http, is_judged)),
        };
        let address = member.settings.address;
        Some(Self {
            id,
            url: member.settings.name.clone(),
            host: member.host.clone(),
            port: check.port,
            address: address.map(|address| SocketAddr::new(address.ip(), check.port)),
            interval: check.interval,
            timeout: check.timeout,
            inquiry,
            permits,
            lookup: RefCell::default(),
        })
    }

    /// The addresses of the host. Where the last check had no time to wait for them, this one waits on: so no more than one
    /// question is open for a member, however slow the answers.
    ///
    /// # Errors
    /// The name does not resolve.
    pub(super) async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let answer = poll_fn(|context| {
            let mut lookup = self.lookup.borrow_mut();
            let question = lookup.get_or_insert_with(|| self.look_up());
            let answer = ready!(Pin::new(question).poll(context));
            *lookup = None;
            Poll::Ready(answer)
        });
        answer.await.map_err(io::Error::other)?
    }

    fn look_up(&self) -> Lookup {
        let (host, port) = (self.host.clone(), self.port);
        spawn_blocking(move || Ok((host.as_str(), port).to_socket_addrs()?.collect()))
    }
}

impl Inquiry {
    fn new(http: &HttpCheck, is_judged: bool) -> Self {
        let is_read = is_judged || http.expect.body.is_some();
        Self {
            request: request(http).into_bytes().into(),
            wants_body: is_read && http.method != CheckMethod::Head,
            expect: http.expect.clone(),
            report: http.report.clone(),
        }
    }
}

fn request(http: &HttpCheck) -> String {
    let method = match http.method {
        CheckMethod::Options => "OPTIONS",
        CheckMethod::Head => "HEAD",
        CheckMethod::Get => "GET",
    };
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
