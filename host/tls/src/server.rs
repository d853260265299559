//! TLS settings of a listener.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::TLS13;
use rustls::{ALL_VERSIONS, ServerConfig, SupportedProtocolVersion};

use super::certificates::Certificates;
use super::resumption::Resumption;
use super::{FileContents, HTTP_1, HTTP_2, provider, roots};
use equipoise_config::{ClientAuth, ServerTls, TlsVersion};
use equipoise_file_watch::{self as file_watch, Hash};

static TLS13_ONLY: &[&SupportedProtocolVersion] = &[&TLS13];

/// How clients of a listener are spoken to, with these contents of its files. They speak HTTP/2 or HTTP/1.1, as they ask for
/// (ALPN).
///
/// # Errors
/// Every file that cannot be used, and why, one a line.
pub fn server(config: &ServerTls, contents: &FileContents) -> Result<Arc<ServerConfig>> {
    let certificates = Certificates::new(&config.certificates, contents);
    let clients = verifier(config, contents);
    let (certificates, clients) = match (certificates, clients) {
        (Ok(certificates), Ok(clients)) => (certificates, clients),
        (Err(one), Err(other)) => bail!("{one:#}\n{other:#}"),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => return Err(error),
    };
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(config.min_version))
        .context("the cryptography has no such version of TLS")?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(certificates));
    server.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
    let resumption = Resumption::of(wanted_of_clients(config, contents)?)?;
    server.ticketer = resumption.tickets;
    server.session_storage = resumption.sessions;
    Ok(Arc::new(server))
}

fn versions(least: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match least {
        TlsVersion::Tls12 => ALL_VERSIONS,
        TlsVersion::Tls13 => TLS13_ONLY,
    }
}

/// Who clients may be.
fn verifier(config: &ServerTls, contents: &FileContents) -> Result<Arc<dyn ClientCertVerifier>> {
    let ca = match (&config.client_ca, config.client_auth) {
        (_, ClientAuth::Off) => return Ok(WebPkiClientVerifier::no_client_auth()),
        (Some(ca), _) => ca,
        (None, _) => bail!("there is no client-ca for client-auth"),
    };
    let roots = roots::from_file(ca, contents)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
    let verifier = match config.client_auth {
        ClientAuth::Optional => verifier.allow_unauthenticated(),
        ClientAuth::Off | ClientAuth::Required => verifier,
    };
    verifier
        .build()
        .with_context(|| format!("{}: cannot be used", ca.display()))
}

/// The hash of what is wanted of clients: who shares it may take each other's sessions.
fn wanted_of_clients(config: &ServerTls, contents: &FileContents) -> Result<Hash> {
    let wanted = match (&config.client_ca, config.client_auth) {
        (_, ClientAuth::Off) | (None, _) => return Ok(Hash::default()),
        (Some(ca), ClientAuth::Optional) => (b'o', ca),
        (Some(ca), ClientAuth::Required) => (b'r', ca),
    };
    let (how, ca) = wanted;
    let mut bytes = vec![how];
    bytes.extend(contents.of(ca)?.hash);
    Ok(file_watch::hash(&bytes))
}
