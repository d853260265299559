//! Members given by name: asked for on TTL, all addresses used, the last good ones kept. A name server of the tests' own says
//! what is so; members with the same port are at different addresses of this machine.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;

use crate::admin::{self, member};
use crate::harness::proxy::{Start, server};
use crate::harness::{Blackhole, Client, Dns, Gate, Origin, Proxy, Said, eventually};

const NAME: &str = "app.test";

/// Members at 127.0.0.1 and 127.0.0.2, with the same port.
fn twins() -> (Origin, Origin) {
    let b1 = Origin::live("b1");
    let b2 = Origin::named("b2").start_at(beside(&b1, Ipv4Addr::new(127, 0, 0, 2)));
    (b1, b2)
}

/// The same port at another address.
fn beside(member: &Origin, address: impl Into<IpAddr>) -> SocketAddr {
    SocketAddr::new(address.into(), member.address().port())
}

/// A proxy whose only member is `app.test` at the port of this one.
fn before(dns: &Dns, one: &Origin, keys: &str) -> Start {
    let url = format!("http://{NAME}:{}", one.address().port());
    admin::start(&[])
        .top(&format!("workers = 1\n{}", dns.resolver()))
        .member_at(&url, keys)
}

/// Has a name server say something, and waits until it is known: whatever was asked before, two questions (of both kinds) on, a
/// whole round of them is over.
#[track_caller]
fn say_addresses(dns: &Dns, addresses: &[&str]) {
    dns.say_addresses(NAME, addresses);
    dns.await_questions(NAME, 5);
}

#[test]
fn names_are_asked_for_again_after_their_ttl() {
    let (b1, _b2) = twins();
    let dns = Dns::start();
    dns.say_addresses(NAME, &["127.0.0.1"]);
    let proxy = before(&dns, &b1, "ttl = \"1h\"").start();
    assert_eq!(proxy.served(3), ["b1"; 3]);
    let host = format!("{NAME}:{}", b1.address().port());
    assert_eq!(b1.request(0).head.field("host"), Some(host.as_str()));
    say_addresses(&dns, &["127.0.0.2"]);
    assert_eq!(proxy.served(3), ["b2"; 3]);
    // The idle connection is not used, and has its hour left.
    b1.await_no_connection();
    assert_eq!(
        member(&proxy, 0)["addresses"]["known"][0],
        format!("127.0.0.2:{}", b1.address().port())
    );
}

#[test]
fn answers_count_for_their_ttl() {
    let b1 = Origin::live("b1");
    let dns = Dns::start();
    dns.say(NAME, Said::Addresses(vec![Ipv4Addr::LOCALHOST.into()], 600));
    dns.say_addresses("other.test", &["127.0.0.1"]);
    let port = b1.address().port();
    let proxy = before(&dns, &b1, "")
        .member_at(&format!("http://other.test:{port}"), "")
        .start();
    assert_eq!(proxy.served(2), ["b1"; 2]);
    dns.await_questions("other.test", 6);
    // Of both kinds, once.
    assert_eq!(dns.questions(NAME), 2);
}

/// Goal: requests in flight at an address that is gone end in peace. Method: the answer is held back until the other address is
/// known.
#[test]
fn requests_at_an_address_that_is_gone_end_in_peace() {
    let gate = Gate::closed();
    let held = gate.clone();
    let b1 = Origin::named("b1")
        .answering(move |exchange| {
            held.wait();
            exchange.answer("b1");
        })
        .start();
    let b2 = Origin::named("b2").start_at(beside(&b1, Ipv4Addr::new(127, 0, 0, 2)));
    let dns = Dns::start();
    dns.say_addresses(NAME, &["127.0.0.1"]);
    let proxy = before(&dns, &b1, "ttl = \"1h\"").start();
    let address = proxy.address();
    let request = thread::spawn(move || server(&Client::connect(address).get("/")));
    b1.await_hits(1);
    say_addresses(&dns, &["127.0.0.2"]);
    assert_eq!(proxy.served(2), ["b2"; 2]);
    gate.open();
    assert_eq!(request.join().expect("a response"), "b1");
    b1.await_no_connection();
    assert_eq!(b2.hits(), 2);
}

