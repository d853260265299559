//! Where a request comes from, as a container of AJP is told it beside the head.

use std::net::SocketAddr;

use equipoise_config::Member;
use equipoise_http::ajp::{Request, Tls};
use equipoise_http::{Edit, Head, Violation, host};

use crate::client_tls::ClientTlsInfo;

/// Columns of a certificate in PEM.
const PEM_COLUMNS: usize = 64;

/// Where a request comes from, and the member that is told it.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'r> {
    /// The client's end of its connection.
    pub(crate) client: SocketAddr,
    /// The listener's address, as it is configured.
    pub(crate) listener: SocketAddr,
    /// None without TLS.
    pub(crate) tls: Option<&'r ClientTlsInfo>,
    /// Its route and secret are told, too.
    pub(crate) member: &'r Member,
}

impl Origin<'_> {
    /// Writes the packet of a request.
    ///
    /// # Errors
    /// It cannot be said in a packet; nothing is written.
    pub(super) fn write(
        &self,
        head: &Head,
        edit: &Edit,
        max_packet: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        let authority = head.authority().unwrap_or_default();
        let (name, port) = authority.split_at(host::port_at(authority));
        let default = if self.tls.is_some() { 443 } else { 80 };
        let port = std::str::from_utf8(port)
            .ok()
            .and_then(|it| it.strip_prefix(':'));
        let ip = self.listener.ip();
        let local = (!ip.is_unspecified()).then(|| ip.to_string());
        let cipher = self.tls.map(ClientTlsInfo::cipher).unwrap_or_default();
        let shown = self.tls.and_then(|tls| tls.certificate.as_deref());
        let certificate = shown.map(pem);
        let tls = self.tls.map(|tls| Tls {
            cipher: &cipher,
            key_size: key_size(&cipher),
            protocol: tls.version(),
            certificate: certificate.as_deref(),
        });
        let request = Request {
            client_address: &self.client.ip().to_string(),
            client_port: self.client.port(),
            local_address: local.as_deref().unwrap_or_default(),
            server_name: std::str::from_utf8(name).unwrap_or_default(),
            server_port: port.and_then(|it| it.parse().ok()).unwrap_or(default),
            tls,
            route: self.member.settings.route.as_deref(),
            secret: self.member.secret.as_ref().map(|secret| secret.as_str()),
        };
        request.write(head, edit, max_packet, out)
    }
}

/// Bits of the key of a cipher suite, by its name.
fn key_size(cipher: &str) -> u16 {
    match cipher {
        _ if cipher.contains("AES_128") => 128,
        _ if cipher.contains("AES_256") || cipher.contains("CHACHA20") => 256,
        _ => 0,
    }
}

/// A certificate in PEM, of the one that `Client-Cert` has: Base64 between colons.
fn pem(client_cert: &str) -> String {
    let mut base64 = client_cert.trim_matches(':');
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    while !base64.is_empty() {
        let (line, rest) = base64.split_at(base64.len().min(PEM_COLUMNS));
        pem.push_str(line);
        pem.push('\n');
        base64 = rest;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_sizes_are_those_of_the_suites() {
        for (cipher, bits) in [
            ("TLS_AES_128_GCM_SHA256", 128),
            ("TLS_AES_256_GCM_SHA384", 256),
            ("TLS_CHACHA20_POLY1305_SHA256", 256),
            ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 256),
            ("", 0),
        ] {
            assert_eq!(key_size(cipher), bits, "{cipher}");
        }
    }

    #[test]
    fn certificates_become_pem_of_lines_of_64() {
        let base64 = "A".repeat(100);
        let expected = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n{}\n-----END CERTIFICATE-----\n",
            &base64[..64],
            &base64[64..]
        );
        assert_eq!(pem(&format!(":{base64}:")), expected);
    }
}
