//! Active checks: the `hc…` keys, where they may stand and what wins.

use http::Version;

use super::*;

const TEMPLATE: &str =
    "\n[hctemplate.web]\nhcmethod = \"GET\"\nhcuri = \"/template\"\nhcfails = 3\n";

/// The checks of the first member of `GOOD` with these lines in it, and `web` behind it.
fn check(lines: &str) -> Option<Check> {
    let text = format!("{}{TEMPLATE}", with(MEMBER, lines).0);
    good(&text).balancers.remove(0).members.remove(0).check
}

fn http(lines: &str) -> HttpCheck {
    match check(lines).unwrap().kind {
        CheckKind::Http(http) => http,
        _ => panic!("{lines}"),
    }
}

/// The checks of both members, with these lines in the balancer and in the first member.
fn checks(balancer: &str, member: &str) -> [Option<Check>; 2] {
    let text = with(MEMBER, member).0;
    let text = text.replace(BALANCER, &format!("{BALANCER}\n{balancer}"));
    let config = good(&format!("{text}{TEMPLATE}"));
    let members = config.balancers.into_iter().next().unwrap().members;
    let checks: Vec<_> = members.into_iter().map(|member| member.check).collect();
    checks.try_into().unwrap()
}

#[test]
fn a_member_is_not_checked_unless_it_says_how() {
    assert_eq!(check(""), None);
    assert_eq!(check("hcmethod = \"none\""), None);
    assert_eq!(check("hcmethod = \"None\""), None);
}

#[test]
fn checks_have_the_defaults_of_the_documentation() {
    let expected = Check {
        kind: CheckKind::Http(HttpCheck {
            method: CheckMethod::Get,
            version: Version::HTTP_10,
            target: "/".to_owned(),
            host: "127.0.0.1:9001".to_owned(),
            headers: Vec::new(),
            expect: Expect {
                statuses: vec![200..=399],
                headers: Vec::new(),
                body: None,
            },
            report: Vec::new(),
        }),
        interval: Duration::from_secs(30),
        timeout: Duration::from_secs(5),
        fails: 1,
        passes: 1,
        port: None,
    };
    assert_eq!(check("hcmethod = \"get\""), Some(expected));
    assert_eq!(check("hcmethod = \"tcp\"").unwrap().kind, CheckKind::Tcp);
}

#[test]
fn a_check_takes_no_longer_than_the_interval_by_default() {
    let timeout = |line: &str| {
        check(&format!("hcmethod = \"TCP\"\n{line}"))
            .unwrap()
            .timeout
    };
    assert_eq!(timeout("hcinterval = \"1s\""), Duration::from_secs(1));
    assert_eq!(timeout("hcinterval = \"1m\""), Duration::from_secs(5));
    assert_eq!(
        timeout("hcinterval = \"1s\"\nhctimeout = \"2s\""),
        Duration::from_secs(2)
    );
}

