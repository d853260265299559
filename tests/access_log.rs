//! One line a request, if it is asked for.

use std::fs;

use serde_json::Value;

use crate::harness::proxy::server;
use crate::harness::{Exchange, Origin, Proxy, Signal, eventually};
use crate::metrics::{metrics, number};

/// One line of JSON a request.
pub(crate) const JSON: &str = "access-log = { file = \"access.log\", format = \"json\" }";

/// The lines of the log file once there are as many as wanted.
#[track_caller]
pub(crate) fn lines(proxy: &Proxy, count: usize) -> Vec<String> {
    eventually("the lines of the log", || {
        let text = fs::read_to_string(proxy.path("access.log")).ok()?;
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        (lines.len() >= count && text.ends_with('\n')).then_some(lines)
    })
}

/// The lines of the log file as JSON.
#[track_caller]
pub(crate) fn records(proxy: &Proxy, count: usize) -> Vec<Value> {
    let parse = |line: &String| serde_json::from_str(line).expect("JSON");
    lines(proxy, count).iter().map(parse).collect()
}

#[test]
fn it_is_off_by_default() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    assert_eq!(proxy.served(2), ["b1", "b1"]);
    assert_eq!(
        proxy.stdout.text().lines().count(),
        1,
        "{}",
        proxy.stdout.text()
    );
    let files = fs::read_dir(proxy.path("")).expect("a directory");
    assert_eq!(files.count(), 1, "the configuration alone");
}

#[test]
fn json_tells_who_served_and_how_long_it_took() {
    let [b1, b2] = Origin::some();
    let proxy = Proxy::before(&[])
        .top(JSON)
        .balancer("stickysession = \"SID\"")
        .member(&b1, "route = \"r1\"")
        .member(&b2, "route = \"r2\"")
        .start();
    let fields = [
        "Cookie: SID=x.r2",
        "User-Agent: test/1",
        "Referer: http://a.test/",
    ];
    assert_eq!(server(&proxy.exchange("GET /x?q=1", &fields)), "b2");
    let record = &records(&proxy, 1)[0];
    assert_eq!(record["status"], 200);
    assert_eq!(record["client"], "127.0.0.1");
    assert_eq!(record["request"], "GET /x?q=1 HTTP/1.1");
    assert_eq!(record["host"], "lb.test");
    assert_eq!(record["user_agent"], "test/1");
    assert_eq!(record["referer"], "http://a.test/");
    assert_eq!(record["member"], b2.url());
    assert_eq!(record["route"], "r2");
    assert_eq!(record["session_route"], "r2");
    assert_eq!(record["attempts"], 1);
    assert_eq!(record["bytes"], 2);
    let (first, all) = (
        record["first_byte_ms"].as_f64(),
        record["duration_ms"].as_f64(),
    );
    assert!(first.expect("a number") > 0.0 && all >= first, "{record}");
    assert!(
        record["time"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z')),
        "{record}"
    );
}

#[test]
fn json_tells_of_tries_and_failures() {
    let (dead, b2) = (Origin::dead(), Origin::named("b2"));
    let b2 = b2.answering(|exchange: &mut Exchange| match exchange.target() {
        "/slow" => exchange.stall(),
        "/half" => {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
            exchange.close();
        }
        _ => exchange.answer("b2"),
    });
    let b2 = b2.start();
    let proxy = Proxy::before(&[])
        .top(JSON)
        .member(&dead, "")
        .member(&b2, "timeout = \"300ms\"")
        .routes("[[route]]\npath = \"/\"\nexclude = [\"/none\"]\nbalancer = \"cluster\"\n")
        .start();
    assert_eq!(server(&proxy.get("/")), "b2");
    assert_eq!(proxy.get("/slow").status(), 504);
    assert_eq!(proxy.get("/none").status(), 404);
    let mut client = proxy.client();
    client.ask("GET /half", &[]);
    assert!(!client.try_response("GET").expect("a head").complete);

    let records = records(&proxy, 4);
    let seen = |index: usize| {
        (
            &records[index]["status"],
            &records[index]["attempts"],
            &records[index]["member"],
        )
    };
    let b2 = Value::from(b2.url());
    assert_eq!(seen(0), (&200.into(), &2.into(), &b2));
    assert_eq!(seen(1), (&504.into(), &1.into(), &b2));
    assert!(
        records[1]["duration_ms"].as_f64() >= Some(300.0),
        "{}",
        records[1]
    );
    assert_eq!(seen(2), (&404.into(), &0.into(), &Value::Null));
    assert_eq!(seen(3), (&200.into(), &1.into(), &b2));
    assert_eq!(records[3]["bytes"], 4);
    for (index, failed) in [false, true, true, true].into_iter().enumerate() {
        assert_eq!(
            records[index]["error"].is_string(),
            failed,
            "{}",
            records[index]
        );
    }
}

#[test]
fn combined_is_apaches_format_and_more() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[])
        .top("access-log = { file = \"access.log\" }")
        .member(&b1, "route = \"r1\"")
        .start();
    assert_eq!(
        server(&proxy.exchange("GET /x?q=1", &["User-Agent: a \"b\""])),
        "b1"
    );
    let line = &lines(&proxy, 1)[0];
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(
        line.contains("] \"GET /x?q=1 HTTP/1.1\" 200 2 \"-\" \"a \\\"b\\\"\""),
        "{line}"
    );
    assert!(line.contains(&b1.url()) && line.contains(" r1 "), "{line}");
}

