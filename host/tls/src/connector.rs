//! TLS towards members.

use std::fmt::{self, Debug};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::ClientConfig;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use thiserror::Error;
use tokio_rustls::TlsConnector;

use super::identity::identity;
use super::pinned_verifier::PinnedVerifier;
use super::{FileContents, HTTP_1, HTTP_2, all, provider, roots};
use equipoise_config::{ClientTls, Member, Protocol, Trust};
use equipoise_file_watch::{self as file_watch, Hash};
use equipoise_http::host;

/// The TLS settings of a member. Two are equal if their settings and the contents of their files are. A clone has the same
/// sessions to resume.
#[derive(Clone)]
pub struct Connector {
    /// The name that is verified: the member's `server-name`, or the host of its URL.
    name: ServerName<'static>,
    /// Whether `name` is its `server-name`, which holds whatever host is sent to it.
    is_name_given: bool,
    /// For requests: with what the member's protocol offers (ALPN).
    pub requests: TlsConnector,
    /// The same for HTTP/1.1 alone, for connections that may become something else.
    pub upgrades: TlsConnector,
    /// Of the settings and the contents of the files.
    hash: Hash,
}

impl Connector {
    /// The connector of this member; `None` without TLS. Where nothing differs from `before`, that one.
    ///
    /// # Errors
    /// Every file that cannot be used, and why, one a line; or no certificate can be for the member's name.
    pub fn new(
        member: &Member,
        contents: &FileContents,
        before: Option<&Self>,
    ) -> Result<Option<Self>> {
        let Some(tls) = &member.tls else {
            return Ok(None);
        };
        let hash = hash(member, tls, contents)?;
        match before.filter(|before| before.hash == hash) {
            Some(before) => Ok(Some(before.clone())),
            None => Self::make(member, tls, contents, hash).map(Some),
        }
    }

    /// The name that is verified and sent as SNI, where the client's host `sent` is preserved.
    ///
    /// # Errors
    /// No certificate could be for that host.
    pub fn server_name(&self, sent: Option<&str>) -> Result<ServerName<'static>, UnusableName> {
        match sent {
            Some(host) if !self.is_name_given => {
                let name = host::without_port(host).trim_matches(['[', ']']);
                let name = ServerName::try_from(name.trim_end_matches('.').to_owned());
                name.map_err(|_| UnusableName(host.to_owned()))
            }
            _ => Ok(self.name.clone()),
        }
    }

    /// Whether the host that is sent to the member is the name that is verified.
    pub fn follows_host(&self) -> bool {
        !self.is_name_given
    }

    fn make(member: &Member, tls: &ClientTls, contents: &FileContents, hash: Hash) -> Result<Self> {
        let name = tls.server_name.as_ref().unwrap_or(&member.host);
        let name = ServerName::try_from(name.clone()).with_context(|| {
            format!("`{name}` is not a valid TLS server name: write `server-name`")
        })?;
        let mut requests = client(tls, contents)?;
        // Both resume the same sessions.
        let mut upgrades = requests.clone();
        requests.alpn_protocols = alpn_protocols(member.protocol);
        upgrades.alpn_protocols = vec![HTTP_1.to_vec()];
        Ok(Self {
            name,
            is_name_given: tls.server_name.is_some(),
            requests: Arc::new(requests).into(),
            upgrades: Arc::new(upgrades).into(),
            hash,
        })
    }
}

/// A host that no certificate can be for.
#[derive(Debug, Error)]
#[error("`{0}` is not a valid TLS server name: TLS to a member is not possible with this host")]
pub struct UnusableName(String);

impl PartialEq for Connector {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({})", self.name.to_str())
    }
}

/// The ALPN protocols that a member is offered, preferred first.
fn alpn_protocols(protocol: Protocol) -> Vec<Vec<u8>> {
    let offered: &[&[u8]] = match protocol {
        Protocol::Http1 | Protocol::Ajp => &[HTTP_1],
        Protocol::Http2 => &[HTTP_2],
        Protocol::Negotiated => &[HTTP_2, HTTP_1],
    };
    offered.iter().map(|protocol| protocol.to_vec()).collect()
}

fn client(tls: &ClientTls, contents: &FileContents) -> Result<ClientConfig> {
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .context("the cryptography has no such version of TLS")?;
    let client = match &tls.trust {
        Trust::Platform => client.with_root_certificates(roots::platform()?),
        Trust::Ca(ca) => client.with_root_certificates(roots::from_file(ca, contents)?),
        Trust::Pinned(pins) => {
            let verifier = Arc::new(PinnedVerifier::pinned(pins));
            client
                .dangerous()
                .with_custom_certificate_verifier(verifier)
        }
        Trust::Insecure => {
            let verifier = Arc::new(PinnedVerifier::accept_any());
            client
                .dangerous()
                .with_custom_certificate_verifier(verifier)
        }
    };
    let Some(files) = &tls.identity else {
        return Ok(client.with_no_client_auth());
    };
    let certified: Arc<dyn ResolvesClientCert> =
        Arc::new(SingleCertAndKey::from(identity(files, contents)?));
    Ok(client.with_client_cert_resolver(certified))
}

/// The hash of everything that a connector is made of.
fn hash(member: &Member, tls: &ClientTls, contents: &FileContents) -> Result<Hash> {
    let mut bytes = format!("{:?} {:?} {tls:?}", member.host, member.protocol).into_bytes();
    let files = tls.files();
    let hashes = files.iter().map(|file| Ok(contents.of(file)?.hash));
    bytes.extend(all(hashes)?.into_iter().flatten());
    Ok(file_watch::hash(&bytes))
}
