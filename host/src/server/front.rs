//! How the clients of a listener are met: who they are, by what they come, and what they speak.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::rewound::Rewound;
use super::stream::ClientStream;
use crate::config::{self, Limits, ServerTls};
use crate::proxy_header::{self, Reading};
use crate::tls;

/// The first bytes of HTTP/2 (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much is read at once of a client's first bytes: most requests' heads.
const FIRST_READ: usize = 2048;

/// How a listener meets its clients.
pub(crate) struct Front {
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
pub(super) struct Arrival {
    pub(super) stream: ClientStream,
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
    pub(crate) certificate: Option<HeaderValue>,
}

impl Front {
    /// Everything that is needed to meet clients as configured, who were met as `before` until now. Where files of `tls` are of
    /// no use now, but were, clients are met by TLS as before: files change one after the other.
    ///
    /// # Errors
    /// A file of `tls` cannot be used: which, and why.
    pub(super) fn new(config: &config::Listener, before: Option<&Self>) -> Result<Self> {
        let tls = config.tls.as_ref().map(|tls| {
            let known = before.and_then(|before| before.tls.as_ref());
            let secure = match (Secure::new(tls), known) {
                (Err(_), Some(known)) if known.config == *tls => Ok(known.clone()),
                (secure, _) => secure,
            };
            secure.with_context(|| format!("the tls of {}", config.address))
        });
        Ok(Self {
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
        let (first, address) = match self.is_behind_proxy(address.ip()) {
            true => shake_hands(handshake, introduce(&mut stream, address)).await?,
            false => (Vec::new(), address),
        };
        let Some(tls) = &self.tls else {
            let (first, speaks_http2) = in_time(head, hear(first, &mut stream)).await?;
            return Ok(Arrival {
                stream: ClientStream::Left(Rewound::new(first, stream)),
                address,
                speaks_http2,
                tls: None,
            });
        };
        let accepting = tls.acceptor.accept(Rewound::new(first, stream));
        let stream = shake_hands(handshake, accepting).await?;
        Ok(Arrival {
            address,
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
    fn new(config: &ServerTls) -> Result<Self> {
        Ok(Self {
            acceptor: tls::server(config)?.into(),
            config: config.clone(),
        })
    }
}

impl Secured {
    fn of<S>(stream: &TlsStream<S>) -> Self {
        let shown = stream.get_ref().1.peer_certificates();
        Self {
            certificate: shown.and_then(<[_]>::first).and_then(client_cert),
        }
    }
}

/// A certificate as `Client-Cert` has it: a byte sequence of structured fields (RFC 9440, 2.1).
fn client_cert(certificate: &CertificateDer<'_>) -> Option<HeaderValue> {
    HeaderValue::try_from(format!(":{}:", STANDARD.encode(certificate))).ok()
}

/// Reads the PROXY header that a connection begins with: where the client is, and what has been read behind the header.
async fn introduce(stream: &mut TcpStream, from: SocketAddr) -> io::Result<(Vec<u8>, SocketAddr)> {
    let mut first = Vec::with_capacity(FIRST_READ);
    loop {
        if stream.read_buf(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match proxy_header::read(&first) {
            Reading::Incomplete => first.reserve(FIRST_READ),
            Reading::Header { length, client } => {
                first.drain(..length);
                return Ok((first, client.unwrap_or(from)));
            }
            Reading::Malformed(reason) => {
                tracing::debug!(%from, reason, "refusing a PROXY header");
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
        }
    }
}

/// Reads on until it is clear whether a client without TLS speaks HTTP/2 from the start: what has been read, and whether.
async fn hear(mut first: Vec<u8>, stream: &mut TcpStream) -> io::Result<(Vec<u8>, bool)> {
    loop {
        let common = first
            .iter()
            .zip(PREFACE)
            .take_while(|(one, other)| one == other);
        let common = common.count();
        if common == PREFACE.len() || (common < first.len() && !first.is_empty()) {
            return Ok((first, common == PREFACE.len()));
        }
        first.reserve(FIRST_READ);
        if stream.read_buf(&mut first).await? == 0 {
            // The end is for whoever serves it to see.
            return Ok((first, false));
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

async fn in_time<T>(limit: Duration, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, step)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
