//! How the clients of a listener are met: who they are, by what they come, and what they speak.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use equipoise_http::http1::is_preface;
use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::stream::ClientStream;
use crate::proxy_header::{self, Reading};
use crate::wire::Buffer;
use equipoise_config::{self as config, Limits, ServerTls};
use equipoise_tls::{self as tls, Contents};

/// How much is looked at of a PROXY header at once: most are shorter.
const PEEKED: usize = 512;

/// How a listener meets its clients.
pub(crate) struct Front {
    /// The listener's address as it is configured.
    pub(super) address: SocketAddr,
    /// None where they come without TLS.
    tls: Option<Secure>,
    /// See [`config::Listener`].
    proxy_from: Vec<IpNet>,
    pub(super) https_redirect: Option<u16>,
}

/// How clients are met by TLS.
#[derive(Clone)]
struct Secure {
    /// What `acceptor` is made of.
    config: ServerTls,
    acceptor: TlsAcceptor,
}

/// A client that has been met.
pub(crate) struct Arrival {
    pub(super) stream: ClientStream,
    /// What has come by it.
    pub(super) first: Vec<u8>,
    /// When the head of its first request has to be there.
    pub(super) head_by: Instant,
    /// Where it is, perhaps behind others that say so.
    pub(super) address: SocketAddr,
    pub(super) speaks_http2: bool,
    /// How it came by TLS; none without.
    pub(super) tls: Option<Secured>,
}

/// What TLS tells of a client.
#[derive(Debug, Default)]
pub(crate) struct Secured {
    /// The certificate that it has shown, and that somebody vouches for, as `Client-Cert` has it (RFC 9440).
    pub(crate) certificate: Option<String>,
}

impl Front {
    /// Everything that is needed to meet clients as configured, who were met as `before` until now. Where files of `tls` are of
    /// no use now, but were, clients are met by TLS as before: files change one after the other.
    ///
    /// # Errors
    /// A file of `tls` cannot be used: which, and why.
    pub(crate) fn new(
        config: &config::Listener,
        contents: &Contents,
        before: Option<&Self>,
    ) -> Result<Self> {
        let tls = config.tls.as_ref().map(|tls| {
            let known = before.and_then(|before| before.tls.as_ref());
            let secure = match (Secure::new(tls, contents), known) {
                (Err(_), Some(known)) if known.config == *tls => Ok(known.clone()),
                (secure, _) => secure,
            };
            secure.with_context(|| format!("the tls of {}", config.address))
        });
        Ok(Self {
            address: config.address,
            tls: tls.transpose()?,
            proxy_from: config.proxy_from.clone(),
            https_redirect: config.https_redirect,
        })
    }

    /// Whether it meets clients by TLS in this way.
    pub(super) fn has_tls(&self, tls: Option<&ServerTls>) -> bool {
        self.tls.as_ref().map(|it| &it.config) == tls
    }

    /// Learns of a client whose connection came from `address` all that comes before its first request.
    ///
    /// # Errors
    /// It is too slow, says nonsense, or is gone.
    pub(super) async fn meet(
        &self,
        mut stream: TcpStream,
        address: SocketAddr,
        limits: &Limits,
    ) -> io::Result<Arrival> {
        stream.set_nodelay(true)?;
        let (handshake, head) = (limits.handshake_timeout, limits.header_timeout);
        let address = match self.is_behind_proxy(address.ip()) {
            true => {
                let introduced = introduce(&mut stream, address);
                Box::pin(shake_hands(handshake, introduced)).await?
            }
            false => address,
        };
        let Some(tls) = &self.tls else {
            let head_by = Instant::now() + head;
            let (first, speaks_http2) = hear(&mut stream, head_by).await?;
            return Ok(Arrival {
                stream: ClientStream::Left(stream),
                first,
                head_by,
                address,
                speaks_http2,
                tls: None,
            });
        };
        let accepted = Box::pin(shake_hands(handshake, tls.acceptor.accept(stream)));
        let stream = accepted.await?;
        Ok(Arrival {
            address,
            first: Vec::new(),
            head_by: Instant::now() + head,
            speaks_http2: stream.get_ref().1.alpn_protocol() == Some(b"h2"),
            tls: Some(Secured::of(&stream)),
            stream: ClientStream::Right(Box::new(stream)),
        })
    }

    /// Whether connections from there begin with a PROXY header.
    fn is_behind_proxy(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.proxy_from
            .iter()
            .any(|network| network.contains(&address))
    }
}

impl Secure {
    fn new(config: &ServerTls, contents: &Contents) -> Result<Self> {
        Ok(Self {
            acceptor: tls::server(config, contents)?.into(),
            config: config.clone(),
        })
    }
}

impl Secured {
    fn of<S>(stream: &TlsStream<S>) -> Self {
        let shown = stream.get_ref().1.peer_certificates();
        Self {
            certificate: shown.and_then(<[_]>::first).map(client_cert),
        }
    }
}

/// A certificate as `Client-Cert` has it: a byte sequence of structured fields (RFC 9440, 2.1).
fn client_cert(certificate: &CertificateDer<'_>) -> String {
    format!(":{}:", STANDARD.encode(certificate))
}

/// Reads the PROXY header that a connection begins with, and not a byte behind it: where the client is.
async fn introduce(stream: &mut TcpStream, from: SocketAddr) -> io::Result<SocketAddr> {
    let (mut header, mut peeked) = (Vec::new(), [0; PEEKED]);
    loop {
        let seen = stream.peek(&mut peeked).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let before = header.len();
        header.extend_from_slice(&peeked[..seen]);
        match proxy_header::read(&header) {
            // All of it belongs to the header.
            Reading::Incomplete => {
                stream.read_exact(&mut peeked[..seen]).await?;
            }
            Reading::Header { length, client } => {
                stream.read_exact(&mut peeked[..length - before]).await?;
                return Ok(client.unwrap_or(from));
            }
            Reading::Malformed(reason) => {
                tracing::debug!(%from, reason, "refusing a PROXY header");
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
        }
    }
}

/// Reads on until it is clear whether a client without TLS speaks HTTP/2 from the start: what has been read, and whether. One that
/// has begun and stalls does not.
async fn hear(stream: &mut TcpStream, until: Instant) -> io::Result<(Vec<u8>, bool)> {
    let mut first = Buffer::default();
    loop {
        if let Some(speaks_http2) = is_preface(first.unread()).filter(|_| !first.is_empty()) {
            return Ok((first.into_vec(), speaks_http2));
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
            // What is to be said of it is said where requests are served.
            Ok(Ok(0)) | Err(_) => return Ok((first.into_vec(), false)),
        }
    }
}

/// A PROXY header or a TLS handshake took longer than `handshake-timeout`.
#[derive(Debug, Error)]
#[error("the handshake took too long")]
struct SlowHandshake;

/// Whether a client came no further because of `handshake-timeout`.
pub(super) fn is_slow_handshake(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|it| it.is::<SlowHandshake>())
}

async fn shake_hands<T>(
    limit: Duration,
    step: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let done = timeout(limit, step).await;
    done.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, SlowHandshake)))
}
