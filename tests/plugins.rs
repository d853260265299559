//! Plugins at work: what they decide, what they are told, and who stands in for them.

use std::fs;

use crate::harness::component::{Component, answer, none, trap, with_text};
use crate::harness::fixtures::{
    Affinity, answering, answering_none, configure_refuses, counting, prefetching, reading,
    restricting,
};
use crate::harness::plugin::version;
use crate::harness::proxy::{Start, server};
use crate::harness::{Gate, Origin, Proxy, Response};

const CHOOSES: &str = "lbmethod = { plugin = \"p\" }";
const READS: &str = "stickysession = { plugin = \"p\" }";

/// Where an imported function leaves its answer.
const ANSWER: &str = "(i32.const 48)";

/// The address and the length of the text of an optional answer.
const TEXT: &str = "(i32.load offset=4 (i32.const 48)) (i32.load offset=8 (i32.const 48))";

/// A proxy in front of these members, to be given the plugin `p` and what the balancer has of it.
fn before(members: &[&Origin], component: &Component, balancer: &str) -> Start {
    Proxy::before(members)
        .balancer(balancer)
        .component("p", component, "")
}

/// A body that answers by `some` if the request has what `ask` asks for, else none.
fn if_any(name: &str, ask: &str, some: &str) -> String {
    let ask = with_text(name.as_bytes(), &format!("{ANSWER} {ask}"));
    format!("{ask} (if (i32.load8_u {ANSWER}) (then {some} return)) call $none")
}

/// A body of `session#read` whose key is this header field of the request.
fn key_in(header: &str) -> String {
    if_any(header, "call $header", &format!("{TEXT} call $key"))
}

/// Which member serves a request with this header field.
#[track_caller]
fn served_with(proxy: &Proxy, field: &str) -> String {
    server(&proxy.exchange("GET /", &[field]))
}

#[test]
fn a_plugin_chooses() {
    let [b1, b2, b3] = Origin::some();
    let proxy = before(&[&b1, &b2, &b3], &answering(2), CHOOSES).start();
    assert_eq!(proxy.served(4), ["b3"; 4]);
    let loaded = format!(
        "plugin p: version {} serves (selector)",
        version(&answering(2).build())
    );
    proxy.stderr.line_with(&loaded);
}

#[test]
fn the_fallback_decides_where_a_plugin_does_not() {
    let [b1, b2, b3] = Origin::some();
    let proxy = before(&[&b1, &b2, &b3], &answering_none(), CHOOSES).start();
    assert_eq!(proxy.served(6), ["b1", "b2", "b3", "b1", "b2", "b3"]);
}

/// Goal: it is the fallback that is configured. Method: while a request is held at b1, `byrequests` would choose b1 again
/// because of its weight, and `bybusyness` does not.
#[test]
fn the_fallback_is_the_one_that_is_configured() {
    for (fallback, expected) in [("byrequests", "b1"), ("bybusyness", "b2")] {
        let gate = Gate::closed();
        let b1 = held("b1", &gate);
        let b2 = Origin::live("b2");
        let method = format!("lbmethod = {{ plugin = \"p\", fallback = \"{fallback}\" }}");
        let proxy = before(&[], &answering_none(), &method)
            .member(&b1, "loadfactor = 100")
            .member(&b2, "")
            .start();
        let mut waiting = proxy.client();
        waiting.ask("GET /held", &[]);
        b1.await_hits(1);
        assert_eq!(proxy.served(1), [expected], "{fallback}");
        gate.open();
        assert_eq!(server(&waiting.response()), "b1");
    }
}

/// A member that answers `/held` only when the gate is open.
fn held(name: &str, gate: &Gate) -> Origin {
    let gate = gate.clone();
    let origin = Origin::named(name).answering(move |exchange| {
        if exchange.target() == "/held" {
            assert!(gate.wait(), "the gate is opened");
        }
        let name = exchange.name().to_owned();
        exchange.answer(&name);
    });
    origin.start()
}

#[test]
fn the_fallback_chooses_among_those_that_a_plugin_leaves() {
    let [b1, b2, b3] = Origin::some();
    let members = [&b1, &b2, &b3];
    for (left, expected) in [
        (&[0, 2][..], ["b1", "b3", "b1", "b3"]),
        (&[1], ["b2"; 4]),
        (&[], ["b1", "b2", "b3", "b1"]),
    ] {
        let proxy = before(&members, &restricting(left), CHOOSES).start();
        assert_eq!(proxy.served(4), expected, "{left:?}");
    }
}

