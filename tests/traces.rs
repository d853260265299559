//! Traces: what members are told of them, and what a collector is.

use std::collections::HashMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;

use crate::harness::proxy::Start;
use crate::harness::{Client, Origin, Proxy, Signal, WAIT_TIMEOUT, eventually};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A request of a trace that is told of.
fn sampled() -> String {
    format!("traceparent: 00-{TRACE}-{PARENT}-01")
}

fn before(members: &[&Origin], traces: &str) -> Start {
    Proxy::before(members).top(&format!("{traces}\n[admin]\naddress = \"127.0.0.1:0\""))
}

/// A collector that takes what comes.
fn collector() -> Origin {
    Origin::named("collector")
        .saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .start()
}

/// Tells this collector of all traces.
fn telling(collector: &Origin) -> String {
    format!("[traces]\nendpoint = \"{}\"\nsample = 1", collector.url())
}

/// The field of a member's only request.
fn told(member: &Origin, field: &str) -> Option<String> {
    let request = member.only_request();
    request.head.field(field).map(ToOwned::to_owned)
}

/// The first spans that a collector got, once there are as many, and what they are of.
#[track_caller]
fn spans(collector: &Origin, count: usize) -> (Vec<Span>, Vec<KeyValue>) {
    collector.when(&format!("{count} spans"), |log| {
        let mut spans = Vec::new();
        let mut resource = Vec::new();
        for request in &log.requests {
            assert_eq!(request.target(), "/v1/traces");
            let kind = request.head.field("content-type");
            assert_eq!(kind, Some("application/x-protobuf"));
            let Ok(message) = ExportTraceServiceRequest::decode(&*request.body.bytes) else {
                continue;
            };
            for of_resource in message.resource_spans {
                resource = of_resource.resource.expect("a resource").attributes;
                let scopes = of_resource.scope_spans.into_iter();
                spans.extend(scopes.flat_map(|scope| scope.spans));
            }
        }
        (spans.len() >= count).then_some((spans, resource))
    })
}

/// What is said of a span, as text.
fn attributes(attributes: &[KeyValue]) -> HashMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    };
    let pairs = attributes.iter();
    pairs
        .map(|pair| (pair.key.clone(), text(pair).expect("text or number")))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn traces_of_others_pass_as_they_are_where_we_have_none() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    proxy.exchange("GET /", &[&sampled(), "tracestate: a=1,b=2"]);
    assert_eq!(
        told(&b1, "traceparent"),
        Some(format!("00-{TRACE}-{PARENT}-01"))
    );
    assert_eq!(told(&b1, "tracestate").as_deref(), Some("a=1,b=2"));
}

#[test]
fn member_is_told_of_our_span_in_the_clients_trace() {
    for flag in ["00", "01"] {
        let [b1] = Origin::some();
        let proxy = before(&[&b1], "[traces]\nsample = 0.5").start();
        let field = format!("traceparent: 00-{TRACE}-{PARENT}-{flag}");
        proxy.exchange("GET /", &[&field, "tracestate: a=1"]);
        let told_parent = told(&b1, "traceparent").expect("a traceparent");
        let parts: Vec<_> = told_parent.split('-').collect();
        assert_eq!((parts[0], parts[1], parts[3]), ("00", TRACE, flag));
        assert_ne!(parts[2], PARENT);
        assert_eq!(told(&b1, "tracestate").as_deref(), Some("a=1"));
    }
}

#[test]
fn trace_begins_where_the_client_has_none_that_can_be_read() {
    for (sample, flag) in [("0", "00"), ("1.0", "01")] {
        for field in ["x: y", "traceparent: 00-nonsense", "traceparent: 00-0-0-00"] {
            let [b1] = Origin::some();
            let proxy = before(&[&b1], &format!("[traces]\nsample = {sample}")).start();
            proxy.exchange("GET /", &[field, "tracestate: a=1"]);
            let parent = told(&b1, "traceparent").expect("a traceparent");
            assert!(parent.len() == 55 && parent.ends_with(flag), "{parent}");
            // It belongs to a trace that is none.
            assert_eq!(told(&b1, "tracestate"), None);
        }
    }
}

