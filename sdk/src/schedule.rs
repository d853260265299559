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

impl Schedule {
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
        let mut total = 0;
        for (&id, &weight) in ids.iter().zip(usable.weights()) {
            self.credit(id, weight);
            total += i64::from(weight);
        }
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
}
