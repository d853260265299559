//! Distributed tracing: spans exported to an OpenTelemetry collector.
//!
//! A request's `traceparent` (W3C Trace Context) is continued, or a trace is begun; members get one whose parent is our span of
//! the try. Spans of traces that are sampled go into a bounded queue, from where a thread of their own sends them in batches.
//! Workers never wait for that: what does not fit is dropped, and counted.

mod context;
mod trace;

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::Span;

use equipoise_config::{self as config, TraceEndpoint};
use equipoise_metrics::Counter;
pub(crate) use trace::Trace;
pub use trace::text;

/// Spans that wait to be sent at most.
const MAX_QUEUED: usize = 4096;

/// How long the end of the program waits for what is still to be sent.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// What the thread that sends spans is told.
pub enum Message {
    /// One that is over.
    Span(Box<Span>),
    /// Everything before is to be sent now; the sender hears of it.
    Flush(SyncSender<()>),
}

/// What a thread that sends spans works with.
pub struct Export {
    /// The collector.
    pub endpoint: TraceEndpoint,
    /// What this program is called there.
    pub service: String,
    /// What comes of the spans.
    pub counts: Arc<Counts>,
    /// The spans, in the order of their ends. There are no more when it is disconnected.
    pub messages: Receiver<Message>,
}

/// Starts a thread that sends spans.
pub type StartExport = fn(Export) -> io::Result<()>;

/// The traces of a configuration.
pub struct Traces {
    config: config::Traces,
    start_export: StartExport,
    /// To the thread that sends them, which is started with the first span.
    sender: OnceLock<Option<SyncSender<Message>>>,
    counts: Arc<Counts>,
}

/// What became of spans.
#[derive(Debug, Default)]
pub struct Counts {
    /// Taken by the collector.
    pub exported: Counter,
    /// The collector did not take them.
    pub failed: Counter,
    /// The queue was full.
    pub dropped: Counter,
}

impl Traces {
    /// Without a thread yet.
    pub fn new(config: &config::Traces, start_export: StartExport) -> Self {
        Self {
            config: config.clone(),
            start_export,
            sender: OnceLock::new(),
            counts: Arc::default(),
        }
    }

    /// What became of spans.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether a trace that begins here is told of.
    fn samples(&self) -> bool {
        fastrand::f64() < self.config.sample
    }

    /// Whether a collector is configured.
    fn is_exported(&self) -> bool {
        self.config.endpoint.is_some()
    }

    /// A span is over. Never waits.
    fn push(&self, span: Span) {
        let sender = self.sender.get_or_init(|| self.start());
        let message = Message::Span(Box::new(span));
        let taken = sender.as_ref().map(|sender| sender.try_send(message));
        if !matches!(taken, Some(Ok(()))) {
            self.counts.dropped.add(1);
        }
    }

    fn start(&self) -> Option<SyncSender<Message>> {
        let endpoint = self.config.endpoint.clone()?;
        let (sender, messages) = sync_channel(MAX_QUEUED);
        let export = Export {
            endpoint,
            service: self.config.service.clone(),
            counts: self.counts.clone(),
            messages,
        };
        match (self.start_export)(export) {
            Ok(()) => Some(sender),
            Err(error) => {
                tracing::error!(%error, "traces: starting the exporter thread failed");
                None
            }
        }
    }

    /// Sends what waits, for 3 s at most.
    pub fn flush(&self) {
        let Some(Some(sender)) = self.sender.get() else {
            return;
        };
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        let (done, is_done) = sync_channel(1);
        let mut message = Message::Flush(done);
        while let Err(TrySendError::Full(back)) = sender.try_send(message) {
            if Instant::now() >= deadline {
                return;
            }
            message = back;
            thread::sleep(Duration::from_millis(10));
        }
        // Whatever it is that ends the wait, the program ends.
        let _ = is_done.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A collector that takes nothing: what is started keeps the queue, and reads nothing of it.
    static KEPT: Mutex<Vec<Export>> = Mutex::new(Vec::new());

    fn keep(export: Export) -> io::Result<()> {
        KEPT.lock().unwrap().push(export);
        Ok(())
    }

    fn traces(endpoint: Option<TraceEndpoint>) -> Traces {
        let config = config::Traces {
            endpoint,
            sample: 1.0,
            service: "test".to_owned(),
        };
        Traces::new(&config, keep)
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let traces = traces(Some(TraceEndpoint {
            authority: "127.0.0.1:4318".parse().unwrap(),
            host: "127.0.0.1".to_owned(),
            port: 4318,
            path: "/v1/traces".to_owned(),
        }));
        for _ in 0..2 * MAX_QUEUED {
            traces.push(Span::default());
        }
        assert_eq!(traces.counts().dropped.get(), MAX_QUEUED as u64);
        assert_eq!(traces.counts().exported.get(), 0);
    }

    #[test]
    fn without_a_collector_there_is_no_thread() {
        let traces = traces(None);
        assert!(traces.samples() && !traces.is_exported());
        traces.flush();
    }
}