/// Goal: a plugin sees of a client's credentials what the operator shows it, however it asks. Method: the member it chooses
/// tells what it saw: 1 and 2 stand for credentials, 4 and 8 for cookies.
#[test]
fn header_fields_are_hidden_from_a_plugin_as_configured() {
    let sees = |bit: u32, name: &str, ask: &str| {
        let ask = with_text(name.as_bytes(), &format!("{ANSWER} call ${ask}"));
        let seen = format!("(i32.mul (i32.load8_u {ANSWER}) (i32.const {bit}))");
        format!("{ask} (local.set $j (i32.or (local.get $j) {seen}))")
    };
    let component = Component::selector(&format!(
        "{}{}{}{} (call $some (local.get $j))",
        sees(1, "AUTHORIZATION", "header"),
        sees(2, "proxy-Authorization", "header-hash"),
        sees(4, "sid", "cookie"),
        sees(8, "Cookie", "header"),
    ));
    let members = Origin::some::<16>();
    for (keys, seen) in [
        ("", 4 + 8),
        ("hide-headers = []", 1 + 2 + 4 + 8),
        ("hide-headers = [\"x-other\"]", 1 + 2 + 4 + 8),
        ("hide-headers = [\"Cookie\"]", 1 + 2),
        ("hide-headers = [\"proxy-AUTHORIZATION\", \"cookie\"]", 1),
    ] {
        let proxy = Proxy::before(&members.each_ref())
            .balancer(CHOOSES)
            .component("p", &component, keys)
            .start();
        let fields = [
            "authorization: Basic eDp5",
            "Proxy-Authorization: Bearer x",
            "COOKIE: sid=1",
        ];
        let response = proxy.exchange("GET /", &fields);
        assert_eq!(server(&response), format!("b{}", 1 + seen), "{keys}");
    }
}

/// Goal: one clock tells the time in every call, whatever it is about. Method: a plugin that traps when the clock has gone back
/// is loaded, rehearsed and asked, and again when the program has been running for a while.
#[test]
fn the_clock_of_a_plugin_never_goes_back() {
    let tells = "(if (i64.lt_u (call $now-ms) (global.get $latest)) (then unreachable))
        (global.set $latest (call $now-ms))";
    let component = Component::selector(&format!("{tells} {}", answer(1)))
        .also("schedule")
        .function("schedule#lbstatus", &format!("{tells} i64.const 0"))
        .declaring("(global $latest (mut i64) (i64.const 0))")
        .configure(&format!("{tells} call $ok"));
    let [b1, b2] = Origin::some();
    let proxy = Proxy::before(&[&b1, &b2])
        .balancer(CHOOSES)
        .component("p", &component, "")
        .start();
    assert_eq!(proxy.served(2), ["b2"; 2]);
    proxy.install("p", &component.padded(1).build());
    assert_eq!(proxy.served(2), ["b2"; 2]);
    assert_eq!(proxy.stderr.count("fault as"), 0);
}

/// The members get what plugins do not see, and so do the program's own policies.
#[test]
fn what_is_hidden_from_plugins_is_hidden_from_nobody_else() {
    let [b1, b2] = Origin::some();
    let proxy = Proxy::before(&[])
        .balancer("lbmethod = { plugin = \"p\" }\nstickysession = \"ROUTE\"")
        .member(&b1, "route = \"r1\"")
        .member(&b2, "route = \"r2\"")
        .component("p", &answering(0), "hide-headers = [\"cookie\"]")
        .start();
    let response = proxy.exchange("GET /", &["Cookie: ROUTE=a.r2"]);
    assert_eq!(server(&response), "b2");
    let request = b2.only_request();
    assert_eq!(request.head.field("cookie"), Some("ROUTE=a.r2"));
}

/// The position a plugin answers is among the members that may be chosen, so that it cannot choose another.
#[test]
fn a_plugin_is_asked_about_those_who_may_be_chosen() {
    let [b1, b2, b3] = Origin::some();
    let proxy = before(&[], &answering(0), CHOOSES)
        .member(&b1, "status = \"D\"")
        .member(&b2, "lbset = 1")
        .member(&b3, "")
        .start();
    assert_eq!(proxy.served(3), ["b3"; 3]);
}

