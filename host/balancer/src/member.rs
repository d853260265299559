//! A member: what the configuration says of it, and the counters that outlive configurations.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::{Counters, Status};

/// What the configuration says of a member, as far as balancing is concerned.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberSettings {
    /// What the member is called in logs: its URL as configured.
    pub name: String,
    /// Weight in hundredths, 100..=10 000.
    pub lbfactor: u32,
    /// Priority group, 0..=99; a lower one is asked first.
    pub lbset: u8,
    /// The route its sticky sessions carry.
    pub route: Option<String>,
    /// The route that takes its sticky sessions while it is unusable.
    pub redirect: Option<String>,
    /// The operator's flags.
    pub status: Status,
    /// How long the error state holds before the member is tried again; zero tries it at once.
    pub retry: Duration,
    /// `hcpasses`: checks in a row that the member must pass to leave the error state by them.
    pub passes: u32,
    /// For how long after its return the member gets less than its share; zero for not at all.
    pub slow_start: Duration,
    /// Draining, it loses its sticky sessions, too, from this moment on; never where there is none. On the clock of
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
    /// What the configuration says.
    pub settings: MemberSettings,
    /// What must survive a change of configuration.
    pub counters: Arc<Counters>,
}
