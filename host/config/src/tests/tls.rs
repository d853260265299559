//! TLS of listeners and members, PROXY headers, schemes and upgrades.

use super::*;

/// The first listener of `GOOD` with these lines in it.
fn listener(lines: &str) -> Listener {
    good(&with(LISTEN, lines).0).listeners.remove(0)
}

/// The first member of `GOOD` with this URL and these lines.
fn member(url: &str, lines: &str) -> Member {
    let text = with(MEMBER, &format!("url = \"{url}\"")).0;
    let text = text.replacen("route = \"1\"", &format!("route = \"1\"\n{lines}"), 1);
    let mut config = good(&text);
    config.balancers.remove(0).members.remove(0)
}

fn identity(cert: &str, key: &str) -> Identity {
    Identity {
        cert: PathBuf::from("conf").join(cert),
        key: PathBuf::from("conf").join(key),
    }
}

#[test]
fn listeners_have_no_tls_and_no_proxy_headers_unless_they_say_so() {
    let listener = listener("");
    assert_eq!((listener.tls, listener.https_redirect), (None, None));
    assert_eq!(listener.proxy_from, []);
}

#[test]
fn certificates_of_listeners_are_beside_the_configuration() {
    let tls = listener(
        "tls = { certificates = [{ cert = \"a.pem\", key = \"a.key\" }, { cert = \"/b.pem\", key = \"/b.pem\" }] }",
    );
    let expected = ServerTls {
        certificates: vec![identity("a.pem", "a.key"), identity("/b.pem", "/b.pem")],
        client_ca: None,
        client_auth: ClientAuth::Off,
        min_version: TlsVersion::Tls12,
    };
    assert_eq!(tls.tls, Some(expected));
}

#[test]
fn tls_may_be_written_in_sections() {
    let text = GOOD.replace(
        "[[route]]",
        "[listen.tls]\nmin-version = \"1.3\"\n[[listen.tls.certificates]]\ncert = \"a.pem\"\nkey = \"a.key\"\n[[route]]",
    );
    let tls = good(&text).listeners.remove(0).tls.unwrap();
    assert_eq!(tls.certificates, [identity("a.pem", "a.key")]);
    assert_eq!(tls.min_version, TlsVersion::Tls13);
}

#[test]
fn client_certificates_are_required_where_a_ca_is_named_and_nothing_else() {
    let table = [
        ("", ClientAuth::Required),
        (", client-auth = \"required\"", ClientAuth::Required),
        (", client-auth = \"optional\"", ClientAuth::Optional),
    ];
    for (words, expected) in table {
        let line = format!(
            "tls = {{ certificates = [{{ cert = \"a\", key = \"b\" }}], client-ca = \"ca.pem\"{words} }}"
        );
        let tls = listener(&line).tls.unwrap();
        assert_eq!(tls.client_auth, expected, "{words}");
        assert_eq!(tls.client_ca, Some(PathBuf::from("conf/ca.pem")));
    }
}

#[test]
fn proxy_headers_come_from_networks() {
    let from = listener("proxy-protocol = { from = [\"10.0.0.0/8\", \"::1\"] }").proxy_from;
    let from: Vec<_> = from.iter().map(ToString::to_string).collect();
    assert_eq!(from, ["10.0.0.0/8", "::1/128"]);
    assert_eq!(listener("https-redirect = 8443").https_redirect, Some(8443));
}

#[test]
fn limits_of_slow_clients_and_streams_are_read() {
    let limits = |line: &str| good(&with(LIMITS, line).0).limits;
    assert_eq!(limits("client-rate = \"1KiB\"").client_rate, 1024);
    assert_eq!(limits("client-rate = \"0B\"").client_rate, 0);
    assert_eq!(
        limits("handshake-timeout = \"2s\"").handshake_timeout,
        Duration::from_secs(2)
    );
    assert_eq!(limits("streams = 10000").streams, 10_000);
}

