//! The reader as a whole: examples, documentation, every kind of mistake, and random texts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

mod ajp;
mod check;
mod explain;
mod health;
mod heartbeat;
mod manager;
mod plugin;
mod resolver;
mod route;
mod tls;
mod traces;

/// The keys of each section, under the heading that documents them.
const SECTIONS: &[(&str, &[&str])] = &[
    ("Top level", read::KEYS),
    ("access-log", access_log::KEYS),
    ("[limits]", limits::KEYS),
    ("[[listen]]", listener::KEYS),
    ("listen.tls", super::tls::SERVER_KEYS),
    ("listen.tls.certificates", super::tls::CERTIFICATE_KEYS),
    ("listen.proxy-protocol", listener::PROXY_KEYS),
    ("[heartbeat]", super::heartbeat::KEYS),
    ("[admin]", admin::KEYS),
    ("[manager]", super::manager::KEYS),
    ("[resolver]", super::resolver::KEYS),
    ("[explain]", super::explain::KEYS),
    ("[traces]", super::traces::KEYS),
    ("[[route]]", super::route::KEYS),
    ("x-forwarded", super::route::TRUST_KEYS),
    ("redirect", super::route::action::REDIRECT_KEYS),
    ("respond", super::route::action::RESPOND_KEYS),
    ("error-pages", super::route::error_page::PAGE_KEYS),
    ("request-headers", super::route::headers::KEYS),
    ("[balancer.NAME]", balancer::OWN_KEYS),
    ("lbmethod", method::KEYS),
    ("stickysession", sticky::PLUGIN_KEYS),
    ("sticky-cookie", sticky::COOKIE_KEYS),
    ("outlier", outlier::KEYS),
    ("health", balancer::HEALTH_KEYS),
    ("[[balancer.NAME.member]]", member::OWN_KEYS),
    ("member.tls", super::tls::CLIENT_KEYS),
    ("[hctemplate.NAME]", &super::check::KEYS),
    ("hcexpect", super::check::EXPECT_KEYS),
    ("[plugin.NAME]", super::plugin::KEYS),
    ("[compiler]", compiler::KEYS),
];

/// A file without mistakes that the tests spoil.
const GOOD: &str = r#"workers = 2
access-log = { file = "stdout" }

[limits]
headers = 100

[[listen]]
address = "127.0.0.1:8080"

[[route]]
path = "/app"
balancer = "mycluster"

[balancer.mycluster]
lbmethod = "byrequests"

[[balancer.mycluster.member]]
url = "http://127.0.0.1:9001"
route = "1"

[[balancer.mycluster.member]]
url = "http://[::1]:9002/base/"
route = "2"
"#;

fn parse(text: &str) -> Result<Config, Diagnostics> {
    Config::parse(text, Path::new("conf/c.toml"))
}

fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"))
}

/// What is wrong with a text, a line for each mistake.
fn mistakes(text: &str) -> Vec<String> {
    let mistakes = parse(text).expect_err(text).to_string();
    mistakes.lines().map(str::to_owned).collect()
}

/// `GOOD` with `line` in the first section that `header` begins, in place of the line with the same key if there is one;
/// and the number of that line.
fn with(header: &str, line: &str) -> (String, usize) {
    let mut lines: Vec<&str> = GOOD.lines().collect();
    let key = line.split(" = ").next().unwrap();
    let start = match header {
        "" => 0,
        header => lines.iter().position(|line| *line == header).unwrap() + 1,
    };
    let section = lines[start..]
        .iter()
        .take_while(|line| !line.starts_with('['));
    let length = section.count();
    let same = |line: &&str| line.split(" = ").next() == Some(key);
    match lines[start..start + length].iter().position(same) {
        Some(place) => {
            lines[start + place] = line;
            (lines.join("\n"), start + place + 1)
        }
        None => {
            lines.insert(start, line);
            (lines.join("\n"), start + 1)
        }
    }
}

const TOP: &str = "";
const LIMITS: &str = "[limits]";
const LISTEN: &str = "[[listen]]";
const ROUTE: &str = "[[route]]";
const BALANCER: &str = "[balancer.mycluster]";
const MEMBER: &str = "[[balancer.mycluster.member]]";

fn key_prefix(header: &str) -> &'static str {
    match header {
        LIMITS => "limits.",
        LISTEN => "listen[0].",
        ROUTE => "route[0].",
        BALANCER => "balancer.mycluster.",
        MEMBER => "balancer.mycluster.member[0].",
        _ => "",
    }
}

