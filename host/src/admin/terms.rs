//! The terms of a change, as a request has them: `If-Match`, and `partial` and `set-aside` in the query.

use http::header::IF_MATCH;
use http::request::Parts;

use crate::control::{Resource, Terms};

/// The terms of a change of this resource, or of what is not there yet.
pub(super) fn terms(parts: &Parts, resource: Option<Resource>) -> Terms {
    let query = parts.uri.query().unwrap_or_default();
    let mut terms = Terms {
        expected: resource.and_then(|resource| expected(parts, resource)),
        ..Terms::default()
    };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "partial" => terms.is_partial = value != "false",
            "set-aside" => terms.set_aside.push(value.into_owned()),
            _ => {}
        }
    }
    terms
}

/// What the operator has seen, where the request says so.
fn expected(parts: &Parts, resource: Resource) -> Option<(Resource, String)> {
    let seen = parts.headers.get(IF_MATCH)?.to_str().unwrap_or_default();
    if seen.trim() == "*" {
        return None;
    }
    let tag = seen.trim().trim_matches('"');
    Some((resource, tag.to_owned()))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn terms_are_read_out_of_the_query() {
        for (query, is_partial, set_aside) in [
            ("", false, vec![]),
            ("?partial", true, vec![]),
            ("?partial=true&key=x", true, vec![]),
            ("?partial=false", false, vec![]),
            (
                "?set-aside=p&partial&set-aside=a%20b",
                true,
                vec!["p", "a b"],
            ),
        ] {
            let request = Request::post(format!("/{query}")).body(()).unwrap();
            let terms = terms(&request.into_parts().0, None);
            assert_eq!(
                (terms.is_partial, terms.set_aside),
                (
                    is_partial,
                    set_aside.into_iter().map(str::to_owned).collect()
                ),
                "{query}"
            );
        }
    }
}
