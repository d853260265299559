//! TLS with clients: what openssl, curl and sslyze find at a listener.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};

use equipoise_harness::Process;
use equipoise_harness::certificates::CertificateFiles;
use equipoise_harness::process::STOPPING;
use serde_json::Value;
use tempfile::TempDir;

use crate::equipoise::Equipoise;
use crate::members::MEMBERS;
use crate::script;
use crate::tool::{Said, Tool};

/// What the log says when changed files are in force.
const TAKEN: &str = "the named files are read again and in force";

/// What a test has: a listener with TLS, before one member that answers with the request's head.
struct Shop {
    equipoise: Equipoise,
    authority: CertificateFiles,
}

impl Shop {
    fn open() -> Self {
        Self::open_to("")
    }

    /// With more keys of `tls`. There are certificates for `default.example`, `shop.example` and `*.shop.example`, and one
    /// of a client.
    fn open_to(more: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let authority = CertificateFiles::in_directory(directory.path());
        authority.vouch("default", &["default.example"]);
        authority.vouch("shop", &["shop.example"]);
        authority.vouch("wildcard", &["*.shop.example"]);
        authority.vouch("client", &["client.example"]);
        let pair = |name: &str| format!("{{ cert = \"{name}.pem\", key = \"{name}.key\" }}");
        let pairs = ["default", "shop", "wildcard"].map(pair).join(", ");
        let configuration = format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{pairs}]{more} }}\n{}",
            to_the_first_member()
        );
        let equipoise = Equipoise::serve(directory, &configuration, "info");
        Self {
            equipoise,
            authority,
        }
    }

    fn path(&self, file: &str) -> String {
        let path = self.equipoise.directory().join(file);
        path.to_string_lossy().into_owned()
    }

    /// openssl's client, which trusts the authority.
    #[track_caller]
    fn s_client(&self, arguments: &[&str]) -> Tool {
        Tool::openssl("s_client")
            .with(["-connect", &self.equipoise.address.to_string()])
            .with(["-CAfile", &self.path("ca.pem"), "-verify_return_error"])
            .with(arguments)
    }

    #[track_caller]
    fn shakes_hands(&self, arguments: &[&str]) -> Said {
        self.s_client(arguments).run()
    }

    /// curl, which takes the listener for `shop.example`.
    #[track_caller]
    fn curl(&self, arguments: &[&str]) -> Tool {
        let port = self.equipoise.address.port();
        Tool::curl()
            .with(["--cacert", &self.path("ca.pem")])
            .with(["--resolve", &format!("shop.example:{port}:127.0.0.1")])
            .with(arguments)
            .with([format!("https://shop.example:{port}/")])
    }
}

fn to_the_first_member() -> String {
    let member = MEMBERS.live(0);
    format!(
        "[[route]]\npath = \"/\"\nbalancer = \"cluster\"\n\
         [[balancer.cluster.member]]\nurl = \"http://{member}\"\n"
    )
}

#[test]
fn the_certificate_is_the_one_for_the_name_that_is_asked_for() {
    let shop = Shop::open();
    for (name, certificate) in [
        ("shop.example", "shop"),
        ("SHOP.example", "shop"),
        ("www.shop.example", "wildcard"),
        ("a.b.shop.example", "default"),
        ("other.example", "default"),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            let said = shop.shakes_hands(&["-servername", name, version]);
            assert!(said.is_success, "{said:?}");
            let subject = format!("subject=CN = {certificate}\n");
            let is_shown = said.output.replace("CN=", "CN = ").contains(&subject);
            assert!(is_shown, "{name}: {said:?}");
        }
    }
}