/// Every line is a mistake of its own: the message names file, line, column, key, value and what would be right.
#[test]
fn a_mistake_names_place_key_value_and_remedy() {
    let table = [
        (TOP, "workers = 0", "must be a whole number from 1 to 1024"),
        (
            TOP,
            "workers = \"2\"",
            "must be a whole number from 1 to 1024",
        ),
        (TOP, "workers = 99999999999999999999", "from 1 to 1024"),
        (TOP, "shutdown-timeout = 30", "write \"30s\""),
        (TOP, "shutdown-timeout = \"30\"", "write \"30s\""),
        (
            TOP,
            "shutdown-timeout = \"25h\"",
            "must be a duration from 0ms to 24h",
        ),
        (TOP, "shutdown-timeout = \"1e3s\"", "such as \"250ms\""),
        (TOP, "shutdown-timeout = \"-1s\"", "such as \"250ms\""),
        (TOP, "shutdown-timeout = true", "such as \"250ms\""),
        (
            TOP,
            "shutdwon-timeout = \"3s\"",
            "did you mean `shutdown-timeout`?",
        ),
        (
            TOP,
            "colour = 1",
            "unknown key `colour`; the keys here are workers, shutdown-timeout",
        ),
        (
            TOP,
            "access-log = \"stdout\"",
            "must be a table that holds some of: file, format",
        ),
        (
            LIMITS,
            "connections = 1.5",
            "must be a whole number from 1 to 1000000",
        ),
        (
            LIMITS,
            "header-size = \"4KiB\"",
            "must be a size from 8KiB to 1MiB, such as \"64KiB\"",
        ),
        (LIMITS, "header-size = 65536", "write \"65536B\""),
        (LIMITS, "header-size = \"64K\"", "must be a size"),
        (
            LIMITS,
            "headers = 1001",
            "must be a whole number from 1 to 1000",
        ),
        (
            LIMITS,
            "header-timeout = \"0s\"",
            "must be a duration from 1ms to 24h",
        ),
        (LIMITS, "half-close = 10", "write \"10s\""),
        (
            LIMITS,
            "half-close = \"25h\"",
            "must be a duration from 0ms to 24h",
        ),
        (
            LISTEN,
            "address = \"localhost:8080\"",
            "must be an IP address and a port, such as \"127.0.0.1:8080\"",
        ),
        (LISTEN, "address = 8080", "must be a string in quotes"),
        (ROUTE, "path = \"app\"", "must start with a slash: \"/app\""),
        (
            ROUTE,
            "path = \"/app?x=1\"",
            "must be a path alone, without `?`",
        ),
        (
            ROUTE,
            "path = \"/a b\"",
            "must not contain ' ' as it stands: write it percent-encoded",
        ),
        (
            ROUTE,
            "path = \"/a%2\"",
            "two hexadecimal digits behind each `%`",
        ),
        (
            ROUTE,
            "path = \"/a%\u{e9}\u{e9}\"",
            "write it percent-encoded",
        ),
        (
            ROUTE,
            "path = \"/a/../b\"",
            "must not contain `.` or `..` as a segment",
        ),
        (ROUTE, "host = \"*\"", "leave it out for every host"),
        (
            ROUTE,
            "host = \"a.*.example.com\"",
            "such as \"*.example.com\"",
        ),
        (
            ROUTE,
            "host = \"example.com:80\"",
            "must be a host without a port",
        ),
        (ROUTE, "host = \"exämple.com\"", "such as shop.example.com"),
        (
            ROUTE,
            "balancer = \"myclustre\"",
            "did you mean \"mycluster\"?",
        ),
        (
            ROUTE,
            "balancer = \"other\"",
            "there is no balancer of this name; there are mycluster",
        ),
        (
            ROUTE,
            "exclude = \"/app/static\"",
            "must be a list such as [\"/static\"]",
        ),
        (
            ROUTE,
            "preserve-host = \"On\"",
            "must be true or false: write `true`, without quotes",
        ),
        (
            ROUTE,
            "rewrite-location = \"off\"",
            "must be true or false: write `false`, without quotes",
        ),
        (ROUTE, "rewrite-location = 1", "must be true or false"),
        (
            ROUTE,
            "x-forwarded = true",
            "must be one of \"append\", \"replace\", \"off\"",
        ),
        (
            ROUTE,
            "x-forwarded = \"trust\"",
            "or a table such as { trust = [\"10.0.0.0/8\"] }",
        ),
        (
            ROUTE,
            "options-asterisk = true",
            "only a route with path = \"/\" can take it",
        ),
        (ROUTE, "options-asterisk = \"on\"", "write `true`"),
        (ROUTE, "forwarded = \"apend\"", "did you mean \"append\"?"),
        (
            ROUTE,
            "via = \"Full\"",
            "must be one of \"off\", \"on\", \"block\"",
        ),
        (
            ROUTE,
            "cookie-path = [\"/a\"]",
            "must be a table such as { \"/app\" = \"/shop\" }",
        ),
        (
            BALANCER,
            "lbmethod = \"byrequest\"",
            "did you mean \"byrequests\"?",
        ),
        (
            BALANCER,
            "stickysesion = \"A\"",
            "unknown key `stickysesion`; did you mean `stickysession`?",
        ),
        (
            BALANCER,
            "stickysession = \"A|\"",
            "such as \"JSESSIONID|jsessionid\"",
        ),
        (
            BALANCER,
            "stickysession = \"A|b|c\"",
            "such as \"JSESSIONID|jsessionid\"",
        ),
        (BALANCER, "stickysession = \"A B\"", "must be a cookie"),
        (
            BALANCER,
            "stickysessionsep = \"..\"",
            "must be one character",
        ),
        (
            BALANCER,
            "stickysessionsep = \";\"",
            "must be one character",
        ),
        (
            BALANCER,
            "sticky-cookie = \"ROUTEID\"",
            "must be a table that holds some of: name, path",
        ),
        (BALANCER, "nofailover = \"On\"", "write `true`"),
        (
            BALANCER,
            "maxattempts = 100",
            "must be a whole number from 0 to 99",
        ),
        (BALANCER, "timeout = 5", "write \"5s\""),
        (
            BALANCER,
            "failonstatus = \"500,abc\"",
            "must be response statuses from 100 to 599",
        ),
        (
            BALANCER,
            "failonstatus = 500",
            "must be a list such as [500, 503]",
        ),
        (
            BALANCER,
            "retry-on = \"502\"",
            "must be a list such as [\"502\", \"timeout\"]",
        ),
        (
            BALANCER,
            "request-timeout = 30",
            "write \"30s\", or be \"off\"",
        ),
        (
            BALANCER,
            "request-timeout = \"0s\"",
            "must be a duration from 1ms to 24h",
        ),
        (BALANCER, "request-timeout = false", "or be \"off\""),
        (
            BALANCER,
            "retry-budget = 20",
            "must be a percentage: write \"20%\", or be \"off\"",
        ),
        (
            BALANCER,
            "retry-budget = \"101%\"",
            "must be a percentage from \"0%\" to \"100%\", or be \"off\"",
        ),
        (
            BALANCER,
            "replay-buffer = \"17MiB\"",
            "must be a size from 0B to 16MiB",
        ),
        (BALANCER, "growth = 5", "leave it out"),
        (
            MEMBER,
            "url = \"127.0.0.1:9001\"",
            "must be http://host[:port][/path]",
        ),
        (
            MEMBER,
            "url = \"fcgi://127.0.0.1:9001\"",
            "`fcgi` is not supported",
        ),
        (
            MEMBER,
            "url = \"htp://127.0.0.1:9001\"",
            "`htp` is not a supported scheme",
        ),
        (
            MEMBER,
            "url = \"http://m/?a=1\"",
            "must not have a query: leave out `?a=1`",
        ),
        (
            MEMBER,
            "url = \"http://m/#top\"",
            "must not have a fragment: leave out `#top`",
        ),
        (
            MEMBER,
            "url = \"http://user:secret@m/\"",
            "must not name a user: leave out `user:secret@`",
        ),
        (
            MEMBER,
            "url = \"http://m:70000\"",
            "its port must be a number from 1 to 65535, not `70000`",
        ),
        (MEMBER, "url = \"http://m:0\"", "its port must be"),
        (MEMBER, "url = \"http://m:\"", "its port must be"),
        (MEMBER, "url = \"http://::1\"", "write [::1]"),
        (
            MEMBER,
            "url = \"http://[::x]\"",
            "its host must contain an IPv6 address",
        ),
        (
            MEMBER,
            "url = \"http://256.0.0.1\"",
            "its host `256.0.0.1` is not an IPv4 address",
        ),
        (
            MEMBER,
            "url = \"http:///a\"",
            "its host must be a host name",
        ),
        (
            MEMBER,
            "url = \"http://m/a b\"",
            "its path must not contain ' '",
        ),
        (
            MEMBER,
            "loadfactor = 0",
            "must be a number from 1 to 100, such as 2 or 1.5",
        ),
        (
            MEMBER,
            "loadfactor = 100.01",
            "must be a number from 1 to 100, such as 2 or 1.5",
        ),
        (MEMBER, "loadfactor = nan", "must be a number from 1 to 100"),
        (
            MEMBER,
            "loadfactor = \"2\"",
            "must be a number from 1 to 100",
        ),
        (MEMBER, "lbset = 100", "must be a whole number from 0 to 99"),
        (MEMBER, "lbset = -1", "must be a whole number from 0 to 99"),
        (
            MEMBER,
            "route = \"\"",
            "must have 1 to 63 characters, not 0",
        ),
        (
            MEMBER,
            "route = \"a;b\"",
            "must not contain ';': it stands in a cookie's value",
        ),
        (
            MEMBER,
            "redirect = \"3\"",
            "must be the route of a member of this balancer: 1, 2",
        ),
        (MEMBER, "status = \"+X\"", "the flags are D S I R H N"),
        (MEMBER, "retry = 60", "write \"60s\""),
        (MEMBER, "acquire = 3000", "write \"3000ms\""),
        (MEMBER, "ttl = 1.5", "write \"1.5s\""),
        (
            MEMBER,
            "max = 0",
            "must be a whole number from 1 to 1000000",
        ),
        (
            MEMBER,
            "enablereuse = true",
            "connections are reused unless",
        ),
        (MEMBER, "hcexpr = \"ok200\"", "is called `hcexpect` here"),
        (MEMBER, "LoadFactor = 2", "did you mean `loadfactor`?"),
    ];
    for (header, line, remedy) in table {
        let (text, number) = with(header, line);
        let (key, value) = line.split_once(" = ").unwrap();
        let column = key.len() + 4;
        let prefix = key_prefix(header);
        let found = mistakes(&text);
        let place = format!("conf/c.toml:{number}:{column}: {prefix}{key} = {value}: ");
        let told = |message: &&String| message.starts_with(&place) && message.contains(remedy);
        assert_eq!(
            found.iter().filter(told).count(),
            1,
            "{place}{remedy}\nbut {found:#?}"
        );
    }
}

