//! One HTTP/1.1 connection to a member.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use equipoise_balancer::Counters;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::{Limits, Member};
use crate::meters::MemberMeters;
use crate::proxy::Upload;
use crate::upstream::metered::{Metered, Traffic};

/// The least that hyper may buffer of a connection, in bytes.
pub(crate) const MIN_BUFFER: usize = 128 * 1024;

/// Why there is no connection.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    /// The name did not resolve, or no address of it took the connection.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// `connectiontimeout` passed.
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
}

/// A connection to a member. Dropping it closes it at once, whatever is under way.
pub(crate) struct Connection {
    sender: http1::SendRequest<Upload>,
    /// Drives the connection; ended with it.
    driver: JoinHandle<()>,
    /// Whether it served a request before.
    is_reused: bool,
    carried: Rc<Cell<Traffic>>,
    meters: Arc<MemberMeters>,
    /// Whether it is counted as idle.
    is_idle: bool,
}

impl Connection {
    /// Connects to a member: to the first of its addresses that takes the connection.
    ///
    /// # Errors
    /// The last address's failure, or a time-out over all of them.
    pub(crate) async fn open(
        member: &Member,
        counters: Arc<Counters>,
        meters: Arc<MemberMeters>,
        limits: &Limits,
    ) -> Result<Self, ConnectError> {
        let stream = timeout(member.connection_timeout, connect(member))
            .await
            .map_err(|_| ConnectError::TimedOut(member.connection_timeout))??;
        stream.set_nodelay(true)?;
        if member.keepalive {
            SockRef::from(&stream).set_keepalive(true)?;
        }
        let mut http = http1::Builder::new();
        http.max_header_size(limits.header_size)
            .max_buf_size(limits.header_size.max(MIN_BUFFER));
        if let Some(headers) = limits.own_headers() {
            http.max_headers(headers);
        }
        let carried = Rc::new(Cell::default());
        let (sender, connection) = http
            .handshake(TokioIo::new(Metered::new(
                stream,
                counters,
                carried.clone(),
            )))
            .await
            .map_err(io::Error::other)?;
        let driver = tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a member ended");
            }
        });
        meters.opened.add(1);
        Ok(Self {
            sender,
            driver,
            is_reused: false,
            carried,
            meters,
            is_idle: false,
        })
    }

    /// Whether it served a request before, so that the member may have closed it meanwhile.
    pub(crate) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// What it has carried up to now.
    pub(crate) fn carried(&self) -> Traffic {
        self.carried.get()
    }

    /// Whether the last exchange is over and the next may start.
    pub(crate) fn is_ready(&self) -> bool {
        self.sender.is_ready() && !self.sender.is_closed()
    }

    /// What is counted of its member.
    pub(crate) fn meters(&self) -> &MemberMeters {
        &self.meters
    }

    /// The same connection, after an exchange: idle.
    pub(crate) fn rested(mut self) -> Self {
        self.is_idle = true;
        self.meters.idle.add(1);
        self
    }

    /// The same connection, for another exchange.
    pub(crate) fn reused(mut self) -> Self {
        self.is_reused = true;
        self.meters.reused.add(1);
        self.leave_idleness();
        self
    }

    fn leave_idleness(&mut self) {
        if std::mem::take(&mut self.is_idle) {
            self.meters.idle.take(1);
        }
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// hyper's, with the request in it if not a byte of it was sent.
    pub(crate) fn send(
        &mut self,
        request: Request<Upload>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>> + use<>
    {
        self.sender.try_send_request(request)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.leave_idleness();
        self.driver.abort();
    }
}

async fn connect(member: &Member) -> io::Result<TcpStream> {
    if let Some(address) = member.settings.address {
        return TcpStream::connect(address).await;
    }
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((member.host.as_str(), member.port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
