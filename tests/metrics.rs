//! What Prometheus is told of traffic.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Instant;

use serde_json::Value;

use crate::harness::client::request;
use crate::harness::fixtures::{FAULT, answering, answering_none, unreachable};
use crate::harness::proxy::Start;
use crate::harness::{Client, Origin, Proxy, eventually};

fn before(members: &[&Origin]) -> Start {
    Proxy::before(members).routes(
        "[admin]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/\"\nexclude = [\"/none\"]\nbalancer = \"cluster\"",
    )
}

/// What `/metrics` says.
#[track_caller]
pub(crate) fn metrics(proxy: &Proxy) -> String {
    let said = proxy.stderr.line_with("the admin listener is open");
    let address = said.rsplit("address=").next().expect("the address");
    let mut client = Client::connect(address.trim().parse().expect("an address"));
    client.send("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status(), 200);
    response.text()
}

/// The number behind this name and these labels.
#[track_caller]
pub(crate) fn number(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    let line = line.unwrap_or_else(|| panic!("no {series} in\n{text}"));
    line.trim().parse().expect("a number")
}

/// The numbers of a metric by the value of this label, of those that are not 0. None where the metric is not there.
pub(crate) fn numbers(text: &str, metric: &str, label: &str) -> BTreeMap<String, u64> {
    let of_metric = |line: &str| {
        let (labels, value) = line
            .strip_prefix(metric)?
            .strip_prefix('{')?
            .split_once("} ")?;
        let (_, value_of_label) = labels.split_once(&format!("{label}=\""))?;
        let named = value_of_label.split('"').next()?.to_owned();
        Some((named, value.trim().parse::<f64>().ok()? as u64))
    };
    let mut numbers = BTreeMap::new();
    for (named, value) in text.lines().filter_map(of_metric).filter(|it| it.1 > 0) {
        *numbers.entry(named).or_default() += value;
    }
    numbers
}

/// Waits until a number is this, for what is counted a moment after the client has its answer.
#[track_caller]
pub(crate) fn await_number(proxy: &Proxy, series: &str, expected: f64) {
    eventually(&format!("{series} {expected}"), || {
        (number(&metrics(proxy), series) == expected).then_some(())
    });
}

/// How many bytes of clients have been read.
#[track_caller]
pub(crate) fn received(proxy: &Proxy) -> usize {
    number(&metrics(proxy), "equipoise_client_received_bytes_total ") as usize
}

/// Waits until so many bytes of clients have been read.
#[track_caller]
pub(crate) fn await_received(proxy: &Proxy, bytes: usize) {
    eventually("what was sent is read", || {
        (received(proxy) >= bytes).then_some(())
    });
}

#[test]
fn requests_are_counted_by_route_and_class() {
    let b1 = Origin::named("b1")
        .answering(|exchange| match exchange.target() {
            "/broken" => exchange.respond("500 Broken", ""),
            "/gone" => exchange.respond("404 Gone", ""),
            _ => exchange.answer("b1"),
        })
        .start();
    let proxy = before(&[&b1]).start();
    for target in ["/", "/", "/broken", "/gone", "/none", "/none"] {
        proxy.get(target);
    }
    let text = metrics(&proxy);
    for (class, expected) in [("2xx", 2.0), ("4xx", 1.0), ("5xx", 1.0), ("3xx", 0.0)] {
        let labels = format!("route=\"/\",balancer=\"cluster\",class=\"{class}\"");
        let series = format!("equipoise_requests_total{{{labels}}}");
        assert_eq!(number(&text, &series), expected, "{class}");
    }
    let unrouted = "equipoise_unrouted_requests_total{class=\"4xx\"}";
    assert_eq!(number(&text, unrouted), 2.0);
}

/// Goal: members that all fail get the load of the requests and a share, not a multiple. Method: two members that are busy, 200
/// requests; besides the share there are ten retries, and ten more for each second that it takes.
#[test]
fn retries_are_a_share_of_requests() {
    for (keys, least, share) in [("", 40, 40), ("retry-budget = \"off\"", 200, 200)] {
        let busy = |name| {
            Origin::named(name)
                .answering(|exchange| exchange.respond("503 Busy", "busy"))
                .start()
        };
        let (b1, b2) = (busy("b1"), busy("b2"));
        let proxy = before(&[&b1, &b2])
            .balancer(&format!("retry-on = [\"503\"]\n{keys}"))
            .start();
        let begun = Instant::now();
        let mut client = proxy.client();
        for _ in 0..200 {
            assert_eq!(client.get("/").status(), 503);
        }
        let retries = b1.hits() + b2.hits() - 200;
        let seconds = usize::try_from(begun.elapsed().as_secs()).expect("a few");
        let most = (share + 10 + 10 * (seconds + 1)).min(200);
        assert!((least..=most).contains(&retries), "{keys}: {retries}");
        let text = metrics(&proxy);
        let denied = "equipoise_retries_denied_total{balancer=\"cluster\"}";
        assert_eq!(number(&text, denied), (200 - retries) as f64);
        let made = "equipoise_retries_total{balancer=\"cluster\",reason=\"status\"}";
        assert_eq!(number(&text, made), retries as f64);
    }
}

#[test]
fn times_are_counted_in_histograms() {
    let [b1] = Origin::some();
    let proxy = before(&[&b1]).start();
    proxy.served(3);
    await_number(
        &proxy,
        "equipoise_request_duration_seconds_count{balancer=\"cluster\"}",
        3.0,
    );
    let text = metrics(&proxy);
    let member = format!("balancer=\"cluster\",member=\"{}\"", b1.url());
    for (name, labels) in [
        ("equipoise_request_duration_seconds", "balancer=\"cluster\""),
        ("equipoise_member_response_seconds", &member),
    ] {
        assert!(
            text.contains(&format!("# TYPE {name} histogram\n")),
            "{text}"
        );
        assert_eq!(number(&text, &format!("{name}_count{{{labels}}}")), 3.0);
        let all = number(&text, &format!("{name}_bucket{{le=\"+Inf\",{labels}}}"));
        let minute = number(&text, &format!("{name}_bucket{{le=\"60.0\",{labels}}}"));
        assert_eq!((all, minute), (3.0, 3.0));
        assert!(number(&text, &format!("{name}_sum{{{labels}}}")) > 0.0);
    }
}

#[test]
fn decisions_and_sessions_are_counted() {
    let [b1, b2] = Origin::some();
    let proxy = before(&[])
        .balancer("stickysession = \"SID\"")
        .member(&b1, "route = \"r1\"")
        .member(&b2, "route = \"r2\"\nstatus = \"+D\"")
        .start();
    proxy.served(2);
    proxy.served_to(3, "GET /", &["Cookie: SID=a.r1"]);
    proxy.served_to(1, "GET /", &["Cookie: SID=a.r2"]);
    let text = metrics(&proxy);
    let cluster = "balancer=\"cluster\"";
    for (policy, expected) in [("method", 3.0), ("session", 3.0), ("nobody", 0.0)] {
        let series = format!("equipoise_decisions_total{{{cluster},policy=\"{policy}\"}}");
        assert_eq!(number(&text, &series), expected, "{policy}");
    }
    for (outcome, expected) in [("stuck", 3.0), ("moved", 1.0)] {
        let series = format!("equipoise_session_requests_total{{{cluster},outcome=\"{outcome}\"}}");
        assert_eq!(number(&text, &series), expected, "{outcome}");
    }
}

#[test]
fn errors_and_retries_are_counted_by_reason() {
    let (dead, b2) = (Origin::dead(), Origin::live("b2"));
    let proxy = before(&[&dead, &b2]).start();
    assert_eq!(proxy.served(1), ["b2"]);
    let text = metrics(&proxy);
    let retries = "equipoise_retries_total{balancer=\"cluster\",reason=\"unreachable\"}";
    assert_eq!(number(&text, retries), 1.0);
    let member = format!("balancer=\"cluster\",member=\"{}\"", dead.url());
    let errors = format!("equipoise_member_errors_total{{{member},kind=\"unreachable\"}}");
    assert_eq!(number(&text, &errors), 1.0);
}

#[test]
fn refusals_are_decisions_for_nobody() {
    let [b1] = Origin::some();
    let proxy = before(&[]).member(&b1, "status = \"+D\"").start();
    assert_eq!(proxy.served(1), ["503"]);
    let text = metrics(&proxy);
    let nobody = "equipoise_decisions_total{balancer=\"cluster\",policy=\"nobody\"}";
    assert_eq!(number(&text, nobody), 1.0);
    let count = "equipoise_request_duration_seconds_count{balancer=\"cluster\"}";
    assert_eq!(number(&text, count), 1.0);
}

#[test]
fn connections_and_bytes_are_counted() {
    let [b1] = Origin::some();
    let proxy = before(&[&b1]).top("workers = 1").start();
    let mut client = proxy.client();
    for _ in 0..3 {
        client.get("/");
    }
    let member = format!("{{balancer=\"cluster\",member=\"{}\"}}", b1.url());
    let idle = format!("equipoise_member_connections_idle{member}");
    await_number(&proxy, &idle, 1.0);
    let text = metrics(&proxy);
    let opened = format!("equipoise_member_connections_opened_total{member}");
    let reused = format!("equipoise_member_connections_reused_total{member}");
    assert_eq!((number(&text, &opened), number(&text, &reused)), (1.0, 2.0));
    assert_eq!(number(&text, "equipoise_client_connections "), 1.0);
    assert_eq!(
        number(&text, "equipoise_client_connections_accepted_total "),
        1.0
    );
    let received = number(&text, "equipoise_client_received_bytes_total ");
    let sent = number(&text, "equipoise_client_sent_bytes_total ");
    let asked = 3 * request("GET /", &[], "").len();
    assert!(received == asked as f64 && sent > 60.0, "{received} {sent}");
    drop(client);
    await_number(&proxy, "equipoise_client_connections ", 0.0);
    b1.disconnect();
    await_number(&proxy, &idle, 0.0);
}

/// Numbers of a plugin go on when another version takes over.
#[test]
fn plugins_are_counted_over_their_versions() {
    let [b1, b2] = Origin::some();
    let proxy = before(&[&b1, &b2])
        .balancer("lbmethod = { plugin = \"p\" }")
        .component("p", &unreachable(), "")
        .start();
    let fault = format!("{FAULT}: unreachable");
    proxy.served_to(1, "GET /", &[&fault]);
    proxy.served(1);
    let text = metrics(&proxy);
    assert_eq!(
        number(&text, "equipoise_plugin_calls_total{plugin=\"p\"}"),
        2.0
    );
    assert_eq!(
        number(&text, "equipoise_plugin_swaps_total{plugin=\"p\"}"),
        0.0
    );
    proxy.install("p", &answering_none().build());
    proxy.served(1);
    proxy.install("p", &answering(1).build());
    proxy.served(1);
    let text = metrics(&proxy);
    for (series, expected) in [
        // Four requests, and twice the question what the next version should know.
        ("calls_total{plugin=\"p\"}", 6.0),
        ("declined_total{plugin=\"p\"}", 1.0),
        ("swaps_total{plugin=\"p\"}", 2.0),
        ("serving{plugin=\"p\"}", 1.0),
        ("faults_total{plugin=\"p\",kind=\"trap\"}", 1.0),
        ("faults_total{plugin=\"p\",kind=\"deadline\"}", 0.0),
        // The first call of each version is one in 16.
        ("call_seconds_count{plugin=\"p\"}", 3.0),
    ] {
        let series = format!("equipoise_plugin_{series}");
        assert_eq!(number(&text, &series), expected, "{series}");
    }
    let decisions = "equipoise_decisions_total{balancer=\"cluster\",policy=";
    assert_eq!(number(&text, &format!("{decisions}\"plugin\"}}")), 2.0);
    assert_eq!(number(&text, &format!("{decisions}\"fallback\"}}")), 2.0);
}

#[test]
fn the_process_is_told_by_its_usual_names() {
    let [b1] = Origin::some();
    let proxy = before(&[&b1]).start();
    let text = metrics(&proxy);
    assert!(number(&text, "process_cpu_seconds_total ") > 0.0);
    assert!(number(&text, "process_resident_memory_bytes ") > 1e6);
    assert!(number(&text, "process_open_fds ") > 3.0);
    assert!(number(&text, "process_max_fds ") > number(&text, "process_open_fds "));
    assert!(number(&text, "process_start_time_seconds ") > 1.7e9);
    let version = format!(
        "equipoise_build_info{{version=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION")
    );
    assert!(text.contains(&version), "{text}");
    assert_eq!(
        number(&text, "equipoise_config_last_reload_successful "),
        1.0
    );
    let refused = "equipoise_config_reloads_total{result=\"refused\"}";
    assert_eq!(number(&text, refused), 0.0);
}

