//! What `configure` is given, out of the contract's lists.

use std::collections::BTreeMap;

use super::bindings::imports::equipoise::balancer::types::{Entry, Member};
use crate::{Peer, Setup};

impl Setup {
    pub(super) fn received(settings: Vec<Entry>, members: Vec<Member>) -> Self {
        Self {
            settings: map(settings),
            members: members.into_iter().map(Peer::received).collect(),
        }
    }
}

impl Peer {
    fn received(member: Member) -> Self {
        Self {
            id: member.id,
            url: member.url,
            weight: member.weight,
            set: member.set,
            route: member.route,
            passes: member.passes,
            fails: member.fails,
            metadata: map(member.metadata),
        }
    }
}

fn map(entries: Vec<Entry>) -> BTreeMap<String, String> {
    let pair = |entry: Entry| (entry.key, entry.value);
    entries.into_iter().map(pair).collect()
}
