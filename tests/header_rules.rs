//! Rules of routes for header fields: what members and clients get of them, whichever version of HTTP they speak.

use crate::harness::certificates::Authority;
use crate::harness::peers::{Message, Reply};
use crate::harness::{Origin, Proxy};
use crate::matrix::{Between, over_all};
use crate::tls_files::Visitor;

#[test]
fn fields_of_requests_are_removed_set_and_added_to() {
    let rules = "request-headers = { unset = [\"X-Gone\", \"x-two\"], \
                 set = { X-Set = \"one\", X-New = \"new\", x-two = \"2\", X-Forwarded-Proto = \"mine\" }, \
                 append = { X-List = \"last\", X-Fresh = \"first\", x-set = \"two\" } }";
    over_all(|cell| {
        let mut between = Between::of(cell, rules, |_| Reply::Whole(Message::of("200")));
        let request = Message::of("GET /")
            .field("x-gone", "1")
            .field("x-gone", "2")
            .field("x-set", "theirs")
            .field("x-set", "more")
            .field("x-two", "theirs")
            .field("x-list", "a")
            .field("x-list", "b");
        between.ask(&request);
        let asked = between.member.request(0);
        assert_eq!(asked.all("x-gone"), [""; 0]);
        assert_eq!(asked.all("x-new"), ["new"]);
        assert_eq!(asked.all("x-two"), ["2"]);
        assert_eq!(asked.all("x-forwarded-proto"), ["mine"]);
        assert_eq!(asked.all("x-fresh"), ["first"]);
        assert_eq!(asked.all("x-set").join(", "), "one, two");
        assert_eq!(asked.all("x-list").join(", "), "a, b, last");
    });
}

#[test]
fn fields_of_responses_are_removed_set_and_added_to() {
    let rules = "response-headers = { unset = [\"Server\"], \
                 set = { Strict-Transport-Security = \"max-age=1\", X-Member = \"${member-route} of ${balancer}\" }, \
                 append = { Vary = \"Origin\", Set-Cookie = \"b=2; Path=/\" } }";
    over_all(|cell| {
        let answer = Message::of("404")
            .field("server", "secret/1.0")
            .field("strict-transport-security", "max-age=9")
            .field("vary", "Accept")
            .field("set-cookie", "a=1")
            .body("none");
        let mut between = Between::of(cell, rules, move |_| Reply::Whole(answer.clone()));
        let answer = between.get("/");
        assert_eq!((&*answer.start, &*answer.text()), ("404", "none"));
        assert_eq!(answer.all("server"), [""; 0]);
        assert_eq!(answer.all("strict-transport-security"), ["max-age=1"]);
        assert_eq!(answer.all("vary").join(", "), "Accept, Origin");
        assert_eq!(answer.all("set-cookie"), ["a=1", "b=2; Path=/"]);
        assert_eq!(answer.all("x-member"), ["of cluster"]);
    });
}

#[test]
fn variables_tell_of_the_request() {
    let rules = "request-headers = { set = { X-Client = \"${client-address}|${client-port}\", \
                 X-Target = \"${method} ${scheme}://${host}${path}${?query}|${query}|${authority}\", \
                 X-Route = \"${route}|${balancer}|${member}|${member-route}\", X-Tls = \"${tls-version}${tls-cipher}|\", \
                 X-Dollar = \"$$${host}\", X-Request-Id = \"${request-id}\" } }\n\
                 response-headers = { set = { X-Request-Id = \"${request-id}\" } }";
    over_all(|cell| {
        let mut between = Between::of(cell, rules, |_| Reply::Whole(Message::of("200")));
        let mut ids = Vec::new();
        for (number, target) in ["/a%20b?c=d&$1", "/a%20b"].into_iter().enumerate() {
            let answer = between.get(target);
            let asked = between.member.request(number);
            let client = asked.value("x-client").unwrap();
            let (address, port) = client.split_once('|').unwrap();
            assert_eq!(address, "127.0.0.1");
            assert_ne!(port.parse::<u16>().unwrap(), 0);
            let query = target.split_once('?').map_or("", |(_, query)| query);
            let told = format!("GET http://lb.test{target}|{query}|lb.test");
            assert_eq!(asked.value("x-target"), Some(&*told));
            let told = format!("/|cluster|{}|", between.member.url());
            assert_eq!(asked.value("x-route"), Some(&*told));
            assert_eq!(asked.value("x-tls"), Some("|"));
            assert_eq!(asked.value("x-dollar"), Some("$lb.test"));
            let id = asked.value("x-request-id").unwrap();
            assert!(
                id.len() == 32 && id.bytes().all(|it| it.is_ascii_hexdigit()),
                "{id}"
            );
            assert_eq!(answer.value("x-request-id"), Some(id));
            ids.push(id.to_owned());
        }
        assert_ne!(ids[0], ids[1]);
    });
}

