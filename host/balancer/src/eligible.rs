//! Eligibility: sets, spares, standbys and draining members.
//!
//! Sets are used in the order of their numbers, the next one only when no member of the one before is eligible. Within a set:
//!
//! 1. every usable active member is a candidate;
//! 2. each active member that is missing (unusable or draining) lets one usable spare (`R`) in, in configuration order;
//! 3. where there is no candidate so far, the usable standbys (`H`) of the set are the candidates.
//!
//! A member in [slow start](crate::slow_start) is left out of some decisions, unless that would leave no member or only standbys.
//!
//! Draining members (`N`) are never candidates here; their own sessions find them in [`crate::sticky`].
//!
//! Apache asks its method about one member after the other during the walk. Collecting the candidates first and asking
//! once gives the same result, because asking has no effect on eligibility.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::explanation::DecisionTrace;
use crate::{Eligibility, Member, Observer, Status};

/// The inputs of eligibility, besides the members themselves.
#[derive(Clone, Copy)]
pub(crate) struct PickContext<'decision> {
    /// The ids of members that count as unusable.
    pub(crate) tried: &'decision [u32],
    pub(crate) now: Duration,
    /// Notified of members that leave the error state.
    pub(crate) observer: &'decision dyn Observer,
}

/// The sets of a balancer, lowest number first: positions of their members in configuration order.
#[derive(Debug)]
pub(crate) struct Sets(Vec<Vec<usize>>);

impl Sets {
    pub(crate) fn new(members: &[Arc<Member>]) -> Self {
        let mut sets = BTreeMap::<u8, Vec<usize>>::new();
        for (position, member) in members.iter().enumerate() {
            sets.entry(member.settings.lbset)
                .or_default()
                .push(position);
        }
        Self(sets.into_values().collect())
    }
}

/// A member's role in its set.
enum MemberRole {
    Active,
    Spare,
    Standby,
}

/// Apache asks for `R` first: a member with both flags is a spare.
fn role(status: Status) -> MemberRole {
    match status {
        Status { spare: true, .. } => MemberRole::Spare,
        Status { standby: true, .. } => MemberRole::Standby,
        _ => MemberRole::Active,
    }
}

/// The eligible members, by position, as they are collected; kept between decisions for its memory.
#[derive(Debug, Default)]
pub(crate) struct Eligible {
    candidates: Vec<usize>,
    spares: Vec<usize>,
    standbys: Vec<usize>,
    /// Left out for their slow start.
    held_back: Vec<usize>,
    /// When the first of the considered members leaves the error state; none where none is in it.
    error_until: Option<Duration>,
}

impl Eligible {
    /// Goes through the sets until one has candidates; without `honour_slow_start`, members in slow start are candidates, too.
    pub(crate) fn collect(
        &mut self,
        sets: &Sets,
        members: &[Arc<Member>],
        context: PickContext<'_>,
        honour_slow_start: bool,
        trace: &mut impl DecisionTrace,
    ) -> &[usize] {
        self.candidates.clear();
        self.error_until = None;
        for set in &sets.0 {
            self.collect_set(set, members, context, honour_slow_start, trace);
            if !self.candidates.is_empty() {
                break;
            }
        }
        for &position in &self.candidates {
            trace.record(position, || Eligibility::Candidate);
        }
        &self.candidates
    }

    /// The last moment before one of the members that [`collect`](Self::collect) considered leaves the error state by time; none
    /// where there is no such member.
    pub(crate) fn error_until(&self) -> Option<Duration> {
        self.error_until
    }

    #[cold]
    fn record_error_expiry(&mut self, member: &Member) {
        if let Some(until) = member.in_error_until() {
            self.error_until = Some(self.error_until.map_or(until, |first| first.min(until)));
        }
    }

    fn collect_set(
        &mut self,
        set: &[usize],
        members: &[Arc<Member>],
        context: PickContext<'_>,
        honour_slow_start: bool,
        trace: &mut impl DecisionTrace,
    ) {
        self.spares.clear();
        self.standbys.clear();
        self.held_back.clear();
        let mut missing = 0;
        for &position in set {
            let member = &*members[position];
            let status = member.settings.status;
            // A draining member is passed over before its error state is looked at.
            let reason = match status.draining {
                true => Some(Eligibility::Draining),
                false => ineligible_reason(member, context),
            };
            let takes = reason.is_none();
            if let Some(reason) = reason {
                if !status.draining {
                    self.record_error_expiry(member);
                }
                trace.record(position, || reason.with_retry_time(member));
            }
            match role(status) {
                MemberRole::Active
                    if takes && honour_slow_start && member.is_held_back(context.now) =>
                {
                    trace.record(position, || Eligibility::HeldBack);
                    self.held_back.push(position);
                }
                MemberRole::Active if takes => self.candidates.push(position),
                MemberRole::Active => missing += 1,
                MemberRole::Spare if takes => {
                    trace.record(position, || Eligibility::SpareNotNeeded);
                    self.spares.push(position);
                }
                MemberRole::Standby if takes => {
                    trace.record(position, || Eligibility::StandbyNotNeeded);
                    self.standbys.push(position);
                }
                MemberRole::Spare | MemberRole::Standby => {}
            }
        }
        self.candidates.extend(self.spares.iter().take(missing));
        if self.candidates.is_empty() {
            self.candidates.append(&mut self.held_back);
        }
        if self.candidates.is_empty() {
            self.candidates.append(&mut self.standbys);
        }
    }
}

/// All usable members whatever their set and role: those a sticky hit is charged to.
pub(crate) fn usable(members: &[Arc<Member>]) -> impl Iterator<Item = usize> {
    let positions = 0..members.len();
    positions.filter(|&position| members[position].is_usable())
}

/// Whether the member at a position takes part in slow starts: actives do.
pub(crate) fn is_starting(member: &Member) -> bool {
    matches!(role(member.settings.status), MemberRole::Active) && member.is_starting()
}

/// Why a member cannot take this request, as far as errors, health and earlier tries are concerned; none where it can. Ends
/// its error state if that has lasted long enough.
#[inline]
pub(crate) fn ineligible_reason(member: &Member, context: PickContext<'_>) -> Option<Eligibility> {
    if let Err(reason) = member.recover(context.now, context.observer) {
        return Some(reason);
    }
    context
        .tried
        .contains(&member.id)
        .then_some(Eligibility::Tried)
}

impl Eligibility {
    /// The same with the time at which an error state ends.
    pub(crate) fn with_retry_time(self, member: &Member) -> Self {
        match self {
            Self::InError(_) => Self::InError(member.retry_at()),
            other => other,
        }
    }
}
