//! The members of a balancer under one configuration, with the indexes computed from them.

use std::sync::Arc;

use crate::eligible::Sets;
use crate::generation::Generations;
use crate::sticky::Routes;
use crate::{Counters, Member};

/// An immutable list of members: another configuration has another one.
#[derive(Debug)]
pub(crate) struct Roster {
    pub(crate) members: Arc<[Arc<Member>]>,
    /// The members' counters, in the same order, to save an indirection.
    pub(crate) counters: Box<[Arc<Counters>]>,
    pub(crate) sets: Sets,
    pub(crate) routes: Routes,
    pub(crate) generations: Generations,
    /// Ids with their members' positions, in the order of the ids.
    positions_by_id: Box<[(u32, usize)]>,
}

impl Roster {
    pub(crate) fn new(members: Vec<Member>) -> Self {
        let members: Arc<[_]> = members.into_iter().map(Arc::new).collect();
        let positions = members.iter().zip(0..);
        let mut positions_by_id: Box<[_]> = positions
            .map(|(member, position)| (member.id, position))
            .collect();
        positions_by_id.sort_unstable();
        Self {
            counters: members.iter().map(|it| it.counters.clone()).collect(),
            sets: Sets::new(&members),
            routes: Routes::new(&members),
            generations: Generations::of(members.iter().map(|it| &it.counters.generation)),
            positions_by_id,
            members,
        }
    }

    /// The position of the member of this id.
    pub(crate) fn position(&self, id: u32) -> Option<usize> {
        let found = self
            .positions_by_id
            .binary_search_by_key(&id, |&(id, _)| id)
            .ok()?;
        Some(self.positions_by_id[found].1)
    }

    /// The member of this id.
    pub(crate) fn member(&self, id: u32) -> Option<&Arc<Member>> {
        self.members.get(self.position(id)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemberSettings;

    fn roster(ids: &[u32], counters: &Arc<Counters>) -> Roster {
        let member = |&id: &u32| Member {
            id,
            settings: MemberSettings::named(format!("b{id}")),
            counters: match id {
                0 => counters.clone(),
                _ => Arc::default(),
            },
        };
        Roster::new(ids.iter().map(member).collect())
    }

    #[test]
    fn members_are_found_by_id_wherever_they_stand() {
        let roster = roster(&[7, 2, 900, 3], &Arc::default());
        for (position, id) in [7, 2, 900, 3].into_iter().enumerate() {
            assert_eq!(roster.position(id), Some(position));
            assert_eq!(roster.member(id).map(|member| member.id), Some(id));
        }
        assert_eq!(roster.position(0), None);
    }

    #[test]
    fn a_change_of_one_member_is_another_generation_for_all_lists_that_it_is_on() {
        let shared = Arc::<Counters>::default();
        let rosters = [
            roster(&[0, 1], &shared),
            roster(&[0, 2, 3], &shared),
            roster(&[4], &shared),
        ];
        let generations = || {
            let generations = rosters.iter().map(|it| &it.generations);
            generations
                .map(|it| (it.eligibility(), it.heartbeats()))
                .collect::<Vec<_>>()
        };
        let before = generations();
        shared.enter_error(std::time::Duration::ZERO);
        let failed = generations();
        assert!(failed[0].0 != before[0].0 && failed[1].0 != before[1].0);
        assert_eq!(failed[2], before[2]);
        // It is in error already: eligibility does not change.
        shared.enter_error(std::time::Duration::ZERO);
        assert_eq!(generations(), failed);
        shared.record_heartbeat(1, 1, std::time::Duration::ZERO);
        assert_eq!(generations()[1].0, failed[1].0);
        assert!(generations()[1].1 != failed[1].1);
    }
}
