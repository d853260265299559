//! How members are spoken to.

use rustls::{CertificateError, Error};

use super::*;

/// A member with this URL.
fn member(url: &str) -> Member {
    let text = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nbalancer = \"a\"\n[[balancer.a.member]]\nurl = \"{url}\"\n"
    );
    let mut config = Config::parse(&text, Path::new("c.toml")).unwrap();
    config.balancers.remove(0).members.remove(0)
}

fn with(url: &str, tls: ClientTls) -> Member {
    Member {
        tls: Some(tls),
        ..member(url)
    }
}

fn connector(member: &Member) -> Result<Connector> {
    let files = member.tls.as_ref().map(ClientTls::files);
    let contents = FileContents::read(files.unwrap_or_default());
    Connector::new(member, &contents, None).map(Option::unwrap)
}

/// A client that verifies in this way.
pub(super) fn client(site: &Site, trust: Trust) -> Arc<ClientConfig> {
    let tls = ClientTls {
        trust,
        ..trusting(site)
    };
    connector(&with("https://shop.example", tls))
        .unwrap()
        .requests
        .config()
        .clone()
}

/// A client that shows a certificate.
pub(super) fn client_as(site: &Site, identity: Option<&Identity>) -> Arc<ClientConfig> {
    let tls = ClientTls {
        identity: identity.cloned(),
        ..trusting(site)
    };
    connector(&with("https://shop.example", tls))
        .unwrap()
        .requests
        .config()
        .clone()
}

fn trusting(site: &Site) -> ClientTls {
    ClientTls {
        trust: Trust::Ca(site.path("ca.pem")),
        ..ClientTls::default()
    }
}

fn error(client: &Arc<ClientConfig>, name: &str, server: &Arc<ServerConfig>) -> Error {
    shake(client, name, server).err().unwrap()
}

#[test]
fn a_member_needs_a_certificate_for_its_name_that_the_ca_vouches_for() {
    let site = Site::new();
    let identity = site.identity("shop", &["shop.example", "127.0.0.1"]);
    let server = server(&of(&[&identity])).unwrap();
    let trusting = client(&site, Trust::Ca(site.path("ca.pem")));
    for name in ["shop.example", "127.0.0.1"] {
        shake(&trusting, name, &server).unwrap();
    }
    let wrong = error(&trusting, "other.example", &server);
    assert!(
        matches!(
            wrong,
            Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. })
        ),
        "{wrong:?}"
    );
    let stranger = Site::new();
    let stranger = client(&stranger, Trust::Ca(stranger.path("ca.pem")));
    let wrong = error(&stranger, "shop.example", &server);
    assert!(matches!(wrong, Error::InvalidCertificate(_)), "{wrong:?}");
}

#[test]
fn an_expired_certificate_is_refused_unless_it_is_pinned() {
    let site = Site::new();
    let mut params = params(&["shop.example"]);
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
    let identity = site.certify("old", &params, KeyPair::generate().unwrap());
    let server = server(&of(&[&identity])).unwrap();
    let trusting = client(&site, Trust::Ca(site.path("ca.pem")));
    let wrong = error(&trusting, "shop.example", &server);
    assert!(
        matches!(
            wrong,
            Error::InvalidCertificate(CertificateError::ExpiredContext { .. })
        ),
        "{wrong:?}"
    );
    let pin = equipoise_file_watch::hash(&site.certificate(&identity));
    let pinning = client(&site, Trust::Pinned(vec![[7; 32], pin]));
    shake(&pinning, "other.example", &server).unwrap();
}

#[test]
fn a_certificate_that_is_not_pinned_is_refused_with_its_hash() {
    let site = Site::new();
    let identity = site.identity("shop", &["shop.example"]);
    let server = server(&of(&[&identity])).unwrap();
    let pinning = client(&site, Trust::Pinned(vec![[7; 32]]));
    let told = error(&pinning, "shop.example", &server).to_string();
    let hash = equipoise_file_watch::hash(&site.certificate(&identity));
    let shown: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(told.contains(&format!("sha256:{shown}")), "{told}");
}

