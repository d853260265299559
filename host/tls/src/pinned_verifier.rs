//! Verifies members by pinned certificates, or not at all.

use std::fmt::{self, Debug};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use thiserror::Error as ThisError;

use super::provider;
use equipoise_file_watch::{self as file_watch, Hash};

/// Accepts certificates of any issuer, name and date; the member must prove that it has the key.
#[derive(Debug)]
pub(super) struct PinnedVerifier {
    /// The hashes of those that are taken; `None` for any.
    pins: Option<Vec<Hash>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Why a certificate is not taken.
#[derive(ThisError)]
#[error("it has the hash sha256:{}, which is not pinned", hexadecimal(.0))]
struct NotPinned(Hash);

/// What rustls shows of it.
impl Debug for NotPinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PinnedVerifier {
    /// Takes those with one of these hashes.
    pub(super) fn pinned(pins: &[Hash]) -> Self {
        Self::new(Some(pins.to_vec()))
    }

    /// Takes any.
    pub(super) fn accept_any() -> Self {
        Self::new(None)
    }

    fn new(pins: Option<Vec<Hash>>) -> Self {
        let algorithms = provider().signature_verification_algorithms;
        Self { pins, algorithms }
    }
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let hash = file_watch::hash(certificate);
        match &self.pins {
            Some(pins) if !pins.contains(&hash) => {
                let reason = OtherError(Arc::new(NotPinned(hash)));
                Err(CertificateError::Other(reason).into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn hexadecimal(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
