//! Which member has a session: routes and redirects.
//!
//! A session's route names its member. Members that are no standbys are asked first, then standbys, each in configuration
//! order; the first that is usable takes the request, draining or not and whatever its set. Where the member is unusable
//! but has a `redirect`, the members of that route are asked before the next one, and so on along the chain.
//!
//! Everything but usability is known when the balancer is built, so the whole order is laid out then, one list a route,
//! and a request only looks for the first usable member on its list. A member is on a list once: asked again by a
//! circle of redirects, it would be no more usable than before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::eligible::{Occasion, bar};
use crate::explanation::Witness;
use crate::{Member, Standing};

/// For every route a member carries: the positions to ask, in order.
#[derive(Debug)]
pub(crate) struct Routes(HashMap<String, Vec<usize>>);

impl Routes {
    pub(crate) fn new(members: &[Arc<Member>]) -> Self {
        let carriers = carriers(members);
        let order = |route: &&str| ((*route).to_owned(), order(route, &carriers, members));
        Self(carriers.keys().map(order).collect())
    }

    /// Whether some member carries the route, usable or not.
    pub(crate) fn knows(&self, route: &str) -> bool {
        self.0.contains_key(route)
    }

    /// The member that takes a session of this route.
    pub(crate) fn find(
        &self,
        route: &str,
        members: &[Arc<Member>],
        occasion: Occasion<'_>,
        witness: &mut impl Witness,
    ) -> Option<usize> {
        let mut order = self.0.get(route)?.iter().copied();
        order.find(|&position| {
            let member = &members[position];
            let bar = match has_drained(member, occasion.now) {
                true => Some(Standing::Drained),
                false => bar(member, occasion),
            };
            witness.note(position, || {
                bar.map_or(Standing::Candidate, |bar| bar.timed(member))
            });
            bar.is_none()
        })
    }
}

/// Whether a draining member has had its time: then its sessions move, too.
fn has_drained(member: &Member, now: Duration) -> bool {
    let settings = &member.settings;
    settings.status.draining && settings.drain_until.is_some_and(|until| until <= now)
}

/// The members that carry each route: those that are no standbys, then standbys.
fn carriers(members: &[Arc<Member>]) -> HashMap<&str, Vec<usize>> {
    let mut carriers = HashMap::<_, Vec<_>>::new();
    for standby in [false, true] {
        for (position, member) in members.iter().enumerate() {
            let settings = &member.settings;
            if settings.status.standby == standby
                && let Some(route) = settings.route.as_deref()
            {
                carriers.entry(route).or_default().push(position);
            }
        }
    }
    carriers
}

/// The members a session of `route` may go to, redirects followed depth first.
fn order(route: &str, carriers: &HashMap<&str, Vec<usize>>, members: &[Arc<Member>]) -> Vec<usize> {
    let carriers_of = |route| carriers.get(route).into_iter().flatten().rev().copied();
    let mut order = Vec::new();
    let mut listed = HashSet::new();
    let mut pending: Vec<usize> = carriers_of(route).collect();
    while let Some(position) = pending.pop() {
        if !listed.insert(position) {
            continue;
        }
        order.push(position);
        if let Some(redirect) = members[position].settings.redirect.as_deref() {
            pending.extend(carriers_of(redirect));
        }
    }
    order
}
