//! What fuzz targets need of the crate's inside: each function takes any bytes, and panics where a rule is broken. Not for
//! others.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use equipoise_apache_import::{Files, Kind, Options, import};
use equipoise_sdk::testing::{FakeEnv, FakeRequest};
use equipoise_sdk::{SessionReader as _, cookie};
use equipoise_session::Session;

use crate::background::heartbeat::HeartbeatMessage;
use equipoise_config::Config;
use equipoise_proxy::path;
use equipoise_proxy::proxy_protocol::{self, Parsed};

/// A configuration is read, or what is wrong is told.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Err(mistakes) = Config::parse(text, Path::new("fuzz.toml")) {
        assert!(!mistakes.to_string().is_empty(), "a mistake is told");
    }
}

/// Apache's configuration comes to one of ours, or what is wrong is told. Behind an LF and `=====` begins a file that can be
/// included as `more.conf`.
pub fn apache_config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (first, more) = text.split_once("\n=====").unwrap_or((&text, ""));
    let files = TwoFiles { first, more };
    let options = Options {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 80))],
        ..Options::default()
    };
    let path = Path::new("/etc/httpd.conf");
    let import = import(path, &files, &options);
    match &import.toml {
        Some(toml) => {
            let read = Config::parse(toml, path);
            assert!(read.is_ok(), "what is written can be read: {toml}");
        }
        None => assert!(
            import.report.is_refused(),
            "nothing is left, and it is told"
        ),
    }
    assert!(
        !import.report.to_string().contains('\u{1b}'),
        "what is told can be shown"
    );
}

/// The files of an import: the first, and one that it may include.
struct TwoFiles<'text> {
    first: &'text str,
    more: &'text str,
}

impl Files for TwoFiles<'_> {
    fn read(&self, file: &Path) -> io::Result<Vec<u8>> {
        let name = file.file_name().and_then(|name| name.to_str());
        match name {
            Some("httpd.conf") => Ok(self.first.into()),
            Some("more.conf") => Ok(self.more.into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(["httpd.conf", "more.conf"].map(str::to_owned).into())
    }

    fn kind(&self, path: &Path) -> Option<Kind> {
        let is_there = self.read(path).is_ok();
        is_there.then_some(Kind::File)
    }
}

/// A session's route is found in the path, the query or a cookie, and can be a member's. The first byte says how sessions are
/// named; then come the target and, behind an LF, the `Cookie` header.
pub fn cookies(bytes: &[u8]) {
    let Some((how, text)) = bytes.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    let (target, header) = text.split_once('\n').unwrap_or((&text, ""));
    let session = Session {
        cookie: "SID".to_owned(),
        parameter: "sid".to_owned(),
        separator: (how & 1 == 0).then_some('.'),
        semicolon_ends: how & 2 == 0,
        routes: (how & 4 == 0)
            .then(|| "r1".to_owned())
            .into_iter()
            .collect(),
    };
    let request = FakeRequest::get(target).with_header("cookie", header);
    if let Some(affinity) = session.read(&request, &FakeEnv::default()) {
        let route = format!("{affinity:?}");
        assert!(!route.is_empty() && !route.contains('\n'), "{route}");
    }
    if let Some(value) = cookie::find(header, "SID") {
        assert!(!value.is_empty() && !value.contains([';', ',']), "{value}");
    }
}

/// A path that is made unambiguous stays as it is, leads nowhere else, and is below the prefixes that it has.
pub fn paths(bytes: &[u8]) {
    let mut lines = bytes.splitn(2, |&byte| byte == b'\n');
    let raw = lines.next().unwrap_or_default();
    let prefix = String::from_utf8_lossy(lines.next().unwrap_or(b"/a"));
    let Some(path) = path::normalize(raw) else {
        return;
    };
    let text = path.escape_ascii();
    assert!(path.starts_with(b"/"), "{text}");
    assert_eq!(path::normalize(&path).as_deref(), Some(&*path));
    let mut segments = path.split(|byte| matches!(byte, b'/' | b'\\'));
    assert!(segments.all(|it| it != b"." && it != b".."), "{text}");
    if let Some(rest) = path::strip_prefix(&path, &prefix) {
        assert!(path.get(rest..).is_some(), "{text} without {prefix}");
        assert!(path::is_below(&path, &prefix), "{text} below {prefix}");
    }
}

/// A heartbeat is read or refused.
pub fn heartbeats(bytes: &[u8]) {
    if let Err(malformed) = HeartbeatMessage::parse(bytes) {
        assert!(!malformed.to_string().is_empty(), "a mistake is told");
    }
}

/// A PROXY header is found whole or not at all, and only where it ends.
pub fn proxy_headers(bytes: &[u8]) {
    match proxy_protocol::parse(bytes) {
        Parsed::Header { length, .. } => {
            assert!((1..=bytes.len()).contains(&length), "{length}");
            for end in 0..length {
                assert_eq!(proxy_protocol::parse(&bytes[..end]), Parsed::Incomplete);
            }
        }
        Parsed::Incomplete => assert!(bytes.len() < 4096, "it is waited for ever"),
        Parsed::Malformed(_) => {}
    }
}
