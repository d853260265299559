//! What a client can be told beside the answer to its request.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use http::request::Parts;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio_util::either::Either;

use super::http2_tunnel::StreamTunnel;
use super::interim::Interim;

/// How a client is told of more than the answer: with HTTP/1 one for a connection, whose requests come one by one, with HTTP/2
/// one for each request.
#[derive(Debug, Default)]
pub(crate) struct Responder {
    /// Takes interim answers.
    pub(crate) interim: Arc<Interim>,
    /// The request's stream when it has become a tunnel; none where it cannot.
    tunnel: RefCell<Option<oneshot::Receiver<StreamTunnel>>>,
}

/// What becomes a tunnel when the client is told so.
#[derive(Clone)]
pub(crate) enum Becoming {
    /// A connection of HTTP/1.1.
    Connection(OnUpgrade),
    /// A stream of HTTP/2.
    Stream(Rc<Responder>),
}

/// A client's end of a tunnel.
pub(crate) type TunnelEnd = Either<TokioIo<Upgraded>, StreamTunnel>;

impl Responder {
    /// One whose stream becomes what is sent.
    pub(super) fn with_tunnel() -> (Self, oneshot::Sender<StreamTunnel>) {
        let (sender, tunnel) = oneshot::channel();
        let responder = Self {
            interim: Arc::default(),
            tunnel: RefCell::new(Some(tunnel)),
        };
        (responder, sender)
    }

    /// What a request's connection or stream may become; `None` where it stays what it is.
    pub(crate) fn becoming(self: &Rc<Self>, parts: &Parts) -> Option<Becoming> {
        if let Some(connection) = parts.extensions.get::<OnUpgrade>() {
            return Some(Becoming::Connection(connection.clone()));
        }
        let is_stream = self.tunnel.borrow().is_some();
        is_stream.then(|| Becoming::Stream(self.clone()))
    }
}

impl Becoming {
    /// Waits until it is a tunnel.
    ///
    /// # Errors
    /// The client is gone.
    pub(crate) async fn tunnel(self) -> io::Result<TunnelEnd> {
        match self {
            Self::Connection(connection) => {
                let upgraded = connection.await.map_err(io::Error::other)?;
                Ok(Either::Left(TokioIo::new(upgraded)))
            }
            Self::Stream(responder) => {
                let tunnel = responder.tunnel.take();
                let tunnel = tunnel.ok_or(io::ErrorKind::NotConnected)?;
                Ok(Either::Right(tunnel.await.map_err(io::Error::other)?))
            }
        }
    }
}