/// What a name server says in place of an answer, and the words for it.
#[test]
fn last_good_addresses_are_kept_while_dns_fails() {
    let b1 = Origin::live("b1");
    for (said, words) in [
        (Said::Nothing, "no response within"),
        (Said::Failure, "Server Failure"),
        (Said::NoSuchName, "there is no such name"),
        (Said::Addresses(Vec::new(), 0), "it has no address"),
    ] {
        let dns = Dns::start();
        dns.say_addresses(NAME, &["127.0.0.1"]);
        let proxy = before(&dns, &b1, "disablereuse = true").start();
        assert_eq!(proxy.served(1), ["b1"]);
        dns.say(NAME, said);
        let line = proxy.stderr.line_with("DNS lookup failed");
        assert!(line.contains(words) && line.contains("are kept"), "{line}");
        // Through several rounds.
        dns.await_questions(NAME, 4);
        assert_eq!(proxy.served(2), ["b1"; 2]);
        let addresses = member(&proxy, 0)["addresses"].clone();
        assert_eq!(addresses["known"].as_array().map(Vec::len), Some(1));
        assert!(
            addresses["trouble"]
                .as_str()
                .is_some_and(|it| it.contains(words)),
            "{addresses}"
        );
        dns.say_addresses(NAME, &["127.0.0.1"]);
        proxy.stderr.line_with("DNS lookup works again");
        assert_eq!(proxy.stderr.count("DNS lookup failed"), 1);
        eventually("the trouble is over", || {
            member(&proxy, 0)["addresses"]["trouble"]
                .is_null()
                .then_some(())
        });
    }
}

#[test]
fn every_address_is_used() {
    let (b1, b2) = twins();
    let dns = Dns::start();
    dns.say_addresses(NAME, &["127.0.0.1", "127.0.0.2"]);
    let proxy = before(&dns, &b1, "disablereuse = true").start();
    proxy.served(10);
    assert_eq!((b1.hits(), b2.hits()), (5, 5));
}

#[test]
fn addresses_of_both_kinds_are_used() {
    let b1 = Origin::live("b1");
    let b2 = Origin::named("b2").start_at(beside(&b1, Ipv6Addr::LOCALHOST));
    let dns = Dns::start();
    dns.say_addresses(NAME, &["127.0.0.1", "::1"]);
    let proxy = before(&dns, &b1, "disablereuse = true").start();
    proxy.served(10);
    assert_eq!((b1.hits(), b2.hits()), (5, 5));
}

#[test]
fn address_that_refuses_or_says_nothing_costs_no_request() {
    let (b1, mut b2) = twins();
    b2.stop();
    let dns = Dns::start();
    dns.say_addresses(NAME, &["127.0.0.2", "127.0.0.1"]);
    let proxy = before(&dns, &b1, "disablereuse = true").start();
    assert_eq!(proxy.served(4), ["b1"; 4]);

    let silent = Blackhole::open();
    let port = silent.address().port();
    let b3 = Origin::named("b3").start_at(SocketAddr::from(([127, 0, 0, 3], port)));
    dns.say_addresses(NAME, &["127.0.0.1", "127.0.0.3"]);
    let keys = "disablereuse = true\nconnectiontimeout = \"4s\"";
    let proxy = before(&dns, &b3, keys).start();
    assert_eq!(proxy.served(2), ["b3"; 2]);
}

/// The first request comes when the name server has not answered yet: it waits for that.
#[test]
fn first_request_waits_for_the_first_answer() {
    let (b1, gate) = (Origin::live("b1"), Gate::closed());
    let dns = Dns::start();
    dns.say(
        NAME,
        Said::Late(gate.clone(), vec![Ipv4Addr::LOCALHOST.into()]),
    );
    let url = format!("http://{NAME}:{}", b1.address().port());
    let resolver = dns.resolver().replace("400ms", "40s");
    let proxy = admin::start(&[])
        .top(&resolver)
        .member_at(&url, "connectiontimeout = \"20s\"")
        .start();
    let address = proxy.address();
    let request = thread::spawn(move || server(&Client::connect(address).get("/")));
    dns.await_in_all(NAME, 1);
    assert_eq!(b1.hits(), 0);
    gate.open();
    assert_eq!(request.join().expect("a response"), "b1");
}

