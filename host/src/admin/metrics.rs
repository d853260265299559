//! What runs, as numbers for Prometheus: `/metrics`, in the OpenMetrics text format.
//!
//! Numbers are read when they are asked for; those that balancing does not count anyway are counted in [`equipoise_proxy::observe::metrics`]. Labels
//! are names out of the configuration and words of ours, so there are as many series as the operator has written members and
//! routes.

mod balancers;
mod family;
mod members;
mod plugins;
mod process;
mod routes;

use std::fmt;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use super::response;
use equipoise_proxy::current::CurrentSnapshot;
use equipoise_proxy::snapshot::Snapshot;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes some metrics of what is in force.
type Writer = fn(&mut DescriptorEncoder<'_>, &Snapshot) -> fmt::Result;

/// All metrics, to be asked again and again.
pub(super) struct Metrics(Registry);

impl Metrics {
    /// Of what is in force.
    pub(super) fn new(current: CurrentSnapshot) -> Self {
        let mut registry = Registry::default();
        let ours = registry.sub_registry_with_prefix("equipoise");
        for write in [
            members::write as Writer,
            balancers::write,
            routes::write,
            plugins::write,
            process::write,
        ] {
            let current = current.clone();
            ours.register_collector(Box::new(InForce { current, write }));
        }
        let write = process::write_conventional;
        registry.register_collector(Box::new(InForce { current, write }));
        Self(registry)
    }

    /// The answer to `GET /metrics`.
    pub(super) fn respond(&self) -> Response<String> {
        let mut body = String::new();
        if let Err(error) = text::encode(&mut body, &self.0) {
            return response::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"));
        }
        let mut response = Response::new(body);
        let kind = HeaderValue::from_static(OPEN_METRICS);
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}

/// Some metrics of the snapshot in force, whichever that is.
struct InForce {
    current: CurrentSnapshot,
    write: Writer,
}

impl fmt::Debug for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InForce")
    }
}

impl Collector for InForce {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Taken anew each time, as in `Admin::tell`.
        (self.write)(&mut encoder, &self.current.reader().pin())
    }
}
