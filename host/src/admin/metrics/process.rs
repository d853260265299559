//! Metrics of the program and its clients.

use std::fmt;

use equipoise_http::http2::ConnectionError;
use prometheus_client::encoding::DescriptorEncoder;

use super::family::{Family, Name};
use equipoise_log::LOSSES;
use equipoise_metrics::Process;
use equipoise_proxy::downstream::DescriptorBudget;
use equipoise_proxy::observe::metrics::{LIMITS, WorkerMetrics};
use equipoise_proxy::snapshot::Snapshot;

/// A number of a worker.
type OfWorker = fn(&WorkerMetrics) -> u64;

/// Counters of all workers: name, help, and where the number comes from.
const COUNTERS: [(&str, &str, OfWorker); 3] = [
    (
        "client_connections_accepted",
        "Connections of clients",
        |worker| worker.connections.get(),
    ),
    ("client_received_bytes", "Bytes from clients", |worker| {
        worker.received.get()
    }),
    ("client_sent_bytes", "Bytes to clients", |worker| {
        worker.sent.get()
    }),
];

/// Writes those of ours.
pub(super) fn write(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let metrics = &snapshot.metrics;
    for (name, help, number) in COUNTERS {
        Family::counter(encoder, name, help)?.count(&[], metrics.sum(number))?;
    }
    // Read in this order, no connection has ended before it was opened.
    let ended = metrics.sum(|worker| worker.ended.get());
    let accepted = metrics.sum(|worker| worker.connections.get());
    let help = "Connections of clients that are open";
    let open = accepted.saturating_sub(ended) as f64;
    Family::gauge(encoder, "client_connections", help)?.measure(&[], open)?;
    write_refusals(encoder, snapshot)?;
    write_limits(encoder, snapshot)?;
    write_reloads(encoder, snapshot)?;
    write_traces(encoder, snapshot)?;
    write_losses(encoder)?;
    let help = "1, with the program's version";
    let version = ("version", Name(env!("CARGO_PKG_VERSION")));
    Family::gauge(encoder, "build_info", help)?.measure(&[version], 1.0)
}

fn write_refusals(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let refusals = &snapshot.metrics.refusals;
    let help = "Requests that were refused for what their clients did, by reason";
    let mut family = Family::counter(encoder, "refused_requests", help)?;
    for (reason, number) in refusals.by_reason() {
        family.count(&[("reason", Name(reason))], number)?;
    }
    let help = "Clients that left before their response was over";
    Family::counter(encoder, "client_aborts", help)?.count(&[], refusals.aborts.get())
}

/// Limits that clients run into.
fn write_limits(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let (metrics, config) = (&snapshot.metrics, &snapshot.config);
    let help = "Connections of clients that may be open";
    let budget = DescriptorBudget::now(config.workers.get(), config.listeners.len());
    let most = budget.clients.min(config.limits.connections);
    Family::gauge(encoder, "client_connections_limit", help)?.measure(&[], most as f64)?;
    let help = "Connections of clients that wait for others to end";
    let waiting = metrics.sum(|worker| worker.waiting.get());
    Family::gauge(encoder, "client_connections_waiting", help)?.measure(&[], waiting as f64)?;
    let help = "How often clients ran into a limit";
    let mut family = Family::counter(encoder, "limit_hits", help)?;
    for (place, limit) in LIMITS.into_iter().enumerate() {
        let hits = metrics.sum(|worker| worker.limit_hits(place));
        family.count(&[("limit", Name(limit))], hits)?;
    }
    let help = "Connections of clients that broke the rules of HTTP/2, by reason";
    let mut family = Family::counter(encoder, "http2_connection_errors", help)?;
    for error in ConnectionError::ALL {
        let errors = metrics.sum(|worker| worker.http2_errors(error));
        family.count(&[("reason", Name(error.name()))], errors)?;
    }
    Ok(())
}

fn write_reloads(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let reloads = &snapshot.metrics.reloads;
    let help =
        "Configurations that were to be put in force since the start, by what became of them";
    let mut family = Family::counter(encoder, "config_reloads", help)?;
    for (result, number) in [
        ("applied", reloads.applied()),
        ("refused", reloads.refused()),
    ] {
        family.count(&[("result", Name(result))], number)?;
    }
    let help = "1 unless the last configuration was refused";
    let fresh = u8::from(reloads.is_fresh());
    Family::gauge(encoder, "config_last_reload_successful", help)?.measure(&[], fresh.into())?;
    let help = "When the configuration in force was put in force";
    let last = reloads.last_applied();
    Family::gauge(encoder, "config_last_applied_timestamp_seconds", help)?
        .measure(&[], last.unwrap_or_else(|| snapshot.metrics.started()))
}

/// Where requests are traced.
fn write_traces(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let Some(traces) = &snapshot.traces else {
        return Ok(());
    };
    let help = "Spans, by what became of them";
    let mut family = Family::counter(encoder, "trace_spans", help)?;
    let counts = traces.counts();
    for (result, count) in [
        ("exported", &counts.exported),
        ("failed", &counts.failed),
        ("dropped", &counts.dropped),
    ] {
        family.count(&[("result", Name(result))], count.get())?;
    }
    Ok(())
}

fn write_losses(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Lines of logs that were lost, by where they should have gone and why";
    let mut family = Family::counter(encoder, "log_lines_dropped", help)?;
    for losses in LOSSES {
        let sink = ("sink", Name(losses.sink));
        for (reason, count) in [("full", &losses.full), ("failed", &losses.failed)] {
            family.count(&[sink, ("reason", Name(reason))], count.get())?;
        }
    }
    Ok(())
}

/// Writes those whose names all programs share.
pub(super) fn write_conventional(
    encoder: &mut DescriptorEncoder<'_>,
    snapshot: &Snapshot,
) -> fmt::Result {
    let process = Process::now();
    let help = "Processor time of all threads, in user and kernel mode";
    let seconds = process.processor_time.as_secs_f64();
    Family::counter(encoder, "process_cpu_seconds", help)?.count(&[], seconds)?;
    let started = snapshot.metrics.started();
    for (name, help, number) in [
        (
            "process_resident_memory_bytes",
            "Memory in use",
            process.resident.map(|bytes| bytes as f64),
        ),
        (
            "process_open_fds",
            "File descriptors that are open",
            process.open_files.map(|files| files as f64),
        ),
        (
            "process_max_fds",
            "The most file descriptors that may be open",
            process.most_files.map(|files| files as f64),
        ),
        (
            "process_start_time_seconds",
            "When the program started, since 1970",
            Some(started),
        ),
    ] {
        if let Some(number) = number {
            Family::gauge(encoder, name, help)?.measure(&[], number)?;
        }
    }
    Ok(())
}
