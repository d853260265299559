//! `[explain]`.

use super::*;

fn explain(text: &str) -> Explain {
    good(&format!("{GOOD}{text}")).explain
}

#[test]
fn explaining_is_off_unless_decisions_are_kept() {
    assert_eq!(explain("").decisions, 0);
    assert_eq!(explain("[explain]").decisions, 0);
    let config = explain("[explain]\ndecisions = 1000\nheader = \"X-Decision\"");
    assert_eq!(config.decisions, 1000);
    assert_eq!(config.header.expect("a name"), "x-decision");
}

#[test]
fn what_is_no_header_field_of_ours_is_refused() {
    let long = "x".repeat(65);
    for name in ["", "a b", "a:b", "Content-Length", "set-cookie", &long] {
        let text = format!("{GOOD}[explain]\nheader = {name:?}");
        let refused = parse(&text).expect_err(name);
        let remedy = &refused.iter().next().expect("a mistake").remedy;
        assert!(
            remedy.starts_with("must be the name of a header field"),
            "{remedy}"
        );
    }
}

#[test]
fn number_of_decisions_is_bounded() {
    for number in ["-1", "100001", "\"many\""] {
        assert!(parse(&format!("{GOOD}[explain]\ndecisions = {number}")).is_err());
    }
}