#[test]
fn one_component_chooses_and_reads_sessions() {
    let [b1, b2, b3] = Origin::some();
    let both = Component::exporting(&["selector", "session"])
        .function("selector#select", &answer(2))
        .function("session#read", &none())
        .when_header("x-user", "known", &with_text(b"r2", "call $route"));
    let proxy = before(&[], &both, &format!("{CHOOSES}\n{READS}"))
        .member(&b1, "route = \"r1\"")
        .member(&b2, "route = \"r2\"")
        .member(&b3, "route = \"r3\"")
        .start();
    let loaded = format!(
        "version {} serves (selector, session)",
        version(&both.build())
    );
    proxy.stderr.line_with(&loaded);
    assert_eq!(served_with(&proxy, "X-User: known"), "b2");
    assert_eq!(served_with(&proxy, "X-User: new"), "b3");
}

#[test]
fn one_component_chooses_and_another_reads_sessions() {
    let [b1, b2, b3] = Origin::some();
    let reader = Component::session(&none()).when_header(
        "x-user",
        "known",
        &with_text(b"r2", "call $route"),
    );
    let proxy = before(&[], &reader, READS)
        .balancer("lbmethod = { plugin = \"q\" }")
        .component("q", &answering(2), "")
        .member(&b1, "route = \"r1\"")
        .member(&b2, "route = \"r2\"")
        .member(&b3, "route = \"r3\"")
        .start();
    assert_eq!(served_with(&proxy, "X-User: known"), "b2");
    assert_eq!(served_with(&proxy, "X-User: new"), "b3");
}

#[test]
fn a_session_goes_to_the_member_of_its_route() {
    let [b1, b2] = Origin::some();
    for (route, expected) in [("r2", ["b2"; 4]), ("r9", ["b1", "b2", "b1", "b2"])] {
        let proxy = before(&[], &reading(Affinity::Route, route), READS)
            .member(&b1, "route = \"r1\"")
            .member(&b2, "route = \"r2\"")
            .start();
        assert_eq!(proxy.served(4), expected, "{route}");
    }
}

#[test]
fn a_session_goes_to_the_member_of_its_key() {
    let [b1, mut b2, b3] = Origin::some();
    let proxy = before(&[], &Component::session(&key_in("x-user")), READS)
        .member(&b1, "retry = \"0s\"")
        .member(&b2, "retry = \"0s\"")
        .member(&b3, "retry = \"0s\"")
        .start();
    let of_all = || -> Vec<String> {
        let users = 0..30;
        let fields = users.map(|user| format!("X-User: user-{user}"));
        fields.map(|field| served_with(&proxy, &field)).collect()
    };
    let at_first = of_all();
    for member in ["b1", "b2", "b3"] {
        assert!(at_first.iter().any(|it| it == member), "{at_first:?}");
    }
    assert_eq!(of_all(), at_first, "the same key, the same member");

    b2.stop();
    let without_b2 = of_all();
    for (before, after) in at_first.iter().zip(&without_b2) {
        match before.as_str() {
            "b2" => assert!(after == "b1" || after == "b3", "{after}"),
            _ => assert_eq!(before, after, "only the keys of b2 move"),
        }
    }
    assert_eq!(of_all(), without_b2, "and move once");

    b2.listen();
    assert_eq!(of_all(), at_first, "they come back");
}

#[test]
fn a_plugin_issues_a_cookie_to_a_session_that_is_new_at_its_member() {
    let [b1, b2] = Origin::some();
    let component = Component::session(&none())
        .also("session-cookie")
        .when_header("x-user", "known", &with_text(b"r2", "call $route"))
        .function(
            "session-cookie#issue",
            &with_text(b"SID=a1.r2; Path=/; HttpOnly", "call $issued"),
        );
    let proxy = before(&[], &component, READS)
        .member(&b1, "")
        .member(&b2, "route = \"r2\"")
        .start();
    let cookie = |response: &Response| response.field("set-cookie").map(str::to_owned);
    let responses = [proxy.get("/"), proxy.get("/")];
    assert_eq!(responses.each_ref().map(server), ["b1", "b2"]);
    let expected = Some("SID=a1.r2; Path=/; HttpOnly".to_owned());
    assert_eq!(
        responses.each_ref().map(cookie),
        [None, expected],
        "b1 has no route"
    );
    let known = proxy.exchange("GET /", &["X-User: known"]);
    assert_eq!((server(&known), cookie(&known)), ("b2".to_owned(), None));
}

