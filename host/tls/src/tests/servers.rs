//! TLS settings of a listener.

use super::*;

#[test]
fn certificate_is_chosen_by_name_exact_before_wildcard_and_the_first_for_others() {
    let site = Site::new();
    let first = site.identity("first", &["first.example"]);
    let wild = site.identity("wild", &["*.shop.example", "shop.example"]);
    let exact = site.identity("exact", &["a.shop.example"]);
    let server = server(&of(&[&first, &wild, &exact])).unwrap();
    let client = Arc::new(site.client());
    let table = [
        ("first.example", &first),
        ("shop.example", &wild),
        ("b.shop.example", &wild),
        ("B.Shop.Example", &wild),
        ("a.shop.example", &exact),
    ];
    for (name, expected) in table {
        let shaken = shake(&client, name, &server).unwrap();
        assert_eq!(shaken.shown(), site.certificate(expected), "{name}");
    }
    for name in ["other.example", "x.b.shop.example", "example", "127.0.0.1"] {
        let pins = vec![equipoise_file_watch::hash(&site.certificate(&first))];
        let client = connectors::client(&site, Trust::Pinned(pins));
        let shaken = shake(&client, name, &server).unwrap();
        assert_eq!(shaken.shown(), site.certificate(&first), "{name}");
    }
}

#[test]
fn a_name_with_several_certificates_has_the_one_that_the_client_can_use() {
    let site = Site::new();
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let ed25519 = site.certify("ed25519", &params(&["shop.example"]), ed25519);
    let ecdsa = site.identity("ecdsa", &["shop.example"]);
    let server = server(&of(&[&ed25519, &ecdsa])).unwrap();
    let client = site.client();
    let shaken = shake(&Arc::new(client), "shop.example", &server).unwrap();
    assert_eq!(shaken.shown(), site.certificate(&ed25519));

    let mut old = provider().as_ref().clone();
    let all = old.signature_verification_algorithms;
    let without: Vec<_> = all
        .mapping
        .iter()
        .filter(|(scheme, _)| *scheme != rustls::SignatureScheme::ED25519)
        .copied()
        .collect();
    old.signature_verification_algorithms.mapping = without.leak();
    let mut roots = RootCertStore::empty();
    roots.add(site.ca.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(old))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let shaken = shake(&Arc::new(client), "shop.example", &server).unwrap();
    assert_eq!(shaken.shown(), site.certificate(&ecdsa));
}

#[test]
fn keys_are_taken_in_every_form() {
    let site = Site::new();
    let generate = |algorithm: &'static SignatureAlgorithm| KeyPair::generate_for(algorithm);
    let kinds = [
        ("ecdsa", generate(&PKCS_ECDSA_P256_SHA256).unwrap()),
        ("rsa", generate(&PKCS_RSA_SHA256).unwrap()),
        ("ed25519", generate(&PKCS_ED25519).unwrap()),
    ];
    for (kind, key) in kinds {
        let der = key.serialize_der();
        let identity = site.certify(kind, &params(&["shop.example"]), key);
        let mut forms = vec![std::fs::read_to_string(&identity.key).unwrap()];
        match kind {
            // What PKCS#8 wraps stands at its end.
            "ecdsa" => forms.push(wrapped("EC PRIVATE KEY", &der[der.len() - inner(&der)..])),
            "rsa" => forms.push(wrapped("RSA PRIVATE KEY", &der[der.len() - inner(&der)..])),
            _ => {}
        }
        for form in forms {
            site.write(&format!("{kind}.key"), &form);
            let server = server(&of(&[&identity])).unwrap_or_else(|error| panic!("{form}{error}"));
            shake(&Arc::new(site.client()), "shop.example", &server).unwrap();
        }
    }
}

/// How many bytes the key within PKCS#8 has: those of the last OCTET STRING, for what our keys are.
fn inner(der: &[u8]) -> usize {
    // SEQUENCE, INTEGER 0, SEQUENCE (algorithm), OCTET STRING.
    let (_, outer, _) = element(der);
    let (_, _, rest) = element(outer);
    let (_, _, rest) = element(rest);
    let (tag, key, rest) = element(rest);
    assert_eq!((tag, rest.len()), (4, 0));
    key.len()
}

