//! `[traces]`.

use toml::de::DeValue;

use super::table::Table;
use super::url::http_url;
use super::value::{Parsed, free_text, integer, text_as};
use super::{TraceEndpoint, Traces};

pub(super) const KEYS: &[&str] = &["endpoint", "sample", "service"];

/// Where collectors take spans by HTTP, behind the endpoint's own path.
const PATH: &str = "/v1/traces";

/// Reads `[traces]` out of the file.
pub(super) fn read_traces(file: &Table<'_>) -> Option<Traces> {
    let table = file.table("traces", KEYS)?;
    let service = table.read("service", free_text(256));
    Some(Traces {
        endpoint: table.read("endpoint", text_as(endpoint)),
        sample: table.read("sample", part).unwrap_or(0.1),
        service: service.unwrap_or_else(|| "equipoise".to_owned()),
    })
}

/// A collector's address, which has the form of a member's.
fn endpoint(text: &str) -> Parsed<TraceEndpoint> {
    let url = http_url(text)?;
    Ok(TraceEndpoint {
        authority: url.authority,
        host: url.host,
        port: url.port,
        path: url.path + PATH,
    })
}

/// A part of a whole, such as 0.1.
fn part(value: &DeValue<'_>) -> Parsed<f64> {
    let number = match value {
        DeValue::Integer(_) => integer(value).map(|number| number as f64),
        DeValue::Float(number) => number.as_str().parse().ok(),
        _ => None,
    };
    number
        .filter(|number| (0.0..=1.0).contains(number))
        .ok_or_else(|| "must be a number from 0 to 1, such as 0.1 for a tenth".to_owned())
}
