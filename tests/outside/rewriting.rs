//! Paths on the way to the member; places and cookies on the way back.

use crate::answer::Answer;
use crate::client::Request;
use crate::cluster::{Cluster, live};
use crate::compare::{Both, Pair};
use crate::members::MEMBERS;

/// `/app` here is `/base/inner` at both members.
fn mapped() -> Cluster {
    let mut cluster = Cluster::of([live().at("/base"), live().at("/base")]);
    cluster.route.path = "/app";
    cluster.route.member_path = "/inner";
    cluster
}

/// The target the member was asked for, or the status where it was not asked.
fn target(answer: &Answer) -> String {
    match answer.request_line().strip_prefix("GET ") {
        Some(line) if answer.served_by().is_some() => line.trim_end_matches(" HTTP/1.1").to_owned(),
        _ => answer.to_string(),
    }
}

fn targets(both: &Both<Answer>) -> (String, String) {
    (target(&both.apache), target(&both.equipoise))
}

/// What became of a field that the member sent.
fn passed(answer: &Answer, field: &str) -> String {
    answer.all(field).join(", ")
}

/// Both members get one request each, so that both servers get the field from either.
fn ask_for(pair: &Pair, field: &str, value: &str) -> (String, String) {
    let both = pair.ask(&Request::get("/app/").with("Say", &format!("{field}: {value}")));
    (passed(&both.apache, field), passed(&both.equipoise, field))
}

#[test]
fn the_path_is_mapped_to_the_members() {
    let pair = Pair::start(&mapped());
    let table = [
        ("/app", "/base/inner"),
        ("/app/", "/base/inner/"),
        ("/app/x", "/base/inner/x"),
        ("/app/x?q=/y&r=%20", "/base/inner/x?q=/y&r=%20"),
        ("/app/x;y=z", "/base/inner/x;y=z"),
        ("/app/a%20b", "/base/inner/a%20b"),
        ("/app/%61", "/base/inner/a"),
        ("/app/./x", "/base/inner/x"),
        ("/app/y/../x", "/base/inner/x"),
        ("/application", "404"),
        ("/App/x", "404"),
        ("/app/../x", "404"),
        ("/other", "404"),
    ];
    for (asked, expected) in table {
        let (apache, equipoise) = targets(&pair.ask(&Request::get(asked)));
        assert_eq!(
            (apache.as_str(), equipoise.as_str()),
            (expected, expected),
            "{asked}"
        );
    }
}

/// Apache refuses an encoded slash and makes one of several; we leave both to the member, whose meaning they have.
#[test]
fn we_differ_in_slashes_of_the_path() {
    let pair = Pair::start(&mapped());
    let table = [
        ("/app/a%2Fb", "404", "/base/inner/a%2Fb"),
        ("/app//x", "/base/inner/x", "/base/inner//x"),
    ];
    for (asked, apache, equipoise) in table {
        let expected = (apache.to_owned(), equipoise.to_owned());
        assert_eq!(
            targets(&pair.ask(&Request::get(asked))),
            expected,
            "{asked}"
        );
    }
}

#[test]
fn places_at_members_become_places_here() {
    let pair = Pair::start(&mapped());
    let second = format!("http://{}/base/inner/z?q#f", MEMBERS.live(1));
    let table = [
        ("http://@MEMBER@/base/inner/y", "http://lb.test/app/y"),
        ("http://@MEMBER@/base/inner/", "http://lb.test/app/"),
        ("http://@MEMBER@/base/inner", "http://lb.test/app"),
        ("HTTP://@MEMBER@/base/inner/y", "http://lb.test/app/y"),
        (&second, "http://lb.test/app/z?q#f"),
        ("y", "y"),
        (
            "http://elsewhere.test/base/inner/y",
            "http://elsewhere.test/base/inner/y",
        ),
        ("https://elsewhere.test/", "https://elsewhere.test/"),
    ];
    for field in ["Location", "Content-Location", "URI"] {
        for (said, expected) in table {
            let expected = (expected.to_owned(), expected.to_owned());
            assert_eq!(ask_for(&pair, field, said), expected, "{field}: {said}");
        }
    }
}

#[test]
fn places_carry_the_host_that_the_client_asked() {
    let pair = Pair::start(&mapped());
    let request = Request::get("/app/")
        .with("Host", "shop.test:8080")
        .with("Say", "Location: http://@MEMBER@/base/inner/y");
    let Both { apache, equipoise } = pair.ask(&request);
    assert_eq!(passed(&apache, "Location"), passed(&equipoise, "Location"));
}

/// A member that sends a path alone means its own; Apache leaves that as it is, which works only where paths are equal.
#[test]
fn we_differ_where_a_place_is_a_path_alone() {
    let pair = Pair::start(&mapped());
    let both = ask_for(&pair, "Location", "/base/inner/y");
    assert_eq!(both, ("/base/inner/y".to_owned(), "/app/y".to_owned()));
}

#[test]
fn cookie_paths_and_domains_are_replaced_as_told() {
    let mut cluster = mapped();
    cluster.route.cookie_path = Some(("/base", "/app"));
    cluster.route.cookie_domain = Some(("member.test", "lb.test"));
    let pair = Pair::start(&cluster);
    let table = [
        ("a=b; Path=/base", "a=b; Path=/app"),
        ("a=b; Path=/base/inner/z", "a=b; Path=/app"),
        ("a=b; path=/base; HttpOnly", "a=b; path=/app; HttpOnly"),
        ("a=b; Path=/Base", "a=b; Path=/Base"),
        ("a=b; Path=/", "a=b; Path=/"),
        ("a=b; Domain=member.test", "a=b; Domain=lb.test"),
        (
            "a=b; domain=MEMBER.test; Path=/base",
            "a=b; domain=lb.test; Path=/app",
        ),
        ("a=b; Domain=other.test", "a=b; Domain=other.test"),
        ("a=b", "a=b"),
    ];
    for (said, expected) in table {
        let expected = (expected.to_owned(), expected.to_owned());
        assert_eq!(ask_for(&pair, "Set-Cookie", said), expected, "{said}");
    }
}

/// Apache takes a cookie's name for an attribute; we never touch what the cookie is for.
#[test]
fn we_differ_where_a_cookie_is_called_path() {
    let mut cluster = mapped();
    cluster.route.cookie_path = Some(("/base", "/app"));
    let both = ask_for(&Pair::start(&cluster), "Set-Cookie", "path=/base; Secure");
    assert_eq!(
        both,
        (
            "path=/app; Secure".to_owned(),
            "path=/base; Secure".to_owned()
        )
    );
}

/// Where nothing is told, we know the members' own paths and hosts already; Apache has to be told those, too.
#[test]
fn we_differ_in_cookies_of_the_members_own_place() {
    let pair = Pair::start(&mapped());
    let said = "a=b; Path=/base/inner/z; Domain=127.0.0.1";
    let both = ask_for(&pair, "Set-Cookie", said);
    assert_eq!(
        both,
        (
            said.to_owned(),
            "a=b; Path=/app/z; Domain=lb.test".to_owned()
        )
    );
}
