//! Sticky sessions: which member a session belongs to, and the cookie of ours that carries it.

use crate::harness::{Origin, Proxy, Response};

const STICKY: &str = "stickysession = \"SID|sidp\"";

/// Starts `b1` to `b3` with routes `r1` to `r3`, and the proxy with these keys of the balancer and of each member.
fn cluster(balancer: &str, keys: [&str; 3]) -> ([Origin; 3], Proxy) {
    let origins = Origin::some();
    let mut start = Proxy::before(&[]).balancer(balancer);
    for (index, keys) in keys.iter().enumerate() {
        let route = format!("route = \"r{}\"\n", index + 1);
        start = start.member(&origins[index], &(route + keys));
    }
    (origins, start.start())
}

/// Whether these requests stick, and to whom: the one member that serves six of them in a row.
fn sticks(proxy: &Proxy, target: &str, fields: &[&str]) -> Option<String> {
    let served = proxy.served_to(6, &format!("GET {target}"), fields);
    let first = served.first()?;
    served
        .iter()
        .all(|server| server == first)
        .then(|| first.clone())
}

/// Goal: the route is read as Apache reads it, but for the parameter's name, which is matched as a whole. Method: a fresh
/// start a row; six requests either all go to one member or are balanced.
#[test]
fn a_session_is_read_from_url_and_cookie() {
    let table: &[(&str, &str, &[&str], Option<&str>)] = &[
        ("", "/", &["Cookie: SID=abc.r2"], Some("b2")),
        ("", "/", &["Cookie: SID=.r2"], Some("b2")),
        ("", "/", &["Cookie: a=b; SID=abc.r2; c=d"], Some("b2")),
        ("", "/", &["Cookie: a=b", "Cookie: SID=abc.r2"], Some("b2")),
        ("", "/", &["Cookie: SID =abc.r2"], Some("b2")),
        ("", "/", &["Cookie: SID=abc.r2,c=d"], Some("b2")),
        ("", "/", &["Cookie: XSID=x.r1; SID=abc.r2"], Some("b2")),
        ("", "/", &["Cookie: SID=r2"], None),
        ("", "/", &["Cookie: sid=abc.r2"], None),
        ("", "/", &["Cookie: XSID=abc.r2"], None),
        ("", "/", &["Cookie: SIDX=abc.r2"], None),
        ("", "/", &["Cookie: SID=a.b.r2"], None),
        ("", "/", &["Cookie: SID=abc.r9"], None),
        ("", "/", &["Cookie: SID=.zz; SID=.r2"], Some("b2")),
        ("", "/", &["Cookie: SID=.zz", "Cookie: SID=.r2"], Some("b2")),
        ("", "/", &["Cookie: SID=r3; SID=.zz; SID=.r2"], Some("b2")),
        ("", "/", &["Cookie: SID=.zz; SID=.yy"], None),
        ("", "/?sidp=.zz&sidp=.r2", &[], Some("b2")),
        ("", "/x;sidp=.zz?sidp=.r2", &[], Some("b2")),
        ("", "/", &[], None),
        ("", "/?sidp=abc.r3", &[], Some("b3")),
        ("", "/?a=b&sidp=abc.r3&c=d", &[], Some("b3")),
        ("", "/x;sidp=abc.r3", &[], Some("b3")),
        ("", "/x;sidp=abc.r3?a=b", &[], Some("b3")),
        ("", "/?sidp=abc.r3", &["Cookie: SID=abc.r1"], Some("b3")),
        ("", "/?xsidp=abc.r3", &[], None),
        ("", "/?sidpx=abc.r3", &[], None),
        ("", "/?SIDP=abc.r3", &[], None),
        ("", "/?sidp=", &["Cookie: SID=abc.r1"], Some("b1")),
        ("", "/x;sidp=abc.r3;a=b", &[], None),
        (
            "scolonpathdelim = true",
            "/x;sidp=abc.r3;a=b",
            &[],
            Some("b3"),
        ),
        (
            "stickysessionsep = \"Off\"",
            "/",
            &["Cookie: SID=r2"],
            Some("b2"),
        ),
        (
            "stickysessionsep = \"Off\"",
            "/",
            &["Cookie: SID=a.r2"],
            None,
        ),
        (
            "stickysessionsep = \"!\"",
            "/",
            &["Cookie: SID=a.b!r2"],
            Some("b2"),
        ),
        ("stickysessionsep = \"!\"", "/", &["Cookie: SID=a.r2"], None),
    ];
    for (keys, target, fields, expected) in table {
        let (_origins, proxy) = cluster(&format!("{STICKY}\n{keys}"), [""; 3]);
        let server = sticks(&proxy, target, fields);
        assert_eq!(server.as_deref(), *expected, "{keys:?} {target} {fields:?}");
    }
}

