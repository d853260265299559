//! Root certificates.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow, bail};
use rustls::RootCertStore;

use super::{FileContents, pem};

/// Those in a file, at least one.
pub(super) fn from_file(path: &Path, contents: &FileContents) -> Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for (place, certificate) in pem::certificates(path, contents)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| {
            let (file, number) = (path.display(), place + 1);
            anyhow!("{file}: certificate {number} in it cannot be used: {error}")
        })?;
    }
    Ok(Arc::new(roots))
}

/// Those of the platform, which are read when they are asked for first.
pub(super) fn platform() -> Result<Arc<RootCertStore>> {
    static KNOWN: Mutex<Option<Arc<RootCertStore>>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(roots) = &*known {
        return Ok(roots.clone());
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Platforms have some that cannot be parsed.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        let errors = match errors.is_empty() {
            true => String::new(),
            false => format!(" ({})", errors.join("; ")),
        };
        bail!(
            "the platform has no root certificates{errors}: install them (the package ca-certificates), or write `ca` or `pin` in the member's tls"
        );
    }
    Ok(known.insert(Arc::new(roots)).clone())
}