/// Mistakes whose place is not simply the value of a key.
#[test]
fn mistakes_are_told_where_they_are() {
    let same_address = format!("{GOOD}[[listen]]\naddress = \"127.0.0.1:8080\"\n");
    let issued = with(BALANCER, "sticky-cookie = { name = \"A\" }").0;
    let no_route = issued.replace("route = \"2\"", "");
    let table = [
        (String::new(), "1:1: listen: is missing; write [[listen]]"),
        (String::new(), "1:1: route: is missing; write [[route]]"),
        (
            GOOD.replace("path = \"/app\"", ""),
            "10:1: route[0].path: is missing; write",
        ),
        (
            GOOD.replace("balancer = \"mycluster\"", ""),
            "10:1: route[0].balancer: is missing; write",
        ),
        (
            GOOD.replace("url = \"http://127.0.0.1:9001\"", ""),
            "17:1: balancer.mycluster.member[0].url: is missing; write",
        ),
        (
            GOOD.replace("[[listen]]", "[listen]"),
            "7:1: listen: must be a list of tables: write [[listen]]",
        ),
        (
            GOOD.replace(
                "[[balancer.mycluster.member]]",
                "[[balancer.mycluster.membre]]",
            ),
            "17:1: balancer.mycluster.membre: unknown key `membre`; did you mean `member`?",
        ),
        (
            GOOD.replace("[limits]", "[limit]"),
            "4:1: limit: unknown key `limit`; did you mean `limits`?",
        ),
        (
            format!("{GOOD}[balancer.empty]\n"),
            "24:1: balancer.empty.member: is missing; write [[balancer.empty.member]] with",
        ),
        (
            format!("{GOOD}[balancer.\"a b\"]\nmember = []\n"),
            "24:1: balancer.\"a b\": must have a name of printable ASCII",
        ),
        (
            with(MEMBER, "url = \"http://[0::1]:9002//base\"").0,
            "22:7: balancer.mycluster.member[1].url = \"http://[::1]:9002/base/\": is already a member: http://[0::1]:9002//base",
        ),
        (
            same_address,
            "25:11: listen[1].address = \"127.0.0.1:8080\": is already a listener, at line 8",
        ),
        (
            with(ROUTE, "exclude = [\"/app/a\", \"/static\", 3]").0,
            "11:22: route[0].exclude[1] = \"/static\": must lie below the route's path, /app",
        ),
        (
            with(ROUTE, "exclude = [\"/app/a\", \"/static\", 3]").0,
            "11:33: route[0].exclude[2] = 3: must be a string in quotes",
        ),
        (
            with(ROUTE, "exclude = [\"/app/\"]").0,
            "11:12: route[0].exclude[0] = \"/app/\": would leave nothing",
        ),
        (
            with(ROUTE, "exclude = [\"/application\"]").0,
            "11:12: route[0].exclude[0] = \"/application\": must lie below",
        ),
        (
            with(ROUTE, "cookie-path = { \"a\" = \"/x\", \"/b\" = 3 }").0,
            "11:23: route[0].cookie-path.a = \"/x\": what it replaces must start with a slash: \"/a\"",
        ),
        (
            with(ROUTE, "cookie-path = { \"a\" = \"/x\", \"/b\" = 3 }").0,
            "11:36: route[0].cookie-path.\"/b\" = 3: must be a string in quotes",
        ),
        (
            with(ROUTE, "cookie-domain = { \"a b\" = \"c\" }").0,
            "11:27: route[0].cookie-domain.\"a b\" = \"c\": what it replaces must be a host name",
        ),
        (
            with(BALANCER, "retry-on = [\"502\", 200, \"later\"]").0,
            "15:20: balancer.mycluster.retry-on[1] = 200: must be a status from \"400\" to \"599\" or \"timeout\"",
        ),
        (
            with(BALANCER, "retry-on = [\"502\", 200, \"later\"]").0,
            "15:25: balancer.mycluster.retry-on[2] = \"later\": must be",
        ),
        (
            with(BALANCER, "failonstatus = [500, 99]").0,
            "15:22: balancer.mycluster.failonstatus[1] = 99: must be",
        ),
        (
            no_route,
            "22:1: balancer.mycluster.member[1].route: is missing; the balancer's sticky-cookie names members by it",
        ),
        (
            issued.replace("sticky", "stickysession = \"B\"\nsticky"),
            "15:17: balancer.mycluster.stickysession = \"B\": reads another cookie than sticky-cookie sets: write \"A\"",
        ),
        (
            with(BALANCER, "sticky-cookie = { path = \"/\" }").0,
            "15:17: balancer.mycluster.sticky-cookie.name: is missing; write the cookie's name",
        ),
        (
            with(BALANCER, "sticky-cookie = { name = \"A B\" }").0,
            "15:26: balancer.mycluster.sticky-cookie.name = \"A B\": must be a cookie name",
        ),
        (
            with(
                BALANCER,
                "sticky-cookie = { name = \"A\", same-site = \"none\", secure = false }",
            )
            .0,
            "15:60: balancer.mycluster.sticky-cookie.secure = false: must be true or \"auto\" with same-site",
        ),
        (
            with(
                BALANCER,
                "sticky-cookie = { name = \"A\", secure = \"On\" }",
            )
            .0,
            "15:40: balancer.mycluster.sticky-cookie.secure = \"On\": must be \"auto\", true or false",
        ),
        (
            with(
                BALANCER,
                "sticky-cookie = { name = \"A\", max-age = \"1.5s\" }",
            )
            .0,
            "15:41: balancer.mycluster.sticky-cookie.max-age = \"1.5s\": must be whole seconds: write \"1s\"",
        ),
        (
            with(
                BALANCER,
                "sticky-cookie = { name = \"A\", max-age = \"401d\" }",
            )
            .0,
            "15:41: balancer.mycluster.sticky-cookie.max-age = \"401d\": must be a duration from 1s to 9600h",
        ),
        (
            with(BALANCER, "sticky-cookie = { name = \"__Host-A\" }").0,
            "15:26: balancer.mycluster.sticky-cookie.name = \"__Host-A\": needs secure = true",
        ),
        (
            with(BALANCER, "sticky-cookie = { name = \"A\", path = \"/;x\" }").0,
            "15:38: balancer.mycluster.sticky-cookie.path = \"/;x\": must not contain `;`",
        ),
        (
            with(MEMBER, &format!("route = \"{}\"", "r".repeat(64))).0,
            "must have 1 to 63 characters, not 64",
        ),
    ];
    for (text, expected) in table {
        let found = mistakes(&text);
        assert!(
            found.iter().any(|message| message.contains(expected)),
            "{expected}\nbut {found:#?}"
        );
    }
}

