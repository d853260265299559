//! The table.

use std::fmt;
use std::time::Duration;

use crate::counted::Counts;
use crate::timed::Summary;

const HEADER: [&str; 9] = [
    "",
    "instructions/request",
    "system calls/request",
    "CPU µs/request",
    "requests/s (slowest–fastest round)",
    "p50 µs",
    "p99 µs",
    "core used",
    "memory MiB",
];

/// The rows as a Markdown table, a dash where nothing was measured.
pub(crate) fn render(rows: &[(Summary, Counts)]) -> String {
    markdown(
        &HEADER,
        rows.iter().map(|(summary, counts)| cells(summary, counts)),
    )
}

/// Rows below a header as a Markdown table; the first column is of names, the others of numbers.
pub(crate) fn markdown(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = vec![header.iter().map(|&title| title.to_owned()).collect()];
    table.extend(rows);
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let widths = table.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or_default().max(3)
        })
        .collect();
    table.insert(1, rule(&widths));
    table
        .iter()
        .map(|row| line(row, &widths))
        .collect::<String>()
}

fn cells(summary: &Summary, counts: &Counts) -> Vec<String> {
    let (slowest, fastest) = summary.spread;
    let throughput = Measure {
        median: summary.throughput,
        slowest,
        fastest,
    };
    vec![
        summary.name.to_owned(),
        or_dash(counts.instructions, thousands),
        or_dash(counts.system_calls, |calls| format!("{calls:.1}")),
        or_dash(summary.cpu_per_request, |time| {
            format!("{:.1}", microseconds(time))
        }),
        throughput.to_string(),
        format!("{:.0}", microseconds(summary.p50)),
        format!("{:.0}", microseconds(summary.p99)),
        or_dash(summary.utilisation, |share| {
            format!("{:.0} %", share * 100.0)
        }),
        or_dash(summary.memory, |bytes| {
            format!("{:.1}", bytes as f64 / f64::from(1 << 20))
        }),
    ]
}

/// A number a second, over several rounds.
#[derive(Debug)]
pub(crate) struct Measure {
    pub(crate) median: f64,
    pub(crate) slowest: f64,
    pub(crate) fastest: f64,
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, slowest, fastest] = [self.median, self.slowest, self.fastest].map(thousands);
        write!(f, "{median} ({slowest}–{fastest})")
    }
}

fn rule(widths: &[usize]) -> Vec<String> {
    let right = |width: &usize| format!("{}:", "-".repeat(width - 1));
    let mut rule: Vec<String> = widths.iter().map(right).collect();
    rule[0] = "-".repeat(widths[0]);
    rule
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths).enumerate();
    let cells = cells.map(|(column, (cell, width))| match column {
        0 => format!("| {cell:<width$} "),
        _ => format!("| {cell:>width$} "),
    });
    cells.chain(["|\n".to_owned()]).collect()
}

/// What was not measured.
pub(crate) const DASH: &str = "–";

/// The value as it is shown, or a dash.
pub(crate) fn or_dash<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| DASH.to_owned(), show)
}

pub(crate) fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A whole number with its thousands apart: `21 934`.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
