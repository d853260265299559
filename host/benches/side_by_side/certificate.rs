//! The certificate that every proxy shows, of ECDSA on P-256, which is its own authority.

use std::path::Path;

use equipoise_harness::certificates::SelfSigned;

/// The name that the certificate is for.
pub(crate) const NAME: &str = "bench.test";

/// Writes it where the configurations have it: `certificate.pem`, `key.pem`, and `both.pem`.
pub(crate) fn write(certificate: &SelfSigned, directory: &Path) -> std::io::Result<()> {
    let SelfSigned { pem, key, .. } = certificate;
    std::fs::write(directory.join("certificate.pem"), pem)?;
    std::fs::write(directory.join("key.pem"), key)?;
    std::fs::write(directory.join("both.pem"), format!("{pem}{key}"))
}
