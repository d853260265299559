//! What a balancer's lock guards: the methods with their schedules, and the memory decisions are made in.

use std::sync::Arc;

use equipoise_sdk::Selector;

use crate::eligible::{Eligible, Occasion, Sets};
use crate::explanation::Witness;
use crate::view::Columns;
use crate::{By, Member, Query, rendezvous};

/// Where decisions are made, one at a time.
pub(crate) struct Desk {
    selector: Box<dyn Selector>,
    fallback: Box<dyn Selector>,
    /// Whether the fallback made the last free choice: sticky hits then count in its schedule, which is the one in use.
    fell_back: bool,
    eligible: Eligible,
    columns: Columns,
}

impl Desk {
    pub(crate) fn new(selector: Box<dyn Selector>, fallback: Box<dyn Selector>) -> Self {
        Self {
            selector,
            fallback,
            fell_back: false,
            eligible: Eligible::default(),
            columns: Columns::default(),
        }
    }

    /// The position of the member the method chooses among the eligible ones, and how it was found; `None` when nobody is
    /// eligible.
    ///
    /// A method that answers nothing or nonsense is overruled by the fallback, among those the method left to it, and that
    /// by configuration order.
    pub(crate) fn choose(
        &mut self,
        sets: &Sets,
        members: &Arc<[Arc<Member>]>,
        query: &Query<'_>,
        occasion: Occasion<'_>,
        witness: &mut impl Witness,
    ) -> Option<(usize, By)> {
        let positions = self.eligible.walk(sets, members, occasion, true, witness);
        let first = *positions.first()?;
        let chosen = ask(
            &mut *self.selector,
            &mut self.columns,
            members,
            positions,
            query,
        );
        self.fell_back = chosen.is_none();
        if let Some(chosen) = chosen {
            return Some((chosen, By::Method));
        }
        let narrowed = self.columns.take_narrowed();
        let left = self.eligible.narrow(&narrowed);
        witness.narrowed(left);
        let chosen = ask(&mut *self.fallback, &mut self.columns, members, left, query);
        match chosen {
            Some(chosen) => Some((chosen, By::Fallback)),
            None => Some((left.first().copied().unwrap_or(first), By::Order)),
        }
    }

    /// The position of the eligible member that has the key.
    pub(crate) fn find(
        &mut self,
        key: &str,
        sets: &Sets,
        members: &[Arc<Member>],
        occasion: Occasion<'_>,
        witness: &mut impl Witness,
    ) -> Option<usize> {
        let positions = self.eligible.walk(sets, members, occasion, false, witness);
        rendezvous::winner(key, members, positions)
    }

    /// Charges a sticky hit on the member at position `taker` to the schedule in use.
    pub(crate) fn charge(&mut self, members: &Arc<[Arc<Member>]>, taker: usize, query: &Query<'_>) {
        let positions = self.eligible.usable(members);
        let Ok(chosen) = positions.binary_search(&taker) else {
            return;
        };
        let view = self.columns.view(members, positions, query.now);
        let in_use = match self.fell_back {
            true => &mut self.fallback,
            false => &mut self.selector,
        };
        in_use.charge(&view, chosen);
    }

    /// Remembers what `other` does. What another version remembers may be of no use, and is left then.
    pub(crate) fn take_over(&mut self, other: &mut Self) {
        let _ = self.selector.restore(&other.selector.save());
        let _ = self.fallback.restore(&other.fallback.save());
        self.fell_back = other.fell_back;
    }

    pub(crate) fn loads(&mut self, ids: &[u32]) -> Vec<i64> {
        self.selector.loads(ids)
    }
}

/// Whom of the members at `positions` a method chooses; `None` for an answer that is none of them.
fn ask(
    selector: &mut dyn Selector,
    columns: &mut Columns,
    members: &Arc<[Arc<Member>]>,
    positions: &[usize],
    query: &Query<'_>,
) -> Option<usize> {
    let view = columns.view(members, positions, query.now);
    let chosen = selector.select(query.request, &view, query.host)?;
    positions.get(chosen).copied()
}
