//! The table.

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
    let mut table = vec![HEADER.map(str::to_owned).to_vec()];
    table.extend(rows.iter().map(|(summary, counts)| cells(summary, counts)));
    let widths: Vec<usize> = (0..HEADER.len())
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
    vec![
        summary.name.to_owned(),
        or_dash(counts.instructions, thousands),
        or_dash(counts.system_calls, |calls| format!("{calls:.1}")),
        or_dash(summary.cpu_per_request, |time| {
            format!("{:.1}", microseconds(time))
        }),
        format!(
            "{} ({}–{})",
            thousands(summary.throughput),
            thousands(slowest),
            thousands(fastest)
        ),
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

fn or_dash<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), show)
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A whole number with its thousands apart: `21 934`.
fn thousands(number: f64) -> String {
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
