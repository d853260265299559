//! Certificates and their CA, made anew for every test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// A certificate and its key, as PEM.
pub type Pair = (String, String);

/// Who vouches for certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one.
    #[expect(
        clippy::new_without_default,
        reason = "none is like another: each has a key of its own"
    )]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// A certificate for this name.
    pub fn vouch(&self, name: &str) -> Pair {
        self.vouch_for(name, &[name])
    }

    /// A certificate of a server or of a client, with this common name, for these names.
    fn vouch_for(&self, common_name: &str, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// Its own certificate, as PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// The configuration of a client that trusts this CA alone.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a root");
        roots
    }

    /// A client that trusts it.
    pub fn client(&self) -> Arc<ClientConfig> {
        let client = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        Arc::new(client)
    }
}

/// An authority, and the directory that its certificates are written into. Its own is `ca.pem` there.
pub struct CertificateFiles {
    authority: Authority,
    directory: PathBuf,
}

impl CertificateFiles {
    /// A new authority's.
    pub fn in_directory(directory: &Path) -> Self {
        let files = Self {
            authority: Authority::new(),
            directory: directory.to_owned(),
        };
        files.write("ca.pem", &files.authority.pem());
        files
    }

    /// Who vouches for them.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Writes `FILE.pem` and `FILE.key`, a certificate whose common name is the file's, for these names. Readers of them
    /// may find one new and the other old.
    pub fn vouch(&self, file: &str, names: &[&str]) {
        let (certificate, key) = self.authority.vouch_for(file, names);
        self.write(&format!("{file}.pem"), &certificate);
        self.write(&format!("{file}.key"), &key);
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.directory.join(file), text).expect("a file can be written");
    }
}

/// A certificate that is its own authority.
#[derive(Debug)]
pub struct SelfSigned {
    /// The certificate for those who trust it.
    pub der: CertificateDer<'static>,
    /// The same as PEM.
    pub pem: String,
    /// Its key, as PEM: of ECDSA on P-256.
    pub key: String,
}

impl SelfSigned {
    /// A new one for this name.
    pub fn named(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}
