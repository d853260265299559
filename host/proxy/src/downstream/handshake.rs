//! Connection setup: PROXY header, TLS handshake, protocol detection.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use equipoise_http::http1::is_preface;
use ipnet::IpNet;
use thiserror::Error;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::stream::ClientStream;
use crate::client_tls::ClientTlsInfo;
use crate::proxy_protocol::{self, Parsed};
use crate::wire::Buffer;
use equipoise_config::{self as config, Limits, ServerTls};
use equipoise_tls::{self as tls, FileContents};

/// How much of a PROXY header is peeked at once, in bytes: most are shorter.
const PEEK_SIZE: usize = 512;

/// Sets up the connections of a listener.
pub(crate) struct Handshaker {
    /// The listener's address as it is configured.
    pub(super) address: SocketAddr,
    /// None without TLS.
    tls: Option<TlsSettings>,
    /// See [`config::Listener`].
    proxy_from: Vec<IpNet>,
    pub(super) https_redirect: Option<u16>,
}

/// How a listener speaks TLS.
#[derive(Clone)]
struct TlsSettings {
    /// What `acceptor` is made from.
    config: ServerTls,
    acceptor: TlsAcceptor,
}

/// A connection that is set up.
pub(crate) struct Accepted {
    pub(super) stream: ClientStream,
    /// Bytes that were read from it already.
    pub(super) first: Vec<u8>,
    /// The deadline for the head of its first request.
    pub(super) head_by: Instant,
    /// The client's address, from the PROXY header if there is one.
    pub(super) address: SocketAddr,
    pub(super) is_http2: bool,
    /// None without TLS.
    pub(super) tls: Option<ClientTlsInfo>,
}

impl Handshaker {
    /// Sets up connections as configured; `before` is what the listener had until now. If the files of the same `tls` cannot be
    /// used now, `before`'s stay in use: files change one after the other.
    ///
    /// # Errors
    /// A file of `tls` cannot be used: which, and why.
    pub(crate) fn new(
        config: &config::Listener,
        contents: &FileContents,
        before: Option<&Self>,
    ) -> Result<Self> {
        let tls = config.tls.as_ref().map(|tls| {
            let known = before.and_then(|before| before.tls.as_ref());
            let settings = match (TlsSettings::new(tls, contents), known) {
                (Err(_), Some(known)) if known.config == *tls => Ok(known.clone()),
                (settings, _) => settings,
            };
            settings.with_context(|| format!("tls of {}", config.address))
        });
        Ok(Self {
            address: config.address,
            tls: tls.transpose()?,
            proxy_from: config.proxy_from.clone(),
            https_redirect: config.https_redirect,
        })
    }

    /// Whether its TLS settings are these.
    pub(super) fn has_tls(&self, tls: Option<&ServerTls>) -> bool {
        self.tls.as_ref().map(|it| &it.config) == tls
    }

    /// Sets up a connection from `address`, up to its first request.
    ///
    /// # Errors
    /// The client is too slow or gone, its PROXY header is malformed, or the TLS handshake fails.
    pub(super) async fn accept(
        &self,
        mut stream: TcpStream,
        address: SocketAddr,
        limits: &Limits,
    ) -> io::Result<Accepted> {
        stream.set_nodelay(true)?;
        let (handshake, head) = (limits.handshake_timeout, limits.header_timeout);
        let address = match self.expects_proxy_header(address.ip()) {
            true => {
                let client = read_proxy_header(&mut stream, address);
                Box::pin(with_timeout(handshake, client)).await?
            }
            false => address,
        };
        let Some(tls) = &self.tls else {
            let head_by = Instant::now() + head;
            let (first, is_http2) = sniff_http2(&mut stream, head_by).await?;
            return Ok(Accepted {
                stream: ClientStream::Left(stream),
                first,
                head_by,
                address,
                is_http2,
                tls: None,
            });
        };
        let accepted = Box::pin(with_timeout(handshake, tls.acceptor.accept(stream)));
        let stream = accepted.await?;
        Ok(Accepted {
            address,
            first: Vec::new(),
            head_by: Instant::now() + head,
            is_http2: stream.get_ref().1.alpn_protocol() == Some(b"h2"),
            tls: Some(ClientTlsInfo::of(&stream)),
            stream: ClientStream::Right(Box::new(stream)),
        })
    }

    /// Whether connections from this address begin with a PROXY header.
    fn expects_proxy_header(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.proxy_from
            .iter()
            .any(|network| network.contains(&address))
    }
}

impl TlsSettings {
    fn new(config: &ServerTls, contents: &FileContents) -> Result<Self> {
        Ok(Self {
            acceptor: tls::server(config, contents)?.into(),
            config: config.clone(),
        })
    }
}

/// Reads the PROXY header that a connection begins with, and not a byte behind it: the client's address.
async fn read_proxy_header(stream: &mut TcpStream, from: SocketAddr) -> io::Result<SocketAddr> {
    let (mut header, mut peeked) = (Vec::new(), [0; PEEK_SIZE]);
    loop {
        let seen = stream.peek(&mut peeked).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let before = header.len();
        header.extend_from_slice(&peeked[..seen]);
        match proxy_protocol::parse(&header) {
            // All of it belongs to the header.
            Parsed::Incomplete => {
                stream.read_exact(&mut peeked[..seen]).await?;
            }
            Parsed::Header { length, client } => {
                stream.read_exact(&mut peeked[..length - before]).await?;
                return Ok(client.unwrap_or(from));
            }
            Parsed::Malformed(reason) => {
                tracing::debug!(%from, reason, "malformed PROXY header");
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
        }
    }
}

/// Reads until it is clear whether a client without TLS begins with the preface of HTTP/2: what was read, and whether. One that
/// has begun it and stalls does not.
async fn sniff_http2(stream: &mut TcpStream, until: Instant) -> io::Result<(Vec<u8>, bool)> {
    let mut first = Buffer::default();
    loop {
        if let Some(is_http2) = is_preface(first.unread()).filter(|_| !first.is_empty()) {
            return Ok((first.into_vec(), is_http2));
        }
        let read = poll_fn(|context| {
            let read = first.poll_read(stream, context);
            if read.is_pending() {
                first.release();
            }
            read
        });
        let read = timeout_at(until, read);
        match read.await {
            Ok(Ok(1..)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) if first.is_empty() => return Err(io::ErrorKind::TimedOut.into()),
            // HTTP/1 responds to what is wrong with it.
            Ok(Ok(0)) | Err(_) => return Ok((first.into_vec(), false)),
        }
    }
}

/// The PROXY header or the TLS handshake took longer than `handshake-timeout`.
#[derive(Debug, Error)]
#[error("handshake timed out")]
struct HandshakeTimeout;

/// Whether connection setup failed because of `handshake-timeout`.
pub(super) fn is_handshake_timeout(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|it| it.is::<HandshakeTimeout>())
}

async fn with_timeout<T>(
    limit: Duration,
    step: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let done = timeout(limit, step).await;
    done.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, HandshakeTimeout)))
}
