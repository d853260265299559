//! Prefetched columns: those that a selector names by `prefetch.columns`, passed with each call.

use equipoise_sdk::{Candidates, Column};

use equipoise_text::sanitize;

/// Characters shown of an unknown column's name.
const MAX_NAME: usize = 40;

/// The columns that an instance named, at least one.
#[derive(Debug)]
pub(super) struct Prefetch {
    columns: Vec<Column>,
    /// Buffer for their values, reused between calls.
    values: Vec<u32>,
}

impl Prefetch {
    /// The columns of these names; `None` where there are no names.
    ///
    /// # Errors
    /// A name is no column's, or comes twice.
    pub(super) fn of(names: &[String]) -> Result<Option<Self>, String> {
        let mut columns = Vec::new();
        for name in names {
            let named = Column::ALL.iter().find(|column| column.name() == name);
            let Some(&column) = named else {
                let known = Column::ALL.map(Column::name).join(", ");
                let name = sanitize::text(name, MAX_NAME);
                return Err(format!(
                    "there is no column `{name}`; the columns are {known}"
                ));
            };
            if columns.contains(&column) {
                return Err(format!("the column `{name}` is named twice"));
            }
            columns.push(column);
        }
        Ok((!columns.is_empty()).then_some(Self {
            columns,
            values: Vec::new(),
        }))
    }

    /// The values of these candidates, in the layout of wit/v0.1/selector.wit.
    pub(super) fn gather(&mut self, candidates: &dyn Candidates) -> &[u32] {
        self.values.clear();
        for column in &self.columns {
            append(*column, candidates, &mut self.values);
        }
        &self.values
    }
}

fn append(column: Column, candidates: &dyn Candidates, values: &mut Vec<u32>) {
    let column_values = match column {
        Column::Elected => return split(candidates.elected(), values),
        Column::BytesSent => return split(candidates.bytes_sent(), values),
        Column::BytesReceived => return split(candidates.bytes_received(), values),
        Column::Ids => candidates.ids(),
        Column::Weights => candidates.weights(),
        Column::Busy => candidates.busy(),
        Column::LatencyUs => candidates.latency_us(),
        Column::ConsecutiveFailures => candidates.consecutive_failures(),
        Column::ReadySlots => candidates.ready_slots(),
        Column::BusySlots => candidates.busy_slots(),
        Column::HeartbeatAgeMs => candidates.heartbeat_age_ms(),
    };
    values.extend_from_slice(column_values);
}

/// Appends both halves of each, the lower one first.
fn split(column: &[u64], values: &mut Vec<u32>) {
    let halves = column
        .iter()
        .flat_map(|&entry| [entry as u32, (entry >> 32) as u32]);
    values.extend(halves);
}

#[cfg(test)]
mod tests {
    use equipoise_sdk::testing::{FakeCandidate, FakeCandidates};

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    /// Each column has a number of its own, by which it is known again.
    fn candidates() -> FakeCandidates {
        let candidate = |id: u32| FakeCandidate {
            id,
            weight: 10 + id,
            busy: 20 + id,
            elected: u64::from(30 + id) << 32 | 130,
            bytes_sent: u64::from(40 + id) << 32 | 140,
            bytes_received: u64::from(50 + id) << 32 | 150,
            latency_us: 60 + id,
            consecutive_failures: 70 + id,
            ready_slots: 80 + id,
            busy_slots: 90 + id,
            heartbeat_age_ms: 100 + id,
        };
        [1, 2].map(candidate).into_iter().collect()
    }

    #[test]
    fn columns_come_as_they_are_named() {
        let table: [(&[&str], &[u32]); 13] = [
            (&["ids"], &[1, 2]),
            (&["weights"], &[11, 12]),
            (&["busy"], &[21, 22]),
            (&["elected"], &[130, 31, 130, 32]),
            (&["bytes-sent"], &[140, 41, 140, 42]),
            (&["bytes-received"], &[150, 51, 150, 52]),
            (&["latency-us"], &[61, 62]),
            (&["consecutive-failures"], &[71, 72]),
            (&["ready-slots"], &[81, 82]),
            (&["busy-slots"], &[91, 92]),
            (&["heartbeat-age-ms"], &[101, 102]),
            (
                &["busy", "bytes-received", "ids"],
                &[21, 22, 150, 51, 150, 52, 1, 2],
            ),
            (&["ids", "busy"], &[1, 2, 21, 22]),
        ];
        for (named, values) in table {
            let prefetch = Prefetch::of(&names(named)).expect("these are columns");
            let mut prefetch = prefetch.expect("there are some");
            for _ in 0..2 {
                assert_eq!(prefetch.gather(&candidates()), values, "{named:?}");
            }
        }
    }

    #[test]
    fn every_column_of_the_contract_can_be_named() {
        let contract = include_str!("../../../wit/v0.1/candidates.wit");
        let columns = contract.lines().filter_map(|line| {
            let (name, type_) = line.trim().split_once(": func() -> ")?;
            let width = match type_ {
                "list<u32>;" => 1,
                "list<u64>;" => 2,
                other => panic!("{name} is {other}"),
            };
            Some((name, width))
        });
        let known = Column::ALL.map(|column| (column.name(), column.width()));
        assert_eq!(columns.collect::<Vec<_>>(), known);
    }

    #[test]
    fn unknown_and_repeated_columns_are_refused() {
        assert!(Prefetch::of(&[]).is_ok_and(|prefetch| prefetch.is_none()));
        let refused = |named: &[&str]| Prefetch::of(&names(named)).expect_err("a refusal");
        assert_eq!(
            refused(&["ids", "busi"]),
            "there is no column `busi`; the columns are ids, weights, busy, elected, bytes-sent, bytes-received, latency-us, \
             consecutive-failures, ready-slots, busy-slots, heartbeat-age-ms"
        );
        assert!(
            refused(&["restrict-fallback"]).starts_with("there is no column `restrict-fallback`")
        );
        assert!(refused(&["a\nb"]).starts_with("there is no column `a\\u{a}b`"));
        assert_eq!(
            refused(&["ids", "busy", "ids"]),
            "the column `ids` is named twice"
        );
    }
}
