//! TLS with real handshakes, in memory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm, date_time_ymd,
};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection,
};
use tempfile::TempDir;

use super::*;
use equipoise_config::{
    ClientAuth, ClientTls, Config, Identity, Member, Protocol, ServerTls, TlsVersion, Trust,
};

mod connectors;
mod servers;
mod unusable;

/// A folder with files of PEM, and who signs them.
struct Site {
    folder: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

/// How clients of a listener are spoken to, with what its files have in them now.
fn server(config: &ServerTls) -> Result<Arc<ServerConfig>> {
    super::server(config, &FileContents::read(config.files()))
}

/// What both sides of a connection know when they have shaken hands.
struct Shaken {
    client: ClientConnection,
    server: ServerConnection,
}

impl Site {
    /// With `ca.pem`.
    fn new() -> Self {
        let site = Self {
            folder: tempfile::tempdir().unwrap(),
            ca: issuer("site"),
        };
        site.write("ca.pem", &site.ca.pem());
        site
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn write(&self, file: &str, content: &str) -> PathBuf {
        std::fs::write(self.path(file), content).unwrap();
        self.path(file)
    }

    /// A certificate for these names that the site's CA vouches for, in files of this name.
    fn identity(&self, file: &str, names: &[&str]) -> Identity {
        let key = KeyPair::generate().unwrap();
        self.certify(file, &params(names), key)
    }

    fn certify(&self, file: &str, params: &CertificateParams, key: KeyPair) -> Identity {
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        Identity {
            cert: self.write(&format!("{file}.pem"), &certificate.pem()),
            key: self.write(&format!("{file}.key"), &key.serialize_pem()),
        }
    }

    /// The certificate in a file.
    fn certificate(&self, identity: &Identity) -> CertificateDer<'static> {
        let files = BTreeSet::from([identity.cert.clone()]);
        let contents = FileContents::read(files);
        pem::certificates(&identity.cert, &contents)
            .unwrap()
            .remove(0)
    }

    /// A client that trusts the site's CA and remembers sessions.
    fn client(&self) -> ClientConfig {
        self.client_of(rustls::ALL_VERSIONS)
    }

    fn client_of(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).unwrap();
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = params(&[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let name = (rcgen::DnType::CommonName, name);
    params.distinguished_name.push(name.0, name.1);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    CertificateParams::new(names).unwrap()
}

fn of(certificates: &[&Identity]) -> ServerTls {
    ServerTls {
        certificates: certificates.iter().map(|&it| it.clone()).collect(),
        client_ca: None,
        client_auth: ClientAuth::Off,
        min_version: TlsVersion::Tls12,
    }
}

/// Shakes hands over memory; the error is the client's if it has one, else the server's.
fn shake(
    client: &Arc<ClientConfig>,
    name: &str,
    server: &Arc<ServerConfig>,
) -> Result<Shaken, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client.clone(), name).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    // Some more flights than a handshake has, for tickets and alerts.
    for _ in 0..8 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut rest = &*bytes;
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            let processed = server.process_new_packets();
            processed?;
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut rest = &*bytes;
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(Shaken { client, server })
}

impl Shaken {
    /// The certificate that the server has shown.
    fn shown(&self) -> CertificateDer<'static> {
        self.client.peer_certificates().unwrap()[0].clone()
    }

    fn is_resumed(&self) -> bool {
        self.server.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}
