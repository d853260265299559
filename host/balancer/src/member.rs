//! A member: its configuration, and the counters that outlive configurations.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::{Counters, Status};

/// The configuration of a member, as far as balancing is concerned.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberSettings {
    /// The member's name in logs: its URL as configured.
    pub name: String,
    /// Weight in hundredths, 100..=10 000.
    pub lbfactor: u32,
    /// Priority group, 0..=99; a lower one is used first.
    pub lbset: u8,
    /// The route of its sticky sessions.
    pub route: Option<String>,
    /// The route that takes its sticky sessions while it is unusable.
    pub redirect: Option<String>,
    /// The operator's flags.
    pub status: Status,
    /// How long the error state lasts before the member is retried; zero retries at once.
    pub retry: Duration,
    /// `hcpasses`: checks passed in a row that end the error state.
    pub passes: u32,
    /// For how long after its return the member gets less than its share; zero for not at all.
    pub slow_start: Duration,
    /// When a draining member loses its sticky sessions, too; never where it is none. On the clock of
    /// [`PickArgs::now`](crate::PickArgs::now).
    pub drain_until: Option<Duration>,
    /// Where heartbeats for this member come from, when its host is an address: they are matched by address, and by port
    /// where the heartbeat names one.
    pub address: Option<SocketAddr>,
}

impl MemberSettings {
    /// Settings with every default: weight 1, set 0, no route, no flags, retried after 60 s, no slow start.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            lbfactor: 100,
            lbset: 0,
            route: None,
            redirect: None,
            status: Status::default(),
            retry: Duration::from_secs(60),
            passes: 1,
            slow_start: Duration::ZERO,
            drain_until: None,
            address: None,
        }
    }
}

/// A member of a balancer.
#[derive(Debug)]
pub struct Member {
    /// Its identity in the balancer: small, unique, never reused for another member.
    pub id: u32,
    /// The configuration.
    pub settings: MemberSettings,
    /// The state that outlives a change of configuration.
    pub counters: Arc<Counters>,
}
