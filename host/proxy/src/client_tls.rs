//! What is known of a client by TLS.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::{ProtocolVersion, SupportedCipherSuite};
use tokio_rustls::server::TlsStream;

/// What the TLS handshake says about the client.
#[derive(Debug, Default)]
pub(crate) struct ClientTlsInfo {
    /// Its verified certificate, as `Client-Cert` has it (RFC 9440).
    pub(crate) certificate: Option<String>,
    version: Option<ProtocolVersion>,
    cipher: Option<SupportedCipherSuite>,
}

impl ClientTlsInfo {
    /// Of a connection whose handshake is over.
    pub(crate) fn of<S>(stream: &TlsStream<S>) -> Self {
        let (_, connection) = stream.get_ref();
        let shown = connection.peer_certificates();
        Self {
            certificate: shown.and_then(<[_]>::first).map(client_cert),
            version: connection.protocol_version(),
            cipher: connection.negotiated_cipher_suite(),
        }
    }

    /// The version of TLS, such as `TLSv1.3`; as OpenSSL says it.
    pub(crate) fn version(&self) -> &'static str {
        match self.version {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "",
        }
    }

    /// The cipher suite by its IANA name, such as `TLS_AES_128_GCM_SHA256`.
    pub(crate) fn cipher(&self) -> String {
        let name = self.cipher.and_then(|cipher| cipher.suite().as_str());
        name.unwrap_or_default().replacen("TLS13_", "TLS_", 1)
    }
}

/// A certificate as `Client-Cert` has it: a byte sequence of structured fields (RFC 9440, 2.1).
fn client_cert(certificate: &CertificateDer<'_>) -> String {
    format!(":{}:", STANDARD.encode(certificate))
}