#[test]
fn all_mistakes_are_found_at_once_in_the_order_of_the_file() {
    let text = GOOD
        .replace("workers = 2", "workers = 0")
        .replace("headers = 100", "headers = = 100")
        .replace("127.0.0.1:8080", "localhost:8080")
        .replace("lbmethod = \"byrequests\"", "nofailover = On")
        .replace("route = \"2\"", "retry = 60s\nlbset = 100");
    let found = mistakes(&text);
    let places: Vec<_> = found
        .iter()
        .map(|message| message.split(": ").next().unwrap())
        .collect();
    let expected = ["1:11", "5:11", "8:11", "15:14", "23:9", "24:9"]
        .map(|place| format!("conf/c.toml:{place}"));
    assert_eq!(places, expected, "{found:#?}");
    assert!(
        found[3].contains("`nofailover = On`: is not TOML")
            && found[3].ends_with("turned on with `true`")
    );
    assert!(
        found[4].contains("`retry = 60s`: is not TOML") && found[4].contains("such as \"60s\"")
    );
}

#[test]
fn what_may_be_hidden_by_a_broken_line_is_not_called_missing() {
    let broken_header = GOOD.replace("[balancer.mycluster]", "[balancer mycluster]");
    assert_eq!(
        mistakes(&broken_header).len(),
        1,
        "{:#?}",
        mistakes(&broken_header)
    );
    let broken_listen = GOOD.replace("[[listen]]", "[[listen]");
    assert_eq!(
        mistakes(&broken_listen).len(),
        1,
        "{:#?}",
        mistakes(&broken_listen)
    );
    let no_quote = GOOD.replace("path = \"/app\"", "path = \"/app");
    assert_eq!(mistakes(&no_quote).len(), 1, "{:#?}", mistakes(&no_quote));
    let no_bracket = format!("{GOOD}failonstatus = [500\n");
    assert_eq!(
        mistakes(&no_bracket).len(),
        1,
        "{:#?}",
        mistakes(&no_bracket)
    );
}

