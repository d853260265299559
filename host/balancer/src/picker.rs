//! The lock-guarded selector of a balancer, with cached lists of candidates.
//!
//! Eligibility is evaluated again only when a member has changed (see [`crate::generation`]) or when one is due to leave the error
//! state. Two lists are cached, with the columns that selectors read: the candidates of a request without a session, and the
//! usable members, to whose schedule sticky hits are charged. Members in slow start are candidates in some decisions and not in
//! others; so the list without them is cached as well.
//!
//! Decisions that are explained, and those about a request that was tried before, evaluate every member anew.

use std::sync::Arc;
use std::time::Duration;

use equipoise_sdk::Selector;

use crate::cache_validity::CacheValidity;
use crate::candidate_columns::CandidateColumns;
use crate::eligible::{Eligible, PickContext, is_starting, usable};
use crate::explanation::{DecisionTrace, NoTrace};
use crate::roster::Roster;
use crate::{
    BalancerSettings, PickArgs, PickReason, Renewal, SelectorWithFallback, recovery, rendezvous,
};

/// Makes decisions, one at a time.
pub(crate) struct Picker {
    selector: Box<dyn Selector>,
    fallback: Box<dyn Selector>,
    renewal: Option<Arc<dyn Renewal>>,
    /// Whether the fallback made the last free choice: sticky hits then count in its schedule, which is the one in use.
    fell_back: bool,
    eligible: Eligible,
    cache: CacheValidity,
    candidates: Candidates,
    usable: CandidateColumns,
    /// The candidates of a decision that evaluates every member.
    uncached: CandidateColumns,
    /// The candidates that the selector left to the fallback.
    left: CandidateColumns,
}

/// The state of a picker's selectors, for those of another.
pub(crate) struct SavedState {
    selector: Vec<u8>,
    fallback: Vec<u8>,
    fell_back: bool,
}

/// The cached candidates.
#[derive(Default)]
struct Candidates {
    all: CandidateColumns,
    /// The indices of those in slow start.
    slow_starting: Vec<usize>,
    /// The indices of those that this decision leaves out.
    held_back: Vec<usize>,
    /// All but those at `others_omit`.
    others: CandidateColumns,
    /// Empty where `others` is not valid.
    others_omit: Vec<usize>,
}

impl Picker {
    pub(crate) fn new(selectors: SelectorWithFallback) -> Self {
        Self {
            selector: selectors.selector,
            fallback: selectors.fallback,
            renewal: selectors.renewal,
            fell_back: false,
            eligible: Eligible::default(),
            cache: CacheValidity::default(),
            candidates: Candidates::default(),
            usable: CandidateColumns::default(),
            uncached: CandidateColumns::default(),
            left: CandidateColumns::default(),
        }
    }

    /// Before every decision: applies `forcerecovery`, unless nothing has changed since that was last done.
    #[inline]
    pub(crate) fn recover(
        &mut self,
        settings: &BalancerSettings,
        roster: &Arc<Roster>,
        context: PickContext<'_>,
        trace: &mut impl DecisionTrace,
    ) {
        if !is_traced(trace) && self.cache.is_valid(roster, context.now) {
            return;
        }
        self.cache = CacheValidity::begin(roster);
        recovery::force_recovery(settings, &roster.members, context, trace, &mut self.cache);
    }

    /// The position of the member that the selector chooses among the eligible ones, and why; `None` when no member is
    /// eligible.
    ///
    /// Where the selector returns nothing or an invalid position, the fallback chooses among the candidates that the selector
    /// left to it; where that fails, too, the first in configuration order is taken.
    pub(crate) fn choose(
        &mut self,
        roster: &Arc<Roster>,
        args: &PickArgs<'_>,
        context: PickContext<'_>,
        trace: &mut impl DecisionTrace,
    ) -> Option<(usize, PickReason)> {
        let columns = if is_traced(trace) || !context.tried.is_empty() {
            let (sets, members) = (&roster.sets, &roster.members);
            let positions = self.eligible.collect(sets, members, context, true, trace);
            self.uncached.fill_unless_same(roster, positions);
            &mut self.uncached
        } else {
            self.candidates
                .update(&mut self.cache, &mut self.eligible, roster, context);
            self.candidates.for_decision(roster, context.now)
        };
        let first = *columns.positions().first()?;
        let chosen = select(&mut *self.selector, columns, roster, args);
        self.fell_back = chosen.is_none();
        if let Some(chosen) = chosen {
            return Some((chosen, PickReason::Method));
        }
        let left = match self.left.fill_restricted(columns) {
            true => &mut self.left,
            false => columns,
        };
        trace.restrict_fallback(left.positions());
        let chosen = select(&mut *self.fallback, left, roster, args);
        match chosen {
            Some(chosen) => Some((chosen, PickReason::Fallback)),
            None => Some((
                left.positions().first().copied().unwrap_or(first),
                PickReason::ConfigurationOrder,
            )),
        }
    }

