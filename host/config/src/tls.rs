//! `tls`: of listeners and of members.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::name;
use super::table::Table;
use super::value::{Parsed, boolean, choice, text_as};

/// The keys of a listener's `tls`.
pub(super) const SERVER_KEYS: &[&str] =
    &["certificates", "client-ca", "client-auth", "min-version"];

/// The keys of each of `certificates`.
pub(super) const CERTIFICATE_KEYS: &[&str] = &["cert", "key"];

/// The keys of a member's `tls`.
pub(super) const CLIENT_KEYS: &[&str] = &["ca", "pin", "verify", "server-name", "cert", "key"];

const CLIENT_AUTH: &[(&str, ClientAuth)] = &[
    ("off", ClientAuth::Off),
    ("optional", ClientAuth::Optional),
    ("required", ClientAuth::Required),
];

const VERSIONS: &[(&str, TlsVersion)] = &[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];

/// The form of a pin.
const PIN: &str = "must be `sha256:` and the 64 hexadecimal digits of a certificate's hash, as `openssl x509 -in FILE -noout -fingerprint -sha256` shows it";

/// `tls` of a listener: clients come by TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// `certificates`: one is chosen by SNI, exact names before wildcards; the first is for all
    /// others. At least one.
    pub certificates: Vec<Identity>,
    /// `client-ca`: the CA that signs clients' certificates, as PEM. There if `client_auth` is not off.
    pub client_ca: Option<PathBuf>,
    /// `client-auth`: whether clients show certificates. Default off, and required where there is a `client-ca`.
    pub client_auth: ClientAuth,
    /// `min-version`: the oldest TLS that is spoken. Default 1.2.
    pub min_version: TlsVersion,
}

/// A certificate with its chain, and its key; files of PEM, relative to the configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `cert`: the certificate, and its chain behind it.
    pub cert: PathBuf,
    /// `key`: PKCS#8, SEC1 or PKCS#1, not encrypted.
    pub key: PathBuf,
}

/// `client-auth`: whether clients show certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// Not requested.
    Off,
    /// Requested, but not required. One that the CA has not signed is refused.
    Optional,
    /// Required.
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
    /// `server-name`: the name that is verified, and sent as SNI. Default: the host of its URL.
    pub server_name: Option<String>,
    /// `cert` and `key`: the client certificate. Default: none.
    pub identity: Option<Identity>,
}

/// How a member proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// By a certificate for its name that a platform's root has signed.
    #[default]
    Platform,
    /// `ca`: by a certificate for its name that one of these CAs, as PEM, has signed.
    Ca(PathBuf),
    /// `pin`: by a certificate with one of these SHA-256 hashes, whatever its issuer, names and dates.
    Pinned(Vec<[u8; 32]>),
    /// `verify = false`: not at all.
    Insecure,
}

/// Reads `tls` of a listener; its files are relative to the folder of the file at `path`.
pub(super) fn read_server_tls(listener: &Table<'_>, path: &Path) -> Option<ServerTls> {
    let table = listener.table("tls", SERVER_KEYS)?;
    let example = "cert = \"shop.pem\" and key = \"shop.key\"";
    let tables = table.required_tables("certificates", CERTIFICATE_KEYS, example);
    let certificates: Vec<_> = tables
        .iter()
        .map(|table| read_identity(table, path))
        .collect();
    let client_ca = table.read("client-ca", file(path, "\"ca.pem\""));
    let client_auth = table.read("client-auth", choice(CLIENT_AUTH));
    check_client_auth(&table, client_auth);
    let min_version = table.read("min-version", choice(VERSIONS));
    let default_auth = match client_ca {
        Some(_) => ClientAuth::Required,
        None => ClientAuth::Off,
    };
    Some(ServerTls {
        certificates: certificates.into_iter().collect::<Option<_>>()?,
        client_ca,
        client_auth: client_auth.unwrap_or(default_auth),
        min_version: min_version.unwrap_or(TlsVersion::Tls12),
    })
}

impl ServerTls {
    /// The files of a listener.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let certificates = self.certificates.iter().flat_map(Identity::files);
        certificates.chain(self.client_ca.clone()).collect()
    }
}

impl ClientTls {
    /// The files of a member.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let ca = match &self.trust {
            Trust::Ca(ca) => Some(ca.clone()),
            Trust::Platform | Trust::Pinned(_) | Trust::Insecure => None,
        };
        let identity = self.identity.iter().flat_map(Identity::files);
        identity.chain(ca).collect()
    }
}

