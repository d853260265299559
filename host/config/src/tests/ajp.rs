//! Members by AJP.

use super::*;

const AJP: &str = "url = \"ajp://127.0.0.1\"";

/// A configuration with one member of these lines.
fn text(lines: &str) -> String {
    format!(
        "[[listen]]\naddress = \"127.0.0.1:80\"\n[[route]]\npath = \"/\"\nbalancer = \"b\"\n\
         [[balancer.b.member]]\n{lines}\n"
    )
}

#[test]
fn a_secret_and_a_packet_size_are_read_and_the_secret_is_not_shown() {
    let keys = "secret = \"s3cret\"\najp-packet-size = \"64KiB\"\nhcmethod = \"cping\"";
    let config = Config::parse(&text(&format!("{AJP}\n{keys}")), Path::new("a.toml"));
    let member = &config.unwrap().balancers[0].members[0];
    assert_eq!((member.protocol, member.port), (Protocol::Ajp, 8009));
    assert_eq!(member.secret.as_ref().unwrap().as_str(), "s3cret");
    assert_eq!(member.ajp_packet_size, 65_536);
    assert_eq!(member.check.as_ref().unwrap().kind, CheckKind::Cping);
    assert!(!format!("{member:?}").contains("s3cret"));
}

#[test]
fn what_ajp_cannot_do_is_refused_and_what_only_ajp_can_do() {
    const HTTP: &str = "url = \"http://127.0.0.1:1\"";
    let table = [
        (AJP, "tls = {}", "tls", "does nothing with this url"),
        (
            AJP,
            "upgrade = \"websocket\"",
            "upgrade",
            "does nothing with AJP",
        ),
        (
            AJP,
            "tunnel-timeout = \"1s\"",
            "tunnel-timeout",
            "does nothing with AJP",
        ),
        (
            AJP,
            "proxy-protocol = \"v1\"",
            "proxy-protocol",
            "does nothing with AJP",
        ),
        (AJP, "hcmethod = \"GET\"", "url", "use \"CPING\" or \"TCP\""),
        (
            AJP,
            "secret = \"\"",
            "secret",
            "must be a text of 1 to 1024 bytes",
        ),
        (
            AJP,
            "secret = \"s3cret\\u0000\"",
            "secret",
            "must be a text of 1 to 1024 bytes",
        ),
        (
            AJP,
            "ajp-packet-size = \"65KiB\"",
            "ajp-packet-size",
            "must be a size from 8KiB to 64KiB",
        ),
        (HTTP, "secret = \"s3cret\"", "secret", "write it with ajp"),
        (
            HTTP,
            "ajp-packet-size = \"8KiB\"",
            "ajp-packet-size",
            "write it with ajp",
        ),
        (HTTP, "hcmethod = \"CPING\"", "url", "speaks no AJP"),
    ];
    for (url, line, key, remedy) in table {
        let config = Config::parse(&text(&format!("{url}\n{line}")), Path::new("a.toml"));
        let told = config.unwrap_err().to_string();
        assert!(told.contains(&format!("member[0].{key}")), "{line}: {told}");
        assert!(told.contains(remedy), "{line}: {told}");
        assert!(!told.contains("s3cret"), "{line}: {told}");
    }
}