    /// The position of the eligible member that has the key.
    pub(crate) fn find(
        &mut self,
        key: &str,
        roster: &Arc<Roster>,
        context: PickContext<'_>,
        trace: &mut impl DecisionTrace,
    ) -> Option<usize> {
        let members = &roster.members;
        if is_traced(trace) || !context.tried.is_empty() {
            let sets = &roster.sets;
            let positions = self.eligible.collect(sets, members, context, false, trace);
            return rendezvous::pick(key, members, positions);
        }
        let (cache, eligible) = (&mut self.cache, &mut self.eligible);
        self.candidates.update(cache, eligible, roster, context);
        rendezvous::pick(key, members, self.candidates.all.positions())
    }

    /// Charges a sticky hit on the member at `position` to the schedule in use.
    pub(crate) fn record_sticky(
        &mut self,
        roster: &Arc<Roster>,
        position: usize,
        args: &PickArgs<'_>,
    ) {
        // Another thread may have changed a member since the session's member was found usable.
        let is_current = self.cache.is_current(roster);
        if !(is_current && self.cache.usable_valid) {
            self.usable.fill(usable(&roster.members));
            self.cache.usable_valid = is_current;
        }
        let Ok(chosen) = self.usable.positions().binary_search(&position) else {
            return;
        };
        let view = self.usable.view(roster, args.now);
        let in_use = match self.fell_back {
            true => &mut self.fallback,
            false => &mut self.selector,
        };
        in_use.record_sticky(&view, chosen);
    }

    /// The state of the selectors.
    pub(crate) fn save(&mut self) -> SavedState {
        SavedState {
            selector: self.selector.save(),
            fallback: self.fallback.save(),
            fell_back: self.fell_back,
        }
    }

    /// Takes over the state of another picker. State of another version that cannot be restored is ignored.
    pub(crate) fn restore(&mut self, saved: &SavedState) {
        let _ = self.selector.restore(&saved.selector);
        let _ = self.fallback.restore(&saved.fallback);
        self.fell_back = saved.fell_back;
    }

    /// What is to be renewed when this is unlocked; mostly none.
    #[inline]
    pub(crate) fn due_renewal(&self) -> Option<Arc<dyn Renewal>> {
        self.renewal.as_ref().filter(|it| it.is_due()).cloned()
    }

    pub(crate) fn lbstatus(&mut self, ids: &[u32]) -> Vec<i64> {
        self.selector.lbstatuses(ids)
    }
}

impl Candidates {
    /// Brings the cache up to date.
    #[inline]
    fn update(
        &mut self,
        cache: &mut CacheValidity,
        eligible: &mut Eligible,
        roster: &Roster,
        context: PickContext<'_>,
    ) {
        if !cache.candidates_valid {
            self.rebuild(cache, eligible, roster, context);
        }
    }

    #[cold]
    fn rebuild(
        &mut self,
        cache: &mut CacheValidity,
        eligible: &mut Eligible,
        roster: &Roster,
        context: PickContext<'_>,
    ) {
        let (sets, members) = (&roster.sets, &roster.members);
        let positions = eligible.collect(sets, members, context, false, &mut NoTrace);
        self.all.fill(positions.iter().copied());
        self.slow_starting.clear();
        let indices = positions.iter().zip(0..);
        let slow_starting = indices.filter(|&(&position, _)| is_starting(&members[position]));
        self.slow_starting
            .extend(slow_starting.map(|(_, index)| index));
        self.others_omit.clear();
        if let Some(until) = eligible.error_until() {
            cache.expire_after(until);
        }
        cache.candidates_valid = true;
    }

    /// The candidates of this decision.
    #[inline]
    fn for_decision(&mut self, roster: &Roster, now: Duration) -> &mut CandidateColumns {
        match self.slow_starting.is_empty() {
            true => &mut self.all,
            false => self.without_held_back(roster, now),
        }
    }

    /// The same where some are in slow start: without those that are held back, unless no candidate is left then.
    fn without_held_back(&mut self, roster: &Roster, now: Duration) -> &mut CandidateColumns {
        let positions = self.all.positions();
        let slow_starting = self.slow_starting.iter().copied();
        let held_back =
            slow_starting.filter(|&index| roster.members[positions[index]].is_held_back(now));
        self.held_back.clear();
        self.held_back.extend(held_back);
        if self.held_back.is_empty() || self.held_back.len() == positions.len() {
            return &mut self.all;
        }
        if self.held_back != self.others_omit {
            self.others.fill_without(&self.all, &self.held_back);
            self.others_omit.clone_from(&self.held_back);
        }
        &mut self.others
    }
}

/// Whether the decision is traced.
fn is_traced<W: DecisionTrace>(_trace: &W) -> bool {
    W::ENABLED
}

/// The position of the member that a selector chooses from the list; `None` for none, or an index beyond the list.
#[inline]
fn select(
    selector: &mut dyn Selector,
    columns: &mut CandidateColumns,
    roster: &Roster,
    args: &PickArgs<'_>,
) -> Option<usize> {
    let view = columns.view(roster, args.now);
    let chosen = selector.select(args.request, &view, args.host)?;
    columns.positions().get(chosen).copied()
}