/// Reads the cookie that we set, whose value is a dot and the route.
#[test]
fn a_plugin_reads_the_cookie_that_we_set() {
    let [b1, b2] = Origin::some();
    let route = "(i32.add (i32.load offset=4 (i32.const 48)) (i32.const 1))
        (i32.sub (i32.load offset=8 (i32.const 48)) (i32.const 1))
        call $route";
    let reader = Component::session(&if_any("ROUTEID", "call $cookie", route));
    let balancer = format!("{READS}\nsticky-cookie = {{ name = \"ROUTEID\" }}");
    let proxy = before(&[], &reader, &balancer)
        .member(&b1, "route = \"r1\"")
        .member(&b2, "route = \"r2\"")
        .start();
    let (first, second) = (proxy.get("/"), proxy.get("/"));
    assert_eq!(
        (server(&first), server(&second)),
        ("b1".into(), "b2".into())
    );
    for response in [first, second] {
        let cookie = response.field("set-cookie").expect("a cookie");
        let (pair, _) = cookie.split_once(';').expect("attributes");
        for _ in 0..3 {
            let again = proxy.exchange("GET /", &[&format!("Cookie: {pair}")]);
            assert_eq!(server(&again), server(&response));
            assert_eq!(again.field("set-cookie"), None);
        }
    }
}

/// Functions that write a text, piece by piece, at address 4 096.
const WRITER: &str = r#"
(global $end (mut i32) (i32.const 4096))
(func $byte (param $byte i32)
    (i32.store8 (global.get $end) (local.get $byte))
    (global.set $end (i32.add (global.get $end) (i32.const 1))))
(func $text (param $address i32) (param $length i32)
    (memory.copy (global.get $end) (local.get $address) (local.get $length))
    (global.set $end (i32.add (global.get $end) (local.get $length)))
    (call $byte (i32.const 32)))
(func $digits (param $number i32)
    (if (i32.ge_u (local.get $number) (i32.const 10))
        (then (call $digits (i32.div_u (local.get $number) (i32.const 10)))))
    (call $byte (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10)))))
(func $number (param $number i32)
    (call $digits (local.get $number))
    (call $byte (i32.const 32)))
