//! Files that cannot be used, and what is said of them.

use super::*;

/// What is said of a listener with these files of a site.
fn told(site: &Site, cert: &str, key: &str) -> String {
    let identity = Identity {
        cert: site.path(cert),
        key: site.path(key),
    };
    let error = server(&of(&[&identity])).err().unwrap();
    let folder = format!("{}/", site.folder.path().display());
    format!("{error:#}").replace(&folder, "")
}

#[test]
fn every_file_that_cannot_be_used_is_named_with_what_would_be_right() {
    let site = Site::new();
    site.identity("a", &["a.example"]);
    site.identity("b", &["b.example"]);
    site.write("empty", "");
    let read = |file: &str| std::fs::read_to_string(site.path(file)).unwrap();
    site.write(
        "swapped.pem",
        &format!("{}{}", site.ca.pem(), read("a.pem")),
    );
    site.write("half.pem", &read("a.pem")[..200]);
    let locked = read("a.key").replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    site.write("locked.key", &locked);
    let broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    site.write("broken.pem", broken);
    let broken = broken.replace("CERTIFICATE", "PRIVATE KEY");
    site.write("broken.key", &broken);
    std::fs::write(site.path("a.der"), site.ca.der()).unwrap();
    let table = [
        (
            "missing.pem",
            "a.key",
            "missing.pem: cannot be read: No such file",
        ),
        (
            "a.pem",
            "missing.key",
            "missing.key: cannot be read: No such file",
        ),
        (
            "a.pem",
            "b.key",
            "b.key: is not the key of the certificate in a.pem",
        ),
        (
            "swapped.pem",
            "a.key",
            "a.key: is the key of certificate 2 in swapped.pem, and must be that of the first",
        ),
        (
            "a.key",
            "a.key",
            "a.key: has a key in it and no certificate",
        ),
        ("empty", "a.key", "empty: has no certificate in it"),
        (
            "a.pem",
            "empty",
            "empty: has no key in it, which begins with",
        ),
        ("a.pem", "a.pem", "a.pem: has no key in it"),
        (
            "a.pem",
            "locked.key",
            "locked.key: its key is encrypted, and must be plain",
        ),
        ("half.pem", "a.key", "half.pem: is not PEM: "),
        (
            "broken.pem",
            "a.key",
            "broken.pem: its certificate cannot be used: ",
        ),
        (
            "a.pem",
            "broken.key",
            "broken.key: its key cannot be used: it must be RSA",
        ),
        ("a.der", "a.key", "a.der: is DER, and must be PEM"),
        ("a.pem", "a.der", "a.der: is DER, and must be PEM"),
        (".", "a.key", "cannot be read: it is a directory"),
    ];
    for (cert, key, expected) in table {
        let told = told(&site, cert, key);
        assert!(told.contains(expected), "{expected}\nbut {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    assert_eq!(told(&site, "empty", "locked.key").lines().count(), 2);
}

#[test]
fn only_the_first_certificate_may_be_for_no_name() {
    let site = Site::new();
    let named = site.identity("named", &["a.example"]);
    let nameless = site.identity("nameless", &["127.0.0.1"]);
    server(&of(&[&nameless, &named])).unwrap();
    let error = server(&of(&[&named, &nameless])).err().unwrap();
    let told = error.to_string();
    assert!(told.contains("nameless.pem: has no DNS names"), "{told}");
}

#[test]
fn everything_wrong_in_a_configuration_is_told_once_with_its_place() {
    let site = Site::new();
    site.identity("a", &["a.example"]);
    let tls = "tls = { ca = \"none.pem\", cert = \"a.pem\", key = \"gone.key\" }";
    let text = format!(
        "[[listen]]\naddress = \"127.0.0.1:1\"\n[[listen]]\naddress = \"127.0.0.1:2\"\ntls = {{ certificates = [{{ cert = \"a.pem\", key = \"ca.pem\" }}, {{ cert = \"b.pem\", key = \"a.key\" }}], client-ca = \"a.key\" }}\n[[route]]\npath = \"/\"\nbalancer = \"app\"\n[[balancer.app.member]]\nurl = \"https://a\"\n{tls}\n[[balancer.app.member]]\nurl = \"https://b\"\n{tls}\n"
    );
    let config = Config::parse(&text, &site.path("c.toml")).unwrap();
    let contents = FileContents::read(files(&config));
    let told = unusable(&config, &contents, None).join("\n");
    let folder = format!("{}/", site.folder.path().display());
    let told = told.replace(&folder, "");
    let told: Vec<_> = told.lines().collect();
    let expected = [
        "listen[1].tls: ca.pem: has no key in it",
        "listen[1].tls: b.pem: cannot be read",
        "listen[1].tls: a.key: has a key in it and no certificate",
        "balancer.app.member[0].tls: gone.key: cannot be read",
        "balancer.app.member[0].tls: none.pem: cannot be read",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\n{expected}");
    }
    assert!(unusable(&config, &contents, Some(&config)).is_empty());
}
