//! What an answer changes in what is known.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Address;

/// The most addresses of a name that are used: the first ones of an answer.
const MOST_ADDRESSES: usize = 256;

/// What was found out about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// One for a name; as many as there are SRV records for a service, which may be none.
    pub(super) targets: Vec<Found>,
    /// The shortest TTL in it.
    pub(super) ttl: Duration,
}

/// A server that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) rank: Rank,
    /// The port of its SRV record.
    pub(super) port: Option<u16>,
    pub(super) addresses: Vec<IpAddr>,
    /// Addresses of which kind could not be asked for: those known are kept.
    pub(super) unanswered: Option<Family>,
}

/// Where a target stands among the others of its service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rank {
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
pub(super) struct Known {
    /// Those of the lowest priority first.
    pub(super) targets: Vec<Target>,
    /// When the answer came.
    pub(super) at: SystemTime,
}

/// A server with its addresses.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) rank: Rank,
    pub(super) addresses: Vec<Arc<Address>>,
}

impl Known {
    /// What is known after an answer. An address that was known `before` is the same one again, and one that is not in the answer
    /// is told that it is gone. `port` is that of a name without SRV records.
    pub(super) fn after(before: Option<&Self>, answer: &Answer, port: u16, at: SystemTime) -> Self {
        let mut room = MOST_ADDRESSES;
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
                rank: found.rank,
                addresses,
            }
        });
        let mut targets: Vec<_> = targets.collect();
        targets.sort_by_key(|target| target.rank.priority);
        let now = Self { targets, at };
        for address in before.into_iter().flat_map(Self::addresses) {
            if !now.addresses().any(|it| Arc::ptr_eq(it, address)) {
                address.leave();
            }
        }
        now
    }

    /// All of them.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &Arc<Address>> {
        self.targets.iter().flat_map(|target| &target.addresses)
    }

    /// The addresses of a target that could not be asked for.
    fn kept(&self, found: &Found) -> Vec<IpAddr> {
        let Some(family) = found.unanswered else {
            return Vec::new();
        };
        let same = self.targets.iter().find(|it| it.name == found.name);
        let addresses = same.into_iter().flat_map(|target| &target.addresses);
        let addresses = addresses.map(|it| it.address.ip());
        addresses.filter(|it| family.has(*it)).collect()
    }
}

fn address_of(before: Option<&Known>, address: SocketAddr) -> Arc<Address> {
    let mut known = before.into_iter().flat_map(Known::addresses);
    let known = known.find(|it| it.address == address);
    known.cloned().unwrap_or_else(|| Address::new(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, port: Option<u16>, addresses: &[&str]) -> Found {
        let addresses = addresses.iter().map(|it| it.parse().expect("an address"));
        Found {
            name: name.to_owned(),
            rank: Rank::default(),
            port,
            addresses: addresses.collect(),
            unanswered: None,
        }
    }

    fn after(before: Option<&Known>, targets: Vec<Found>) -> Known {
        let answer = Answer {
            targets,
            ttl: Duration::ZERO,
        };
        Known::after(before, &answer, 80, SystemTime::UNIX_EPOCH)
    }

    fn shown(known: &Known) -> Vec<String> {
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
        assert_eq!((first.is_gone(), second.is_gone()), (true, false));
        assert!(Arc::ptr_eq(second, &now.targets[0].addresses[0]));
        // One that comes back is another one: connections of before are not taken up again.
        let again = after(Some(&now), vec![found("app", None, &["10.0.0.1"])]);
        assert!(first.is_gone() && !again.targets[0].addresses[0].is_gone());
    }

    #[test]
    fn family_that_could_not_be_asked_for_is_kept() {
        let before = after(None, vec![found("app", None, &["10.0.0.1", "::1", "::2"])]);
        let mut only_v4 = found("app", None, &["10.0.0.2"]);
        only_v4.unanswered = Some(Family::V6);
        let now = after(Some(&before), vec![only_v4.clone()]);
        assert_eq!(shown(&now), ["10.0.0.2:80", "[::1]:80", "[::2]:80"]);
        only_v4.unanswered = None;
        assert_eq!(shown(&after(Some(&now), vec![only_v4])), ["10.0.0.2:80"]);
    }

    #[test]
    fn services_have_ports_and_priorities() {
        let (mut late, early) = (
            found("b", Some(9002), &["10.0.0.2"]),
            found("a", Some(9001), &["10.0.0.1"]),
        );
        late.rank.priority = 1;
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
        assert_eq!(shown(&known).len(), MOST_ADDRESSES);
    }
}