(func $entries (param $address i32) (param $count i32)
    (block $done (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (call $text (i32.load (local.get $address)) (i32.load offset=4 (local.get $address)))
        (call $text (i32.load offset=8 (local.get $address)) (i32.load offset=12 (local.get $address)))
        (local.set $address (i32.add (local.get $address) (i32.const 16)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next))))
(func $written (result i32 i32)
    (i32.const 4096)
    (i32.sub (global.get $end) (i32.const 4096)))
"#;

/// Goal: everything in the configuration that is for plugins reaches `configure`. Method: a plugin that refuses to serve,
/// with all that it was told as its reason.
#[test]
fn a_plugin_is_told_its_settings_and_the_members() {
    let repeat = r"
        (call $entries (local.get $settings) (local.get $settings-length))
        (block $done (loop $next
            (br_if $done (i32.eqz (local.get $members-length)))
            (call $byte (i32.const 124))
            (call $number (i32.load (local.get $members)))
            (call $text (i32.load offset=4 (local.get $members)) (i32.load offset=8 (local.get $members)))
            (call $number (i32.load offset=12 (local.get $members)))
            (call $number (i32.load offset=16 (local.get $members)))
            (if (i32.load8_u offset=20 (local.get $members)) (then
                (call $text
                    (i32.load offset=24 (local.get $members)) (i32.load offset=28 (local.get $members)))))
            (call $number (i32.load offset=32 (local.get $members)))
            (call $number (i32.load offset=36 (local.get $members)))
            (call $entries
                (i32.load offset=40 (local.get $members)) (i32.load offset=44 (local.get $members)))
            (local.set $members (i32.add (local.get $members) (i32.const 48)))
            (local.set $members-length (i32.sub (local.get $members-length) (i32.const 1)))
            (br $next)))
        (call $error (call $written))";
    let [b1, b2] = Origin::some();
    let component = answering(0).declaring(WRITER).configure(repeat);
    let proxy = Proxy::before(&[])
        .balancer(CHOOSES)
        .component(
            "p",
            &component,
            "settings = { zone = \"b\", a = \"1 \\\"2\\\"\" }",
        )
        .member(
            &b1,
            "loadfactor = 1.5\nroute = \"r1\"\nhcmethod = \"TCP\"\nhcpasses = 2\nhcfails = 3\nmetadata = { version = \"2\", gpu = \"ä\" }",
        )
        .member(&b2, "lbset = 7")
        .start();
    let line = proxy.stderr.line_with("its configure refuses: ");
    let expected = format!(
        "its configure refuses: a 1 \"2\" zone b |0 {} 150 0 r1 2 3 gpu ä version 2 |1 {} 100 7 1 1 ; ",
        b1.url(),
        b2.url()
    );
    assert!(line.contains(&expected), "{line}\n{expected}");
    assert_eq!(proxy.served(2), ["b1", "b1"], "lbset 7 is not needed");
}

/// The first setting's value is a digit: the position to choose.
#[test]
fn a_plugin_decides_by_its_settings() {
    let [b1, b2, b3] = Origin::some();
    let configure = "
        (global.set $position
            (i32.sub (i32.load8_u (i32.load offset=8 (local.get $settings))) (i32.const 48)))
        call $ok";
    let component = Component::selector("(call $some (global.get $position))")
        .declaring("(global $position (mut i32) (i32.const 0))")
        .configure(configure);
    for (position, expected) in [("1", "b2"), ("2", "b3")] {
        let keys = format!("settings = {{ position = \"{position}\" }}");
        let proxy = Proxy::before(&[&b1, &b2, &b3])
            .balancer(CHOOSES)
            .component("p", &component, &keys)
            .start();
        assert_eq!(proxy.served(3), [expected; 3]);
    }
}

#[test]
fn a_plugin_sees_the_request() {
    let written = format!(
        "(global.set $end (i32.const 4096))
        {}
        (call $method {ANSWER}) (call $text (i32.load {ANSWER}) (i32.load offset=4 {ANSWER}))
        (call $path {ANSWER}) (call $text (i32.load {ANSWER}) (i32.load offset=4 {ANSWER}))
        (call $query {ANSWER}) (call $text {TEXT})
        {}
        (call $text {TEXT})
        (call $client-address {ANSWER})
        (call $text (i32.load {ANSWER}) (i32.load offset=4 {ANSWER}))
        (call $number (call $attempt))
        (call $text (local.get $route) (local.get $route-length))
        (call $issued (call $written))",
        with_text(b"E=", "call $text"),
        with_text(b"x-several", &format!("{ANSWER} call $header")),
    );
    let component = Component::session(&none())
        .also("session-cookie")
        .declaring(WRITER)
        .function("session-cookie#issue", &written);
    let b1 = Origin::live("b1");
    let proxy = before(&[], &component, READS)
        .member(&b1, "route = \"r1\"")
        .start();
    let fields = ["X-Several: a", "x-several: b"];
    let response = proxy.exchange("DELETE /x%20y/?q=1&r", &fields);
    assert_eq!(
        response.field("set-cookie"),
        Some("E= DELETE /x%20y/ q=1&r a, b 127.0.0.1 1 r1")
    );
}

/// Chooses the least busy member. Every member that was asked holds its answer back.
#[test]
fn a_plugin_sees_how_busy_the_candidates_are() {
    let gate = Gate::closed();
    let origins = ["b1", "b2", "b3"].map(|name| held(name, &gate));
    let at = |index: &str| {
        format!(
            "(i32.load (i32.add (i32.load {ANSWER}) (i32.shl (local.get {index}) (i32.const 2))))"
        )
    };
    let least_busy = format!(
        "(call $busy {ANSWER})
        (block $done (loop $next
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
            (if (i32.lt_u {} {}) (then (local.set $j (local.get $i))))
            (br $next)))
        (call $some (local.get $j))",
        at("$i"),
        at("$j")
    );
    // The rotation would do the same, if not for the weight of b3.
    let proxy = before(&[], &Component::selector(&least_busy), CHOOSES)
        .member(&origins[0], "")
        .member(&origins[1], "")
        .member(&origins[2], "loadfactor = 100")
        .start();
    let clients = origins.each_ref().map(|origin| {
        let mut client = proxy.client();
        client.ask("GET /held", &[]);
        origin.await_hits(1);
        client
    });
    gate.open();
    let served = clients.map(|mut client| server(&client.response()));
    assert_eq!(served, ["b1", "b2", "b3"]);
}

/// Chooses by what comes with the question: the least busy member, the second column of three. Every member that was asked holds
/// its answer back.
#[test]
fn a_plugin_is_handed_the_columns_it_names() {
    let gate = Gate::closed();
    let origins = ["b1", "b2", "b3"].map(|name| held(name, &gate));
    // The entries of the first column have 64 bits.
    let at = |index: &str| {
        format!(
            "(i32.load (i32.add (local.get $values)
                (i32.shl (i32.add (i32.shl (local.get $count) (i32.const 1)) (local.get {index})) (i32.const 2))))"
        )
    };
    let least_busy = format!(
        "(if (i32.ne (local.get $values-length) (i32.shl (local.get $count) (i32.const 2))) (then unreachable))
        (block $done (loop $next
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
            (if (i32.lt_u {} {}) (then (local.set $j (local.get $i))))
            (br $next)))
        (call $some (local.get $j))",
        at("$i"),
        at("$j")
    );
    let component = prefetching(&["elected", "busy", "ids"], &least_busy);
    // The rotation would do the same, if not for the weight of b3.
    let proxy = before(&[], &component, CHOOSES)
        .member(&origins[0], "")
        .member(&origins[1], "")
        .member(&origins[2], "loadfactor = 100")
        .start();
    let clients = origins.each_ref().map(|origin| {
        let mut client = proxy.client();
        client.ask("GET /held", &[]);
        origin.await_hits(1);
        client
    });
    gate.open();
    let served = clients.map(|mut client| server(&client.response()));
    assert_eq!(served, ["b1", "b2", "b3"]);
}