#[test]
fn a_client_that_names_nobody_gets_the_first_certificate() {
    let said = Shop::open().shakes_hands(&["-noservername"]);
    assert!(said.output.contains("default"), "{said:?}");
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_older_ones_are_refused() {
    let shop = Shop::open();
    for (flag, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = shop.shakes_hands(&[flag]);
        assert!(
            said.output.contains(&format!("New, {version}, ")),
            "{said:?}"
        );
    }
    // openssl itself has to be talked into it.
    for flag in ["-tls1_1", "-tls1"] {
        let said = shop.shakes_hands(&[flag, "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(!said.is_success, "{said:?}");
        assert!(said.errors.contains("alert"), "{said:?}");
    }
}

#[test]
fn only_tls_1_3_is_spoken_where_it_is_the_oldest() {
    let shop = Shop::open_to(", min-version = \"1.3\"");
    assert!(shop.shakes_hands(&["-tls1_3"]).is_success);
    assert!(!shop.shakes_hands(&["-tls1_2"]).is_success);
}

#[test]
fn the_protocol_is_the_one_of_ours_that_the_client_asks_for() {
    let shop = Shop::open();
    for (asked, taken) in [
        ("h2,http/1.1", "ALPN protocol: h2"),
        ("http/1.1,h2", "ALPN protocol: h2"),
        ("http/1.1", "ALPN protocol: http/1.1"),
        ("h3,http/1.1", "ALPN protocol: http/1.1"),
    ] {
        let said = shop.shakes_hands(&["-alpn", asked]);
        assert!(said.output.contains(taken), "{asked}: {said:?}");
    }
    let said = shop.shakes_hands(&["-alpn", "smtp"]);
    assert!(said.errors.contains("no application protocol"), "{said:?}");
}

#[test]
fn sessions_of_tls_1_2_are_resumed() {
    let said = Shop::open().shakes_hands(&["-tls1_2", "-reconnect"]);
    let resumed = said.output.matches("Reused, TLSv1.2").count();
    assert_eq!(resumed, 5, "{said:?}");
}

#[test]
fn sessions_of_tls_1_3_are_resumed() {
    let shop = Shop::open();
    let session = shop.path("session");
    let mut first = Visit::begin(shop.s_client(&["-tls1_3", "-ign_eof", "-sess_out", &session]));
    first.ask("close");
    first.read_to_end();
    let said = shop.shakes_hands(&["-tls1_3", "-sess_in", &session]);
    assert!(said.output.contains("Reused, TLSv1.3"), "{said:?}");
}

/// What a member hears of a client's certificate: base64 between colons, as RFC 9440 has it.
#[test]
fn an_optional_certificate_is_told_to_the_member_and_cannot_be_forged() {
    let shop = Shop::open_to(", client-ca = \"ca.pem\", client-auth = \"optional\"");
    let pem = fs::read_to_string(shop.path("client.pem")).expect("it was written");
    let told: String = pem.lines().filter(|line| !line.contains("-----")).collect();
    let told = format!("client-cert: :{told}:\r\n");
    let (cert, key) = (shop.path("client.pem"), shop.path("client.key"));
    let forged = [
        "-H",
        "Client-Cert: :Zm9yZ2Vk:",
        "-H",
        "Client_Cert: :Zm9yZ2Vk:",
    ];
    for version in ["--http1.1", "--http2"] {
        let shown = ["--cert", &cert, "--key", &key, version];
        let head = shop.curl(&[&forged[..], &shown].concat()).says();
        assert!(head.to_lowercase().contains(&told.to_lowercase()), "{head}");
        assert!(!head.contains("Zm9yZ2Vk"), "{head}");
        let head = shop.curl(&[&forged[..], &[version]].concat()).says();
        assert!(!head.to_lowercase().contains("client-cert"), "{head}");
        assert!(!head.contains("Zm9yZ2Vk"), "{head}");
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_even_where_none_is_needed() {
    let shop = Shop::open_to(", client-ca = \"ca.pem\", client-auth = \"optional\"");
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    CertificateFiles::in_directory(elsewhere.path()).vouch("client", &["client.example"]);
    let path = |file| elsewhere.path().join(file).to_string_lossy().into_owned();
    let said = shop
        .curl(&["--cert", &path("client.pem"), "--key", &path("client.key")])
        .run();
    assert!(!said.is_success, "{said:?}");
}

#[test]
fn a_required_certificate_is_required() {
    let shop = Shop::open_to(", client-ca = \"ca.pem\"");
    assert!(!shop.curl(&[]).run().is_success);
    let (cert, key) = (shop.path("client.pem"), shop.path("client.key"));
    shop.curl(&["--cert", &cert, "--key", &key]).says();
}

#[test]
fn a_certificate_that_nobody_asks_for_is_told_to_nobody() {
    let shop = Shop::open();
    let (cert, key) = (shop.path("client.pem"), shop.path("client.key"));
    let head = shop.curl(&["--cert", &cert, "--key", &key]).says();
    assert!(!head.to_lowercase().contains("client-cert"), "{head}");
}

#[test]
fn files_are_exchanged_while_connections_live() {
    let shop = Shop::open();
    let mut before = Visit::begin(shop.s_client(&["-servername", "shop.example", "-ign_eof"]));
    before.ask("keep-alive");
    before.read_until("host: 127.0.0.1");
    // The same name for another key: the fingerprint tells them apart.
    let fingerprint = |shop: &Shop| {
        let said = shop.shakes_hands(&["-servername", "shop.example"]);
        let pem = said.output;
        let (_, pem) = pem.split_once("-----BEGIN").expect("a certificate");
        pem.split("-----END").next().expect("text").to_owned()
    };
    let old = fingerprint(&shop);
    shop.authority.vouch("shop", &["shop.example"]);
    shop.equipoise.await_log(TAKEN);
    assert_ne!(fingerprint(&shop), old);
    before.ask("close");
    before.read_until("host: 127.0.0.1");
    before.read_to_end();
}

#[test]
fn plain_http_at_a_listener_with_tls_is_refused() {
    let shop = Shop::open();
    let url = format!("http://{}/", shop.equipoise.address);
    assert!(!Tool::curl().with([url]).run().is_success);
    // Other clients are served.
    shop.curl(&[]).says();
}

#[test]
fn plain_requests_are_sent_to_https_where_it_is_said() {
    let configuration = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\nhttps-redirect = 8443\n{}",
        to_the_first_member()
    );
    let equipoise = Equipoise::serve(directory(), &configuration, "error");
    let url = format!("http://{}/a?b=c", equipoise.address);
    let format = "%{response_code} %{redirect_url}";
    let said = Tool::curl()
        .with(["-H", "Host: shop.example", "-o", "/dev/null", "-w", format])
        .with([url])
        .says();
    let (status, location) = said.split_once(' ').expect("two words");
    assert!(["301", "308"].contains(&status), "{said}");
    assert_eq!(location, "https://shop.example:8443/a?b=c");
}

#[test]
fn sslyze_finds_no_old_protocol_no_weak_cipher_and_no_known_fault() {
    let shop = Shop::open();
    let address = shop.equipoise.address;
    // It fails where it does not know the issuer of the certificate.
    let said = script::module("sslyze", "sslyze")
        .with(["--json_out=-", "--mozilla_config=disable"])
        .with(SCANS)
        .with([format!("shop.example:{}{{127.0.0.1}}", address.port())])
        .run();
    let begin = said.output.find('{').unwrap_or_else(|| panic!("{said:?}"));
    let found: Value = serde_json::from_str(&said.output[begin..]).expect("JSON");
    let found = &found["server_scan_results"][0]["scan_result"];
    for old in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"] {
        assert_eq!(ciphers(found, old), Vec::<&str>::new(), "{old}");
    }
    for (version, expected) in [("tls_1_2", 6), ("tls_1_3", 3)] {
        let accepted = ciphers(found, version);
        assert!(
            !accepted.is_empty() && accepted.len() <= expected,
            "{accepted:?}"
        );
        let is_strong = |name: &&str| {
            (name.starts_with("TLS_ECDHE_") || version == "tls_1_3")
                && (name.contains("_GCM_") || name.contains("_CHACHA20_POLY1305"))
        };
        assert!(accepted.iter().all(is_strong), "{accepted:?}");
    }
    for (scan, fault, expected) in [
        ("heartbleed", "is_vulnerable_to_heartbleed", false),
        (
            "openssl_ccs_injection",
            "is_vulnerable_to_ccs_injection",
            false,
        ),
        ("tls_compression", "supports_compression", false),
        (
            "session_renegotiation",
            "is_vulnerable_to_client_renegotiation_dos",
            false,
        ),
        (
            "session_renegotiation",
            "supports_secure_renegotiation",
            true,
        ),
        ("tls_fallback_scsv", "supports_fallback_scsv", true),
        ("tls_1_3_early_data", "supports_early_data", false),
    ] {
        let result = &found[scan]["result"][fault];
        assert_eq!(result, expected, "{scan}: {}", found[scan]);
    }
    let robot = found["robot"]["result"]["robot_result"].as_str();
    assert!(
        robot.is_some_and(|it| it.starts_with("NOT_VULNERABLE")),
        "{robot:?}"
    );
}

const SCANS: [&str; 13] = [
    "--sslv2",
    "--sslv3",
    "--tlsv1",
    "--tlsv1_1",
    "--tlsv1_2",
    "--tlsv1_3",
    "--heartbleed",
    "--openssl_ccs",
    "--compression",
    "--reneg",
    "--fallback",
    "--robot",
    "--early_data",
];

/// The names of the ciphers that are accepted with this version.
fn ciphers<'found>(found: &'found Value, version: &str) -> Vec<&'found str> {
    let result = &found[format!("{version}_cipher_suites")]["result"];
    let accepted = result["accepted_cipher_suites"].as_array();
    let accepted = accepted.unwrap_or_else(|| panic!("{version} was not scanned: {result}"));
    let names = accepted
        .iter()
        .map(|it| it["cipher_suite"]["name"].as_str());
    names.map(|name| name.expect("a name")).collect()
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// A connection of openssl's client that is talked through.
struct Visit {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _process: Process,
}

impl Visit {
    fn begin(tool: Tool) -> Self {
        let mut command = tool.command();
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let command = command.stderr(Stdio::null());
        let process = Process::start_to_stop(command, STOPPING);
        let mut _process = process.expect("timeout is there");
        let child = _process.child();
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self {
            input,
            output,
            _process,
        }
    }

    /// Asks for something, with this word in `Connection`.
    fn ask(&mut self, connection: &str) {
        let request =
            format!("GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: {connection}\r\n\r\n");
        self.input
            .write_all(request.as_bytes())
            .expect("openssl reads");
    }

    /// Reads until a line has this.
    #[track_caller]
    fn read_until(&mut self, text: &str) {
        let mut line = String::new();
        while !line.to_lowercase().contains(text) {
            line.clear();
            let count = self.output.read_line(&mut line).expect("text");
            assert_ne!(count, 0, "the end, and no {text}");
        }
    }

    fn read_to_end(&mut self) {
        let mut line = String::new();
        while self
            .output
            .read_line(&mut line)
            .is_ok_and(|count| count > 0)
        {}
    }
}
