//! Full handshakes of TLS 1.3, one connection each: no session is resumed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use equipoise_harness::certificates::SelfSigned;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::certificate::NAME;
use crate::load::Until;

/// Handshakes under way at once.
pub(crate) const AT_ONCE: usize = 8;

/// Shakes hands until then; how often. All proxies are offered one way to agree on a key, X25519, since not all of them know
/// the ones that are dearer.
///
/// # Errors
/// A handshake that fails, or a proxy that does not answer.
pub(crate) fn run(address: SocketAddr, certificate: &SelfSigned, until: &Until) -> Result<u32> {
    let connector = connector(certificate)?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let drive = async {
        let mut tasks = JoinSet::new();
        for _ in 0..AT_ONCE {
            tasks.spawn(drive(address, connector.clone(), until.clone()));
        }
        let mut count = 0;
        while let Some(ended) = tasks.join_next().await {
            count += ended??;
        }
        anyhow::Ok(count)
    };
    let patience = until.patience();
    let count = runtime
        .block_on(async { tokio::time::timeout(patience, drive).await })
        .context("the proxy stopped shaking hands")??;
    ensure!(count > 0, "no handshake was done");
    Ok(count)
}

fn connector(certificate: &SelfSigned) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der.clone())?;
    let provider = CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn drive(address: SocketAddr, connector: TlsConnector, until: Until) -> Result<u32> {
    let mut count = 0;
    while until.allows_another(Instant::now()) {
        shake_hands(address, &connector).await?;
        count += 1;
    }
    Ok(count)
}

/// One handshake, at whose end both sides have closed: the proxy has done all there is to do for it.
async fn shake_hands(address: SocketAddr, connector: &TlsConnector) -> Result<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    // Ports would run out if the system kept them for a minute.
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    let mut stream = connector
        .connect(ServerName::try_from(NAME)?, stream)
        .await?;
    stream.shutdown().await?;
    let mut rest = Vec::new();
    // Who resets the connection has closed it, too.
    let _ = stream.read_to_end(&mut rest).await;
    Ok(())
}
