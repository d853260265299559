//! `[heartbeat]` and `[admin]`.

use super::*;

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:8081\"\n";

fn heartbeat(text: &str) -> Heartbeat {
    let config = good(&format!("{GOOD}{text}"));
    config.heartbeat.expect("heartbeats are heard")
}

/// The networks of a list as they are understood.
fn from(list: &str) -> Vec<String> {
    let text = format!("[heartbeat]\nlisten = \"127.0.0.1:0\"\nfrom = {list}\n");
    let networks = heartbeat(&text).from.expect("networks");
    networks.iter().map(ToString::to_string).collect()
}

#[test]
fn heartbeats_have_the_defaults_of_the_documentation() {
    let by_datagram = heartbeat("[heartbeat]\nlisten = \"239.0.0.1:27999\"\n");
    let expected = Heartbeat {
        listen: Some("239.0.0.1:27999".parse().unwrap()),
        from: None,
        path: "/heartbeat".to_owned(),
    };
    assert_eq!(by_datagram, expected);
    let by_http = heartbeat(&format!("[heartbeat]\n{ADMIN}"));
    let listen = None;
    assert_eq!(by_http, Heartbeat { listen, ..expected });
}

#[test]
fn heartbeats_are_read_as_written() {
    let heartbeat = heartbeat(&format!(
        "{ADMIN}[heartbeat]\nlisten = \"[ff02::1:2%3]:99\"\npath = \"//hb/\"\n"
    ));
    let listen = heartbeat.listen.expect("an address");
    assert_eq!(listen.to_string(), "[ff02::1:2%3]:99");
    assert_eq!(heartbeat.path, "/hb");
    let admin = good(&format!("{GOOD}{ADMIN}")).admin;
    let address = AdminAddress::Tcp("127.0.0.1:8081".parse().unwrap());
    let token = None;
    assert_eq!(
        admin,
        Some(Admin {
            address,
            token,
            hosts: Vec::new(),
            persist: None
        })
    );
}

/// Who may open the file may ask; so there is no need of a token.
#[test]
fn a_socket_file_is_beside_the_configuration_and_needs_no_token() {
    let read = |path: &str| {
        let text = format!("{GOOD}[admin]\naddress = \"unix:{path}\"\n");
        Config::parse(&text, Path::new("/etc/equipoise/equipoise.toml"))
    };
    for (written, path) in [
        ("/run/equipoise/admin.sock", "/run/equipoise/admin.sock"),
        ("admin.sock", "/etc/equipoise/admin.sock"),
    ] {
        let address = AdminAddress::Unix(path.into());
        let token = None;
        let admin = read(written).unwrap().admin;
        assert_eq!(
            admin,
            Some(Admin {
                address,
                token,
                hosts: Vec::new(),
                persist: None
            })
        );
    }
    for (written, remedy) in [
        (String::new(), "must name a file"),
        (
            "x".repeat(93),
            "must be a path of 107 bytes at most, not 108",
        ),
    ] {
        let found = read(&written).unwrap_err().to_string();
        assert!(found.contains(remedy), "{remedy}\nbut {found}");
    }
}

/// The token's file is relative to the configuration file, as others are.
#[test]
fn token_is_required_where_others_can_ask() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("equipoise.toml");
    for (name, content) in [
        ("right", " 0123456789abcdef\n"),
        ("short", "0123456789"),
        ("odd", "0123456789 abcdef"),
    ] {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    let read = |admin: &str| Config::parse(&format!("{GOOD}[admin]\n{admin}"), &path);
    let config = read("address = \"0.0.0.0:1\"\ntoken-file = \"right\"").unwrap();
    let token = config.admin.and_then(|admin| admin.token).unwrap();
    assert_eq!(token.as_bytes(), b"0123456789abcdef");
    assert_eq!(format!("{token:?}"), "Token(…)");
    let table = [
        (
            "address = \"0.0.0.0:1\"",
            "write token-file = \"admin.token\"",
        ),
        (
            "address = \"127.0.0.1:1\"\ntoken-file = \"short\"",
            "16 to 4096 characters",
        ),
        (
            "address = \"127.0.0.1:1\"\ntoken-file = \"odd\"",
            "visible ASCII",
        ),
        (
            "address = \"127.0.0.1:1\"\ntoken-file = \"none\"",
            "a file that can be read",
        ),
    ];
    for (admin, remedy) in table {
        let mistakes = read(admin).expect_err(admin);
        let told = mistakes
            .iter()
            .any(|mistake| mistake.remedy.contains(remedy));
        assert!(told, "{admin}: {mistakes}");
    }
}