#[test]
fn a_key_written_twice_is_a_mistake() {
    let found = mistakes(&GOOD.replace("route = \"2\"", "route = \"2\"\nroute = \"3\""));
    assert_eq!(
        found,
        ["conf/c.toml:24:1: `route = \"3\"`: is not TOML: duplicate key"]
    );
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let (text, _) = with(ROUTE, "\"\\u001b[2J\" = \"\\u001b[2J\"");
    let found = parse(&text).expect_err("an unknown key").to_string();
    assert!(found.chars().all(|part| !part.is_control()), "{found:?}");
    let (text, _) = with(ROUTE, "path = \"a\\u001b[2J\"");
    let found = parse(&text).expect_err("an illegal path").to_string();
    assert!(found.chars().all(|part| !part.is_control()), "{found:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.toml");
    let told = Config::read(&missing)
        .expect_err("no such file")
        .to_string();
    assert!(
        told.starts_with(&format!("{}: cannot be read: ", missing.display())),
        "{told}"
    );
    let latin = folder.path().join("latin.toml");
    std::fs::write(&latin, b"workers = 2\n# caf\xe9\n").unwrap();
    let told = Config::read(&latin).expect_err("not UTF-8").to_string();
    assert!(
        told.starts_with(&format!("{}:2:6: the file must be UTF-8", latin.display())),
        "{told}"
    );
}

#[test]
fn a_file_that_is_no_configuration_at_all_is_refused_in_a_bounded_way() {
    let log =
        "127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] \"GET / HTTP/1.1\" 200 12\n".repeat(20_000);
    assert_eq!(mistakes(&log).len(), 100);
}

#[test]
fn every_example_is_read_without_mistakes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = files
        .filter(|file| file.extension().is_some_and(|end| end == "toml"))
        .collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        Config::read(&file).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    }
}

/// The values of examples/limits.toml are the defaults: a file without them reads the same.
#[test]
fn the_example_of_limits_shows_the_defaults() {
    let text = include_str!("../../../examples/limits.toml");
    let kept = ["[", "workers", "address", "path", "balancer", "url", "max"];
    let lines = text
        .lines()
        .filter(|line| kept.iter().any(|start| line.starts_with(start)));
    let bare: String = lines.map(|line| format!("{line}\n")).collect();
    assert_eq!(good(&bare), good(text));
}

#[test]
fn the_documentation_has_exactly_the_keys_that_are_read() {
    let text = include_str!("../../../docs/configuration.md");
    for (heading, keys) in SECTIONS {
        let section = text
            .split("\n## ")
            .find(|part| part.lines().next() == Some(heading));
        let section = section.unwrap_or_else(|| panic!("no section {heading}"));
        let rows = section.split("\n### ").next().unwrap().lines();
        let documented: Vec<_> = rows
            .filter_map(|row| row.strip_prefix("| `")?.split('`').next())
            .collect();
        assert_eq!(&documented, keys, "section {heading}");
    }
}

/// A date suits no key, so each one that is really read reports it.
#[test]
fn every_known_key_is_read() {
    for (heading, keys) in SECTIONS {
        let header = match *heading {
            "Top level" => "",
            "access-log" => "[access-log]",
            "lbmethod" => "[balancer.NAME.lbmethod]",
            "stickysession" => "[balancer.NAME.stickysession]",
            "sticky-cookie" => "[balancer.NAME.sticky-cookie]",
            "outlier" => "[balancer.NAME.outlier]",
            "health" => "[balancer.NAME.health]",
            "hcexpect" => "[hctemplate.NAME.hcexpect]",
            "x-forwarded" => "[[route]]\n[route.x-forwarded]",
            "redirect" => "[[route]]\n[route.redirect]",
            "respond" => "[[route]]\n[route.respond]",
            "error-pages" => "[[route]]\n[route.error-pages.502]",
            "request-headers" => "[[route]]\n[route.request-headers]",
            "listen.tls" => "[[listen]]\n[listen.tls]",
            "listen.tls.certificates" => "[[listen]]\n[[listen.tls.certificates]]",
            "listen.proxy-protocol" => "[[listen]]\n[listen.proxy-protocol]",
            "member.tls" => "[[balancer.NAME.member]]\n[balancer.NAME.member.tls]",
            header => header,
        };
        for key in *keys {
            let refused = parse(&format!("{header}\n{key} = 1979-05-27\n")).expect_err(key);
            let line = header.lines().count().max(1) + 1;
            let told = |mistake: &&Diagnostic| {
                mistake.key.as_ref().is_some_and(|name| name.ends_with(key)) && mistake.line == line
            };
            let mistake = refused.iter().find(told);
            let mistake = mistake.unwrap_or_else(|| panic!("{key} in {heading}: {refused}"));
            assert!(!mistake.remedy.starts_with("unknown"), "{mistake}");
        }
    }
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let config = good(GOOD);
    assert_eq!(config.shutdown_timeout, Duration::from_secs(30));
    assert_eq!(config.limits, Limits::default());
    assert_eq!((config.heartbeat, config.admin), (None, None));
    let route = &config.routes[0];
    assert_eq!(
        (route.path.as_str(), route.member_path.as_str()),
        ("/app", "/app")
    );
    assert_eq!(
        (&*route.hosts, &*route.listeners, &route.x_forwarded),
        (&[][..], &[][..], &Forwarding::Append)
    );
    assert_eq!((&route.forwarded, route.via), (&Forwarding::Off, Via::Off));
    assert!(route.rewrite_location && !route.preserve_host && !route.options_asterisk);
    let balancer = &config.balancers[0];
    assert_eq!(balancer.settings.name, "mycluster");
    assert!(balancer.settings.forcerecovery && !balancer.settings.nofailover);
    assert_eq!(
        (balancer.method, balancer.max_attempts),
        (Method::Builtin(BuiltinMethod::Byrequests), 1)
    );
    assert_eq!(
        (balancer.timeout, balancer.replay_buffer),
        (Duration::ZERO, 65_536)
    );
    assert_eq!((&balancer.sticky, &balancer.sticky_cookie), (&None, &None));
    assert_eq!(
        (balancer.request_timeout, balancer.retry_budget),
        (None, Some(20))
    );
    assert_eq!(config.limits.half_close, Duration::from_secs(10));
    let member = &balancer.members[0];
    assert_eq!((member.settings.lbfactor, member.settings.lbset), (100, 0));
    assert_eq!(member.settings.retry, Duration::from_secs(60));
    assert_eq!(member.timeout, Duration::from_secs(60));
    assert_eq!(member.connection_timeout, Duration::from_secs(1));
    assert_eq!(member.acquire, Duration::from_secs(10));
    assert_eq!(
        (member.ttl, member.ping, member.max),
        (Duration::from_secs(4), None, None)
    );
}