#[test]
fn checks_are_read_as_written() {
    let lines = "hcmethod = \"Head11\"
hcuri = \"health?full=1\"
hcinterval = \"100ms\"
hctimeout = \"50ms\"
hcfails = 100
hcpasses = 2
hcport = 8080
hchost = \"App.Internal:81\"
hcheaders = { x-probe = \"1\", User-Agent = \"a b\" }
hcexpect = { status = [200, \"204, 300-399\"], header = { X-Ready = \" yes \" } }
hcreport = [\"X-Load\", \"x-more\"]";
    let read = check(lines).unwrap();
    assert_eq!(
        (read.interval, read.timeout),
        (Duration::from_millis(100), Duration::from_millis(50))
    );
    assert_eq!((read.fails, read.passes, read.port), (100, 2, Some(8080)));
    let http = http(lines);
    assert_eq!(
        (http.method, http.version),
        (CheckMethod::Head, Version::HTTP_11)
    );
    assert_eq!(
        (http.target.as_str(), http.host.as_str()),
        ("/health?full=1", "app.internal:81")
    );
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        http.headers,
        [pair("User-Agent", "a b"), pair("x-probe", "1")]
    );
    assert_eq!(http.expect.statuses, [200..=200, 204..=204, 300..=399]);
    assert_eq!(http.expect.headers, [pair("X-Ready", "yes")]);
    assert_eq!(http.report, ["x-load", "x-more"]);
}

#[test]
fn the_uri_goes_behind_the_path_of_the_member() {
    let table = [
        ("", "GET", "", "/"),
        ("/", "GET", "", "/"),
        ("/base/", "HEAD", "", "/base"),
        ("", "GET", "hcuri = \"/health\"", "/health"),
        ("", "GET", "hcuri = \"health\"", "/health"),
        ("/base", "GET", "hcuri = \"/health\"", "/base/health"),
        ("/base", "GET", "hcuri = \"?a\"", "/base/?a"),
        ("/base", "OPTIONS", "", "*"),
        ("/base", "OPTIONS11", "hcuri = \"/h\"", "/base/h"),
    ];
    for (path, method, uri, expected) in table {
        let text = with(MEMBER, &format!("url = \"http://127.0.0.1:9001{path}\"")).0;
        let lines = format!("{MEMBER}\nhcmethod = \"{method}\"\n{uri}");
        let config = good(&text.replacen(MEMBER, &lines, 1));
        let check = config.balancers[0].members[0].check.clone().unwrap();
        let CheckKind::Http(http) = check.kind else {
            panic!("{method}");
        };
        assert_eq!(http.target, expected, "{path} {method} {uri}");
    }
}

#[test]
fn statuses_are_numbers_ranges_or_lists_of_them() {
    let statuses = |status: &str| {
        http(&format!(
            "hcmethod = \"GET\"\nhcexpect = {{ status = {status} }}"
        ))
        .expect
        .statuses
    };
    assert_eq!(statuses("200"), [200..=200]);
    assert_eq!(statuses("\"200\""), [200..=200]);
    assert_eq!(statuses("\"100-599\""), [100..=599]);
    assert_eq!(
        statuses("\"200,204, 300 - 399\""),
        [200..=200, 204..=204, 300..=399]
    );
    assert_eq!(statuses("[200, \"300-399\"]"), [200..=200, 300..=399]);
}

#[test]
fn a_body_is_expected_by_regular_expression() {
    let pattern = |pattern: &str| {
        let expect = format!("hcmethod = \"GET\"\nhcexpect = {{ body = '{pattern}' }}");
        http(&expect).expect.body.unwrap()
    };
    assert!(pattern("^ok$").matches(b"ok"));
    assert!(!pattern("^ok$").matches(b"ok\n"));
    assert!(pattern(r#""status":\s*"(up|ok)""#).matches(b"{\"status\": \"up\"}"));
    assert!(pattern("(?i)ÄRGER").matches("kein ärger".as_bytes()));
    assert!(pattern("b").matches(b"\xff\xfeb"));
}

#[test]
fn own_keys_win_over_the_template_and_that_over_the_balancer() {
    let uri = |check: &Option<Check>| match &check.as_ref().unwrap().kind {
        CheckKind::Http(http) => http.target.clone(),
        CheckKind::Tcp => "TCP".to_owned(),
        CheckKind::Grpc(_) => "GRPC".to_owned(),
        CheckKind::Cping => "CPING".to_owned(),
    };
    let both = |balancer: &str, member: &str| {
        let checks = checks(balancer, member);
        [uri(&checks[0]), uri(&checks[1])]
    };
    let default = "hcmethod = \"GET\"\nhcuri = \"/balancer\"";
    let named = "hctemplate = \"web\"";
    assert_eq!(both(default, ""), ["/balancer", "/base/balancer"]);
    assert_eq!(both(named, ""), ["/template", "/base/template"]);
    assert_eq!(both(default, named), ["/template", "/base/balancer"]);
    assert_eq!(
        both(
            &format!("{named}\nhcuri = \"/balancer\""),
            "hcuri = \"/own\""
        ),
        ["/own", "/base/balancer"]
    );
    assert_eq!(
        both(default, &format!("{named}\nhcuri = \"/own\"")),
        ["/own", "/base/balancer"]
    );
    assert_eq!(
        both(default, "hcmethod = \"TCP\""),
        ["TCP", "/base/balancer"]
    );
    let [one, other] = checks(default, "hcmethod = \"none\"");
    assert!(one.is_none() && other.is_some());
    let [one, other] = checks("hcfails = 5", named);
    assert_eq!((one.unwrap().fails, other), (3, None));
    let [one, other] = checks(&format!("{named}\nhcpasses = 2"), "hcfails = 7");
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(
        ((one.fails, one.passes), (other.fails, other.passes)),
        ((7, 2), (3, 2))
    );
}

#[test]
fn a_mistake_in_a_check_names_value_and_remedy() {
    let many = |count: usize| {
        let fields: Vec<_> = (0..count).map(|n| format!("x{n} = \"1\"")).collect();
        format!("hcheaders = {{ {} }}", fields.join(", "))
    };
    let names: Vec<_> = (0..17).map(|n| format!("\"x{n}\"")).collect();
    let many_names = format!("hcreport = [{}]", names.join(", "));
    let too_many = many(33);
    let table = [
        ("hcmethod = \"Provider\"", "means nothing in Apache either"),
        (
            "hcmethod = \"PUT\"",
            "must be one of none, TCP, OPTIONS, HEAD, GET,",
        ),
        ("hcmethod = \"GETT\"", "did you mean \"GET\"?"),
        ("hcmethod = true", "must be a string in quotes"),
        ("hcinterval = 30", "write \"30s\""),
        (
            "hcinterval = \"99ms\"",
            "must be a duration from 100ms to 24h",
        ),
        ("hctimeout = \"0s\"", "must be a duration from 1ms to 24h"),
        ("hcfails = 0", "must be a whole number from 1 to 100"),
        ("hcpasses = 101", "must be a whole number from 1 to 100"),
        ("hcport = 0", "must be a whole number from 1 to 65535"),
        ("hcport = 65536", "must be a whole number from 1 to 65535"),
        ("hcuri = \"\"", "must be a path such as \"/health\""),
        (
            "hcuri = \"http://m/health\"",
            "the member's host is in its url",
        ),
        ("hcuri = \"/a b\"", "must not contain ' ' as it stands"),
        (
            "hcuri = \"/a\\r\\nb\"",
            "must not contain '\\r' as it stands",
        ),
        ("hcuri = \"/a#b\"", "must not contain '#'"),
        ("hcuri = \"/%zz\"", "two hexadecimal digits"),
        ("hchost = \"a b\"", "must be a host and perhaps a port"),
        (
            "hchost = \"a:x\"",
            "its port must be a number from 1 to 65535",
        ),
        ("hcheaders = \"x\"", "must be a table such as { x-probe"),
        (&too_many, "must have at most 32 entries, not 33"),
        (
            "hcreport = \"x-load\"",
            "must be a list such as [\"x-load\"]",
        ),
        (&many_names, "must have at most 16 names, not 17"),
        (
            "hcexpect = \"200\"",
            "must be a table that holds some of: status, header, body",
        ),
        (
            "hcexpr = \"ok200\"",
            "is called `hcexpect` here, such as hcexpect =",
        ),
        ("hctemplate = \"wbe\"", "did you mean \"web\"?"),
        ("hctemplate = 3", "must be a string in quotes"),
        ("hcurl = \"/health\"", "did you mean `hcuri`?"),
    ];
    for (line, remedy) in table {
        let lines = if line.starts_with("hcmethod") {
            line.to_owned()
        } else {
            format!("hcmethod = \"GET\"\n{line}")
        };
        let found = mistakes(&format!("{}{TEMPLATE}", with(MEMBER, &lines).0));
        let (key, _) = line.split_once(" = ").unwrap();
        let key = format!("member[0].{key} = ");
        let told = |message: &&String| message.contains(&key) && message.contains(remedy);
        assert_eq!(found.iter().filter(told).count(), 1, "{line}: {found:#?}");
    }
}

#[test]
fn mistakes_within_a_check_are_told_where_they_are() {
    let table = [
        (
            "hcheaders = { \"a b\" = \"1\" }",
            "hcheaders.\"a b\" = \"1\": must be the name of a header field",
        ),
        (
            "hcheaders = { Host = \"a\" }",
            "hcheaders.Host = \"a\": is written as hchost",
        ),
        (
            "hcheaders = { Connection = \"close\" }",
            "is a header field of the connection, which Equipoise sets",
        ),
        (
            "hcheaders = { x = \"a\\r\\nb\" }",
            "must not contain line breaks",
        ),
        (
            "hcheaders = { x = 1 }",
            "hcheaders.x = 1: must be a string: write \"1\"",
        ),
        (
            "hcreport = [\"x-load\", \"a:\"]",
            "hcreport[1] = \"a:\": must be the name of a header field",
        ),
        (
            "hcexpect = { status = 99 }",
            "hcexpect.status = 99: must be statuses from 100 to 599",
        ),
        (
            "hcexpect = { status = \"399-300\" }",
            "must be statuses from 100 to 599 or ranges",
        ),
        (
            "hcexpect = { status = \"200-\" }",
            "must be statuses from 100 to 599 or ranges",
        ),
        (
            "hcexpect = { status = [] }",
            "must have 1 to 64 statuses or ranges of them, not 0",
        ),
        ("hcexpect = { status = true }", "must be statuses"),
        (
            "hcexpect = { header = { \"\" = \"x\" } }",
            "its name must have 1 to 256 bytes",
        ),
        (
            "hcexpect = { body = \"(\" }",
            "hcexpect.body = \"(\": must be a regular expression, such as \"ok|ready\": unclosed group",
        ),
        (
            "hcexpect = { body = \"(?:a{1000}){1000}\" }",
            "would take too much memory as a regular expression",
        ),
        (
            "hcexpect = { body = true }",
            "hcexpect.body = true: must be a string in quotes",
        ),
        ("hcexpect = { stauts = 200 }", "did you mean `status`?"),
    ];
    for (line, expected) in table {
        let found = mistakes(&with(MEMBER, &format!("hcmethod = \"GET\"\n{line}")).0);
        let told = |message: &&String| message.contains(expected);
        assert_eq!(found.iter().filter(told).count(), 1, "{line}: {found:#?}");
    }
}

#[test]
fn keys_of_checks_that_do_nothing_are_mistakes() {
    let nothing = "does nothing without hcmethod: write hcmethod = \"GET\" beside it";
    let off = "does nothing with hcmethod = \"none\"";
    let tcp = "does nothing with hcmethod = \"TCP\", which only connects";
    let head = "a response to HEAD has no body, but hcexpect expects one";
    let table = [
        ("", "hcinterval = \"1s\"", "member[0].hcinterval", nothing),
        ("", "hcuri = \"/h\"", "member[0].hcuri", nothing),
        ("", "hctemplate = \"bare\"", "member[0].hctemplate", nothing),
        ("hcinterval = \"1s\"", "", "mycluster.hcinterval", nothing),
        ("hctemplate = \"bare\"", "", "mycluster.hctemplate", nothing),
        (
            "",
            "hcmethod = \"none\"\nhcfails = 2",
            "member[0].hcfails",
            off,
        ),
        (
            "hcmethod = \"GET\"",
            "hcmethod = \"none\"\nhcuri = \"/\"",
            "member[0].hcuri",
            off,
        ),
        (
            "",
            "hcmethod = \"TCP\"\nhcuri = \"/h\"",
            "member[0].hcuri",
            tcp,
        ),
        (
            "",
            "hcmethod = \"TCP\"\nhchost = \"h\"",
            "member[0].hchost",
            tcp,
        ),
        (
            "",
            "hcmethod = \"TCP\"\nhcheaders = { x = \"1\" }",
            "member[0].hcheaders",
            tcp,
        ),
        (
            "",
            "hcmethod = \"TCP\"\nhcexpect = { status = 200 }",
            "member[0].hcexpect",
            tcp,
        ),
        (
            "",
            "hcmethod = \"TCP\"\nhcreport = [\"x\"]",
            "member[0].hcreport",
            tcp,
        ),
        (
            "hcmethod = \"TCP\"",
            "hcuri = \"/h\"",
            "member[0].hcuri",
            tcp,
        ),
        (
            "hcmethod = \"TCP\"\nhcuri = \"/h\"",
            "",
            "mycluster.hcuri",
            tcp,
        ),
        (
            "",
            "hcmethod = \"HEAD\"\nhcexpect = { body = \"a\" }",
            "member[0].hcexpect",
            head,
        ),
        (
            "hcmethod = \"GET\"\nhcexpect = { body = \"a\" }",
            "hcmethod = \"HEAD11\"",
            "member[0].hcmethod",
            head,
        ),
        (
            "hcmethod = \"HEAD\"\nhcexpect = { body = \"a\" }",
            "",
            "mycluster.hcexpect",
            head,
        ),
    ];
    for (balancer, member, key, remedy) in table {
        let text = with(MEMBER, member).0;
        let text = text.replace(BALANCER, &format!("{BALANCER}\n{balancer}"));
        let found = mistakes(&format!("{text}\n[hctemplate.bare]\nhcfails = 2\n"));
        assert_eq!(found.len(), 1, "{balancer} {member}: {found:#?}");
        assert!(
            found[0].contains(key) && found[0].contains(remedy),
            "{balancer} {member}: {found:#?}"
        );
    }
    let template = "\n[hctemplate.odd]\nhcmethod = \"TCP\"\nhcuri = \"/h\"\n";
    let found = mistakes(&format!("{GOOD}{template}"));
    assert!(
        found.len() == 1 && found[0].contains("hctemplate.odd.hcuri") && found[0].contains(tcp),
        "{found:#?}"
    );
}

#[test]
fn a_balancer_may_say_what_only_some_members_use() {
    let [one, other] = checks("hcinterval = \"1s\"\nhcuri = \"/h\"", "hcmethod = \"GET\"");
    assert_eq!(one.unwrap().interval, Duration::from_secs(1));
    assert_eq!(other, None);
}

#[test]
fn nothing_follows_from_a_method_that_is_a_mistake() {
    let lines = "hcmethod = \"GRT\"\nhcuri = \"/h\"\nhcfails = 2";
    assert_eq!(mistakes(&with(MEMBER, lines).0).len(), 1);
    let lines = "hctemplate = \"nowhere\"\nhcuri = \"/h\"";
    assert_eq!(mistakes(&with(MEMBER, lines).0).len(), 1);
}

/// Methods and keys in any table, in any combination: read or refused, and where read, as the order of precedence says.
fn lines() -> impl Strategy<Value = Vec<String>> {
    let method = select(vec!["none", "TCP", "GET", "HEAD11", "options", "CPING"]);
    let line = prop_oneof![
        method.prop_map(|method| format!("hcmethod = \"{method}\"")),
        (0..102_u32).prop_map(|fails| format!("hcfails = {fails}")),
        (50..5_000_u32).prop_map(|time| format!("hcinterval = \"{time}ms\"")),
        (0..5_000_u32).prop_map(|time| format!("hctimeout = \"{time}ms\"")),
        (1..65_537_u32).prop_map(|port| format!("hcport = {port}")),
        "[/a-z?%]{0,8}".prop_map(|uri| format!("hcuri = \"{uri}\"")),
        "[a-z(|)*0-9]{0,8}".prop_map(|body| format!("hcexpect = {{ body = '{body}' }}")),
        Just("hctemplate = \"web\"".to_owned()),
    ];
    vec(line, 0..4).prop_map(|mut lines| {
        lines.sort();
        lines.dedup_by_key(|line| line.split(' ').next().unwrap().to_owned());
        lines
    })
}

proptest! {
    #[test]
    fn what_is_read_of_checks_keeps_its_bounds(
        template in lines(), balancer in lines(), member in lines()
    ) {
        let template: Vec<_> = template.into_iter().filter(|line| !line.starts_with("hctemplate")).collect();
        let text = with(MEMBER, &member.join("\n")).0;
        let text = text.replace(BALANCER, &format!("{BALANCER}\n{}", balancer.join("\n")));
        let text = format!("{text}\n[hctemplate.web]\n{}\n", template.join("\n"));
        check_places(&text);
        let Ok(config) = parse(&text) else {
            return Ok(());
        };
        let fails = |lines: &[String]| {
            lines.iter().find_map(|line| line.strip_prefix("hcfails = ")?.parse::<u32>().ok())
        };
        for check in config.balancers[0].members.iter().filter_map(|member| member.check.as_ref()) {
            prop_assert!(check.interval >= Duration::from_millis(100));
            prop_assert!(check.timeout >= Duration::from_millis(1) && (1..=100).contains(&check.fails));
            if let CheckKind::Http(http) = &check.kind {
                prop_assert!(http.target == "*" || http.target.starts_with('/'));
            }
        }
        let first = config.balancers[0].members[0].check.as_ref();
        if let Some((check, fails)) = first.zip(fails(&member)) {
            prop_assert_eq!(check.fails, fails);
        }
    }
}

/// The check of a member at a URL with these lines.
fn check_at(url: &str, lines: &str) -> Result<Option<Check>, String> {
    let lines = format!("{MEMBER}\n{lines}");
    let text = GOOD.replacen(MEMBER, &lines, 1);
    let text = text.replacen("http://127.0.0.1:9001", url, 1);
    let config = parse(&text).map_err(|mistakes| mistakes.to_string());
    Ok(config?.balancers.remove(0).members.remove(0).check)
}

#[test]
fn services_of_grpc_are_asked_for() {
    for url in ["h2c://127.0.0.1:9001", "h2://app", "https://app:8443"] {
        let lines = "hcmethod = \"grpc\"\nhcservice = \"shop.Basket\"\nhcheaders = { authorization = \"x\" }";
        let check = check_at(url, lines).expect(url).expect(url);
        let CheckKind::Grpc(call) = check.kind else {
            panic!("{url}");
        };
        assert_eq!(call.service, "shop.Basket");
        assert_eq!(call.host, url.split_once("://").unwrap().1);
        assert_eq!(call.headers, [("authorization".to_owned(), "x".to_owned())]);
    }
    let whole = check_at("h2c://app", "hcmethod = \"GRPC\"\nhchost = \"shop\"");
    let CheckKind::Grpc(call) = whole.unwrap().unwrap().kind else {
        panic!("a call");
    };
    assert_eq!((&*call.service, &*call.host), ("", "shop"));
}

#[test]
fn calls_that_cannot_be_made_are_refused() {
    for (url, lines, says) in [
        (
            "http://app",
            "hcmethod = \"GRPC\"",
            "write it with h2, h2c or https",
        ),
        (
            "wss://app",
            "hcmethod = \"GRPC\"",
            "write it with h2, h2c or https",
        ),
        (
            "h2c://app",
            "hcmethod = \"GRPC\"\nhcuri = \"/h\"",
            "does nothing with hcmethod = \"GRPC\"",
        ),
        (
            "h2c://app",
            "hcmethod = \"GRPC\"\nhcexpect = { status = 200 }",
            "does nothing with hcmethod = \"GRPC\"",
        ),
        (
            "h2c://app",
            "hcmethod = \"GET\"\nhcservice = \"a\"",
            "does nothing without hcmethod = \"GRPC\"",
        ),
        (
            "h2c://app",
            "hcmethod = \"GRPC\"\nhcservice = \"a b\"",
            "must be the name of a service",
        ),
    ] {
        let text = check_at(url, lines).expect_err(lines);
        assert!(text.contains(says), "{lines}: {text}");
    }
}
