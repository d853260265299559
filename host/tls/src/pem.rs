//! PEM: certificates and keys in files.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use rustls::pki_types::pem::{Error, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::FileContents;

/// The first byte of DER: a sequence.
const SEQUENCE: u8 = 0x30;

/// All certificates in a file, at least one.
pub(super) fn certificates(
    path: &Path,
    contents: &FileContents,
) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = &contents.of(path)?.bytes;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(path, &error))?;
    if !certificates.is_empty() {
        return Ok(certificates);
    }
    let file = path.display();
    if PrivateKeyDer::from_pem_slice(bytes).is_ok() {
        bail!("{file}: has a key in it and no certificate: name the certificate's file");
    }
    if bytes.first() == Some(&SEQUENCE) {
        bail!("{file}: is DER, and must be PEM: convert it with `openssl x509 -inform der`");
    }
    bail!("{file}: has no certificate in it, which begins with `-----BEGIN CERTIFICATE-----`")
}

/// The first key in a file.
pub(super) fn key(path: &Path, contents: &FileContents) -> Result<PrivateKeyDer<'static>> {
    let bytes = &contents.of(path)?.bytes;
    let error = match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(key) => return Ok(key),
        Err(error) => error,
    };
    let file = path.display();
    let text = String::from_utf8_lossy(bytes);
    if text.contains("ENCRYPTED") {
        bail!(
            "{file}: its key is encrypted, and must be plain: write it anew with `openssl pkey -in {file} -out …`"
        );
    }
    if !matches!(error, Error::NoItemsFound) {
        return Err(unreadable(path, &error));
    }
    if bytes.first() == Some(&SEQUENCE) {
        bail!("{file}: is DER, and must be PEM: convert it with `openssl pkey -inform der`");
    }
    bail!(
        "{file}: has no key in it, which begins with `-----BEGIN PRIVATE KEY-----` (PKCS#8), `-----BEGIN EC PRIVATE KEY-----` (SEC1) or `-----BEGIN RSA PRIVATE KEY-----` (PKCS#1)"
    )
}

fn unreadable(path: &Path, error: &Error) -> anyhow::Error {
    anyhow!("{}: is not PEM: {error}", path.display())
}
