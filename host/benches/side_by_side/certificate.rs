//! The certificate that every proxy shows, of ECDSA on P-256, which is its own authority.

use std::path::Path;

use anyhow::Result;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;

/// The name that the certificate is for.
pub(crate) const NAME: &str = "bench.test";

/// A certificate and its key.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// The certificate for those who trust it.
    pub(crate) der: CertificateDer<'static>,
    pem: String,
    key: String,
}

impl Certificate {
    /// A new one.
    pub(crate) fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![NAME.to_owned()])?.self_signed(&key)?;
        Ok(Self {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// Writes it where the configurations have it: `certificate.pem`, `key.pem`, and `both.pem`.
    pub(crate) fn write(&self, directory: &Path) -> std::io::Result<()> {
        std::fs::write(directory.join("certificate.pem"), &self.pem)?;
        std::fs::write(directory.join("key.pem"), &self.key)?;
        std::fs::write(
            directory.join("both.pem"),
            format!("{}{}", self.pem, self.key),
        )
    }
}
