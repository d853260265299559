//! The files for TLS: looked at before anything is served, and taken again when they change.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};

use crate::harness::certificates::{Authority, Pair};
use crate::harness::proxy::write_config;
use crate::harness::{Origin, Proxy, Signal, WAIT_TIMEOUT, program};

/// What the log says when changed files are in force.
const TAKEN: &str = "the named files are read again and in force";

/// A client that came by TLS and asked for `shop.example`.
pub(crate) struct Visitor(pub(crate) StreamOwned<ClientConnection, TcpStream>);

impl Visitor {
    #[track_caller]
    pub(crate) fn come(client: &Arc<ClientConfig>, address: SocketAddr) -> Self {
        let name = ServerName::try_from("shop.example").expect("a name");
        let stream = TcpStream::connect(address).expect("the proxy listens");
        stream
            .set_read_timeout(Some(WAIT_TIMEOUT))
            .expect("a socket");
        let connection = ClientConnection::new(client.clone(), name).expect("a client");
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).expect("TLS");
        }
        Self(stream)
    }

    /// The certificate that it was shown.
    fn shown(&self) -> CertificateDer<'_> {
        self.0.conn.peer_certificates().expect("a certificate")[0].clone()
    }

    /// Who serves a request on this connection.
    #[track_caller]
    pub(crate) fn get(&mut self) -> String {
        let request = b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
        self.0.write_all(request).expect("the proxy reads");
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") {
            self.0.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
        }
        let head = String::from_utf8(answer).expect("text").to_lowercase();
        let length = head.split("content-length: ").nth(1).expect("a length");
        let length = length.split("\r\n").next().expect("a line");
        let mut body = vec![0; length.parse().expect("a number")];
        self.0.read_exact(&mut body).expect("a body");
        String::from_utf8(body).expect("text")
    }
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

/// A proxy whose clients come by TLS, with these files.
fn start(member: &Origin, (cert, key): &Pair) -> Proxy {
    let toml = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{{ cert = \"shop.pem\", key = \"shop.key\" }}] }}\n\
         [[route]]\npath = \"/\"\nbalancer = \"cluster\"\n[[balancer.cluster.member]]\nurl = \"{}\"\n",
        member.url()
    );
    Proxy::with(&toml)
        .file("shop.pem", cert.as_bytes())
        .file("shop.key", key.as_bytes())
        .start()
}

fn write(proxy: &Proxy, file: &str, content: &str) {
    fs::write(proxy.path(file), content).expect("a file can be written");
}

#[test]
fn a_renewed_certificate_is_shown_to_new_connections_and_those_that_are_there_go_on() {
    let [member] = Origin::some();
    let authority = Authority::new();
    let (first, second) = (
        authority.vouch("shop.example"),
        authority.vouch("shop.example"),
    );
    let proxy = start(&member, &first);
    let client = authority.client();
    let mut before = Visitor::come(&client, proxy.address());
    assert_eq!(before.shown(), der(&first.0));
    assert_eq!(before.get(), "b1");

    write(&proxy, "shop.pem", &second.0);
    write(&proxy, "shop.key", &second.1);
    proxy.stderr.line_with(TAKEN);
    let mut after = Visitor::come(&authority.client(), proxy.address());
    assert_eq!(after.shown(), der(&second.0));
    assert_eq!((after.get(), before.get()), ("b1".into(), "b1".into()));
    let url = format!("listening on https://{}", proxy.address());
    assert!(proxy.stdout.text().contains(&url));
}

/// The key comes later than its certificate: what served before goes on, also when the configuration changes meanwhile.
#[test]
fn files_that_do_not_fit_each_other_yet_change_nothing() {
    let [b1, b2] = Origin::some();
    let authority = Authority::new();
    let (first, second) = (
        authority.vouch("shop.example"),
        authority.vouch("shop.example"),
    );
    let proxy = start(&b1, &first);
    write(&proxy, "shop.pem", &second.0);
    let told = "shop.key: is not the key of the certificate in ";
    let line = proxy.stderr.line_with(told);
    assert!(line.contains("listen[0].tls: "), "{line}");
    assert!(line.contains("; what served before goes on"), "{line}");
    let shown = || Visitor::come(&authority.client(), proxy.address());
    assert_eq!(shown().shown(), der(&first.0));

    let toml = fs::read_to_string(proxy.path("equipoise.toml")).expect("the configuration");
    write(
        &proxy,
        "equipoise.toml",
        &toml.replace(&*b1.url(), &b2.url()),
    );
    proxy
        .stderr
        .line_with("the configuration is read again and in force");
    let mut visitor = shown();
    assert_eq!(visitor.shown(), der(&first.0));
    assert_eq!(visitor.get(), "b2");

    write(&proxy, "shop.key", &second.1);
    proxy.stderr.line_with(TAKEN);
    assert_eq!(shown().shown(), der(&second.0));
    assert_eq!(proxy.stderr.count(told), 1);
}

#[test]
fn a_file_that_is_gone_changes_nothing_until_it_is_back() {
    let [member] = Origin::some();
    let authority = Authority::new();
    let (first, second) = (
        authority.vouch("shop.example"),
        authority.vouch("shop.example"),
    );
    let proxy = start(&member, &first);
    fs::remove_file(proxy.path("shop.pem")).expect("a file");
    proxy
        .stderr
        .line_with("shop.pem: cannot be read: No such file");
    let shown = || Visitor::come(&authority.client(), proxy.address());
    assert_eq!(shown().shown(), der(&first.0));
    write(&proxy, "shop.pem", &second.0);
    write(&proxy, "shop.key", &second.1);
    proxy.stderr.line_with(TAKEN);
    assert_eq!(shown().shown(), der(&second.0));
}

/// A configuration whose files for TLS are of no use: a listener's, and those of two members.
const UNUSABLE: &str = r#"[[listen]]
address = "127.0.0.1:0"
tls = { certificates = [{ cert = "shop.pem", key = "other.key" }], client-ca = "none.pem" }
[[route]]
path = "/"
balancer = "cluster"
[[balancer.cluster.member]]
url = "https://a.internal"
tls = { ca = "shop.key" }
[[balancer.cluster.member]]
url = "wss://b.internal"
tls = { pin = ["sha256:0000000000000000000000000000000000000000000000000000000000000000"], cert = "gone.pem", key = "shop.key" }
"#;

#[test]
fn every_file_that_cannot_be_used_is_told_by_check_and_keeps_the_program_from_starting() {
    let authority = Authority::new();
    let (certificate, key) = authority.vouch("shop.example");
    let (_, other) = authority.vouch("shop.example");
    let folder = tempfile::tempdir().expect("a folder");
    let path = write_config(folder.path(), UNUSABLE);
    for (file, content) in [
        ("shop.pem", certificate),
        ("shop.key", key),
        ("other.key", other),
    ] {
        fs::write(folder.path().join(file), content).expect("a file can be written");
    }
    for command in ["check", "run"] {
        let output = program(&[command, path.to_str().expect("UTF-8")]).output();
        let output = output.expect("the program runs");
        assert!(!output.status.success());
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        let told = told.replace(&format!("{}/", folder.path().display()), "");
        let expected = [
            "listen[0].tls: other.key: is not the key of the certificate in shop.pem",
            "listen[0].tls: none.pem: cannot be read: No such file or directory (os error 2)",
            "balancer.cluster.member[0].tls: shop.key: has a key in it and no certificate: name the certificate's file",
            "balancer.cluster.member[1].tls: gone.pem: cannot be read: No such file or directory (os error 2)",
        ];
        assert_eq!(told.lines().collect::<Vec<_>>(), expected, "{command}");
    }
}

#[test]
fn a_change_of_the_configuration_is_refused_with_files_that_cannot_be_used() {
    let [member] = Origin::some();
    let authority = Authority::new();
    let first = authority.vouch("shop.example");
    let proxy = start(&member, &first);
    let toml = fs::read_to_string(proxy.path("equipoise.toml")).expect("the configuration");
    let added =
        "[[balancer.cluster.member]]\nurl = \"https://a.internal\"\ntls = { ca = \"none.pem\" }\n";
    write(&proxy, "equipoise.toml", &format!("{toml}{added}"));
    proxy.stderr.line_with("balancer.cluster.member[1].tls: ");
    proxy
        .stderr
        .line_with("the configuration before stays in force");
    assert_eq!(
        Visitor::come(&authority.client(), proxy.address()).get(),
        "b1"
    );
}

/// A member by TLS that responds `ok`, with the certificate of this CA.
fn member_by_tls((certificate, key): &Pair) -> SocketAddr {
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![der(certificate)], key)
        .expect("a certificate");
    let (config, listener) = (
        Arc::new(config),
        TcpListener::bind("127.0.0.1:0").expect("a port"),
    );
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(config.clone()).expect("a server");
            // Some who come do not like what they see.
            let _ = answer(StreamOwned::new(connection, stream));
        }
    });
    address
}

