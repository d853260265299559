//! The last look: what our configuration does not take is taken out, and told.

use std::path::Path;

use equipoise_config::{Config, Diagnostic};

use super::report::{Fate, Report};
use super::writer::{self, Spot, Table};

/// Keys without which a table would mean something else: with one of these that is not taken, the whole is left out, and that is
/// refused.
const ESSENTIAL: &[&str] = &[
    "address",
    "tls",
    "https-redirect",
    "proxy-protocol",
    "host",
    "listener",
    "path",
    "match",
    "exclude",
    "require",
    "respond",
    "redirect",
    "balancer",
    "member-path",
    "request-headers",
    "url",
];

/// The header of tables without which others would take more.
const ROUTE: &str = "[[route]]";

/// How often is looked.
const ROUNDS: usize = 50;

/// The text of tables, without what has mistakes in it. `None`: nothing is left.
pub(crate) fn mend(
    title: &str,
    mut tables: Vec<Table>,
    path: &Path,
    report: &mut Report,
) -> Option<String> {
    if tables.is_empty() {
        return None;
    }
    for _ in 0..ROUNDS {
        let (text, spots) = writer::write(title, &tables);
        let Err(diagnostics) = Config::parse(&text, path) else {
            return Some(text);
        };
        let mut doomed: Vec<(usize, Option<String>)> = Vec::new();
        for diagnostic in diagnostics.iter() {
            let spot = spots
                .get(diagnostic.line.saturating_sub(1))
                .copied()
                .flatten();
            match spot {
                Some(spot) => doomed.push(judge(spot, diagnostic, &tables, report)),
                None => {
                    let text = format!("what comes of it cannot be: {diagnostic}");
                    report.tell_all(Fate::Refused, None, text);
                    return None;
                }
            }
        }
        if doomed.is_empty() {
            report.tell_all(
                Fate::Refused,
                None,
                format!("what comes of it cannot be: {diagnostics}"),
            );
            return None;
        }
        if doomed
            .iter()
            .any(|(place, key)| key.is_none() && tables[*place].header() == ROUTE)
        {
            // Its requests would go where the next route says that takes them, which may be open.
            return None;
        }
        take_out(&mut tables, doomed);
    }
    report.tell_all(
        Fate::Refused,
        None,
        "what comes of it has too many mistakes",
    );
    None
}

/// The table that has a mistake, and the key to take out of it; none for the whole.
fn judge(
    spot: Spot,
    diagnostic: &Diagnostic,
    tables: &[Table],
    report: &mut Report,
) -> (usize, Option<String>) {
    let table = &tables[spot.table];
    let entry = spot.entry.and_then(|place| table.entry(place));
    let comment = table.comments().last().map(|it| &**it);
    let from = comment.unwrap_or_else(|| table.header());
    let (fate, key) = match entry {
        Some((key, _)) if !ESSENTIAL.contains(&key) => (Fate::LeftOut, Some(key.to_owned())),
        _ => (Fate::Refused, None),
    };
    let what = match (&diagnostic.key, entry) {
        (Some(key), _) => key.clone(),
        (None, Some((key, _))) => key.to_owned(),
        (None, None) => table.header().to_owned(),
    };
    let text = format!("{from}: {what} {}", diagnostic.remedy);
    report.tell_all(
        fate,
        None,
        equipoise_text::bounded::message(&text).into_owned(),
    );
    (spot.table, key)
}

fn take_out(tables: &mut Vec<Table>, doomed: Vec<(usize, Option<String>)>) {
    let mut whole = Vec::new();
    for (place, key) in doomed {
        match key {
            Some(key) => tables[place].remove(&key),
            None => whole.push(place),
        }
    }
    let mut place = 0;
    tables.retain(|_| {
        place += 1;
        !whole.contains(&(place - 1))
    });
}
