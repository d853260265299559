//! Chooses the certificate by SNI.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::identity::{identity, names};
use super::{FileContents, all};
use equipoise_config::Identity;

/// The certificates of a listener.
#[derive(Debug)]
pub(super) struct Certificates {
    /// For each name in lower case those that have it, in the order of the configuration.
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// The same for wildcards: `*.example.com` is held as `example.com`.
    below: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For clients with another SNI, or none.
    first: Arc<CertifiedKey>,
}

impl Certificates {
    /// Certificates by their names.
    ///
    /// # Errors
    /// All files that cannot be used, one a line; or a certificate that no SNI could select.
    pub(super) fn new(files: &[Identity], contents: &FileContents) -> Result<Self> {
        let certified = files.iter().map(|files| identity(files, contents));
        let certified = all(certified)?;
        let mut certificates = Self {
            exact: HashMap::new(),
            below: HashMap::new(),
            first: certified
                .first()
                .context("there is no certificate")?
                .clone(),
        };
        for (place, (certified, files)) in certified.into_iter().zip(files).enumerate() {
            let names = names(&certified);
            if names.is_empty() && place > 0 {
                bail!(
                    "{}: has no DNS names (subjectAltName) in it, and only the first certificate may have none",
                    files.cert.display()
                );
            }
            certificates.add(&names, &certified);
        }
        Ok(certificates)
    }

    fn add(&mut self, names: &[String], certified: &Arc<CertifiedKey>) {
        for name in names {
            let same = match name.strip_prefix("*.") {
                Some(parent) => self.below.entry(parent.to_owned()),
                None => self.exact.entry(name.clone()),
            };
            same.or_default().push(certified.clone());
        }
    }

    /// Those for a name, the exact ones before wildcards; a wildcard stands for one label.
    fn named(&self, name: &str) -> Option<&Vec<Arc<CertifiedKey>>> {
        let name = name.to_ascii_lowercase();
        let below = || self.below.get(name.split_once('.')?.1);
        self.exact.get(&name).or_else(below)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.named(name));
        let Some(named) = named else {
            return Some(self.first.clone());
        };
        // One name may have certificates with keys of several kinds.
        let schemes = hello.signature_schemes();
        let mut usable = named.iter();
        let usable = usable.find(|it| it.key.choose_scheme(schemes).is_some());
        usable.or_else(|| named.first()).cloned()
    }
}
