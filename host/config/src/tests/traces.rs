//! `[traces]`.

use super::*;

fn traces(text: &str) -> Option<Traces> {
    good(&format!("{GOOD}{text}")).traces
}

#[test]
fn requests_are_not_traced_unless_it_is_asked_for() {
    assert_eq!(traces(""), None);
    let expected = Traces {
        endpoint: None,
        sample: 0.1,
        service: "equipoise".to_owned(),
    };
    assert_eq!(traces("[traces]"), Some(expected));
}

#[test]
fn collector_is_asked_below_its_path() {
    let table = [
        ("http://127.0.0.1:4318", "127.0.0.1:4318", "/v1/traces"),
        ("http://[::1]:4318/", "[::1]:4318", "/v1/traces"),
        ("http://tempo/otlp", "tempo", "/otlp/v1/traces"),
    ];
    for (text, authority, path) in table {
        let read = traces(&format!("[traces]\nendpoint = \"{text}\"\nsample = 1"));
        let endpoint = read.expect("traces").endpoint.expect("an endpoint");
        assert_eq!(
            (endpoint.authority.as_str(), &*endpoint.path),
            (authority, path)
        );
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for wrong in [
        "sample = 1.5",
        "sample = -0.1",
        "sample = \"10%\"",
        "endpoint = \"https://x\"",
        "endpoint = \"h2c://x\"",
        "endpoint = \"unix:/a|http://x\"",
    ] {
        assert!(
            parse(&format!("{GOOD}[traces]\n{wrong}")).is_err(),
            "{wrong}"
        );
    }
}