/// Tag and content of the first element of DER, and what is behind it.
fn element(der: &[u8]) -> (u8, &[u8], &[u8]) {
    let (start, length) = match der[1] {
        short @ ..0x80 => (2, usize::from(short)),
        long => {
            let digits = usize::from(long & 0x7f);
            let length = der[2..2 + digits]
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            (2 + digits, length)
        }
    };
    (der[0], &der[start..start + length], &der[start + length..])
}

fn wrapped(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in der.chunks(3) {
        let bits = (0..3).fold(0, |bits, place| {
            bits << 8 | u32::from(*group.get(place).unwrap_or(&0))
        });
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            let is_there = place <= group.len();
            text.push(if is_there { char::from(digit) } else { '=' });
        }
    }
    let lines: Vec<_> = text.as_bytes().chunks(64).collect();
    let lines = lines.join(&b'\n');
    let lines = String::from_utf8(lines).unwrap();
    format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
}

#[test]
fn a_chain_is_shown_whole() {
    let site = Site::new();
    let mut between = params(&[]);
    between.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let between =
        CertifiedIssuer::signed_by(between, KeyPair::generate().unwrap(), &site.ca).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = params(&["shop.example"]).signed_by(&key, &between).unwrap();
    let chain = format!("{}{}", leaf.pem(), between.pem());
    let identity = Identity {
        cert: site.write("chain.pem", &chain),
        key: site.write("chain.key", &key.serialize_pem()),
    };
    let server = server(&of(&[&identity])).unwrap();
    let shaken = shake(&Arc::new(site.client()), "shop.example", &server).unwrap();
    assert_eq!(shaken.client.peer_certificates().unwrap().len(), 2);
}

#[test]
fn clients_are_asked_for_certificates_as_configured() {
    let site = Site::new();
    let identity = site.identity("shop", &["shop.example"]);
    let mut user = params(&["user"]);
    user.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let user = site.certify("user", &user, KeyPair::generate().unwrap());
    let stranger = Site::new();
    let stranger = stranger.identity("user", &["user"]);
    let known = connectors::client_as(&site, Some(&user));
    let unknown = connectors::client_as(&site, Some(&stranger));
    let nobody = connectors::client_as(&site, None);
    let table = [
        (ClientAuth::Off, [Some(false), Some(false), Some(false)]),
        (ClientAuth::Optional, [Some(true), None, Some(false)]),
        (ClientAuth::Required, [Some(true), None, None]),
    ];
    for (client_auth, expected) in table {
        let config = ServerTls {
            client_auth,
            client_ca: Some(site.path("ca.pem")),
            ..of(&[&identity])
        };
        let server = server(&config).unwrap();
        for (client, expected) in [&known, &unknown, &nobody].into_iter().zip(expected) {
            let shaken = shake(client, "shop.example", &server);
            let shown = shaken.map(|it| it.server.peer_certificates().is_some());
            assert_eq!(shown.ok(), expected, "{client_auth:?}");
        }
    }
}