#[test]
fn first_request_waits_no_longer_than_for_a_connection() {
    let (b1, gate) = (Origin::live("b1"), Gate::closed());
    let dns = Dns::start();
    dns.say(
        NAME,
        Said::Late(gate.clone(), vec![Ipv4Addr::LOCALHOST.into()]),
    );
    let url = format!("http://{NAME}:{}", b1.address().port());
    let resolver = dns.resolver().replace("400ms", "40s");
    let proxy = admin::start(&[])
        .top(&resolver)
        .member_at(&url, "connectiontimeout = \"100ms\"")
        .start();
    assert_eq!(proxy.served(1), ["503"]);
    gate.open();
}

#[test]
fn name_without_addresses_is_a_member_that_cannot_be_reached() {
    let b1 = Origin::live("b1");
    let dns = Dns::start();
    let proxy = before(&dns, &b1, "retry = \"0s\"").start();
    let line = proxy.stderr.line_with("DNS lookup failed");
    assert!(line.contains("there is no such name"), "{line}");
    assert_eq!(proxy.served(1), ["503"]);
    dns.say_addresses(NAME, &["127.0.0.1"]);
    proxy.stderr.line_with("DNS lookup works again");
    assert_eq!(proxy.served(1), ["b1"]);
}

#[test]
fn another_name_server_is_asked_from_the_moment_it_is_configured() {
    let (b1, _b2) = twins();
    let (first, second) = (Dns::start(), Dns::start());
    first.say(NAME, Said::Addresses(vec![Ipv4Addr::LOCALHOST.into()], 600));
    second.say_addresses(NAME, &["127.0.0.2"]);
    let proxy = before(&first, &b1, "").start();
    assert_eq!(proxy.served(1), ["b1"]);
    let path = proxy.path("equipoise.toml");
    let text = fs::read_to_string(&path).expect("the configuration");
    let text = text.replace(&first.resolver(), &second.resolver());
    fs::write(&path, text).expect("a file can be written");
    second.await_questions(NAME, 5);
    assert_eq!(proxy.served(2), ["b2"; 2]);
}

/// A proxy whose only member is a service.
fn service(dns: &Dns) -> Proxy {
    admin::start(&[])
        .top(&format!("workers = 1\n{}", dns.resolver()))
        .member_at(
            "http://_web._tcp.app.test",
            "disablereuse = true\nretry = \"0s\"",
        )
        .start()
}

const SERVICE: &str = "_web._tcp.app.test";

#[test]
fn services_have_ports_and_priorities() {
    let (mut b1, b2) = (Origin::live("b1"), Origin::live("b2"));
    let dns = Dns::start();
    let (one, two) = (b1.address().port(), b2.address().port());
    dns.say_services(SERVICE, &[(2, 0, two, "b.test"), (1, 0, one, "a.test")]);
    dns.say_addresses("a.test", &["127.0.0.1"]);
    dns.say_addresses("b.test", &["127.0.0.1"]);
    let proxy = service(&dns);
    assert_eq!(proxy.served(4), ["b1"; 4]);
    b1.stop();
    assert_eq!(proxy.served(2), ["b2"; 2]);
    // A root in place of a target: there is no such service, and that is no failure of DNS.
    dns.say_services(SERVICE, &[(0, 0, 0, "")]);
    dns.await_questions(SERVICE, 3);
    assert_eq!(proxy.served(1), ["503"]);
    assert_eq!(proxy.stderr.count("DNS lookup failed"), 0);
}

#[test]
fn weights_of_services_are_respected() {
    let (b1, b2) = (Origin::live("b1"), Origin::live("b2"));
    let dns = Dns::start();
    let (one, two) = (b1.address().port(), b2.address().port());
    dns.say_services(
        SERVICE,
        &[(0, 1, one, "a.test"), (0, 60_000, two, "a.test")],
    );
    dns.say_addresses("a.test", &["127.0.0.1"]);
    let proxy = service(&dns);
    proxy.served(20);
    // The other one's turn comes once in thirty thousand times or so.
    assert!(b2.hits() >= 19, "{}", b2.hits());
}
