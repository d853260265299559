//! What each member is owed: the memory of the weighted methods.

use crate::Candidates;

/// Apache's `lbstatus` of every member, keyed by member id; 0 for a member not seen before.
///
/// A choice credits every candidate its weight and debits the chosen one the sum of them, so that what is owed always
/// adds up to 0 and whoever was passed over longest for its weight is owed most.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    /// Indexed by id: ids are small.
    owed: Vec<i64>,
}

/// So many candidates are credited at once. Most often their ids follow one another, and then so do their entries, which a
/// processor adds to several at a time.
const STRETCH: usize = 32;

impl Schedule {
    /// Makes a choice: owes everybody their weight more, and the one that is owed most then, the first of equals, the sum of all
    /// weights less. Answers its position; `None` without candidates.
    ///
    /// `ids` and `weights` are the columns of the candidates.
    #[inline]
    pub fn choose(&mut self, ids: &[u32], weights: &[u32]) -> Option<usize> {
        let (mut chosen, mut most) = (None, i64::MIN);
        let total = self.credit_all(ids, weights, |start, owed| {
            let top = greatest(owed);
            if chosen.is_none() || top > most {
                let place = owed.iter().position(|&owed| owed == top);
                chosen = place.map(|place| start + place);
                most = top;
            }
        });
        self.debit(*ids.get(chosen?)?, total);
        chosen
    }

    /// The same among those only of which a third column, such as that of requests in flight, has the least.
    #[inline]
    pub fn choose_least(&mut self, ids: &[u32], weights: &[u32], numbers: &[u32]) -> Option<usize> {
        // A component looks at one at a time anyway.
        if cfg!(target_family = "wasm") {
            return self.choose_one_by_one(ids, weights, numbers);
        }
        let (mut chosen, mut least, mut most) = (None, u32::MAX, i64::MIN);
        let total = self.credit_all(ids, weights, |start, owed| {
            let numbers = numbers.get(start..).unwrap_or_default();
            let numbers = &numbers[..numbers.len().min(owed.len())];
            let fewest = numbers.iter().fold(u32::MAX, |fewest, &it| fewest.min(it));
            let is_worse = fewest > least || (fewest == least && greatest(owed) <= most);
            if chosen.is_some() && is_worse {
                return;
            }
            for ((position, &owed), &number) in (start..).zip(owed).zip(numbers) {
                let is_better = number < least || (number == least && owed > most);
                if chosen.is_none() || is_better {
                    (chosen, least, most) = (Some(position), number, owed);
                }
            }
        });
        self.debit(*ids.get(chosen?)?, total);
        chosen
    }

    /// The same by its definition, one candidate after the other.
    fn choose_one_by_one(
        &mut self,
        ids: &[u32],
        weights: &[u32],
        numbers: &[u32],
    ) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<(usize, u32, i64)> = None;
        let candidates = ids.iter().zip(weights).zip(numbers).enumerate();
        for (position, ((&id, &weight), &number)) in candidates {
            let owed = self.credit(id, weight);
            total += i64::from(weight);
            if best
                .is_none_or(|(_, least, most)| number < least || (number == least && owed > most))
            {
                best = Some((position, number, owed));
            }
        }
        let (chosen, _, _) = best?;
        self.debit(ids[chosen], total);
        Some(chosen)
    }

    /// Owes everybody their weight more, and shows what is owed then, from each position on. Answers the sum of the weights.
    #[inline]
    fn credit_all(
        &mut self,
        ids: &[u32],
        weights: &[u32],
        mut show: impl FnMut(usize, &[i64]),
    ) -> i64 {
        let mut total = 0;
        let mut start = 0;
        for (ids, weights) in ids.chunks(STRETCH).zip(weights.chunks(STRETCH)) {
            total += weights.iter().copied().map(i64::from).sum::<i64>();
            if follow_one_another(ids) {
                let owed = self.entries(ids);
                for (owed, &weight) in owed.iter_mut().zip(weights) {
                    *owed += i64::from(weight);
                }
                show(start, owed);
            } else {
                let mut owed = [0; STRETCH];
                for ((owed, &id), &weight) in owed.iter_mut().zip(ids).zip(weights) {
                    *owed = self.credit(id, weight);
                }
                show(start, &owed[..ids.len()]);
            }
            start += ids.len();
        }
        total
    }

    /// Owes the member `weight` more, and tells what it is owed now.
    #[inline]
    pub fn credit(&mut self, id: u32, weight: u32) -> i64 {
        let owed = self.entry(id);
        *owed += i64::from(weight);
        *owed
    }

    /// Owes the member `total` less.
    pub fn debit(&mut self, id: u32, total: i64) {
        *self.entry(id) -= total;
    }

    /// Accounts for a choice that was made without asking: see [`Selector::charge`](crate::Selector::charge).
    ///
    /// A `chosen` outside `usable` changes nothing.
    pub fn charge(&mut self, usable: &dyn Candidates, chosen: usize) {
        let ids = usable.ids();
        let Some(&taker) = ids.get(chosen) else {
            return;
        };
        let total = self.credit_all(ids, usable.weights(), |_, _| {});
        self.debit(taker, total);
    }

    /// Owes everybody nothing again.
    pub fn reset(&mut self) {
        self.owed.clear();
    }

    /// What the member is owed: positive when it should be chosen soon, negative when it was chosen just now.
    pub fn owed(&self, id: u32) -> i64 {
        self.owed.get(id as usize).copied().unwrap_or(0)
    }

    /// What everybody is owed, to be handed to [`restore`](Self::restore): 8 bytes a member id, little-endian.
    pub fn save(&self) -> Vec<u8> {
        self.owed
            .iter()
            .flat_map(|owed| owed.to_le_bytes())
            .collect()
    }

    /// Takes over what [`save`](Self::save) answered.
    ///
    /// # Errors
    /// It is not that, which changes nothing.
    pub fn restore(&mut self, blob: &[u8]) -> Result<(), String> {
        let (owed, rest) = blob.as_chunks();
        if !rest.is_empty() {
            return Err(format!("{} bytes are no schedule", blob.len()));
        }
        self.owed = owed.iter().copied().map(i64::from_le_bytes).collect();
        Ok(())
    }

    #[inline]
    fn entry(&mut self, id: u32) -> &mut i64 {
        let index = id as usize;
        if index >= self.owed.len() {
            self.owed.resize(index + 1, 0);
        }
        &mut self.owed[index]
    }

    /// The entries of ids that follow one another.
    #[inline]
    fn entries(&mut self, ids: &[u32]) -> &mut [i64] {
        let start = ids.first().map_or(0, |&first| first as usize);
        let end = start + ids.len();
        if end > self.owed.len() {
            self.owed.resize(end, 0);
        }
        &mut self.owed[start..end]
    }
}

#[inline]
fn follow_one_another(ids: &[u32]) -> bool {
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
    fn stretches_of_ids_change_no_choice() {
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
            let (mut one, mut other) = (Schedule::default(), Schedule::default());
            for round in 0..500 {
                let number = |id: &u32| match round % 3 {
                    0 => 0,
                    kinds => (id * 7 + round) % (kinds * 3),
                };
                let numbers: Vec<u32> = ids.iter().map(number).collect();
                let chosen = match round % 3 {
                    0 => one.choose(&ids, &weights),
                    _ => one.choose_least(&ids, &weights, &numbers),
                };
                let expected = other.choose_one_by_one(&ids, &weights, &numbers);
                assert_eq!(chosen, expected, "round {round} of {ids:?}");
                assert_eq!(one.save(), other.save());
            }
        }
    }
}
