//! What a balancer's lock guards: the methods with their schedules, and the memory decisions are made in.

use std::sync::Arc;
use std::time::Duration;

use equipoise_sdk::{Host, Request, Selector};

use crate::Member;
use crate::eligible::{Eligible, Sets};
use crate::view::Columns;

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

    /// The position of the member the method chooses among the eligible ones; `None` when nobody is eligible.
    ///
    /// A method that answers nothing or nonsense is overruled by the fallback, and that by configuration order.
    pub(crate) fn choose(
        &mut self,
        sets: &Sets,
        members: &[Arc<Member>],
        tried: &[u32],
        request: &dyn Request,
        now: Duration,
        host: &dyn Host,
    ) -> Option<usize> {
        let positions = self.eligible.walk(sets, members, tried, now);
        let first = *positions.first()?;
        let view = self.columns.view(members, positions, now);
        let ask = |selector: &mut dyn Selector| {
            let chosen = selector.select(request, &view, host)?;
            positions.get(chosen).copied()
        };
        let chosen = ask(&mut *self.selector);
        self.fell_back = chosen.is_none();
        let chosen = chosen.or_else(|| ask(&mut *self.fallback));
        Some(chosen.unwrap_or(first))
    }

    /// Charges a sticky hit on the member at position `taker` to the schedule in use.
    pub(crate) fn charge(&mut self, members: &[Arc<Member>], taker: usize, now: Duration) {
        let positions = self.eligible.usable(members);
        let Ok(chosen) = positions.binary_search(&taker) else {
            return;
        };
        let view = self.columns.view(members, positions, now);
        let in_use = match self.fell_back {
            true => &mut self.fallback,
            false => &mut self.selector,
        };
        in_use.charge(&view, chosen);
    }

    pub(crate) fn load(&self, id: u32) -> i64 {
        self.selector.load(id)
    }
}
