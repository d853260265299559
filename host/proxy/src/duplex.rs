//! One end of a tunnel: bytes both ways.

use tokio::io::{AsyncRead, AsyncWrite};

/// One end of a tunnel.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}
