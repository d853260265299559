//! A connection for a check: as one for requests, up to where HTTP begins.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::connection::secure;
use super::dial::{connect, local_address};
use super::{ConnectError, MemberStream, Upstream};
use crate::config::Protocol;
use crate::proxy_header;

/// Connects to a member, at another `port` if there is one, and does what comes before HTTP: a PROXY header that says that we are
/// who asks, and TLS. Says whether HTTP/2 is spoken; never, if `only_http1`.
///
/// Whoever calls bounds the time; `patience` says by how much.
///
/// # Errors
/// There is no connection, or no TLS.
pub(crate) async fn reach(
    upstream: &Upstream,
    port: Option<u16>,
    patience: Duration,
    only_http1: bool,
) -> Result<(MemberStream, bool), ConnectError> {
    let mut socket = connect(upstream, port, patience).await?.socket;
    if let Some(version) = upstream.config.proxy_header {
        let local = local_address(&socket);
        let header = proxy_header::write(version, local, local);
        socket.write_all(&header).await?;
    }
    match upstream.tls {
        Some(_) => secure(upstream, socket, only_http1).await,
        None => {
            let speaks_http2 = upstream.config.protocol == Protocol::Http2;
            Ok((MemberStream::Left(socket), speaks_http2))
        }
    }
}