/// Who shows a pinned certificate needs its key: the handshake's signature is verified.
#[test]
fn a_pinned_certificate_is_of_no_use_without_its_key() {
    let site = Site::new();
    let identity = site.identity("shop", &["shop.example"]);
    let stolen = site.certificate(&identity);
    let key = site.identity("thief", &["shop.example"]);
    let files = BTreeSet::from([key.cert.clone(), key.key.clone()]);
    let contents = FileContents::read(files);
    let own = identity::identity(&key, &contents).unwrap();
    let posing = rustls::sign::CertifiedKey::new(vec![stolen.clone()], own.key.clone());
    let posing = Arc::new(rustls::sign::SingleCertAndKey::from(posing));
    let pin = equipoise_file_watch::hash(&stolen);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(posing.clone());
        let server = Arc::new(server);
        for trust in [Trust::Pinned(vec![pin]), Trust::Insecure] {
            let client = client(&site, trust);
            let wrong = error(&client, "shop.example", &server);
            assert_eq!(
                wrong,
                Error::InvalidCertificate(CertificateError::BadSignature)
            );
        }
    }
}

#[test]
fn anybody_may_pose_as_a_member_that_is_not_verified() {
    let site = Site::new();
    let identity = site.identity("shop", &["shop.example"]);
    let server = server(&of(&[&identity])).unwrap();
    let client = client(&site, Trust::Insecure);
    shake(&client, "other.example", &server).unwrap();
}

/// Goal: with `preserve-host` the member has to be the host that the client named. Method: the host that is sent, and the name
/// that a member has a certificate for and is asked by.
#[test]
fn a_preserved_host_is_who_the_member_has_to_be_unless_it_has_a_server_name() {
    let site = Site::new();
    let names = ["shop.example", "app.internal", "127.0.0.1", "::1"];
    let identity = site.identity("shop", &names);
    let server = server(&of(&[&identity])).unwrap();
    let plain = connector(&with("https://app.internal", trusting(&site))).unwrap();
    let given = ClientTls {
        server_name: Some("app.internal".to_owned()),
        ..trusting(&site)
    };
    let given = connector(&with("https://10.0.0.1", given)).unwrap();
    let table = [
        (&plain, None, "app.internal", true),
        (&plain, Some("shop.example"), "shop.example", true),
        (&plain, Some("SHOP.example:8443"), "shop.example", true),
        (&plain, Some("shop.example."), "shop.example", true),
        (&plain, Some("127.0.0.1:8443"), "127.0.0.1", true),
        (&plain, Some("[::1]:8443"), "::1", true),
        (&plain, Some("other.example"), "other.example", false),
        (&given, None, "app.internal", true),
        (&given, Some("shop.example"), "app.internal", true),
        (&given, Some("other.example"), "app.internal", true),
    ];
    for (connector, sent, expected, is_accepted) in table {
        let name = connector.server_name(sent).unwrap();
        let name = name.to_str().to_ascii_lowercase();
        assert_eq!(name, expected, "{sent:?}");
        let shaken = shake(connector.requests.config(), &name, &server);
        assert_eq!(shaken.is_ok(), is_accepted, "{sent:?}");
        if let Ok(shaken) = shaken {
            let is_address = name.parse::<std::net::IpAddr>().is_ok();
            let asked = (!is_address).then_some(expected);
            assert_eq!(shaken.server.server_name(), asked, "{sent:?}");
        }
    }
}

