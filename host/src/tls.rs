//! TLS: what rustls needs, made of files.

use std::sync::Arc;

use anyhow::{Result, bail};
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::config::{Member, ServerTls};

/// How clients of a listener are spoken to.
///
/// # Errors
/// A file that cannot be used: which, and why.
pub(crate) fn server(_config: &ServerTls) -> Result<Arc<ServerConfig>> {
    bail!("not there yet")
}

/// How a member is spoken to by TLS. Two are equal if their settings and the contents of their files are.
#[derive(Clone)]
pub(crate) struct Connector {
    /// Who the member has to be.
    pub(crate) name: ServerName<'static>,
    /// For requests: with what the member's protocol offers (ALPN).
    pub(crate) requests: TlsConnector,
    /// The same for HTTP/1.1 alone, for connections that may become something else.
    pub(crate) upgrades: TlsConnector,
}

impl Connector {
    /// How this member is spoken to; `None` without TLS.
    ///
    /// # Errors
    /// A file that cannot be used: which, and why.
    pub(crate) fn new(member: &Member) -> Result<Option<Self>> {
        match member.tls {
            None => Ok(None),
            Some(_) => bail!("not there yet"),
        }
    }
}
