//! An identity: a certificate with its chain and key.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, InconsistentKeys};
use webpki::EndEntityCert;

use super::{FileContents, pem, provider};
use equipoise_config::Identity;

/// The certificate, its chain and its key.
///
/// # Errors
/// A file cannot be read or used, or the key is not that of the certificate.
pub(super) fn identity(files: &Identity, contents: &FileContents) -> Result<Arc<CertifiedKey>> {
    // Both files are looked at, whatever is wrong with one.
    let (chain, key) = (
        pem::certificates(&files.cert, contents).and_then(|chain| check(files, chain)),
        key(files, contents),
    );
    let (chain, key) = match (chain, key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (Err(one), Err(other)) => bail!("{one:#}\n{other:#}"),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => return Err(error),
    };
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(_) => Err(mismatch(files, &certified)),
    }
}

/// A certificate's own names, in lower case: exact ones, and wildcards such as `*.example.com`.
pub(super) fn names(certified: &CertifiedKey) -> Vec<String> {
    let certificate = certified.cert.first().map(EndEntityCert::try_from);
    let Some(Ok(certificate)) = certificate else {
        return Vec::new();
    };
    let names = certificate.valid_dns_names();
    names.map(str::to_ascii_lowercase).collect()
}

/// A chain whose first certificate can be used.
fn check(
    files: &Identity,
    chain: Vec<CertificateDer<'static>>,
) -> Result<Vec<CertificateDer<'static>>> {
    if let Some(first) = chain.first() {
        EndEntityCert::try_from(first).map_err(|error| {
            let file = files.cert.display();
            anyhow!("{file}: its certificate cannot be used: {error:?}; it must be X.509 version 3")
        })?;
    }
    Ok(chain)
}

fn key(files: &Identity, contents: &FileContents) -> Result<Arc<dyn SigningKey>> {
    let key = pem::key(&files.key, contents)?;
    let key = provider().key_provider.load_private_key(key);
    key.with_context(|| {
        format!(
            "{}: its key cannot be used: it must be RSA of 2048 to 8192 bits, ECDSA with P-256, P-384 or P-521, or Ed25519",
            files.key.display()
        )
    })
}

/// Says that the key is not the certificate's.
fn mismatch(files: &Identity, certified: &CertifiedKey) -> anyhow::Error {
    let (cert, key) = (files.cert.display(), files.key.display());
    let fits = |certificate: &CertificateDer<'static>| {
        CertifiedKey::new(vec![certificate.clone()], certified.key.clone())
            .keys_match()
            .is_ok()
    };
    match certified.cert.iter().position(fits) {
        Some(place) => anyhow!(
            "{key}: is the key of certificate {} in {cert}, and must be that of the first: write that one first, and its chain behind it",
            place + 1
        ),
        None => anyhow!("{key}: is not the key of the certificate in {cert}"),
    }
}