#[test]
fn bounds_on_requests_and_retries_are_read_or_off() {
    let balancer = |line: &str| good(&with(BALANCER, line).0).balancers.remove(0);
    let timeout = |text| balancer(&format!("request-timeout = \"{text}\"")).request_timeout;
    assert_eq!(timeout("1.5s"), Some(Duration::from_millis(1500)));
    assert_eq!(timeout("off"), None);
    let budget = |text| balancer(&format!("retry-budget = \"{text}\"")).retry_budget;
    assert_eq!(["0%", "35%", "off"].map(budget), [Some(0), Some(35), None]);
    let half_close = good(&with(LIMITS, "half-close = \"0s\"").0)
        .limits
        .half_close;
    assert_eq!(half_close, Duration::ZERO);
}

#[test]
fn a_route_for_all_paths_may_take_options_asterisk() {
    let text = GOOD.replace("path = \"/app\"", "path = \"/\"\noptions-asterisk = true");
    assert!(good(&text).routes[0].options_asterisk);
}

#[test]
fn a_table_of_trust_names_networks() {
    let table = [
        ("x-forwarded = { trust = [] }", "must name a network"),
        (
            "forwarded = {}",
            "forwarded.trust: is missing; write whose fields are trusted",
        ),
        (
            "forwarded = { trust = [\"10.0.0.1/8\"] }",
            "write 10.0.0.0/8",
        ),
        (
            "x-forwarded = { from = [\"::1\"] }",
            "unknown key `from`; the keys here are trust",
        ),
    ];
    for (line, remedy) in table {
        let told = mistakes(&with(ROUTE, line).0);
        assert!(
            told.iter().any(|it| it.contains(remedy)),
            "{line}: {told:#?}"
        );
    }
}

/// What becomes of X-Forwarded-* and of Forwarded of a client at 10.1.2.3, of one at the same address mapped into IPv6, and of
/// one elsewhere.
#[test]
fn fields_of_clients_are_trusted_by_network() {
    use ForwardingAction::{Append, Pass, Remove, Replace};
    let trust = "{ trust = [\"10.0.0.0/8\", \"::1\"] }";
    let table = [
        ("\"append\"", "\"off\"", (Append, Pass), (Append, Pass)),
        (
            "\"replace\"",
            "\"append\"",
            (Replace, Append),
            (Replace, Append),
        ),
        (trust, "\"off\"", (Append, Pass), (Replace, Remove)),
        (trust, "\"append\"", (Append, Append), (Replace, Append)),
        (trust, trust, (Append, Append), (Replace, Replace)),
        ("\"off\"", trust, (Pass, Append), (Remove, Replace)),
    ];
    for (x_forwarded, forwarded, inside, outside) in table {
        let lines = format!("x-forwarded = {x_forwarded}\nforwarded = {forwarded}");
        let route = good(&with(ROUTE, &lines).0).routes.remove(0);
        let actions = |client: &str| {
            let client = client.parse().unwrap();
            (
                route.x_forwarded_action(client),
                route.forwarded_action(client),
            )
        };
        let clients = ["10.1.2.3", "::ffff:10.1.2.3", "11.0.0.1", "::2"];
        let expected = [inside, inside, outside, outside];
        assert_eq!(clients.map(actions), expected, "{lines}");
    }
}

#[test]
fn a_member_url_is_taken_apart() {
    let table = [
        (
            "http://127.0.0.1:9001",
            "127.0.0.1:9001",
            "127.0.0.1",
            9001,
            "",
            true,
        ),
        (
            "http://App.Example.com",
            "app.example.com",
            "app.example.com",
            80,
            "",
            false,
        ),
        ("HTTP://app:80/", "app", "app", 80, "", false),
        (
            "http://[::1]:8080//a//b/",
            "[::1]:8080",
            "::1",
            8080,
            "/a/b",
            true,
        ),
        (
            "http://[2001:DB8::1]/a%20b",
            "[2001:db8::1]",
            "2001:db8::1",
            80,
            "/a%20b",
            true,
        ),
        (
            "http://my_app.internal.:1",
            "my_app.internal.:1",
            "my_app.internal.",
            1,
            "",
            false,
        ),
    ];
    for (url, authority, host, port, path, is_address) in table {
        let config = good(&with(MEMBER, &format!("url = \"{url}\"")).0);
        let member = &config.balancers[0].members[0];
        assert_eq!(member.settings.name, url);
        assert_eq!(member.authority.as_str(), authority, "{url}");
        assert_eq!(
            (member.host.as_str(), member.port, member.path.as_str()),
            (host, port, path),
            "{url}"
        );
        let address = member.settings.address;
        assert_eq!(
            address.map(|address| address.port()),
            is_address.then_some(port),
            "{url}"
        );
    }
}