#[test]
fn a_preserved_host_that_no_certificate_can_be_for_is_refused() {
    let site = Site::new();
    let plain = connector(&with("https://app.internal", trusting(&site))).unwrap();
    let long = "a".repeat(64);
    for host in [
        "",
        ":80",
        "a b",
        "a..b",
        "-a.example",
        "[::1",
        "münchen.example",
        &long,
    ] {
        let refused = plain
            .server_name(Some(host))
            .map_err(|error| error.to_string());
        let expected = format!("`{host}` is not a valid TLS server name");
        assert!(
            refused
                .as_ref()
                .is_err_and(|error| error.starts_with(&expected)),
            "{host}: {refused:?}"
        );
    }
}

#[test]
fn a_member_is_asked_by_its_server_name_or_its_host() {
    let site = Site::new();
    let name = |url: &str, server_name: Option<&str>| {
        let tls = ClientTls {
            server_name: server_name.map(str::to_owned),
            ..trusting(&site)
        };
        let connector = connector(&with(url, tls)).unwrap();
        connector.server_name(None).unwrap().to_str().into_owned()
    };
    assert_eq!(name("https://app.internal:81", None), "app.internal");
    assert_eq!(name("https://app.internal.", None), "app.internal");
    assert_eq!(name("https://[::1]", None), "::1");
    assert_eq!(
        name("https://127.0.0.1", Some("app.internal")),
        "app.internal"
    );
    assert_eq!(name("https://my_app", None), "my_app");
}

#[test]
fn what_is_offered_is_what_the_scheme_says() {
    let site = Site::new();
    let offered = |url: &str| {
        let connector = connector(&with(url, trusting(&site))).unwrap();
        let of = |tls: &tokio_rustls::TlsConnector| {
            let offered = tls.config().alpn_protocols.iter();
            let offered = offered.map(|it| String::from_utf8(it.clone()).unwrap());
            offered.collect::<Vec<_>>().join(" ")
        };
        (of(&connector.requests), of(&connector.upgrades))
    };
    let pair = |one: &str| (one.to_owned(), "http/1.1".to_owned());
    assert_eq!(offered("https://a"), pair("h2 http/1.1"));
    assert_eq!(offered("h2://a"), pair("h2"));
    assert_eq!(offered("wss://a"), pair("http/1.1"));
    assert_eq!(member("https://a").protocol, Protocol::Negotiated);
}

#[test]
fn members_resume_sessions_and_two_of_the_same_are_one() {
    let site = Site::new();
    let identity = site.identity("shop", &["shop.example"]);
    let server = server(&of(&[&identity])).unwrap();
    let member = with("https://shop.example", trusting(&site));
    let read = || FileContents::read(trusting(&site).files());
    let first = Connector::new(&member, &read(), None).unwrap().unwrap();
    shake(first.requests.config(), "shop.example", &server).unwrap();
    let again = Connector::new(&member, &read(), Some(&first)).unwrap();
    let again = again.unwrap();
    assert_eq!(again, first);
    let shaken = shake(again.requests.config(), "shop.example", &server).unwrap();
    assert!(shaken.is_resumed());

    site.write("ca.pem", &format!("{}\n", site.ca.pem()));
    let other = Connector::new(&member, &read(), Some(&first)).unwrap();
    let other = other.unwrap();
    assert_ne!(other, first, "its file has another content");
    let shaken = shake(other.requests.config(), "shop.example", &server).unwrap();
    assert!(!shaken.is_resumed());
}

#[test]
fn platform_has_roots_or_it_is_said_that_it_has_none() {
    let error = match connector(&member("https://shop.example")) {
        Ok(connector) => {
            let site = Site::new();
            let identity = site.identity("shop", &["shop.example"]);
            let server = server(&of(&[&identity])).unwrap();
            let client = connector.requests.config();
            return assert!(shake(client, "shop.example", &server).is_err());
        }
        Err(error) => error.to_string(),
    };
    assert!(error.contains("has no root certificates"), "{error}");
}

#[test]
fn members_without_tls_have_no_connector() {
    let contents = FileContents::read(BTreeSet::new());
    let none = Connector::new(&member("http://a"), &contents, None).unwrap();
    assert_eq!(none, None);
}