/// Nothing that a client says stands for what a rule sets, under whatever name programs behind us may take for it.
#[test]
fn what_a_rule_sets_cannot_be_forged() {
    let [b1] = Origin::some();
    let rules =
        "request-headers = { set = { X-Remote-User = \"nobody\" }, unset = [\"X-Real-User\"] }";
    let proxy = Proxy::before(&[&b1]).route(rules).start();
    let forged = [
        "X-Remote-User: root",
        "x_remote_user: root",
        "X_Remote-User: root",
        "X-REAL_USER: root",
        "Connection: x-remote-user",
        "X-RemoteUser: other",
    ];
    assert_eq!(proxy.exchange("GET /", &forged).status(), 200);
    let head = b1.only_request().head;
    let told = |wanted: &str| {
        let fields = head.fields.iter();
        let plain = |name: &str| name.to_ascii_lowercase().replace('_', "-");
        let values = fields.filter(|(name, _)| plain(name) == wanted);
        values.map(|(_, value)| &**value).collect::<Vec<_>>()
    };
    assert_eq!(told("x-remote-user"), ["nobody"]);
    assert_eq!(told("x-real-user"), [""; 0]);
    assert_eq!(told("x-remoteuser"), ["other"]);
}

/// Bytes that a target or a host may hold, and encoded line ends, end no field.
#[test]
fn variables_bring_no_line_of_their_own() {
    let [b1] = Origin::some();
    let rules =
        "request-headers = { set = { X-Path = \"${path}${?query}\", X-Host = \"${authority}\" } }";
    let proxy = Proxy::before(&[&b1]).route(rules).start();
    let response = proxy.get("/a%0d%0aX-Evil:1\u{e9}?b%0AX-Evil:2%00");
    assert_eq!(response.status(), 200);
    let head = b1.only_request().head;
    assert_eq!(head.all("x-evil"), [""; 0]);
    let path = head.field("x-path").unwrap();
    assert_eq!(path, "/a%0d%0aX-Evil:1\u{e9}?b%0AX-Evil:2%00");
}

#[test]
fn rules_hold_at_each_member_that_is_tried() {
    let [b2] = Origin::some();
    let dead = Origin::dead();
    let rules = "request-headers = { set = { X-Member = \"${member}\" } }";
    let proxy = Proxy::before(&[&dead, &b2]).route(rules).start();
    for _ in 0..3 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    for number in 0..3 {
        let asked = b2.request(number);
        assert_eq!(asked.head.field("x-member"), Some(&*b2.url()));
    }
}

#[test]
fn variables_tell_of_tls() {
    let [member] = Origin::some();
    let authority = Authority::new();
    let (cert, key) = authority.vouch("shop.example");
    let toml = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{{ cert = \"shop.pem\", key = \"shop.key\" }}] }}\n\
         [[route]]\npath = \"/\"\nbalancer = \"cluster\"\n\
         request-headers = {{ set = {{ X-Tls = \"${{scheme}} ${{tls-version}} ${{tls-cipher}}\" }} }}\n\
         [[balancer.cluster.member]]\nurl = \"{}\"\n",
        member.url()
    );
    let start = Proxy::with(&toml).file("shop.pem", cert.as_bytes());
    let proxy = start.file("shop.key", key.as_bytes()).start();
    assert_eq!(
        Visitor::come(&authority.client(), proxy.address()).get(),
        "b1"
    );
    let head = member.only_request().head;
    let told = head.field("x-tls").unwrap();
    assert!(told.starts_with("https TLSv1.3 TLS_"), "{told}");
}