#[test]
fn a_scheme_says_what_is_spoken_and_at_which_port() {
    let websocket = || Upgrade::To(vec!["websocket".to_owned()]);
    let table = [
        ("http", Protocol::Http1, false, 80, Upgrade::Never),
        ("https", Protocol::Negotiated, true, 443, Upgrade::Never),
        ("h2", Protocol::Http2, true, 443, Upgrade::Never),
        ("h2c", Protocol::Http2, false, 80, Upgrade::Never),
        ("ws", Protocol::Http1, false, 80, websocket()),
        ("WSS", Protocol::Http1, true, 443, websocket()),
        ("ajp", Protocol::Ajp, false, 8009, Upgrade::Never),
    ];
    for (scheme, protocol, is_tls, port, upgrade) in table {
        let read = member(&format!("{scheme}://App.internal"), "");
        assert_eq!(
            (read.protocol, read.is_tls(), read.port, &read.upgrade),
            (protocol, is_tls, port, &upgrade),
            "{scheme}"
        );
        let of_others = if is_tls { 80 } else { 443 };
        let table = [
            (String::new(), "app.internal".to_owned()),
            (format!(":{port}"), "app.internal".to_owned()),
            (format!(":{of_others}"), format!("app.internal:{of_others}")),
        ];
        for (written, authority) in table {
            let read = member(&format!("{scheme}://app.internal{written}"), "");
            assert_eq!(read.authority.as_str(), authority, "{scheme}{written}");
        }
    }
}

#[test]
fn a_member_at_a_socket_file_has_a_name_for_its_host_and_no_address() {
    let read = member(
        "unix:run/app.sock|h2c://127.0.0.1:81/base/",
        "hcmethod = \"GET\"",
    );
    assert_eq!(read.socket, Some(PathBuf::from("conf/run/app.sock")));
    assert_eq!((read.protocol, &*read.path), (Protocol::Http2, "/base"));
    assert_eq!(read.authority.as_str(), "127.0.0.1:81");
    assert_eq!(read.settings.address, None);
    let CheckKind::Http(check) = read.check.unwrap().kind else {
        panic!("no request");
    };
    assert_eq!(check.host, "127.0.0.1:81");
}

#[test]
fn checks_of_members_by_tls_go_to_the_scheme_s_port() {
    let check = member("https://app", "hcmethod = \"GET\"").check.unwrap();
    assert_eq!(check.port, None);
    let CheckKind::Http(http) = check.kind else {
        panic!("no request");
    };
    assert_eq!(http.host, "app");
}

#[test]
fn members_are_told_apart_by_where_they_are_and_what_is_spoken() {
    let urls = [
        "http://app",
        "http://app:81",
        "http://app/base",
        "https://app",
        "https://app:80",
        "h2c://app",
        "h2://app",
        "wss://app",
        "unix:/a|http://app",
        "unix:/b|http://app",
        "unix:/b|http://other",
    ];
    let members = urls.map(|url| member(url, ""));
    for (place, one) in members.iter().enumerate() {
        for (other_place, other) in members.iter().enumerate() {
            let (a, b) = (urls[place], urls[other_place]);
            assert_eq!(
                one.location() == other.location(),
                place == other_place,
                "{a} {b}"
            );
        }
    }
    let same = [
        ("http://app", "ws://APP:80/"),
        ("wss://app", "wss://app:443"),
        ("unix:/a|http://app", "unix:/a|http://app:80/"),
    ];
    for (one, other) in same {
        assert!(
            member(one, "").location() == member(other, "").location(),
            "{one} {other}"
        );
    }
}

#[test]
fn a_member_by_tls_proves_who_it_is_to_the_platform_s_roots_unless_it_says_otherwise() {
    let tls = |words: &str| member("https://app", words).tls.unwrap();
    assert_eq!(tls(""), ClientTls::default());
    assert_eq!(tls("tls = {}"), ClientTls::default());
    assert_eq!(tls("tls = { verify = true }").trust, Trust::Platform);
    assert_eq!(
        tls("tls = { ca = \"ca.pem\", verify = true }").trust,
        Trust::Ca(PathBuf::from("conf/ca.pem"))
    );
    assert_eq!(tls("tls = { verify = false }").trust, Trust::Insecure);
    let read = tls("tls = { server-name = \"App.Internal\", cert = \"c.pem\", key = \"c.key\" }");
    assert_eq!(read.server_name.as_deref(), Some("app.internal"));
    assert_eq!(read.identity, Some(identity("c.pem", "c.key")));
    let address = tls("tls = { server-name = \"[::1]\" }").server_name;
    assert_eq!(address.as_deref(), Some("::1"));
    assert_eq!(member("http://app", "").tls, None);
}

#[test]
fn pins_are_read_in_the_ways_that_they_are_shown() {
    let plain = "0f".repeat(32);
    let shown = vec!["0F"; 32].join(":");
    let line = format!("tls = {{ pin = [\"sha256:{plain}\", \"sha256:{shown}\"] }}");
    let tls = member("wss://app", &line).tls.unwrap();
    assert_eq!(tls.trust, Trust::Pinned(vec![[15; 32], [15; 32]]));
}