/// One that names none is asked as if it had no such interface.
#[test]
fn a_plugin_that_names_no_columns_is_asked_without() {
    let [b1, b2, b3] = Origin::some();
    let component = prefetching(&[], &trap()).function("selector#select", &answer(1));
    let proxy = before(&[&b1, &b2, &b3], &component, CHOOSES).start();
    assert_eq!(proxy.served(4), ["b2"; 4]);
}

/// A wrong number or member would be a trap, and the fallback would choose b2.
#[test]
fn a_plugin_sees_which_members_were_tried() {
    let (b1, b2, b3) = (Origin::dead(), Origin::live("b2"), Origin::live("b3"));
    let select = format!(
        "(if (i32.eq (call $attempt) (i32.const 1)) (then {} return))
        (call $tried {ANSWER})
        (if (i32.ne (i32.load offset=4 {ANSWER}) (i32.const 1)) (then unreachable))
        (if (i32.ne (i32.load (i32.load {ANSWER})) (i32.const 0)) (then unreachable))
        (if (i32.ne (call $attempt) (i32.const 2)) (then unreachable))
        (if (i32.ne (local.get $count) (i32.const 2)) (then unreachable))
        {}",
        answer(0),
        answer(1)
    );
    let proxy = before(&[&b1, &b2, &b3], &Component::selector(&select), CHOOSES).start();
    assert_eq!(proxy.served(1), ["b3"]);
}

/// Goal: one instance for all workers sees every request, in order. Method: a plugin that counts its calls, and each
/// request on a connection of its own, so that both workers get some.
#[test]
fn one_instance_for_all_workers_keeps_the_order_exact() {
    let [b1, b2, b3] = Origin::some();
    let proxy = before(&[&b1, &b2, &b3], &counting(), CHOOSES)
        .top("workers = 2")
        .start();
    assert_eq!(proxy.served(30), ["b1", "b2", "b3"].repeat(10));
}

