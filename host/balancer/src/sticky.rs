//! Sticky sessions: the member of a route, and redirects.
//!
//! A session's route names its member. Members that are no standbys are tried first, then standbys, each in configuration
//! order; the first that is usable takes the request, draining or not and whatever its set. Where the member is unusable
//! but has a `redirect`, the members of that route are tried before the next one, and so on along the chain.
//!
//! Everything but usability is known when the balancer is built, so the order is computed then, one list a route, and a request
//! takes the first usable member of its list. A member is on a list once, so a loop of redirects ends.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::eligible::{PickContext, ineligible_reason};
use crate::explanation::DecisionTrace;
use crate::{Eligibility, Member};

/// For every route of a member: the positions to try, in order.
#[derive(Debug)]
pub(crate) struct Routes(HashMap<String, Vec<usize>>);

impl Routes {
    pub(crate) fn new(members: &[Arc<Member>]) -> Self {
        let by_route = members_by_route(members);
        let order = |route: &&str| ((*route).to_owned(), order(route, &by_route, members));
        Self(by_route.keys().map(order).collect())
    }

    /// Whether some member has the route, usable or not.
    pub(crate) fn contains(&self, route: &str) -> bool {
        self.0.contains_key(route)
    }

    /// The member that takes a session of this route.
    pub(crate) fn find(
        &self,
        route: &str,
        members: &[Arc<Member>],
        context: PickContext<'_>,
        trace: &mut impl DecisionTrace,
    ) -> Option<usize> {
        let mut order = self.0.get(route)?.iter().copied();
        order.find(|&position| {
            let member = &members[position];
            let reason = match has_drained(member, context.now) {
                true => Some(Eligibility::Drained),
                false => ineligible_reason(member, context),
            };
            trace.record(position, || {
                reason.map_or(Eligibility::Candidate, |reason| {
                    reason.with_retry_time(member)
                })
            });
            reason.is_none()
        })
    }
}

/// Whether a member's drain is over: then its sessions move, too.
fn has_drained(member: &Member, now: Duration) -> bool {
    let settings = &member.settings;
    settings.status.draining && settings.drain_until.is_some_and(|until| until <= now)
}

/// The members of each route: those that are no standbys, then standbys.
fn members_by_route(members: &[Arc<Member>]) -> HashMap<&str, Vec<usize>> {
    let mut by_route = HashMap::<_, Vec<_>>::new();
    for standby in [false, true] {
        for (position, member) in members.iter().enumerate() {
            let settings = &member.settings;
            if settings.status.standby == standby
                && let Some(route) = settings.route.as_deref()
            {
                by_route.entry(route).or_default().push(position);
            }
        }
    }
    by_route
}

/// The members a session of `route` may go to, redirects followed depth first.
fn order(route: &str, by_route: &HashMap<&str, Vec<usize>>, members: &[Arc<Member>]) -> Vec<usize> {
    let members_of = |route| by_route.get(route).into_iter().flatten().rev().copied();
    let mut order = Vec::new();
    let mut listed = HashSet::new();
    let mut pending: Vec<usize> = members_of(route).collect();
    while let Some(position) = pending.pop() {
        if !listed.insert(position) {
            continue;
        }
        order.push(position);
        if let Some(redirect) = members[position].settings.redirect.as_deref() {
            pending.extend(members_of(redirect));
        }
    }
    order
}