#[test]
fn upgrades_are_read_as_in_apache_or_as_a_list() {
    let to = |names: &[&str]| Upgrade::To(names.iter().map(|&name| name.to_owned()).collect());
    let table = [
        ("\"websocket\"", to(&["websocket"])),
        ("\"WebSocket\"", to(&["websocket"])),
        ("\"websocket, foo/2\"", to(&["websocket", "foo/2"])),
        ("\"websocket foo\"", to(&["websocket", "foo"])),
        ("[\"websocket\", \"foo\"]", to(&["websocket", "foo"])),
        ("\"ANY\"", Upgrade::Any),
        ("\"any\"", Upgrade::Any),
        ("\"NONE\"", Upgrade::Never),
    ];
    for (written, expected) in table {
        let line = format!("upgrade = {written}");
        assert_eq!(member("http://app", &line).upgrade, expected, "{written}");
    }
    assert_eq!(
        member("ws://app", "upgrade = \"NONE\"").upgrade,
        Upgrade::Never
    );
}

#[test]
fn tunnels_and_proxy_headers_of_members_are_read() {
    let bare = member("http://app", "");
    assert_eq!(bare.tunnel_timeout, Duration::from_secs(3600));
    assert_eq!(bare.proxy_header, None);
    let read = member(
        "http://app",
        "tunnel-timeout = \"2m\"\nproxy-protocol = \"v2\"",
    );
    assert_eq!(read.tunnel_timeout, Duration::from_secs(120));
    assert_eq!(read.proxy_header, Some(ProxyVersion::V2));
}

