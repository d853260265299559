//! What a balancer's lock guards: the methods with their schedules, what is known of the members, and the memory decisions are
//! made in.
//!
//! Who may be chosen is worked out again only when something has changed (see [`crate::generation`]) or time has: when a member
//! comes out of its error. Two lists are kept so, with the columns that methods read: the candidates of a request without a
//! session, and the usable members, to whose schedule a session is charged. Members in slow start are candidates in some
//! decisions and not in others; so the list without them is kept as well.
//!
//! Decisions that are explained, and those about a request that was tried before, look at every member anew.

use std::sync::Arc;
use std::time::Duration;

use equipoise_sdk::Selector;

use crate::eligible::{Eligible, Occasion, is_starting, usable};
use crate::explanation::{Unseen, Witness};
use crate::known::Known;
use crate::roster::Roster;
use crate::view::Columns;
use crate::{By, Query, Settings, recovery, rendezvous};

/// Where decisions are made, one at a time.
pub(crate) struct Desk {
    selector: Box<dyn Selector>,
    fallback: Box<dyn Selector>,
    /// Whether the fallback made the last free choice: sticky hits then count in its schedule, which is the one in use.
    fell_back: bool,
    eligible: Eligible,
    known: Known,
    candidates: Candidates,
    usable: Columns,
    /// Those of a decision that looks at every member.
    looked_up: Columns,
    /// Those that the method left to the fallback.
    left: Columns,
}

/// The candidates as they are known.
#[derive(Default)]
struct Candidates {
    all: Columns,
    /// The places of those in slow start.
    starting: Vec<usize>,
    /// The places of those that this decision leaves out.
    held_back: Vec<usize>,
    /// All but some.
    others: Columns,
    /// The places that `others` leave out; empty where they are of no use.
    left_out: Vec<usize>,
}

impl Desk {
    pub(crate) fn new(selector: Box<dyn Selector>, fallback: Box<dyn Selector>) -> Self {
        Self {
            selector,
            fallback,
            fell_back: false,
            eligible: Eligible::default(),
            known: Known::default(),
            candidates: Candidates::default(),
            usable: Columns::default(),
            looked_up: Columns::default(),
            left: Columns::default(),
        }
    }

    /// Before every decision: lets members out of the error state where all are in it, unless nothing has changed since that was
    /// looked at.
    #[inline]
    pub(crate) fn recover(
        &mut self,
        settings: &Settings,
        roster: &Arc<Roster>,
        occasion: Occasion<'_>,
        witness: &mut impl Witness,
    ) {
        if !sees(witness) && self.known.holds(roster, occasion.now) {
            return;
        }
        self.known = Known::begin(roster);
        recovery::force_recovery(
            settings,
            &roster.members,
            occasion,
            witness,
            &mut self.known,
        );
    }

    /// The position of the member the method chooses among the eligible ones, and how it was found; `None` when nobody is
    /// eligible.
    ///
    /// A method that answers nothing or nonsense is overruled by the fallback, among those the method left to it, and that
    /// by configuration order.
    pub(crate) fn choose(
        &mut self,
        roster: &Arc<Roster>,
        query: &Query<'_>,
        occasion: Occasion<'_>,
        witness: &mut impl Witness,
    ) -> Option<(usize, By)> {
        let columns = if sees(witness) || !occasion.tried.is_empty() {
            let (sets, members) = (&roster.sets, &roster.members);
            let positions = self.eligible.walk(sets, members, occasion, true, witness);
            self.looked_up.list_again(roster, positions);
            &mut self.looked_up
        } else {
            self.candidates
                .update(&mut self.known, &mut self.eligible, roster, occasion);
            self.candidates.of(roster, occasion.now)
        };
        let first = *columns.positions().first()?;
        let chosen = ask(&mut *self.selector, columns, roster, query);
        self.fell_back = chosen.is_none();
        if let Some(chosen) = chosen {
            return Some((chosen, By::Method));
        }
        let left = match self.left.list_narrowed(columns) {
            true => &mut self.left,
            false => columns,
        };
        witness.narrowed(left.positions());
        let chosen = ask(&mut *self.fallback, left, roster, query);
        match chosen {
            Some(chosen) => Some((chosen, By::Fallback)),
            None => Some((
                left.positions().first().copied().unwrap_or(first),
                By::Order,
            )),
        }
    }

