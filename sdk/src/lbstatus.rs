//! Smooth weighted round robin: the `lbstatus` of each member.

use crate::Candidates;

/// Apache's `lbstatus` of every member, keyed by member id; 0 for a member not seen before.
///
/// A selection credits every candidate its weight and debits the chosen one the sum of them, so that the `lbstatus` of all
/// members always adds up to 0, and the one passed over longest for its weight has the greatest.
#[derive(Debug, Clone, Default)]
pub struct LbStatus {
    /// Indexed by id: ids are small.
    by_id: Vec<i64>,
}

/// Candidates credited at once. Their ids are mostly consecutive, and then so are their entries, which a processor adds to
/// several at a time.
const CHUNK: usize = 32;

impl LbStatus {
    /// Selects a candidate: credits each its weight, and debits the one with the greatest `lbstatus`, the first of equals, the
    /// sum of all weights. Returns its position; `None` without candidates.
    ///
    /// `ids` and `weights` are the columns of the candidates.
    #[inline]
    pub fn select(&mut self, ids: &[u32], weights: &[u32]) -> Option<usize> {
        let (mut chosen, mut most) = (None, i64::MIN);
        let total = self.credit_all(ids, weights, |start, lbstatus| {
            let top = greatest(lbstatus);
            if chosen.is_none() || top > most {
                let place = lbstatus.iter().position(|&lbstatus| lbstatus == top);
                chosen = place.map(|place| start + place);
                most = top;
            }
        });
        self.debit(*ids.get(chosen?)?, total);
        chosen
    }

    /// As [`select`](Self::select), but among those with the least value in a third column, such as requests in flight.
    #[inline]
    pub fn select_least(&mut self, ids: &[u32], weights: &[u32], numbers: &[u32]) -> Option<usize> {
        // A component looks at one at a time anyway.
        if cfg!(target_family = "wasm") {
            return self.select_one_by_one(ids, weights, numbers);
        }
        let (mut chosen, mut least, mut most) = (None, u32::MAX, i64::MIN);
        let total = self.credit_all(ids, weights, |start, lbstatus| {
            let numbers = numbers.get(start..).unwrap_or_default();
            let numbers = &numbers[..numbers.len().min(lbstatus.len())];
            let fewest = numbers.iter().fold(u32::MAX, |fewest, &it| fewest.min(it));
            let is_worse = fewest > least || (fewest == least && greatest(lbstatus) <= most);
            if chosen.is_some() && is_worse {
                return;
            }
            for ((position, &lbstatus), &number) in (start..).zip(lbstatus).zip(numbers) {
                let is_better = number < least || (number == least && lbstatus > most);
                if chosen.is_none() || is_better {
                    (chosen, least, most) = (Some(position), number, lbstatus);
                }
            }
        });
        self.debit(*ids.get(chosen?)?, total);
        chosen
    }

