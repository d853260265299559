//! The resolved records of a name, and how a new resolution replaces them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Address;

/// The most addresses of a name that are used: the first ones of a resolution.
const MAX_ADDRESSES: usize = 256;

/// The outcome of looking up a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolution {
    /// One for a name; as many as there are SRV records for a service, which may be none.
    pub(super) targets: Vec<ResolvedTarget>,
    /// The shortest TTL in it.
    pub(super) ttl: Duration,
}

/// A server that a lookup found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResolvedTarget {
    pub(super) name: String,
    pub(super) srv: SrvPriority,
    /// The port of its SRV record.
    pub(super) port: Option<u16>,
    pub(super) addresses: Vec<IpAddr>,
    /// The family whose lookup failed: its known addresses are kept.
    pub(super) missing_family: Option<Family>,
}

/// Priority and weight of a target (RFC 2782).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SrvPriority {
    /// The lowest comes first.
    pub(super) priority: u16,
    /// How often it is chosen among those of the same priority.
    pub(super) weight: u16,
}

/// A kind of address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
    /// Both.
    Any,
}

impl Family {
    fn has(self, address: IpAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
            Self::Any => true,
        }
    }
}

/// What is known of a name.
#[derive(Debug)]
pub(super) struct Records {
    /// Those of the lowest priority first.
    pub(super) targets: Vec<Target>,
    /// When the lookup ended.
    pub(super) at: SystemTime,
}

/// A server with its addresses.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) srv: SrvPriority,
    pub(super) addresses: Vec<Arc<Address>>,
}

impl Records {
    /// The records after a resolution. An address that was known `before` is the same one again, and one that is not in the resolution
    /// is retired. `port` is that of a name without SRV records.
    pub(super) fn after(
        before: Option<&Self>,
        answer: &Resolution,
        port: u16,
        at: SystemTime,
    ) -> Self {
        let mut room = MAX_ADDRESSES;
        let targets = answer.targets.iter().map(|found| {
            let kept = before.map_or_else(Vec::new, |before| before.kept(found));
            let addresses = found.addresses.iter().copied().chain(kept);
            let port = found.port.unwrap_or(port);
            let addresses: Vec<_> = addresses
                .take(room)
                .map(|address| address_of(before, SocketAddr::new(address, port)))
                .collect();
            room -= addresses.len();
            Target {
                name: found.name.clone(),
                srv: found.srv,
                addresses,
            }
        });
        let mut targets: Vec<_> = targets.collect();
        targets.sort_by_key(|target| target.srv.priority);
        let now = Self { targets, at };
        for address in before.into_iter().flat_map(Self::addresses) {
            if !now.addresses().any(|it| Arc::ptr_eq(it, address)) {
                address.retire();
            }
        }
        now
    }

    /// All of them.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &Arc<Address>> {
        self.targets.iter().flat_map(|target| &target.addresses)
    }

    /// The addresses of a target whose lookup failed.
    fn kept(&self, found: &ResolvedTarget) -> Vec<IpAddr> {
        let Some(family) = found.missing_family else {
            return Vec::new();
        };
        let same = self.targets.iter().find(|it| it.name == found.name);
        let addresses = same.into_iter().flat_map(|target| &target.addresses);
        let addresses = addresses.map(|it| it.address.ip());
        addresses.filter(|it| family.has(*it)).collect()
    }
}

fn address_of(before: Option<&Records>, address: SocketAddr) -> Arc<Address> {
    let mut known = before.into_iter().flat_map(Records::addresses);
    let known = known.find(|it| it.address == address);
    known.cloned().unwrap_or_else(|| Address::new(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, port: Option<u16>, addresses: &[&str]) -> ResolvedTarget {
        let addresses = addresses.iter().map(|it| it.parse().expect("an address"));
        ResolvedTarget {
            name: name.to_owned(),
            srv: SrvPriority::default(),
            port,
            addresses: addresses.collect(),
            missing_family: None,
        }
    }

    fn after(before: Option<&Records>, targets: Vec<ResolvedTarget>) -> Records {
        let answer = Resolution {
            targets,
            ttl: Duration::ZERO,
        };
        Records::after(before, &answer, 80, SystemTime::UNIX_EPOCH)
    }

    fn shown(known: &Records) -> Vec<String> {
        known.addresses().map(|it| it.address.to_string()).collect()
    }

    #[test]
    fn addresses_that_stay_are_the_same_and_those_that_go_are_told() {
        let before = after(None, vec![found("app", None, &["10.0.0.1", "10.0.0.2"])]);
        let now = after(
            Some(&before),
            vec![found("app", None, &["10.0.0.2", "::1"])],
        );
        assert_eq!(shown(&now), ["10.0.0.2:80", "[::1]:80"]);
        let [first, second] = &before.targets[0].addresses[..] else {
            panic!("{before:?}");
        };
        assert_eq!((first.is_retired(), second.is_retired()), (true, false));
        assert!(Arc::ptr_eq(second, &now.targets[0].addresses[0]));
        // One that comes back is another one: connections of before are not taken up again.
        let again = after(Some(&now), vec![found("app", None, &["10.0.0.1"])]);
        assert!(first.is_retired() && !again.targets[0].addresses[0].is_retired());
    }

    #[test]
    fn family_that_could_not_be_asked_for_is_kept() {
        let before = after(None, vec![found("app", None, &["10.0.0.1", "::1", "::2"])]);
        let mut only_v4 = found("app", None, &["10.0.0.2"]);
        only_v4.missing_family = Some(Family::V6);
        let now = after(Some(&before), vec![only_v4.clone()]);
        assert_eq!(shown(&now), ["10.0.0.2:80", "[::1]:80", "[::2]:80"]);
        only_v4.missing_family = None;
        assert_eq!(shown(&after(Some(&now), vec![only_v4])), ["10.0.0.2:80"]);
    }

    #[test]
    fn services_have_ports_and_priorities() {
        let (mut late, early) = (
            found("b", Some(9002), &["10.0.0.2"]),
            found("a", Some(9001), &["10.0.0.1"]),
        );
        late.srv.priority = 1;
        assert_eq!(
            shown(&after(None, vec![late, early])),
            ["10.0.0.1:9001", "10.0.0.2:9002"]
        );
        assert_eq!(shown(&after(None, Vec::new())), [""; 0]);
    }

    #[test]
    fn more_addresses_than_are_of_use_are_left_out() {
        let many: Vec<_> = (0..300)
            .map(|number| format!("10.0.{}.{}", number / 256, number % 256))
            .collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let known = after(
            None,
            vec![found("app", None, &many), found("b", None, &["::1"])],
        );
        assert_eq!(shown(&known).len(), MAX_ADDRESSES);
    }
}