#[test]
fn one_name_stands_for_cookie_and_parameter() {
    let (_origins, proxy) = cluster("stickysession = \"SID\"", [""; 3]);
    assert_eq!(
        sticks(&proxy, "/", &["Cookie: SID=x.r2"]).as_deref(),
        Some("b2")
    );
    assert_eq!(sticks(&proxy, "/?SID=x.r3", &[]).as_deref(), Some("b3"));
}

#[test]
fn nothing_sticks_without_stickysession() {
    let (_origins, proxy) = cluster("", [""; 3]);
    assert_eq!(
        sticks(&proxy, "/?SID=x.r3", &["Cookie: SID=x.r2; JSESSIONID=x.r2"]),
        None
    );
}

#[test]
fn a_session_leaves_a_member_that_takes_nothing() {
    for flag in ["D", "S"] {
        let (origins, proxy) = cluster(STICKY, ["", &format!("status = \"{flag}\""), ""]);
        let served = proxy.served_to(6, "GET /", &["Cookie: SID=x.r2"]);
        assert!(
            served.iter().all(|server| server == "b1" || server == "b3"),
            "{served:?}"
        );
        assert_eq!(origins[1].hits(), 0, "status = {flag}");
    }
}

#[test]
fn a_draining_member_keeps_its_sessions_and_gets_nobody_elses() {
    let (_origins, proxy) = cluster(STICKY, ["", "status = \"N\"", ""]);
    assert_eq!(
        sticks(&proxy, "/", &["Cookie: SID=x.r2"]).as_deref(),
        Some("b2")
    );
    let served = proxy.served(6);
    assert!(!served.contains(&"b2".to_owned()), "{served:?}");
}

#[test]
fn a_standby_keeps_its_sessions() {
    let (_origins, proxy) = cluster(STICKY, ["", "status = \"H\"", ""]);
    assert_eq!(
        sticks(&proxy, "/", &["Cookie: SID=x.r2"]).as_deref(),
        Some("b2")
    );
}

#[test]
fn a_session_follows_the_redirect_of_its_member() {
    let (_origins, proxy) = cluster(STICKY, ["redirect = \"r3\"\nstatus = \"D\"", "", ""]);
    assert_eq!(
        sticks(&proxy, "/", &["Cookie: SID=x.r1"]).as_deref(),
        Some("b3")
    );
}

#[test]
fn a_redirect_is_not_followed_while_its_member_is_usable() {
    let (_origins, proxy) = cluster(STICKY, ["redirect = \"r3\"", "", ""]);
    assert_eq!(
        sticks(&proxy, "/", &["Cookie: SID=x.r1"]).as_deref(),
        Some("b1")
    );
}

#[test]
fn redirects_in_a_circle_end() {
    let circle = [
        "redirect = \"r2\"\nstatus = \"D\"",
        "redirect = \"r1\"\nstatus = \"D\"",
        "",
    ];
    let (_origins, proxy) = cluster(STICKY, circle);
    assert_eq!(
        proxy.served_to(2, "GET /", &["Cookie: SID=x.r1"]),
        ["b3", "b3"]
    );
}

#[test]
fn nofailover_refuses_a_session_whose_member_is_unusable() {
    let (origins, proxy) = cluster(
        &format!("{STICKY}\nnofailover = true"),
        ["status = \"D\"", "", ""],
    );
    assert_eq!(
        proxy.served_to(2, "GET /", &["Cookie: SID=x.r1"]),
        ["503", "503"]
    );
    assert!(origins.iter().all(|origin| origin.hits() == 0));
}

#[test]
fn nofailover_refuses_a_session_whose_member_dies() {
    let (mut origins, proxy) = cluster(&format!("{STICKY}\nnofailover = true"), [""; 3]);
    origins[0].stop();
    assert_eq!(
        proxy.served_to(2, "GET /", &["Cookie: SID=x.r1"]),
        ["503", "503"]
    );
    assert_eq!((origins[1].hits(), origins[2].hits()), (0, 0));
}