/// A program that has all kinds of metrics to tell.
fn with_everything(members: &[&Origin]) -> Proxy {
    before(members)
        .member_at("http://localhost:9", "status = \"+D\"")
        .top("[traces]\nsample = 0")
        .balancer("lbmethod = { plugin = \"p\" }")
        .component("p", &answering(0), "")
        .start()
}

/// The names of metrics in a text, as samples have them.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(|character| !is_part(character));
    let prefixes = ["equipoise_", "process_"];
    words
        .filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix)))
        .collect()
}

/// The names of the samples that are told.
fn sample_names(text: &str) -> BTreeSet<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect()
}

/// Every metric and every label that the dashboard asks for is one that is told.
#[test]
fn the_dashboard_asks_for_what_there_is() {
    let [b1] = Origin::some();
    let proxy = with_everything(&[&b1]);
    proxy.served(1);
    let text = metrics(&proxy);
    let told = sample_names(&text);
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/grafana/equipoise.json"
    );
    let file = fs::read_to_string(path).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&file).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let variables = dashboard["templating"]["list"]
        .as_array()
        .expect("variables");
    let mut queries: Vec<_> = targets
        .filter_map(|target| target["expr"].as_str())
        .collect();
    let panels = queries.len();
    queries.extend(
        variables
            .iter()
            .filter_map(|one| one["definition"].as_str()),
    );
    assert!(panels > 30 && queries.len() == panels + 3, "{panels}");
    for query in queries {
        let asked = names(query);
        assert!(!asked.is_empty(), "{query}");
        for name in asked {
            assert!(told.contains(name), "{name} in {query}");
            let series = text
                .lines()
                .find(|line| line.starts_with(name))
                .expect("a sample");
            for labels in query.split("by (").skip(1) {
                let labels = labels.split(')').next().expect("a list");
                for label in labels.split(", ") {
                    assert!(
                        series.contains(&format!("{label}=\"")),
                        "{label} in {query}"
                    );
                }
            }
        }
    }
}

