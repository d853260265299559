//! What the API is, for programs: `/api/openapi.json`.

use super::response::{AdminResponse, document};

/// Where it is.
pub(super) const PATH: &str = "/api/openapi.json";

/// OpenAPI 3.1.
const DOCUMENT: &str = include_str!("openapi.json");

/// The answer to `GET /api/openapi.json`.
pub(super) fn respond() -> AdminResponse {
    document("application/json", DOCUMENT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http::Method;
    use serde_json::Value;

    use super::super::endpoint::Endpoint;
    use super::*;

    const METHODS: [Method; 5] = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ];

    /// Each path of the document with its methods, in capitals.
    fn operations() -> Vec<(String, BTreeSet<String>)> {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let paths = document["paths"].as_object().unwrap().iter();
        let methods = |item: &Value| {
            let keys = item.as_object().unwrap().keys();
            let methods = keys.filter(|key| *key != "parameters");
            methods.map(|key| key.to_uppercase()).collect()
        };
        paths
            .map(|(path, item)| {
                (
                    path.replace("{name}", "n").replace("{id}", "0"),
                    methods(item),
                )
            })
            .collect()
    }

    #[test]
    fn every_path_of_the_document_is_there_with_the_same_methods() {
        for (path, methods) in operations() {
            let endpoint = Endpoint::at(&path).unwrap_or_else(|| panic!("{path}"));
            let allowed = METHODS.iter().filter(|method| endpoint.allows(method));
            let allowed: BTreeSet<_> = allowed.map(ToString::to_string).collect();
            assert_eq!(methods, allowed, "{path}");
        }
    }

    #[test]
    fn every_endpoint_is_in_the_document() {
        let documented = operations();
        let mut kinds: Vec<_> = documented
            .iter()
            .filter_map(|(path, _)| Endpoint::at(path))
            .map(|endpoint| std::mem::discriminant(&endpoint))
            .collect();
        kinds.dedup();
        assert_eq!(kinds.len(), Endpoint::KINDS);
    }
}