#[test]
fn senders_are_networks_or_addresses() {
    let list = "[\"10.0.0.0/8\", \"127.0.0.1\", \"fd00::/8\", \"::1\", \"0.0.0.0/0\"]";
    let expected = [
        "10.0.0.0/8",
        "127.0.0.1/32",
        "fd00::/8",
        "::1/128",
        "0.0.0.0/0",
    ];
    assert_eq!(from(list), expected);
    let mapped = "[\"::ffff:10.0.0.0/104\", \"::ffff:10.1.2.3\", \"::/0\"]";
    assert_eq!(from(mapped), ["10.0.0.0/8", "10.1.2.3/32", "::/0"]);
}

/// Every line is a mistake of its own in `[heartbeat]`; the message names key, value and what would be right.
#[test]
fn mistakes_are_told_with_their_remedies() {
    let network = "must be an IP network or address, such as \"10.0.0.0/8\" or \"127.0.0.1\"";
    let table = [
        ("listen", "\"239.0.0.1\"", "", "and a port, such as"),
        ("listen", "27999", "", "must be a string in quotes"),
        (
            "listen",
            "\"heart.example.com:27999\"",
            "",
            "must be the IP address of a multicast",
        ),
        (
            "from",
            "[]",
            "",
            "or be left out for the members' addresses",
        ),
        (
            "from",
            "\"10.0.0.0/8\"",
            "",
            "must be a list such as [\"10.0.0.0/8\", \"127.0.0.1\"]",
        ),
        ("from", "[\"app.example.com\"]", "[0]", network),
        ("from", "[\"::1\", \"10.0.0.0/33\"]", "[1]", network),
        ("from", "[\"10.0.0.0:80\"]", "[0]", network),
        ("from", "[\"10.1.0.0/8\"]", "[0]", "write 10.0.0.0/8"),
        (
            "path",
            "\"heartbeat\"",
            "",
            "must start with a slash: \"/heartbeat\"",
        ),
        ("Listen", "\"127.0.0.1:1\"", "", "did you mean `listen`?"),
    ];
    for (key, value, index, remedy) in table {
        let text = format!("{GOOD}{ADMIN}[heartbeat]\n{key} = {value}\n");
        let found = mistakes(&text);
        assert_eq!(found.len(), 1, "{found:#?}");
        let place = format!("heartbeat.{key}{index} = ");
        assert!(
            found[0].contains(&place) && found[0].contains(remedy),
            "{place}: {remedy}\nbut {found:#?}"
        );
    }
}

#[test]
fn what_would_hear_nothing_is_a_mistake() {
    let table = [
        (
            "[heartbeat]\n",
            "heartbeat.listen: is missing; write where datagrams come to",
        ),
        (
            "[heartbeat]\npath = \"/a\"\nlisten = \"127.0.0.1:0\"\n",
            "heartbeat.path = \"/a\": is a path of the admin listener: write [admin]",
        ),
        (
            "[admin]\n",
            "admin.address: is missing; write where to listen, such as address = \"127.0.0.1:8081\"",
        ),
        (
            "[admin]\naddress = \"localhost:1\"\n",
            "admin.address = \"localhost:1\": must be an IP address and a port",
        ),
    ];
    for (text, expected) in table {
        let found = mistakes(&format!("{GOOD}{text}"));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains(expected), "{expected}\nbut {found:#?}");
    }
}