#[test]
fn oldest_version_is_the_one_that_is_configured() {
    let site = Site::new();
    let identity = site.identity("shop", &["shop.example"]);
    let old = Arc::new(site.client_of(&[&rustls::version::TLS12]));
    let new = Arc::new(site.client());
    let version = |client, server: &_| {
        let shaken = shake(client, "shop.example", server).ok()?;
        shaken.server.protocol_version()
    };
    let both = server(&of(&[&identity])).unwrap();
    let newest = server(&ServerTls {
        min_version: TlsVersion::Tls13,
        ..of(&[&identity])
    });
    let newest = newest.unwrap();
    assert_eq!(version(&old, &both), Some(rustls::ProtocolVersion::TLSv1_2));
    assert_eq!(version(&new, &both), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(version(&old, &newest), None);
    assert_eq!(
        version(&new, &newest),
        Some(rustls::ProtocolVersion::TLSv1_3)
    );
}

#[test]
fn http_2_is_preferred_and_nothing_else_is_spoken() {
    let site = Site::new();
    let identity = site.identity("shop", &["shop.example"]);
    let server = server(&of(&[&identity])).unwrap();
    let spoken = |offered: &[&str]| {
        let mut client = site.client();
        client.alpn_protocols = offered.iter().map(|it| it.as_bytes().to_vec()).collect();
        let shaken = shake(&Arc::new(client), "shop.example", &server).ok()?;
        let spoken = shaken.server.alpn_protocol().unwrap_or_default();
        Some(String::from_utf8(spoken.to_vec()).unwrap())
    };
    assert_eq!(spoken(&["http/1.1", "h2"]).as_deref(), Some("h2"));
    assert_eq!(spoken(&["http/1.1"]).as_deref(), Some("http/1.1"));
    assert_eq!(spoken(&[]).as_deref(), Some(""));
    assert_eq!(spoken(&["spdy/3"]), None);
}

/// Tickets and remembered sessions, in both versions, over listeners and new contents of files.
#[test]
fn sessions_are_resumed_at_another_listener_and_after_new_certificates() {
    let site = Site::new();
    let identity = site.identity("shop", &["shop.example"]);
    let versions: [&[_]; 2] = [&[&rustls::version::TLS12], &[&rustls::version::TLS13]];
    for versions in versions {
        let first = server(&of(&[&identity])).unwrap();
        let client = Arc::new(site.client_of(versions));
        assert!(!shake(&client, "shop.example", &first).unwrap().is_resumed());
        assert!(shake(&client, "shop.example", &first).unwrap().is_resumed());
        site.identity("shop", &["shop.example", "new.example"]);
        let second = server(&of(&[&identity])).unwrap();
        drop(first);
        assert!(
            shake(&client, "shop.example", &second)
                .unwrap()
                .is_resumed()
        );
        assert!(!shake(&client, "new.example", &second).unwrap().is_resumed());
    }
}

#[test]
fn sessions_without_tickets_are_resumed_in_tls_1_2() {
    let site = Site::new();
    let identity = site.identity("shop", &["shop.example"]);
    let server = server(&of(&[&identity])).unwrap();
    let mut client = site.client_of(&[&rustls::version::TLS12]);
    client.resumption = Resumption::in_memory_sessions(8)
        .tls12_resumption(rustls::client::Tls12Resumption::SessionIdOnly);
    let client = Arc::new(client);
    assert!(
        !shake(&client, "shop.example", &server)
            .unwrap()
            .is_resumed()
    );
    assert!(
        shake(&client, "shop.example", &server)
            .unwrap()
            .is_resumed()
    );
}

/// Who resumes a session is not asked for a certificate.
#[test]
fn sessions_are_not_resumed_where_others_are_wanted() {
    let site = Site::new();
    let identity = site.identity("shop", &["shop.example"]);
    let other = Site::new().ca.pem();
    let with = |client_ca: &str, client_auth| ServerTls {
        client_ca: Some(site.path(client_ca)),
        client_auth,
        ..of(&[&identity])
    };
    let is_resumed = |one: &ServerTls, other: &ServerTls| {
        let one = server(one).unwrap();
        let other = server(other).unwrap();
        let user = site.identity("user", &["user"]);
        let client = connectors::client_as(&site, Some(&user));
        shake(&client, "shop.example", &one).unwrap();
        shake(&client, "shop.example", &other).is_ok_and(|shaken| shaken.is_resumed())
    };
    let off = of(&[&identity]);
    let optional = with("ca.pem", ClientAuth::Optional);
    let required = with("ca.pem", ClientAuth::Required);
    assert!(is_resumed(&optional, &optional));
    assert!(is_resumed(&required, &required));
    assert!(!is_resumed(&off, &required));
    assert!(!is_resumed(&off, &optional));
    assert!(!is_resumed(&optional, &required));
    assert!(!is_resumed(&required, &optional));
    let both = format!("{}{other}", site.ca.pem());
    site.write("more.pem", &both);
    let more = with("more.pem", ClientAuth::Required);
    assert!(!is_resumed(&required, &more));
}
