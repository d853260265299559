//! The values of the keys of checks.

use std::time::Duration;

use http::HeaderValue;
use toml::de::DeValue;

use crate::CheckMethod;
use crate::name;
use crate::table::{Table, TextBounds};
use crate::url::host_field;
use crate::value::{DAY, Parsed, duration_within, text, text_as};

/// The most header fields of a request, and the most that are expected of a response.
pub(super) const MAX_HEADERS: usize = 32;

/// The most header fields that are passed to health plugins.
const MAX_REPORTED: usize = 16;

/// The longest `hcuri`, in bytes.
const MAX_URI: usize = 1024;

/// Header fields that operators may not set.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A time between checks, which Apache takes in seconds.
pub(super) fn interval(value: &DeValue<'_>) -> Parsed<Duration> {
    duration_within(Duration::from_millis(100)..=DAY, "s")(value)
}

/// A path with perhaps a query, as it goes behind the member's path.
pub(super) fn uri(value: &DeValue<'_>) -> Parsed<String> {
    let text = text(value)?;
    if !(1..=MAX_URI).contains(&text.len()) {
        return Err(format!(
            "must be a path such as \"/health\", of at most {MAX_URI} bytes"
        ));
    }
    if text.contains("://") && !text.starts_with('/') {
        return Err(
            "must be a path such as \"/health\"; the member's host is in its url".to_owned(),
        );
    }
    if let Some(illegal) = text.chars().find(|part| !is_uri_character(*part)) {
        return Err(format!(
            "must not contain {illegal:?} as it stands: write it percent-encoded"
        ));
    }
    if name::has_broken_escape(text) {
        return Err("must have two hexadecimal digits behind each `%`, such as %20".to_owned());
    }
    Ok(text.to_owned())
}

fn is_uri_character(character: char) -> bool {
    name::is_path_character(character) && character != '#'
}

/// The request target: the member's `path`, and `uri` behind it with one slash between them.
pub(super) fn target(method: CheckMethod, path: &str, uri: Option<&str>) -> String {
    match uri {
        Some(uri) => format!("{path}/{}", uri.strip_prefix('/').unwrap_or(uri)),
        None if method == CheckMethod::Options => "*".to_owned(),
        None if path.is_empty() => "/".to_owned(),
        None => path.to_owned(),
    }
}

/// `Host`: a host and perhaps a port.
pub(super) fn host(value: &DeValue<'_>) -> Parsed<String> {
    let form =
        "must be a host and perhaps a port, such as \"app.internal\" or \"app.internal:8080\"";
    host_field(text(value)?).map_err(|remedy| format!("{form}: it {remedy}"))
}

/// The longest `hcservice`, in bytes.
const MAX_SERVICE: usize = 256;

/// The name of a service of gRPC, as its server knows it; empty for the server as a whole.
pub(super) fn service(value: &DeValue<'_>) -> Parsed<String> {
    let text = text(value)?;
    let is_name = text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_name && text.len() <= MAX_SERVICE {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "must be the name of a service such as \"shop.Basket\", of at most {MAX_SERVICE} bytes"
        ))
    }
}

/// Reads `hcheaders`; `None` where it is not written.
pub(super) fn read_headers(table: &Table<'_>) -> Option<Vec<(String, String)>> {
    let bounds = TextBounds {
        entries: MAX_HEADERS,
        value: 1024,
    };
    let headers = table.checked_texts("hcheaders", "{ x-probe = \"1\" }", &bounds, own_field);
    table
        .has("hcheaders")
        .then(|| headers.into_iter().collect())
}

/// A header field that the operator may add to requests.
fn own_field(name: &str, value: &str) -> Parsed<()> {
    let lower = name.to_ascii_lowercase();
    if lower == "host" {
        return Err("is written as hchost = \"…\"".to_owned());
    }
    if RESERVED.contains(&lower.as_str()) {
        return Err(
            "is a header field of the connection, which Equipoise sets: leave it out".to_owned(),
        );
    }
    field(name, value)
}

/// A header field that HTTP can carry.
pub(super) fn field(name: &str, value: &str) -> Parsed<()> {
    name::field(name)?;
    match HeaderValue::from_str(value) {
        Ok(_) => Ok(()),
        Err(_) => Err("must not contain line breaks or other control characters".to_owned()),
    }
}

/// Reads `hcreport`: names in lower case.
pub(super) fn read_report(table: &Table<'_>) -> Vec<String> {
    let names = table.list("hcreport", "[\"x-load\"]", text_as(name::field));
    if names.len() > MAX_REPORTED {
        let remedy = format!(
            "must have at most {MAX_REPORTED} names, not {}",
            names.len()
        );
        table.refuse("hcreport", remedy);
    }
    names
}
