//! The tables.

use std::time::Duration;

use crate::counted::Counts;
use crate::kind::Kind;
use crate::timed::Summary;

/// The contender beside which CPU times are shown, by the beginning of its name.
const REFERENCE: &str = "nginx";

const HEADER: [&str; 10] = [
    "",
    "instructions/request",
    "system calls/request",
    "CPU µs/request",
    "by nginx's",
    "requests/s (slowest–fastest round)",
    "p50 µs",
    "p99 µs",
    "core used",
    "memory MiB",
];

/// What one target did under one kind of load.
#[derive(Debug)]
pub(crate) struct Row {
    /// The target's name.
    pub(crate) name: &'static str,
    /// What the timed pass showed, if there was one.
    pub(crate) timed: Option<Summary>,
    /// What the counted pass showed.
    pub(crate) counts: Counts,
}

impl Row {
    /// Adds what was counted, if anything was, to the row of that name.
    pub(crate) fn add(rows: &mut Vec<Self>, name: &'static str, counts: Counts) {
        if counts.instructions.or(counts.system_calls).is_none() {
            return;
        }
        match rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.counts = counts,
            None => rows.push(Self {
                name,
                timed: None,
                counts,
            }),
        }
    }

    /// Whether the proxy had, or took, much less than its core, so that the times say more of the machine than of the proxy.
    pub(crate) fn was_disturbed(&self) -> bool {
        let utilisation = self.timed.as_ref().and_then(Summary::utilisation);
        utilisation.is_some_and(|share| share < 0.9)
    }
}

/// The rows as a Markdown table: a dash where nothing was measured, and no column of dashes alone.
pub(crate) fn render(rows: &[Row]) -> String {
    let reference = rows.iter().find(|row| row.name.starts_with(REFERENCE));
    let reference = reference.and_then(|row| row.timed.as_ref());
    let rows = rows.iter().map(|row| cells(row, reference));
    markdown(&HEADER, rows.collect())
}

/// Instructions for a request by every kind of load, a line for each contender.
pub(crate) fn overview(tables: &[(&Kind, Vec<Row>)]) -> String {
    let header = tables.iter().map(|(kind, _)| kind.name);
    let header: Vec<&str> = [""].into_iter().chain(header).collect();
    let mut lines: Vec<Vec<String>> = Vec::new();
    for (column, (_, rows)) in (1..).zip(tables) {
        for row in rows {
            let named = lines.iter().position(|line| line[0] == row.name);
            let line = named.unwrap_or_else(|| {
                let mut line = vec![DASH.to_owned(); header.len()];
                row.name.clone_into(&mut line[0]);
                lines.push(line);
                lines.len() - 1
            });
            lines[line][column] = or_dash(row.counts.instructions, thousands);
        }
    }
    lines.retain(|line| line[1..].iter().any(|cell| cell != DASH));
    markdown(&header, lines)
}

/// Rows below a header as a Markdown table; the first column is of names, the others of numbers. A column without any number is
/// left out.
pub(crate) fn markdown(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = vec![header.iter().map(|&title| title.to_owned()).collect()];
    table.extend(rows);
    let is_shown = |column: usize| column == 0 || table[1..].iter().any(|row| row[column] != DASH);
    let shown: Vec<usize> = (0..header.len())
        .filter(|column| is_shown(*column))
        .collect();
    let mut table: Vec<Vec<String>> = table
        .iter()
        .map(|row| shown.iter().map(|column| row[*column].clone()).collect())
        .collect();
    let widths: Vec<usize> = (0..shown.len())
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

fn cells(row: &Row, reference: Option<&Summary>) -> Vec<String> {
    let timed = row.timed.as_ref();
    let [p50, p99] = timed.map_or([None; 2], Summary::percentiles);
    let beside = timed.zip(reference);
    let beside = beside.and_then(|(timed, reference)| timed.cpu_beside(reference));
    let cpu = timed.and_then(Summary::cpu_per_request);
    let whole_microseconds = |time| format!("{:.0}", microseconds(time));
    vec![
        row.name.to_owned(),
        or_dash(row.counts.instructions, thousands),
        or_dash(row.counts.system_calls, |calls| format!("{calls:.1}")),
        or_dash(cpu, |time| format!("{:.1}", microseconds(time))),
        or_dash(beside, |ratio| format!("{ratio:.2}")),
        or_dash(timed.and_then(Summary::throughput), |throughputs| {
            let [median, slowest, fastest] = throughputs.map(thousands);
            format!("{median} ({slowest}–{fastest})")
        }),
        or_dash(p50, whole_microseconds),
        or_dash(p99, whole_microseconds),
        or_dash(timed.and_then(Summary::utilisation), |share| {
            format!("{:.0} %", share * 100.0)
        }),
        or_dash(timed.and_then(|timed| timed.memory), |bytes| {
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

/// What was not measured.
const DASH: &str = "–";

fn or_dash<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| DASH.to_owned(), show)
}

fn microseconds(time: Duration) -> f64 {
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