/// Goal: a client cannot write lines of its own. Method: bytes that end a line or move a terminal's cursor, where HTTP
/// lets them pass.
#[test]
fn a_line_stays_a_line() {
    for format in ["combined", "json"] {
        let [b1] = Origin::some();
        let proxy = Proxy::before(&[&b1])
            .top(&format!(
                "access-log = {{ file = \"access.log\", format = \"{format}\" }}"
            ))
            .start();
        let mut client = proxy.client();
        client.send(b"GET /%0a HTTP/1.1\r\nHost: lb.test\r\nUser-Agent: \"\\ \xc2\x85\xe2\x80\xa8\xff\t\r\n\r\n");
        assert_eq!(server(&client.response()), "b1");
        assert_eq!(server(&client.get("/next")), "b1");
        let lines = lines(&proxy, 2);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("/%0a"), "{lines:?}");
    }
}

#[test]
fn it_goes_to_standard_output_if_told() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1])
        .top("access-log = { file = \"stdout\" }")
        .start();
    assert_eq!(server(&proxy.get("/x")), "b1");
    proxy.stdout.line_with("\"GET /x HTTP/1.1\" 200");
}

#[test]
fn nothing_is_lost_at_the_end() {
    let [b1] = Origin::some();
    let mut proxy = Proxy::before(&[&b1]).top(JSON).start();
    let mut client = proxy.client();
    for _ in 0..500 {
        assert_eq!(server(&client.get("/")), "b1");
    }
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
    let text = fs::read_to_string(proxy.path("access.log")).expect("the log");
    assert_eq!(text.lines().count(), 500);
}

#[test]
fn a_file_is_appended_to() {
    let [b1] = Origin::some();
    let log = tempfile::NamedTempFile::new().expect("a file");
    fs::write(log.path(), "before\n").expect("a file");
    let file = log.path().to_str().expect("UTF-8");
    let proxy = Proxy::before(&[&b1])
        .top(&format!("access-log = {{ file = {file:?} }}"))
        .start();
    assert_eq!(server(&proxy.get("/x")), "b1");
    let text = eventually("a line", || {
        let text = fs::read_to_string(log.path()).expect("a file");
        (text.lines().count() == 2).then_some(text)
    });
    assert!(text.starts_with("before\n127.0.0.1 "), "{text}");
}

#[test]
fn requests_for_the_manager_are_logged_and_counted() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1])
        .top(&format!(
            "{JSON}\n[manager]\nhosts = [\"lb.test\"]\n[admin]\naddress = \"127.0.0.1:0\""
        ))
        .start();
    for (path, status) in [("/balancer-manager", 200), ("/balancer-manager/none", 404)] {
        assert_eq!(proxy.get(path).status(), status);
    }
    let records = records(&proxy, 2);
    assert_eq!(records[0]["request"], "GET /balancer-manager HTTP/1.1");
    assert_eq!(
        (&records[0]["status"], &records[1]["status"]),
        (&200.into(), &404.into())
    );
    assert_eq!(records[0]["member"], Value::Null);
    let text = metrics(&proxy);
    for (class, expected) in [("2xx", 1.0), ("4xx", 1.0)] {
        let of = |metric: &str| {
            number(
                &text,
                &format!("equipoise_{metric}_requests_total{{class=\"{class}\"}}"),
            )
        };
        assert_eq!((of("manager"), of("unrouted")), (expected, 0.0), "{class}");
    }
}