/// docs/operating.md has every metric that is told, and no other.
#[test]
fn the_documentation_has_exactly_the_metrics_that_are_told() {
    let [b1] = Origin::some();
    let proxy = with_everything(&[&b1]);
    proxy.served(1);
    let text = metrics(&proxy);
    let histogram = |name: &str| text.contains(&format!("# TYPE {name} histogram"));
    let told: BTreeSet<_> = sample_names(&text)
        .into_iter()
        .map(|name| {
            let mut suffixes = ["_sum", "_count", "_bucket"].into_iter();
            let family = suffixes.find_map(|suffix| name.strip_suffix(suffix));
            family.filter(|family| histogram(family)).unwrap_or(name)
        })
        .collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating.md");
    let documentation = fs::read_to_string(path).expect("the documentation");
    let section = documentation
        .split("\n## Metrics\n")
        .nth(1)
        .expect("a section");
    let section = section.split("\n## ").next().expect("its text");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let documented: BTreeSet<_> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(names)
        .collect();
    assert_eq!(documented, told);
}

/// Every metric has its help, its type and a unit in its name where it has one, and none is told of twice.
#[test]
fn metrics_are_written_as_prometheus_reads_them() {
    let [b1] = Origin::some();
    let proxy = before(&[&b1]).start();
    proxy.served(1);
    let text = metrics(&proxy);
    let mut names: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(!line.contains("{}"), "{line}");
        let name = line.split(['{', ' ']).next().expect("a name");
        let known = names.iter().any(|known| {
            let suffix = name.strip_prefix(known);
            suffix.is_some_and(|it| ["", "_total", "_sum", "_count", "_bucket"].contains(&it))
        });
        assert!(known, "{line}");
    }
}