    /// The position of the eligible member that has the key.
    pub(crate) fn find(
        &mut self,
        key: &str,
        roster: &Arc<Roster>,
        occasion: Occasion<'_>,
        witness: &mut impl Witness,
    ) -> Option<usize> {
        let members = &roster.members;
        if sees(witness) || !occasion.tried.is_empty() {
            let sets = &roster.sets;
            let positions = self.eligible.walk(sets, members, occasion, false, witness);
            return rendezvous::winner(key, members, positions);
        }
        let (known, eligible) = (&mut self.known, &mut self.eligible);
        self.candidates.update(known, eligible, roster, occasion);
        rendezvous::winner(key, members, self.candidates.all.positions())
    }

    /// Charges a sticky hit on the member at position `taker` to the schedule in use.
    pub(crate) fn charge(&mut self, roster: &Arc<Roster>, taker: usize, query: &Query<'_>) {
        // Another thread may have changed a member since the session's member was found usable.
        let is_known = self.known.is_of(roster);
        if !(is_known && self.known.has_usable) {
            self.usable.list(usable(&roster.members));
            self.known.has_usable = is_known;
        }
        let Ok(chosen) = self.usable.positions().binary_search(&taker) else {
            return;
        };
        let view = self.usable.view(roster, query.now);
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

impl Candidates {
    /// Makes them those of the state that is known, if they are not.
    #[inline]
    fn update(
        &mut self,
        known: &mut Known,
        eligible: &mut Eligible,
        roster: &Roster,
        occasion: Occasion<'_>,
    ) {
        if !known.has_candidates {
            self.look_up(known, eligible, roster, occasion);
        }
    }

    #[cold]
    fn look_up(
        &mut self,
        known: &mut Known,
        eligible: &mut Eligible,
        roster: &Roster,
        occasion: Occasion<'_>,
    ) {
        let (sets, members) = (&roster.sets, &roster.members);
        let positions = eligible.walk(sets, members, occasion, false, &mut Unseen);
        self.all.list(positions.iter().copied());
        self.starting.clear();
        let places = positions.iter().zip(0..);
        let starting = places.filter(|&(&position, _)| is_starting(&members[position]));
        self.starting.extend(starting.map(|(_, place)| place));
        self.left_out.clear();
        if let Some(until) = eligible.error_until() {
            known.limit(until);
        }
        known.has_candidates = true;
    }

    /// Those of this decision.
    #[inline]
    fn of(&mut self, roster: &Roster, now: Duration) -> &mut Columns {
        match self.starting.is_empty() {
            true => &mut self.all,
            false => self.gently(roster, now),
        }
    }

    /// The same where some are in slow start: without those whose turn it is not, unless no candidate is left then.
    fn gently(&mut self, roster: &Roster, now: Duration) -> &mut Columns {
        let positions = self.all.positions();
        let starting = self.starting.iter().copied();
        let held_back = starting.filter(|&place| roster.members[positions[place]].holds_back(now));
        self.held_back.clear();
        self.held_back.extend(held_back);
        if self.held_back.is_empty() || self.held_back.len() == positions.len() {
            return &mut self.all;
        }
        if self.held_back != self.left_out {
            self.others.list_without(&self.all, &self.held_back);
            self.left_out.clone_from(&self.held_back);
        }
        &mut self.others
    }
}

/// Whether the witness sees anything.
fn sees<W: Witness>(_witness: &W) -> bool {
    W::SEES
}

/// The member of the list that a method chooses; `None` for an answer that is none of them.
#[inline]
fn ask(
    selector: &mut dyn Selector,
    columns: &mut Columns,
    roster: &Roster,
    query: &Query<'_>,
) -> Option<usize> {
    let view = columns.view(roster, query.now);
    let chosen = selector.select(query.request, &view, query.host)?;
    columns.positions().get(chosen).copied()
}
