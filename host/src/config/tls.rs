//! `tls`: of listeners and of members.

use std::path::PathBuf;

/// `tls` of a listener: clients come by TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// `certificates`: one is taken by the name that a client asks for, exact names before wildcards; the first is for all
    /// others. At least one.
    pub certificates: Vec<Identity>,
    /// `client-ca`: who vouches for clients' certificates, as PEM. There if `client_auth` is not off.
    pub client_ca: Option<PathBuf>,
    /// `client-auth`: whether clients show certificates. Default off, and required where there is a `client-ca`.
    pub client_auth: ClientAuth,
    /// `min-version`: the oldest TLS that is spoken. Default 1.2.
    pub min_version: TlsVersion,
}

/// A certificate with its chain, and its key; files of PEM, relative to the configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `cert`: the certificate, and behind it those that vouch for it.
    pub cert: PathBuf,
    /// `key`: PKCS#8, SEC1 or PKCS#1, not encrypted.
    pub key: PathBuf,
}

/// `client-auth`: whether clients show certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked for one.
    Off,
    /// They are asked, and may have none. One that nobody vouches for is refused.
    Optional,
    /// They need one.
    Required,
}

/// `min-version`: a version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// `"1.2"`.
    Tls12,
    /// `"1.3"`.
    Tls13,
}

/// `tls` of a member that is spoken to by TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientTls {
    /// `ca`, `pin` or `verify = false`: how the member proves who it is. Default: by the platform's roots.
    pub trust: Trust,
    /// `server-name`: who it is to be, and the name that it is asked by (SNI). Default: the host of its URL.
    pub server_name: Option<String>,
    /// `cert` and `key`: who we are. Default: we show no certificate.
    pub identity: Option<Identity>,
}

/// How a member proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// By a certificate for its name that the platform's roots vouch for.
    #[default]
    Platform,
    /// `ca`: by a certificate for its name that one of these, as PEM, vouches for.
    Ca(PathBuf),
    /// `pin`: by a certificate with one of these SHA-256 hashes, whoever vouches for it, and whatever its name and dates.
    Pinned(Vec<[u8; 32]>),
    /// `verify = false`: not at all.
    Nobody,
}
