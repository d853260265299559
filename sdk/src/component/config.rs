//! The parameters of `configure`, from the contract's lists.

use std::collections::BTreeMap;

use super::bindings::imports::equipoise::balancer::types::{Entry, MemberConfig as Member};
use crate::{MemberConfig, PolicyConfig};

impl PolicyConfig {
    pub(super) fn received(settings: Vec<Entry>, members: Vec<Member>) -> Self {
        Self {
            settings: map(settings),
            members: members.into_iter().map(MemberConfig::received).collect(),
        }
    }
}

impl MemberConfig {
    fn received(member: Member) -> Self {
        Self {
            id: member.id,
            url: member.url,
            weight: member.weight,
            lbset: member.lbset,
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
