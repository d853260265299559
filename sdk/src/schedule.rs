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
    /// Owes the member `lbfactor` more, and tells what it is owed now.
    #[inline]
    pub fn credit(&mut self, id: u32, lbfactor: u32) -> i64 {
        let owed = self.entry(id);
        *owed += i64::from(lbfactor);
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
        for (&id, &lbfactor) in ids.iter().zip(usable.lbfactors()) {
            self.credit(id, lbfactor);
            total += i64::from(lbfactor);
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

    #[inline]
    fn entry(&mut self, id: u32) -> &mut i64 {
        let index = id as usize;
        if index >= self.owed.len() {
            self.owed.resize(index + 1, 0);
        }
        &mut self.owed[index]
    }
}