/// Two instances count each for itself. That what they answer together is by chance what one would answer has a
/// probability of 1 to 4 for every three requests.
#[test]
fn each_worker_has_an_instance_if_that_is_configured() {
    let [b1, b2, b3] = Origin::some();
    let proxy = Proxy::before(&[&b1, &b2, &b3])
        .top("workers = 2")
        .balancer(CHOOSES)
        .component("p", &counting(), "instances = \"per-worker\"")
        .start();
    let served = proxy.served(60);
    assert_ne!(served, ["b1", "b2", "b3"].repeat(20));
    for member in ["b1", "b2", "b3"] {
        let count = served.iter().filter(|it| *it == member).count();
        assert!((19..=21).contains(&count), "{member}: {count}");
    }
}

#[test]
fn each_worker_has_a_reader_of_sessions_if_that_is_configured() {
    let [b1, b2] = Origin::some();
    let proxy = Proxy::before(&[])
        .top("workers = 2")
        .balancer(READS)
        .component(
            "p",
            &reading(Affinity::Route, "r2"),
            "instances = \"per-worker\"",
        )
        .member(&b1, "route = \"r1\"")
        .member(&b2, "route = \"r2\"")
        .start();
    assert_eq!(proxy.served(20), ["b2"; 20]);
}

#[test]
fn balancers_have_instances_of_their_own() {
    let [b1, b2, b3] = Origin::some();
    let members = [&b1, &b2, &b3];
    let mut toml = "[[listen]]\naddress = \"127.0.0.1:0\"\n".to_owned();
    for name in ["one", "two"] {
        toml += &format!("[[route]]\npath = \"/{name}\"\nbalancer = \"{name}\"\n");
        toml += &format!("[balancer.{name}]\n{CHOOSES}\n");
        for member in members {
            toml += &format!("[[balancer.{name}.member]]\nurl = \"{}\"\n", member.url());
        }
    }
    let proxy = Proxy::with(&toml).component("p", &counting(), "").start();
    for _ in 0..2 {
        for expected in ["b1", "b2", "b3"] {
            assert_eq!(server(&proxy.get("/one")), expected);
            assert_eq!(server(&proxy.get("/two")), expected);
        }
    }
}

#[test]
fn the_fallback_serves_until_a_missing_file_is_there() {
    let [b1, b2] = Origin::some();
    let proxy = Proxy::before(&[])
        .balancer(&format!("{CHOOSES}\n{READS}"))
        .plugin("p", "")
        .member(&b1, "route = \"r1\"\nloadfactor = 100")
        .member(&b2, "route = \"r2\"")
        .start();
    assert_eq!(proxy.served(3), ["b1"; 3]);
    let line = proxy.stderr.line_with("plugin p: ");
    let said = "p.wasm cannot be read: No such file or directory (os error 2); the fallback serves";
    assert!(line.contains("ERROR") && line.ends_with(said), "{line}");

    let both = answering(1).also("session");
    proxy.install("p", &both.build());
    assert_eq!(proxy.served(3), ["b2"; 3]);
    let said = proxy.stderr.text();
    assert_eq!(said.lines().count(), 2, "each is said once: {said}");
}

#[test]
fn the_fallback_serves_until_a_refused_file_is_put_right() {
    let [b1, b2] = Origin::some();
    let proxy = before(&[], &configure_refuses(), CHOOSES)
        .member(&b1, "loadfactor = 100")
        .member(&b2, "")
        .start();
    assert_eq!(proxy.served(3), ["b1"; 3]);
    let refused = version(&configure_refuses().build());
    let said = format!(
        "plugin p: version {refused} is refused: balancer cluster cannot use it: its configure \
         refuses: `zone` is missing: say `zone = \"a\"`; the fallback serves"
    );
    let line = proxy.stderr.line_with("plugin p: ");
    assert!(line.contains("ERROR") && line.ends_with(&said), "{line}");

    proxy.install("p", &answering(1).build());
    assert_eq!(proxy.served(3), ["b2"; 3]);
    let said = proxy.stderr.text();
    assert_eq!(said.lines().count(), 2, "each is said once: {said}");
}

/// A plugin that no balancer names is loaded all the same, so that its mistakes are known.
#[test]
fn a_plugin_that_nobody_names_does_nothing() {
    let b1 = Origin::live("b1");
    let proxy = before(&[&b1], &answering(0), "").start();
    proxy.stderr.line_with("serves (selector)");
    fs::remove_file(proxy.path("p.wasm")).expect("it is there");
    proxy.stderr.line_with("cannot be read: No such file");
    assert_eq!(proxy.served(2), ["b1"; 2]);
}
