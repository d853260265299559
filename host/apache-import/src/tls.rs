//! `SSL…` of servers and `SSLProxy…` of members.

use std::path::Path;

use super::directive::Directive;
use super::report::Report;
use super::server::Server;
use super::writer::{Table, inline, quoted};

/// How members by TLS are spoken to.
#[derive(Debug, Default)]
pub(crate) struct MemberTls<'d> {
    verify: Option<&'d Directive>,
    ca: Option<(&'d Directive, String)>,
    identity: Option<(&'d Directive, String)>,
    unchecked_name: Option<&'d Directive>,
}

const SECTION: &str = "docs/apache-differences.md#tls-and-schemes";

impl<'d> MemberTls<'d> {
    /// What a server, or the main one in its place, says.
    pub(crate) fn of(server: &Server<'d>, main: &Server<'d>, root: &Path) -> Self {
        let single = |key: &str| server.single(key).or_else(|| main.single(key));
        let file = |key: &str| single(key).map(|by| (by, in_root(root, by.word(0))));
        let off = |by: &&Directive| by.switch() == Some(false);
        let name = single("sslproxycheckpeername").or_else(|| single("sslproxycheckpeercn"));
        Self {
            verify: single("sslproxyverify"),
            ca: file("sslproxycacertificatefile"),
            identity: file("sslproxymachinecertificatefile"),
            unchecked_name: name.filter(off),
        }
    }

    /// Writes `tls` of a member.
    pub(crate) fn write(&self, table: &mut Table, member: &Directive, report: &mut Report) {
        let mut keys = Vec::new();
        let verify = self.verify.map(|by| by.word(0).to_ascii_lowercase());
        match (self.verify, verify.as_deref(), &self.ca) {
            (Some(by), Some("none"), _) => {
                keys.push(("verify", "false".to_owned()));
                let text = "members are not verified: any program at their address may pose as them. Write SSLProxyVerify require and SSLProxyCACertificateFile";
                report.differs_as(by, text, SECTION);
            }
            (verify, _, Some((by, ca))) => {
                keys.push(("ca", quoted(ca)));
                report.carried(by);
                if let Some(verify) = verify {
                    report.carried(verify);
                }
            }
            (verify, _, None) => {
                if let Some(verify) = verify {
                    report.carried(verify);
                } else {
                    let text = "is verified by the platform's roots: Apache asks for no proof here";
                    report.differs_as(member, text, SECTION);
                }
            }
        }
        if let Some(by) = self.unchecked_name
            && keys.iter().all(|(key, _)| *key != "verify")
        {
            let text = "the name in a member's certificate has to be the member's: write its `tls` with `server-name`";
            report.left_out(by, text);
        }
        if let Some((by, identity)) = &self.identity {
            keys.push(("cert", quoted(identity)));
            keys.push(("key", quoted(identity)));
            report.carried(by);
        }
        if !keys.is_empty() {
            table.set("tls", inline(keys));
        }
    }
}

/// `tls` of a listener whose virtual hosts these are, the one for all other names first; `None`: there is no certificate.
pub(crate) fn listener(
    servers: &[&Server<'_>],
    main: &Server<'_>,
    root: &Path,
    report: &mut Report,
) -> Option<String> {
    let mut certificates: Vec<String> = Vec::new();
    for server in servers {
        let whose = match server.several("sslcertificatefile").is_empty() {
            true => main,
            false => server,
        };
        let keys = whose.several("sslcertificatekeyfile");
        for (place, cert) in whose.several("sslcertificatefile").iter().enumerate() {
            let key = keys.get(place).copied().unwrap_or(cert);
            report.carried(cert);
            report.carried(key);
            let pair = [("cert", cert), ("key", &key)];
            let pair = pair.map(|(name, by)| (name, quoted(&in_root(root, by.word(0)))));
            let written = inline(pair);
            if !certificates.contains(&written) {
                certificates.push(written);
            }
        }
        if let Some(chain) = whose.single("sslcertificatechainfile") {
            let text = "write the chain behind the certificate, into one file: `cat CERT CHAIN`";
            report.left_out(chain, text);
        }
    }
    let mut keys = vec![("certificates", format!("[{}]", certificates.join(", ")))];
    if let Some(first) = servers.first() {
        keys.extend(clients(servers, main, root, report));
        keys.extend(version(first, main, report));
    }
    (!certificates.is_empty()).then(|| inline(keys))
}

/// `client-ca` and `client-auth`.
fn clients(
    servers: &[&Server<'_>],
    main: &Server<'_>,
    root: &Path,
    report: &mut Report,
) -> Vec<(&'static str, String)> {
    let verify = |server: &Server<'_>| {
        let by = verify_client(server, main);
        by.map_or_else(|| "none".to_owned(), |by| by.word(0).to_ascii_lowercase())
    };
    let Some(first) = servers.first() else {
        return Vec::new();
    };
    let said = verify(first);
    let different = servers.iter().find(|server| verify(server) != said);
    if let Some(by) = different.and_then(|it| verify_client(it, main).or(it.section)) {
        let text = "clients' certificates are asked for by listener, not by name: give the name a port of its own";
        report.refused(by, text);
    }
    let Some(by) = verify_client(first, main) else {
        return Vec::new();
    };
    let auth = match &*said {
        "require" => "required",
        "optional" => "optional",
        "none" => return Vec::new(),
        _ => {
            let text = "a certificate that no one vouches for is refused here";
            report.refused(by, text);
            return Vec::new();
        }
    };
    let ca = first.single("sslcacertificatefile");
    let Some(ca) = ca.or_else(|| main.single("sslcacertificatefile")) else {
        report.refused(by, "needs SSLCACertificateFile");
        return Vec::new();
    };
    report.carried(by);
    report.carried(ca);
    vec![
        ("client-ca", quoted(&in_root(root, ca.word(0)))),
        ("client-auth", quoted(auth)),
    ]
}

/// `SSLVerifyClient` of a server, or of the main one in its place.
fn verify_client<'d>(server: &Server<'d>, main: &Server<'d>) -> Option<&'d Directive> {
    let own = server.single("sslverifyclient");
    own.or_else(|| main.single("sslverifyclient"))
}

/// `min-version`.
fn version(
    server: &Server<'_>,
    main: &Server<'_>,
    report: &mut Report,
) -> Option<(&'static str, String)> {
    let by = server
        .single("sslprotocol")
        .or_else(|| main.single("sslprotocol"))?;
    let mut spoken: Vec<&str> = Vec::new();
    const ALL: [&str; 4] = ["tlsv1", "tlsv1.1", "tlsv1.2", "tlsv1.3"];
    for word in by.text.to_ascii_lowercase().split_whitespace() {
        let (sign, name) = match word.strip_prefix(['+', '-']) {
            Some(name) => (word.get(..1), name),
            None => (None, word),
        };
        let named: Vec<&str> = match name {
            "all" => ALL.to_vec(),
            name => ALL.into_iter().filter(|it| *it == name).collect(),
        };
        match sign {
            Some("-") => spoken.retain(|it| !named.contains(it)),
            Some(_) => spoken.extend(named),
            None => spoken = named,
        }
    }
    if spoken.contains(&"tlsv1") || spoken.contains(&"tlsv1.1") {
        let text = "TLS 1.2 is the oldest that is spoken here";
        report.differs_as(by, text, SECTION);
    } else {
        report.carried(by);
    }
    let only_newest = spoken.contains(&"tlsv1.3") && !spoken.contains(&"tlsv1.2");
    only_newest.then(|| ("min-version", quoted("1.3")))
}

/// A file as Apache finds it.
pub(crate) fn in_root(root: &Path, file: &str) -> String {
    root.join(file).to_string_lossy().into_owned()
}