/// The header, the lines there, and what is said of them.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        LISTEN,
        "tls = {}",
        "listen[0].tls.certificates: is missing; write [[listen.tls.certificates]] with cert = \"shop.pem\"",
    ),
    (
        LISTEN,
        "tls = { certificates = [] }",
        "listen[0].tls.certificates: is missing",
    ),
    (
        LISTEN,
        "tls = { certificates = [{ cert = \"a\" }] }",
        "listen[0].tls.certificates[0].key: is missing; write the file with the certificate's key",
    ),
    (
        LISTEN,
        "tls = { certificates = [{ key = \"a\" }] }",
        "listen[0].tls.certificates[0].cert: is missing",
    ),
    (
        LISTEN,
        "tls = { certificates = [{ cert = \"\", key = \"a\" }] }",
        "must be a file's name, such as \"shop.pem\"",
    ),
    (
        LISTEN,
        "tls = { certificates = [{ cert = \"a\", key = \"b\" }], client-auth = \"optional\" }",
        "listen[0].tls.client-ca: is missing; write the CA of clients' certificates",
    ),
    (
        LISTEN,
        "tls = { certificates = [{ cert = \"a\", key = \"b\" }], client-ca = \"c\", client-auth = \"off\" }",
        "does nothing with client-auth = \"off\"",
    ),
    (
        LISTEN,
        "tls = { certificates = [{ cert = \"a\", key = \"b\" }], min-version = \"1.1\" }",
        "must be one of \"1.2\", \"1.3\"",
    ),
    (
        LISTEN,
        "tls = { SSLCertificateFile = \"a\" }",
        "it is called `cert` here",
    ),
    (
        LISTEN,
        "https-redirect = 0",
        "must be a whole number from 1 to 65535",
    ),
    (
        LISTEN,
        "https-redirect = 443\ntls = { certificates = [{ cert = \"a\", key = \"b\" }] }",
        "listen[0].https-redirect = 443: does nothing beside tls",
    ),
    (
        LISTEN,
        "proxy-protocol = true",
        "must be a table that holds some of: from",
    ),
    (
        LISTEN,
        "proxy-protocol = {}",
        "listen[0].proxy-protocol.from: is missing; write who sends PROXY headers",
    ),
    (
        LISTEN,
        "proxy-protocol = { from = [] }",
        "must name a network, such as [\"10.0.0.0/8\", \"127.0.0.1\"]",
    ),
    (
        LISTEN,
        "proxy-protocol = { from = [\"10.0.0.1/8\"] }",
        "must be a network's first address: write 10.0.0.0/8",
    ),
    (LIMITS, "client-rate = 240", "write \"240B\""),
    (
        LIMITS,
        "client-rate = \"2MiB\"",
        "must be a size from 0B to 1MiB",
    ),
    (
        LIMITS,
        "handshake-timeout = \"0s\"",
        "must be a duration from 1ms to 24h",
    ),
    (
        LIMITS,
        "streams = 0",
        "must be a whole number from 1 to 10000",
    ),
    (
        MEMBER,
        "tls = { ca = \"a\" }",
        "tls = { ca = \"a\" }: does nothing with this url: write it with https, h2 or wss",
    ),
    (
        MEMBER,
        "url = \"https://a\"\ntls = { ca = \"a\", pin = [\"sha256:00\"] }",
        "cannot be combined with ca",
    ),
    (
        MEMBER,
        "url = \"https://a\"\ntls = { ca = \"a\", verify = false }",
        "tls.verify = false: contradicts ca and pin",
    ),
    (
        MEMBER,
        "url = \"https://a\"\ntls = { pin = [] }",
        "must have a pin in it",
    ),
    (
        MEMBER,
        "url = \"https://a\"\ntls = { pin = [\"sha1:00\"] }",
        "must be `sha256:` and the 64 hexadecimal digits",
    ),
    (
        MEMBER,
        "url = \"https://a\"\ntls = { pin = [\"sha256:0g\"] }",
        "must be `sha256:` and the 64 hexadecimal digits",
    ),
    (
        MEMBER,
        "url = \"https://a\"\ntls = { verify = \"off\" }",
        "write `false`, without quotes",
    ),
    (
        MEMBER,
        "url = \"https://a\"\ntls = { cert = \"a\" }",
        "tls.key: is missing",
    ),
    (
        MEMBER,
        "url = \"https://a\"\ntls = { key = \"a\" }",
        "tls.cert: is missing",
    ),
    (
        MEMBER,
        "url = \"https://a\"\ntls = { server-name = \"a b\" }",
        "must be a host name",
    ),
    (
        MEMBER,
        "url = \"unix:/run/app.sock\"",
        "must have a URL behind its file: unix:/path|http://name",
    ),
    (
        MEMBER,
        "url = \"unix:|http://a\"",
        "must name a file, such as \"unix:/run/app.sock|http://app.internal\"",
    ),
    (MEMBER, "url = \"unix:/a|b\"", "must be http://host"),
    (
        MEMBER,
        "url = \"unix:/a|http://b\"\nkeepalive = true",
        "keepalive = true: does nothing for a member at a socket file",
    ),
    (
        MEMBER,
        "url = \"unix:/a|http://b\"\nhcmethod = \"GET\"\nhcport = 80",
        "hcport = 80: does nothing for a member at a socket file",
    ),
    (MEMBER, "upgrade = \"\"", "must name protocols"),
    (MEMBER, "upgrade = []", "must name protocols"),
    (
        MEMBER,
        "upgrade = [3]",
        "upgrade[0] = 3: must name protocols",
    ),
    (
        MEMBER,
        "upgrade = \"websocket, any\"",
        "`any` stands alone: write upgrade = \"any\"",
    ),
    (MEMBER, "upgrade = \"a/b/c\"", "must name protocols"),
    (MEMBER, "upgrade = \"h2c\"", "must not name `h2c`"),
    (MEMBER, "tunnel-timeout = 60", "write \"60s\""),
    (
        MEMBER,
        "proxy-protocol = \"v3\"",
        "must be one of \"v1\", \"v2\"",
    ),
];

#[test]
fn mistakes_say_what_would_be_right() {
    for (header, lines, remedy) in MISTAKES {
        let text = lines.lines().fold(GOOD.to_owned(), |text, line| {
            let key = line.split(" = ").next().unwrap();
            let (start, end) = text.split_once(&format!("{header}\n")).unwrap();
            let end: Vec<_> = end.lines().collect();
            let section = end.iter().take_while(|line| !line.starts_with('['));
            let section = section.filter(|line| !line.starts_with(&format!("{key} ")));
            let section: Vec<_> = section.copied().collect();
            let rest = end.iter().skip_while(|line| !line.starts_with('['));
            let rest: Vec<_> = rest.copied().collect();
            format!(
                "{start}{header}\n{line}\n{}\n{}\n",
                section.join("\n"),
                rest.join("\n")
            )
        });
        let found = mistakes(&text);
        let told = |message: &&String| message.contains(remedy);
        assert_eq!(
            found.iter().filter(told).count(),
            1,
            "{lines}: {remedy}\nbut {found:#?}"
        );
    }
}

#[test]
fn what_is_wrong_is_said_once() {
    let lines = "url = \"https://a\"\ntls = 3\n";
    let text = GOOD.replacen("url = \"http://127.0.0.1:9001\"\n", lines, 1);
    assert_eq!(mistakes(&text).len(), 1, "{:#?}", mistakes(&text));
}