#[test]
fn collector_is_told_of_the_request_and_its_tries() {
    let (dead, b2, collector) = (Origin::dead(), Origin::live("b2"), collector());
    let traces = format!("{}\nservice = \"edge\"", telling(&collector));
    let proxy = before(&[&dead, &b2], &traces).start();
    proxy.exchange("GET /x;s=1?secret=1", &[&sampled(), "tracestate: a=1"]);
    let (spans, resource) = spans(&collector, 3);
    assert_eq!(attributes(&resource)["service.name"], "edge");
    let find = |kind: SpanKind| {
        let kind = i32::from(kind);
        spans.iter().filter(move |span| span.kind == kind)
    };
    let server = find(SpanKind::Server).next().expect("a span of the whole");
    assert_eq!(server.name, "GET /");
    assert_eq!(
        (hex(&server.trace_id), hex(&server.parent_span_id)),
        (TRACE.into(), PARENT.into())
    );
    assert_eq!(server.trace_state, "a=1");
    assert!(server.start_time_unix_nano < server.end_time_unix_nano);
    assert_eq!(server.status, None);
    let said = attributes(&server.attributes);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("http.route", "/"),
        ("url.path", "/x;…"),
        ("url.scheme", "http"),
        ("server.address", "lb.test"),
        ("client.address", "127.0.0.1"),
        ("equipoise.balancer", "cluster"),
    ] {
        assert_eq!(said.get(key).map(String::as_str), Some(value), "{key}");
    }
    let tries: Vec<_> = find(SpanKind::Client).collect();
    assert_eq!(tries.len(), 2);
    for span in &tries {
        assert_eq!(span.parent_span_id, server.span_id);
        assert_eq!(hex(&span.trace_id), TRACE);
    }
    let first = attributes(&tries[0].attributes);
    assert_eq!(first["equipoise.member"], dead.url());
    assert_eq!(first["error.type"], "unreachable");
    assert_eq!(tries[0].status.as_ref().map(|status| status.code), Some(2));
    let second = attributes(&tries[1].attributes);
    assert_eq!(second["equipoise.policy"], "method");
    assert_eq!(second["http.request.resend_count"], "1");
    assert_eq!(second["http.response.status_code"], "200");
    assert_eq!(second["server.port"], b2.address().port().to_string());
    // The member's parent is the span of its try.
    let told = told(&b2, "traceparent").expect("a traceparent");
    assert_eq!(told.split('-').nth(2), Some(&*hex(&tries[1].span_id)));
}

#[test]
fn failures_are_told_to_the_collector() {
    let (b1, collector) = (Origin::live("b1"), collector());
    let proxy = before(&[], &telling(&collector))
        .member(&b1, "status = \"+D\"")
        .start();
    assert_eq!(proxy.get("/").status(), 503);
    let (spans, _) = spans(&collector, 1);
    assert_eq!(spans[0].status.as_ref().map(|status| status.code), Some(2));
    assert_eq!(attributes(&spans[0].attributes)["error.type"], "503");
    assert!(spans[0].parent_span_id.is_empty());
}

#[test]
fn collector_is_not_told_of_what_is_not_sampled() {
    let ([b1], collector) = (Origin::some(), collector());
    let traces = telling(&collector).replace("sample = 1", "sample = 0");
    let proxy = before(&[&b1], &traces).start();
    proxy.get("/");
    proxy.exchange("GET /", &[&format!("traceparent: 00-{TRACE}-{PARENT}-00")]);
    proxy.exchange("GET /told", &[&sampled()]);
    let (spans, _) = spans(&collector, 2);
    assert_eq!(spans.len(), 2);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
}

/// Methods that clients invent are no names of spans.
#[test]
fn unknown_methods_are_told_as_others() {
    let ([b1], collector) = (Origin::some(), collector());
    let proxy = before(&[&b1], &telling(&collector)).start();
    proxy.exchange("BREW /", &[]);
    let (spans, _) = spans(&collector, 2);
    assert!(spans.iter().any(|span| span.name == "_OTHER /"));
}

/// Spans that wait for others when the program ends are sent before it does.
#[test]
fn spans_are_sent_before_the_program_ends() {
    let ([b1], collector) = (Origin::some(), collector());
    let mut proxy = before(&[&b1], &telling(&collector)).start();
    for _ in 0..5 {
        proxy.get("/");
    }
    proxy.signal(Signal::TERM);
    assert!(proxy.wait().success());
    assert_eq!(spans(&collector, 10).0.len(), 10);
}

/// Requests go on as if there were no collector, its failure is said once, and what is lost is counted.
#[test]
fn dead_collector_costs_no_request_and_one_line() {
    let ([b1], collector) = (Origin::some(), Origin::dead());
    let proxy = before(&[&b1], &telling(&collector)).start();
    let failed = || {
        let said = proxy.stderr.line_with("the admin listener is open");
        let address = said.rsplit("address=").next().expect("the address");
        let mut client = Client::connect(address.trim().parse().expect("an address"));
        client.send("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        let text = client.response().text();
        let series = "equipoise_trace_spans_total{result=\"failed\"} ";
        let number = text.lines().find_map(|line| line.strip_prefix(series));
        number
            .expect("the metric")
            .parse::<u64>()
            .expect("a number")
    };
    for lost in [2, 4] {
        assert_eq!(proxy.served(1), ["b1"]);
        eventually("spans are lost", || (failed() == lost).then_some(()));
    }
    let line = proxy.stderr.line_with("traces: export to");
    assert!(line.contains("Connection refused"), "{line}");
    assert_eq!(proxy.stderr.count("traces: export to"), 1);
}

/// A collector that takes nothing holds the end of the program up for three seconds.
#[test]
fn stalled_collector_does_not_keep_the_program() {
    let [b1] = Origin::some();
    let collector = Origin::named("collector")
        .answering(|exchange| exchange.stall())
        .start();
    let mut proxy = before(&[&b1], &telling(&collector)).start();
    proxy.get("/");
    collector.await_hits(1);
    let start = std::time::Instant::now();
    proxy.signal(Signal::TERM);
    assert!(proxy.wait().success());
    assert!(start.elapsed() < WAIT_TIMEOUT);
}
