//! The files that a configuration names for TLS, and whether they can be used.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::server::server;
use super::{Connector, Contents};
use equipoise_config::{Balancer, Config, Listener, Member};

/// All files for TLS that a configuration names.
pub fn files(config: &Config) -> BTreeSet<PathBuf> {
    let listeners = config.listeners.iter();
    let listeners = listeners.filter_map(|it| Some(it.tls.as_ref()?.files()));
    let members = members(config).filter_map(|(_, _, it)| Some(it.tls.as_ref()?.files()));
    listeners.chain(members).flatten().collect()
}

/// What cannot be used of TLS in a configuration, such as `listen[0].tls: shop.key: …`; each mistake once, at the first place
/// that has it. What was said in the same words in the configuration `before` is not looked at: that goes on.
pub fn unusable(config: &Config, contents: &Contents, before: Option<&Config>) -> Vec<String> {
    let listeners = config.listeners.iter().enumerate();
    let listeners = listeners.filter(|(_, it)| !before.is_some_and(|before| has(before, it)));
    let listeners = listeners.filter_map(|(place, listener)| {
        let error = server(listener.tls.as_ref()?, contents).err()?;
        Some((format!("listen[{place}].tls"), error))
    });
    let known = |balancer: &Balancer, member: &Member| {
        before.is_some_and(|before| has_member(before, balancer, member))
    };
    let members = members(config).filter(|(it, _, member)| !known(it, member));
    let members = members.filter_map(|(balancer, place, member)| {
        let error = Connector::new(member, contents, None).err()?;
        let balancer = &balancer.settings.name;
        Some((format!("balancer.{balancer}.member[{place}].tls"), error))
    });
    let mut told = BTreeSet::new();
    let mut mistakes = Vec::new();
    for (place, error) in listeners.chain(members) {
        for mistake in format!("{error:#}").lines() {
            if told.insert(mistake.to_owned()) {
                mistakes.push(format!("{place}: {mistake}"));
            }
        }
    }
    mistakes
}

/// Whether a configuration has the same listener with the same TLS.
fn has(config: &Config, listener: &Listener) -> bool {
    let mut listeners = config.listeners.iter();
    listeners.any(|it| it.address == listener.address && it.tls == listener.tls)
}

/// Whether a configuration has the same member with the same TLS.
fn has_member(config: &Config, balancer: &Balancer, member: &Member) -> bool {
    members(config).any(|(other, _, it)| {
        other.settings.name == balancer.settings.name && it.is_at(member) && it.tls == member.tls
    })
}

/// All members with their balancers, and their places there.
fn members(config: &Config) -> impl Iterator<Item = (&Balancer, usize, &Member)> {
    config.balancers.iter().flat_map(|balancer| {
        let members = balancer.members.iter().enumerate();
        members.map(move |(place, it)| (balancer, place, it))
    })
}