    /// [`select_least`](Self::select_least) by its definition, one candidate after the other.
    fn select_one_by_one(
        &mut self,
        ids: &[u32],
        weights: &[u32],
        numbers: &[u32],
    ) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<(usize, u32, i64)> = None;
        let candidates = ids.iter().zip(weights).zip(numbers).enumerate();
        for (position, ((&id, &weight), &number)) in candidates {
            let lbstatus = self.credit(id, weight);
            total += i64::from(weight);
            if best.is_none_or(|(_, least, most)| {
                number < least || (number == least && lbstatus > most)
            }) {
                best = Some((position, number, lbstatus));
            }
        }
        let (chosen, _, _) = best?;
        self.debit(ids[chosen], total);
        Some(chosen)
    }

    /// Credits each candidate its weight, and shows the new `lbstatus`, from each position on. Returns the sum of the weights.
    #[inline]
    fn credit_all(
        &mut self,
        ids: &[u32],
        weights: &[u32],
        mut show: impl FnMut(usize, &[i64]),
    ) -> i64 {
        let mut total = 0;
        let mut start = 0;
        for (ids, weights) in ids.chunks(CHUNK).zip(weights.chunks(CHUNK)) {
            total += weights.iter().copied().map(i64::from).sum::<i64>();
            if are_consecutive(ids) {
                let lbstatus = self.entries(ids);
                for (lbstatus, &weight) in lbstatus.iter_mut().zip(weights) {
                    *lbstatus += i64::from(weight);
                }
                show(start, lbstatus);
            } else {
                let mut lbstatus = [0; CHUNK];
                for ((lbstatus, &id), &weight) in lbstatus.iter_mut().zip(ids).zip(weights) {
                    *lbstatus = self.credit(id, weight);
                }
                show(start, &lbstatus[..ids.len()]);
            }
            start += ids.len();
        }
        total
    }

    /// Adds `weight` to the member's `lbstatus`, and returns the new one.
    #[inline]
    pub fn credit(&mut self, id: u32, weight: u32) -> i64 {
        let lbstatus = self.entry(id);
        *lbstatus += i64::from(weight);
        *lbstatus
    }

    /// Subtracts `total` from the member's `lbstatus`.
    pub fn debit(&mut self, id: u32, total: i64) {
        *self.entry(id) -= total;
    }

    /// Accounts for a sticky session's request: see [`Selector::record_sticky`](crate::Selector::record_sticky).
    ///
    /// A `chosen` outside `usable` changes nothing.
    pub fn record_sticky(&mut self, usable: &dyn Candidates, chosen: usize) {
        let ids = usable.ids();
        let Some(&id) = ids.get(chosen) else {
            return;
        };
        let total = self.credit_all(ids, usable.weights(), |_, _| {});
        self.debit(id, total);
    }

    /// Sets the `lbstatus` of all members to 0.
    pub fn reset(&mut self) {
        self.by_id.clear();
    }

    /// The member's `lbstatus`: positive when it is due soon, negative when it was chosen recently.
    pub fn get(&self, id: u32) -> i64 {
        self.by_id.get(id as usize).copied().unwrap_or(0)
    }

    /// The state for [`restore`](Self::restore): 8 bytes a member id, little-endian.
    pub fn save(&self) -> Vec<u8> {
        self.by_id
            .iter()
            .flat_map(|lbstatus| lbstatus.to_le_bytes())
            .collect()
    }

    /// Takes over what [`save`](Self::save) returned.
    ///
    /// # Errors
    /// It is not that, which changes nothing.
    pub fn restore(&mut self, blob: &[u8]) -> Result<(), String> {
        let (lbstatus, rest) = blob.as_chunks();
        if !rest.is_empty() {
            return Err(format!(
                "{} bytes are not a saved lbstatus: 8 for each member id are expected",
                blob.len()
            ));
        }
        self.by_id = lbstatus.iter().copied().map(i64::from_le_bytes).collect();
        Ok(())
    }

    #[inline]
    fn entry(&mut self, id: u32) -> &mut i64 {
        let index = id as usize;
        if index >= self.by_id.len() {
            self.by_id.resize(index + 1, 0);
        }
        &mut self.by_id[index]
    }

    /// The entries of consecutive ids.
    #[inline]
    fn entries(&mut self, ids: &[u32]) -> &mut [i64] {
        let start = ids.first().map_or(0, |&first| first as usize);
        let end = start + ids.len();
        if end > self.by_id.len() {
            self.by_id.resize(end, 0);
        }
        &mut self.by_id[start..end]
    }
}

#[inline]
fn are_consecutive(ids: &[u32]) -> bool {
    let first = ids.first().copied().unwrap_or(0);
    let expected = (0..).map(|place| first.wrapping_add(place));
    // All of them: that is done for several at a time, while stopping at the first would not.
    let differ = ids.iter().zip(expected);
    differ.fold(0, |differ, (&id, expected)| differ | (id ^ expected)) == 0
}

/// Four at a time: each comparison then waits for one of four before it.
#[inline]
fn greatest(numbers: &[i64]) -> i64 {
    let (fours, rest) = numbers.as_chunks::<4>();
    let of_fours = fours.iter().fold([i64::MIN; 4], |greatest, four| {
        std::array::from_fn(|place| greatest[place].max(four[place]))
    });
    of_fours
        .iter()
        .chain(rest)
        .fold(i64::MIN, |greatest, &it| greatest.max(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_ids_change_no_selection() {
        let lists: [Vec<u32>; 7] = [
            vec![],
            vec![7],
            (0..100).collect(),
            (0..200).filter(|id| id % 50 != 3).collect(),
            (0..90).rev().collect(),
            (40..75).chain(0..40).collect(),
            (0..64).map(|id| id * 3).collect(),
        ];
        for ids in lists {
            let weights: Vec<u32> = ids.iter().map(|id| 100 + id * 37 % 250).collect();
            let (mut one, mut other) = (LbStatus::default(), LbStatus::default());
            for round in 0..500 {
                let number = |id: &u32| match round % 3 {
                    0 => 0,
                    kinds => (id * 7 + round) % (kinds * 3),
                };
                let numbers: Vec<u32> = ids.iter().map(number).collect();
                let chosen = match round % 3 {
                    0 => one.select(&ids, &weights),
                    _ => one.select_least(&ids, &weights, &numbers),
                };
                let expected = other.select_one_by_one(&ids, &weights, &numbers);
                assert_eq!(chosen, expected, "round {round} of {ids:?}");
                assert_eq!(one.save(), other.save());
            }
        }
    }
}