fn answer(mut stream: StreamOwned<ServerConnection, TcpStream>) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// A proxy with one member by TLS, which says this in `tls`.
fn start_before(member: SocketAddr, tls: &str, ca: &Authority) -> Proxy {
    let keys = format!("retry = \"0s\"\ntls = {{ {tls} }}");
    Proxy::before(&[])
        .member_at(&format!("https://{member}"), &keys)
        .file("ca.pem", ca.pem())
        .start()
}

#[test]
fn a_member_is_verified_by_what_the_file_of_its_ca_has_now() {
    let (wrong, right) = (Authority::new(), Authority::new());
    let member = member_by_tls(&right.vouch("app.internal"));
    let tls = "ca = \"ca.pem\", server-name = \"app.internal\"";
    let proxy = start_before(member, tls, &wrong);
    assert_eq!(proxy.served(1), ["503"]);
    write(&proxy, "ca.pem", &right.pem());
    proxy.stderr.line_with(TAKEN);
    assert_eq!(proxy.served(2), ["ok", "ok"]);
    write(&proxy, "ca.pem", &wrong.pem());
    proxy.stderr.when(TAKEN, |lines| {
        let taken = lines.iter().filter(|line| line.contains(TAKEN)).count();
        (taken == 2).then_some(())
    });
    assert_eq!(proxy.served(1), ["503"]);
}

#[test]
fn a_member_that_anybody_may_pose_as_is_warned_of_when_it_comes() {
    let authority = Authority::new();
    let member = member_by_tls(&authority.vouch("app.internal"));
    let proxy = start_before(member, "verify = false", &authority);
    let warning = "its TLS certificate is not verified";
    let line = proxy.stderr.line_with(warning);
    assert!(line.contains(&format!("https://{member}")), "{line}");
    assert_eq!(proxy.served(1), ["ok"]);

    proxy.signal(Signal::HUP);
    proxy
        .stderr
        .line_with("the configuration is read again and in force");
    assert_eq!(proxy.stderr.count(warning), 1);
}
