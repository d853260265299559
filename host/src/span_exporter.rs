//! Exports spans to an OpenTelemetry collector, in batches, on a thread of its own.

mod otlp_http;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use tokio::runtime::Runtime;

use equipoise_config::TraceEndpoint;
use equipoise_proxy::observe::traces::{Counts, Export, Message, text};
use otlp_http::send;

/// Spans that are sent at once at most.
const MAX_BATCH: usize = 512;

/// How long a span waits for others to be sent with.
const BATCH_DELAY: Duration = Duration::from_secs(1);

/// How long a batch may take to be sent.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// The least time between two log lines of failures.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Starts a thread that sends spans.
///
/// # Errors
/// There can be no thread.
pub(crate) fn start(export: Export) -> io::Result<()> {
    let Export {
        endpoint,
        service,
        counts,
        messages,
    } = export;
    let exporter = Exporter::new(endpoint, &service, counts);
    let thread = thread::Builder::new().name("traces".to_owned());
    thread.spawn(move || exporter.run(&messages)).map(drop)
}

/// Sends spans to a collector.
struct Exporter {
    endpoint: TraceEndpoint,
    resource: Resource,
    counts: Arc<Counts>,
    /// When a failure was last logged.
    last_logged: Option<Instant>,
}

impl Exporter {
    fn new(endpoint: TraceEndpoint, service: &str, counts: Arc<Counts>) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self {
            endpoint,
            resource: Resource {
                attributes: vec![
                    text("service.name", service.to_owned()),
                    text("service.version", version),
                ],
                ..Resource::default()
            },
            counts,
            last_logged: None,
        }
    }

    /// Exports spans until all senders are dropped.
    fn run(mut self, receiver: &Receiver<Message>) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = match { runtime }.enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "traces: there is no runtime"),
        };
        let mut batch = Vec::new();
        let mut since = Instant::now();
        loop {
            let wait = BATCH_DELAY.saturating_sub(since.elapsed());
            match receiver.recv_timeout(if batch.is_empty() { BATCH_DELAY } else { wait }) {
                Ok(Message::Span(span)) => {
                    if batch.is_empty() {
                        since = Instant::now();
                    }
                    batch.push(*span);
                    if batch.len() < MAX_BATCH && since.elapsed() < BATCH_DELAY {
                        continue;
                    }
                    self.send(&runtime, &mut batch);
                }
                Ok(Message::Flush(done)) => {
                    self.send(&runtime, &mut batch);
                    // Who asked may have given up.
                    let _ = done.try_send(());
                }
                Err(RecvTimeoutError::Timeout) => self.send(&runtime, &mut batch),
                Err(RecvTimeoutError::Disconnected) => return self.send(&runtime, &mut batch),
            }
        }
    }

    /// Sends a batch; one that cannot be sent is lost.
    fn send(&mut self, runtime: &Runtime, batch: &mut Vec<Span>) {
        if batch.is_empty() {
            return;
        }
        let count = batch.len() as u64;
        let body = self.encode(std::mem::take(batch));
        let sent = runtime.block_on(async {
            let sent = tokio::time::timeout(EXPORT_TIMEOUT, send(&self.endpoint, body)).await;
            sent.map_err(|_| format!("it took longer than {EXPORT_TIMEOUT:?}"))?
        });
        match sent {
            Ok(()) => self.counts.exported.add(count),
            Err(error) => {
                self.counts.failed.add(count);
                self.log_failure(&error);
            }
        }
    }

    fn encode(&self, spans: Vec<Span>) -> Vec<u8> {
        let scope = InstrumentationScope {
            name: "equipoise".to_owned(),
            ..InstrumentationScope::default()
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![ScopeSpans {
                    scope: Some(scope),
                    spans,
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        request.encode_to_vec()
    }

    /// Logs that spans cannot be sent, once a minute.
    fn log_failure(&mut self, error: &str) {
        if self
            .last_logged
            .is_some_and(|at| at.elapsed() < LOG_INTERVAL)
        {
            return;
        }
        self.last_logged = Some(Instant::now());
        let (endpoint, lost) = (&self.endpoint.authority, self.counts.failed.get());
        tracing::warn!("traces: export to {endpoint} failed: {error}; spans lost so far: {lost}");
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc::sync_channel;

    use super::*;

    /// A collector that takes connections and answers nothing keeps the first batch for five seconds; meanwhile the queue
    /// fills.
    #[test]
    fn a_collector_that_is_slow_holds_up_one_batch_and_what_waits_is_bounded() {
        const WAITING: usize = 100;
        let collector = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = collector.local_addr().unwrap();
        let (sender, messages) = sync_channel(WAITING);
        let counts = Arc::<Counts>::default();
        let export = Export {
            endpoint: TraceEndpoint {
                authority: address.to_string().parse().unwrap(),
                host: address.ip().to_string(),
                port: address.port(),
                path: "/v1/traces".to_owned(),
            },
            service: "test".to_owned(),
            counts: counts.clone(),
            messages,
        };
        start(export).unwrap();
        for _ in 0..MAX_BATCH {
            sender.send(Message::Span(Box::default())).unwrap();
        }
        // The batch is on its way once the exporter has connected.
        let _connection = collector.accept().unwrap();
        let put = |_| sender.try_send(Message::Span(Box::default())).is_ok();
        let taken = (0..2 * WAITING).map(put).filter(|&taken| taken).count();
        assert_eq!(taken, WAITING);
        assert_eq!((counts.exported.get(), counts.failed.get()), (0, 0));
    }
}