#[test]
fn durations_sizes_and_weights_are_read_exactly() {
    let milliseconds = [
        ("0s", 0),
        ("250ms", 250),
        ("1.5s", 1500),
        ("1.1s", 1100),
        ("2m", 120_000),
        ("2min", 120_000),
        ("0.5h", 1_800_000),
        ("1d", 86_400_000),
    ];
    for (text, expected) in milliseconds {
        let config = good(&with(TOP, &format!("shutdown-timeout = \"{text}\"")).0);
        assert_eq!(
            config.shutdown_timeout,
            Duration::from_millis(expected),
            "{text}"
        );
    }
    for (text, bytes) in [
        ("0B", 0),
        ("512B", 512),
        ("1.5KiB", 1536),
        ("16MiB", 16 << 20),
        ("2KB", 2000),
        ("1MB", 1_000_000),
    ] {
        let config = good(&with(BALANCER, &format!("replay-buffer = \"{text}\"")).0);
        assert_eq!(config.balancers[0].replay_buffer, bytes, "{text}");
    }
    for (text, hundredths) in [
        ("1", 100),
        ("1.15", 115),
        ("1.5", 150),
        ("99.99", 9999),
        ("100", 10_000),
        ("0x10", 1600),
    ] {
        let config = good(&with(MEMBER, &format!("loadfactor = {text}")).0);
        assert_eq!(
            config.balancers[0].members[0].settings.lbfactor, hundredths,
            "{text}"
        );
    }
}

#[test]
fn paths_and_hosts_are_brought_into_one_form() {
    for (written, path) in [
        ("/", "/"),
        ("//", "/"),
        ("/a/", "/a"),
        ("//a///b//", "/a/b"),
    ] {
        let config = good(&with(ROUTE, &format!("path = \"{written}\"")).0);
        assert_eq!(config.routes[0].path, path, "{written}");
    }
    let hosts = [
        (
            "Shop.Example.com",
            HostPattern::Exact("shop.example.com".to_owned()),
        ),
        (
            "shop.example.com.",
            HostPattern::Exact("shop.example.com".to_owned()),
        ),
        (
            "*.Example.com",
            HostPattern::Below(".example.com".to_owned()),
        ),
        ("127.0.0.1", HostPattern::Exact("127.0.0.1".to_owned())),
        ("[::1]", HostPattern::Exact("[::1]".to_owned())),
    ];
    for (written, host) in hosts {
        let config = good(&with(ROUTE, &format!("host = \"{written}\"")).0);
        assert_eq!(config.routes[0].hosts, [host], "{written}");
    }
}

#[test]
fn sessions_are_read_as_written_or_from_the_cookie_that_is_issued() {
    let sticky = |line: &str| {
        good(&with(BALANCER, line).0).balancers[0]
            .sticky
            .clone()
            .unwrap()
    };
    let names = |sticky: Sticky| match sticky.source {
        SessionSource::Names {
            cookie, parameter, ..
        } => (cookie, parameter),
        SessionSource::Plugin(_) => panic!("{sticky:?}"),
    };
    let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    assert_eq!(names(sticky("stickysession = \"A|b\"")), pair("A", "b"));
    assert_eq!(names(sticky("stickysession = \"A\"")), pair("A", "A"));
    assert_eq!(
        names(sticky("sticky-cookie = { name = \"R\" }")),
        pair("R", "R")
    );
    let separator = |written: &str| {
        sticky(&format!(
            "stickysession = \"A\"\nstickysessionsep = \"{written}\""
        ))
        .separator
    };
    assert_eq!(sticky("stickysession = \"A\"").separator, Some('.'));
    assert_eq!(
        (separator("-"), separator("Off"), separator("off")),
        (Some('-'), None, None)
    );
}

#[test]
fn retry_on_and_failonstatus_take_numbers_and_texts() {
    let balancer = |line: &str| good(&with(BALANCER, line).0).balancers.remove(0);
    let retry_on = balancer("retry-on = [\"502\", 503, \"timeout\", 502]").retry_on;
    assert_eq!(
        (retry_on.statuses, retry_on.timeout),
        (vec![502, 503], true)
    );
    for line in [
        "failonstatus = [500, 503]",
        "failonstatus = \"500, 503\"",
        "failonstatus = [\"500\", 503]",
    ] {
        assert_eq!(balancer(line).settings.failonstatus, [500, 503], "{line}");
    }
}

#[test]
fn a_shorter_timeout_bounds_connecting_too() {
    let member = |line: &str| {
        good(&with(MEMBER, line).0)
            .balancers
            .remove(0)
            .members
            .remove(0)
    };
    assert_eq!(
        member("timeout = \"500ms\"").connection_timeout,
        Duration::from_millis(500)
    );
    assert_eq!(
        member("connectiontimeout = \"5s\"").connection_timeout,
        Duration::from_secs(5)
    );
}

#[test]
fn balancers_keep_the_order_of_the_file_and_routes_find_theirs() {
    let text = format!(
        "{GOOD}\n[[balancer.a.member]]\nurl = \"http://a\"\n[[route]]\npath = \"/\"\nbalancer = \"a\"\n"
    );
    let config = good(&text);
    let names: Vec<_> = config
        .balancers
        .iter()
        .map(|balancer| balancer.settings.name.as_str())
        .collect();
    assert_eq!(names, ["mycluster", "a"]);
    assert_eq!(
        (config.routes[0].balancer(), config.routes[1].balancer()),
        (Some(0), Some(1))
    );
}