impl Identity {
    fn files(&self) -> [PathBuf; 2] {
        [self.cert.clone(), self.key.clone()]
    }
}

/// Client certificates need a CA, and a CA needs client certificates.
fn check_client_auth(table: &Table<'_>, written: Option<ClientAuth>) {
    match written {
        Some(ClientAuth::Optional | ClientAuth::Required) if !table.has("client-ca") => {
            let why = "write the CA of clients' certificates, such as client-ca = \"ca.pem\"";
            table.missing("client-ca", why);
        }
        Some(ClientAuth::Off) if table.has("client-ca") => {
            let remedy = "does nothing with client-auth = \"off\": leave it out, or write \"optional\" or \"required\" there";
            table.refuse("client-ca", remedy);
        }
        _ => {}
    }
}

/// Reads `tls` of a member whose URL says that TLS is spoken.
pub(super) fn read_client_tls(member: &Table<'_>, path: &Path) -> Option<ClientTls> {
    let Some(table) = member.table("tls", CLIENT_KEYS) else {
        return (!member.has("tls")).then(ClientTls::default);
    };
    let trust = read_trust(&table, path);
    let server_name = table.read("server-name", text_as(server_name));
    let has_identity = table.has("cert") || table.has("key");
    let identity = has_identity.then(|| read_identity(&table, path));
    Some(ClientTls {
        trust: trust?,
        server_name,
        identity: identity.flatten(),
    })
}

fn read_trust(table: &Table<'_>, path: &Path) -> Option<Trust> {
    let ca = table.read("ca", file(path, "\"internal.pem\""));
    let pins = table.list("pin", "[\"sha256:…\"]", text_as(pin));
    let verify = table.read("verify", boolean).unwrap_or(true);
    let (has_ca, has_pin) = (table.has("ca"), table.has("pin"));
    if has_ca && has_pin {
        table.refuse(
            "pin",
            "cannot be combined with ca: a pinned certificate needs no CA",
        );
    }
    if !verify && (has_ca || has_pin) {
        table.refuse(
            "verify",
            "contradicts ca and pin: leave it out to have the member verified",
        );
    }
    match (ca, has_pin, verify) {
        (Some(ca), false, true) => Some(Trust::Ca(ca)),
        (None, true, true) => pinned(table, pins),
        (None, false, true) if !has_ca => Some(Trust::Platform),
        (None, false, false) => Some(Trust::Insecure),
        _ => None,
    }
}

fn pinned(table: &Table<'_>, pins: Vec<[u8; 32]>) -> Option<Trust> {
    table.read("pin", |list| match list.as_array() {
        Some(pins) if pins.is_empty() => Err(format!("must have a pin in it, which {PIN}")),
        _ => Ok(()),
    })?;
    Some(Trust::Pinned(pins))
}

/// `cert` and `key`, which go together.
fn read_identity(table: &Table<'_>, path: &Path) -> Option<Identity> {
    let why = "write the file with the certificate and its chain, such as cert = \"shop.pem\"";
    let cert = table.require("cert", why, file(path, "\"shop.pem\""));
    let why = "write the file with the certificate's key, such as key = \"shop.key\"";
    let key = table.require("key", why, file(path, "\"shop.key\""));
    Some(Identity {
        cert: cert?,
        key: key?,
    })
}

/// A file's name.
fn file(path: &Path, example: &'static str) -> impl Fn(&DeValue<'_>) -> Parsed<PathBuf> {
    text_as(move |text| name::file(path, text, example))
}

/// A host name or an IP address, without brackets.
fn server_name(text: &str) -> Parsed<String> {
    let host = name::host(text)?;
    Ok(host.trim_matches(['[', ']']).to_owned())
}

/// `sha256:` and hexadecimal digits in either case, perhaps with colons between them.
fn pin(text: &str) -> Parsed<[u8; 32]> {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    let digits: Vec<u8> = digits.bytes().filter(|byte| *byte != b':').collect();
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8]| Some((nibble(pair[0])? << 4 | nibble(pair[1])?) as u8);
    let bytes: Option<Vec<u8>> = digits.chunks_exact(2).map(byte).collect();
    let hash = bytes.filter(|_| digits.len() == 64);
    hash.and_then(|hash| hash.try_into().ok())
        .ok_or_else(|| PIN.to_owned())
}
