//! Validation of the TLS files that a configuration names.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use super::server::server;
use super::{Connector, FileContents};
use equipoise_config::{Balancer, ClientTls, Config, Listener, Member, MemberLocation};

/// All files for TLS that a configuration names.
pub fn files(config: &Config) -> BTreeSet<PathBuf> {
    let listeners = config.listeners.iter();
    let listeners = listeners.filter_map(|it| Some(it.tls.as_ref()?.files()));
    let members = members(config).filter_map(|(_, _, it)| Some(it.tls.as_ref()?.files()));
    listeners.chain(members).flatten().collect()
}

/// What cannot be used of TLS in a configuration, such as `listen[0].tls: shop.key: …`; each mistake once, at the first place
/// that has it. What is the same in the configuration `before` is not validated again.
pub fn unusable(config: &Config, contents: &FileContents, before: Option<&Config>) -> Vec<String> {
    let listeners = config.listeners.iter().enumerate();
    let listeners = listeners.filter(|(_, it)| !before.is_some_and(|before| has(before, it)));
    let listeners = listeners.filter_map(|(place, listener)| {
        let error = server(listener.tls.as_ref()?, contents).err()?;
        Some((format!("listen[{place}].tls"), error))
    });
    let known: HashMap<_, _> = before.map(tls_of_members).into_iter().flatten().collect();
    let members = members(config).filter(|(_, _, member)| member.is_tls());
    let members = members.filter(|(balancer, _, member)| {
        let before = known.get(&(&*balancer.settings.name, member.location()));
        before != Some(&member.tls.as_ref())
    });
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

/// The TLS of each member that has some, by its balancer and where it is.
fn tls_of_members(
    config: &Config,
) -> impl Iterator<Item = ((&str, MemberLocation<'_>), Option<&ClientTls>)> {
    let members = members(config).filter(|(_, _, member)| member.is_tls());
    members.map(|(balancer, _, member)| {
        let key = (&*balancer.settings.name, member.location());
        (key, member.tls.as_ref())
    })
}

/// All members with their balancers, and their places there.
fn members(config: &Config) -> impl Iterator<Item = (&Balancer, usize, &Member)> {
    config.balancers.iter().flat_map(|balancer| {
        let members = balancer.members.iter().enumerate();
        members.map(move |(place, it)| (balancer, place, it))
    })
}