#[test]
fn log_files_are_relative_to_the_configuration() {
    let sink = |file: &str| {
        let (text, _) = with(TOP, &format!("access-log = {{ file = \"{file}\" }}"));
        good(&text).access_log.unwrap().sink
    };
    assert_eq!(sink("stdout"), Sink::Stdout);
    assert_eq!(
        sink("logs/a.log"),
        Sink::File(PathBuf::from("conf/logs/a.log"))
    );
    assert_eq!(sink("/var/a.log"), Sink::File(PathBuf::from("/var/a.log")));
}

/// What a mutation puts into the text.
fn snippet() -> impl Strategy<Value = String> {
    let known = select(vec![
        "",
        "\n",
        "=",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "\"",
        "\"\"\"",
        "'",
        ",",
        ".",
        "#",
        "\\",
        "\\u001b",
        "\r\n",
        "\u{feff}",
        "\u{0}",
        "é",
        "route",
        "balancer",
        "[balancer]",
        "[[route]]",
        "[[balancer.mycluster.member]]",
        "[plugin.canary]",
        "{ plugin = \"canary\" }",
        "[hctemplate.a]",
        "hctemplate = \"a\"\n",
        "hcmethod = \"GET\"\n",
        "hcmethod = \"TCP\"\n",
        "hcexpect = { status = \"200,3-\", body = \"(\" }\n",
        "hcheaders = { host = \"a\" }\n",
        "tls = { ca = \"a\", pin = [\"sha256:0\"] }\n",
        "tls = { certificates = [{ cert = \"a\" }] }\n",
        "[[listen.tls.certificates]]",
        "proxy-protocol = { from = [\"::/0\"] }\n",
        "upgrade = [\"any\"]\n",
        "unix:/a|",
        "https://",
        "member = 3\n",
        "0",
        "-1",
        "1e999",
        "nan",
        "1979-05-27",
        "true",
        "http://",
        "%",
        "\"\"",
    ]);
    prop_oneof![4 => known.prop_map(str::to_owned), 1 => any::<String>()]
}

/// Replaces the part between two places by a snippet.
fn mutate(text: &str, from: &Index, length: usize, snippet: &str) -> String {
    let start = text.floor_char_boundary(from.index(text.len() + 1));
    let end = text.floor_char_boundary(start + length);
    format!("{}{snippet}{}", &text[..start], &text[end..])
}

/// Unknown keys, in an order that is neither that of the text nor its reverse, before a mistake of the last section.
fn many_mistakes(count: usize) -> String {
    let key = |number: usize| format!("k{:06} = 1\n", (number * 7919) % 1_000_003);
    let keys: String = (0..count).map(key).collect();
    format!("{keys}{GOOD}loadfactor = 0\n")
}

#[test]
fn a_thousand_mistakes_are_told_in_a_hundred() {
    for (count, more) in [(98, None), (99, None), (100, Some(1)), (999, Some(900))] {
        let refused = parse(&many_mistakes(count)).unwrap_err();
        let told: Vec<_> = refused.iter().map(|mistake| mistake.line).collect();
        let expected: Vec<_> = (1..=count.min(100)).collect();
        assert_eq!(
            told[..expected.len()],
            expected,
            "the first, in their order"
        );
        assert_eq!(told.len(), (count + 1).min(100));
        let lines: Vec<_> = refused.to_string().lines().map(str::to_owned).collect();
        let last = more.map(|more| match more {
            1 => "conf/c.toml: and 1 more mistake".to_owned(),
            more => format!("conf/c.toml: and {more} more mistakes"),
        });
        assert_eq!(lines.len(), told.len() + usize::from(last.is_some()));
        assert!(last.is_none_or(|last| Some(&last) == lines.last()));
    }
}

/// Goal: what is wrong can be told in bounded space, whatever is written. Method: thousands of mistakes on one line, the last first,
/// and words of a megabyte.
#[test]
fn mistakes_are_told_in_bounded_space() {
    let keys: String = (0..20_000)
        .rev()
        .map(|number| format!("k{number:06} = 1, "))
        .collect();
    let word = "x".repeat(1_000_000);
    for text in [
        format!("limits = {{ {keys} x = 1 }}\n"),
        format!("{word} = 1\n"),
        format!("[balancer.{word}]\n{word} = 1\n"),
        format!("workers = \"{word}\"\n"),
        format!("[[route]]\nbalancer = \"{word}\"\n"),
        format!("[plugin.{word}]\nfile = 1\n"),
        format!("[balancer.{word}.{word}.{word}]\n"),
        format!("x = \"{word}\n"),
    ] {
        let refused = parse(&text).unwrap_err();
        let bytes = refused.to_string().len();
        assert!(bytes < 100_000, "{bytes} bytes for {}", &text[..60]);
    }
}

/// Every mistake lies within the text.
fn check_places(text: &str) {
    let Err(refused) = parse(text) else {
        return;
    };
    assert!(refused.iter().next().is_some(), "refused without a reason");
    let lines: Vec<_> = text.split('\n').collect();
    let last = text.lines().count().max(1);
    for mistake in refused.iter() {
        assert!(
            (1..=last).contains(&mistake.line),
            "{mistake}, of {last} lines"
        );
        let length = lines[mistake.line - 1].chars().count();
        assert!((1..=length + 1).contains(&mistake.column), "{mistake}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        check_places(&text);
    }

    #[test]
    fn any_heap_of_snippets_is_read_or_refused(parts in vec(snippet(), 0..30)) {
        check_places(&parts.concat());
    }

    #[test]
    fn any_mutation_of_a_file_is_read_or_refused(
        mutations in vec((any::<Index>(), 0..40_usize, snippet()), 1..6)
    ) {
        let mutate = |text: String, (from, length, snippet): &(Index, usize, String)| mutate(&text, from, *length, snippet);
        check_places(&mutations.iter().fold(GOOD.to_owned(), mutate));
    }
}
