//! Traces: a request's way through several programs, told to a collector of OpenTelemetry's.
//!
//! A request's `traceparent` (W3C Trace Context) is continued, or a trace is begun; members get one whose parent is our span of
//! the try. Spans of traces that are sampled go into a bounded queue, from where a thread of their own sends them in batches.
//! Whoever serves requests never waits for that: what does not fit is dropped, and counted.

mod context;
mod exporter;
mod post;
mod trace;

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::Span;

use equipoise_config as config;
use equipoise_metrics::Count;
use exporter::{Exporter, Message};
pub(crate) use trace::Trace;

/// Spans that wait to be sent at most.
const WAITING: usize = 4096;

/// How long the end of the program waits for what is still to be sent.
const FLUSH: Duration = Duration::from_secs(3);

/// The traces of a configuration.
pub(crate) struct Traces {
    config: config::Traces,
    /// To the thread that sends them, which is started with the first span.
    sender: OnceLock<Option<SyncSender<Message>>>,
    counts: Arc<Counts>,
}

/// What became of spans.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) exported: Count,
    /// The collector did not take them.
    pub(crate) failed: Count,
    /// The queue was full.
    pub(crate) dropped: Count,
}

impl Traces {
    pub(crate) fn new(config: &config::Traces) -> Self {
        Self {
            config: config.clone(),
            sender: OnceLock::new(),
            counts: Arc::default(),
        }
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether a trace that begins here is told of.
    fn samples(&self) -> bool {
        fastrand::f64() < self.config.sample
    }

    /// Whether there is anybody to tell.
    fn is_exported(&self) -> bool {
        self.config.endpoint.is_some()
    }

    /// A span is over. Never waits.
    fn put(&self, span: Span) {
        let sender = self.sender.get_or_init(|| self.start());
        let message = Message::Span(Box::new(span));
        let taken = sender.as_ref().map(|sender| sender.try_send(message));
        if !matches!(taken, Some(Ok(()))) {
            self.counts.dropped.add(1);
        }
    }

    fn start(&self) -> Option<SyncSender<Message>> {
        let endpoint = self.config.endpoint.clone()?;
        let (sender, receiver) = sync_channel(WAITING);
        let exporter = Exporter::new(endpoint, &self.config.service, self.counts.clone());
        let thread = thread::Builder::new().name("traces".to_owned());
        match thread.spawn(move || exporter.run(&receiver)) {
            Ok(_) => Some(sender),
            Err(error) => {
                tracing::error!(%error, "traces: no thread can be started to send spans");
                None
            }
        }
    }

    /// Sends what waits, for 3 s at most.
    pub(crate) fn flush(&self) {
        let Some(Some(sender)) = self.sender.get() else {
            return;
        };
        let give_up = Instant::now() + FLUSH;
        let (done, is_done) = sync_channel(1);
        let mut message = Message::Flush(done);
        while let Err(TrySendError::Full(back)) = sender.try_send(message) {
            if Instant::now() >= give_up {
                return;
            }
            message = back;
            thread::sleep(Duration::from_millis(10));
        }
        // Whatever it is that ends the wait, the program ends.
        let _ = is_done.recv_timeout(give_up.saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::exporter::BATCH;
    use super::*;
    use equipoise_config::TraceEndpoint;

    /// A collector that takes connections and answers nothing keeps the first batch for five seconds; meanwhile the queue
    /// fills.
    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        const SPANS: usize = 2 * WAITING;
        let collector = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = collector.local_addr().unwrap();
        let traces = Traces::new(&config::Traces {
            endpoint: Some(TraceEndpoint {
                authority: address.to_string().parse().unwrap(),
                host: address.ip().to_string(),
                port: address.port(),
                path: "/v1/traces".to_owned(),
            }),
            sample: 1.0,
            service: "test".to_owned(),
        });
        for _ in 0..SPANS {
            traces.put(Span::default());
        }
        let dropped = traces.counts().dropped.get() as usize;
        let taken = SPANS - dropped;
        assert!((WAITING..=WAITING + 2 * BATCH).contains(&taken), "{taken}");
        assert_eq!(traces.counts().exported.get(), 0);
    }

    #[test]
    fn without_a_collector_there_is_no_thread() {
        let traces = Traces::new(&config::Traces {
            endpoint: None,
            sample: 1.0,
            service: "test".to_owned(),
        });
        assert!(traces.samples() && !traces.is_exported());
        traces.flush();
    }
}