#[test]
fn nofailover_balances_a_route_that_nobody_has() {
    let (_origins, proxy) = cluster(&format!("{STICKY}\nnofailover = true"), [""; 3]);
    assert_eq!(
        proxy.served_to(3, "GET /", &["Cookie: SID=x.r9"]),
        ["b1", "b2", "b3"]
    );
}

#[test]
fn a_session_moves_when_its_member_dies() {
    let (mut origins, proxy) = cluster(STICKY, [""; 3]);
    origins[1].stop();
    let served = proxy.served_to(4, "GET /", &["Cookie: SID=x.r2"]);
    assert!(
        served.iter().all(|server| server == "b1" || server == "b3"),
        "{served:?}"
    );
}

/// Apache's measured sequence: three requests of a session are charged to its member, so that others catch up.
#[test]
fn sessions_are_charged_to_the_order_of_the_rest() {
    let (_origins, proxy) = cluster(STICKY, [""; 3]);
    assert_eq!(
        proxy.served_to(3, "GET /", &["Cookie: SID=x.r1"]),
        ["b1"; 3]
    );
    let expected = ["b2", "b3", "b2", "b3", "b2", "b3", "b1", "b2", "b3"];
    assert_eq!(proxy.served(9), expected);
}

/// Our cookie in a response, as `name=value` and its attributes in lower case.
fn cookie(response: &Response) -> Option<(String, Vec<String>)> {
    let line = response.field("set-cookie")?;
    let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
    let attributes = attributes
        .split(';')
        .map(|part| part.trim().to_ascii_lowercase());
    Some((
        pair.to_owned(),
        attributes.filter(|part| !part.is_empty()).collect(),
    ))
}

const ISSUED: &str = "stickysession = \"ROUTEID\"\nsticky-cookie = { name = \"ROUTEID\" }";

#[test]
fn a_cookie_is_issued_once_and_keeps_the_session_at_its_member() {
    let (_origins, proxy) = cluster(ISSUED, [""; 3]);
    let first = proxy.get("/");
    let (pair, mut attributes) = cookie(&first).expect("a cookie");
    attributes.sort();
    assert_eq!(attributes, ["httponly", "path=/", "samesite=lax"]);

    let field = format!("Cookie: {pair}");
    for _ in 0..4 {
        let again = proxy.exchange("GET /", &[&field]);
        assert_eq!(again.text(), first.text());
        assert_eq!(cookie(&again), None, "the session has its cookie");
    }
    assert_ne!(proxy.get("/").text(), first.text(), "others are balanced");
}

#[test]
fn a_cookie_is_issued_anew_when_the_session_moves() {
    let (mut origins, proxy) = cluster(ISSUED, [""; 3]);
    let (old, _) = cookie(&proxy.get("/")).expect("a cookie");
    origins[0].stop();
    let moved = proxy.exchange("GET /", &[&format!("Cookie: {old}")]);
    let (new, _) = cookie(&moved).expect("a new cookie");
    assert_ne!(new, old);
    let field = format!("Cookie: {new}");
    assert_eq!(sticks(&proxy, "/", &[&field]), Some(moved.text()));
}

#[test]
fn a_cookie_has_the_attributes_that_are_configured() {
    let keys = r#"stickysession = "R"
        sticky-cookie = { name = "R", path = "/shop", domain = "example.com", http-only = false, same-site = "none", secure = true, max-age = "1h" }"#;
    let (_origins, proxy) = cluster(keys, [""; 3]);
    let (pair, mut attributes) = cookie(&proxy.get("/")).expect("a cookie");
    assert!(pair.starts_with("R=") && pair.ends_with(".r1"), "{pair}");
    attributes.sort();
    let expected = [
        "domain=example.com",
        "max-age=3600",
        "path=/shop",
        "samesite=none",
        "secure",
    ];
    assert_eq!(attributes, expected);
}

#[test]
fn a_cookie_is_issued_beside_those_of_the_member() {
    let answer =
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n";
    let origin = Origin::named("b1").saying(answer).start();
    let proxy = Proxy::before(&[])
        .member(&origin, "route = \"r1\"")
        .balancer(ISSUED)
        .start();
    let response = proxy.get("/");
    let cookies = response.head.all("set-cookie");
    assert_eq!(
        (cookies.len(), &cookies[..2]),
        (3, &["a=1", "b=2"][..]),
        "{cookies:?}"
    );
}
