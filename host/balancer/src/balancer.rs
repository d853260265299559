//! A balancer: its members, its rules and one decision after another.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use equipoise_sdk::{Host, Request, Selector, SessionReader};
use thiserror::Error;

use crate::desk::Desk;
use crate::eligible::Sets;
use crate::sticky::Routes;
use crate::{Lease, Member, recovery};

/// What the configuration says of a balancer, as far as choosing is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The balancer's name.
    pub name: String,
    /// `nofailover`: a session whose member is unusable gets a refusal instead of another member.
    pub nofailover: bool,
    /// `forcerecovery`: when every member is in error, all errors are forgotten at once.
    pub forcerecovery: bool,
    /// `failonstatus`: response codes that put the member into the error state.
    pub failonstatus: Vec<u16>,
    /// `failontimeout`: whether a response that does not come in time puts the member into the error state.
    pub failontimeout: bool,
}

/// The policies of a balancer.
pub struct Methods {
    /// Chooses among the candidates.
    pub selector: Box<dyn Selector>,
    /// Decides when the selector answers nothing or nonsense.
    pub fallback: Box<dyn Selector>,
    /// Reads the sticky session; `None` where sessions are not sticky.
    pub session: Option<Box<dyn SessionReader>>,
}

/// A member chosen for a request.
#[derive(Debug)]
pub struct Choice {
    /// Counts the request as in flight at the member until it is dropped.
    pub lease: Lease,
    /// Whether the member was found by the request's session.
    pub sticky: bool,
    /// Apache's `BALANCER_ROUTE_CHANGED`: sessions are sticky and the member's route is not the one the request carries.
    pub route_changed: bool,
}

/// Why there is no member for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Nobody may be chosen: all are in error, disabled, stopped, draining, or there is no member at all.
    #[error("no member is eligible")]
    NoneEligible,
    /// `nofailover` is on and the session's member cannot be used.
    #[error("the session's member is unusable and nofailover is on")]
    SessionUnusable,
}

/// What became of a request at its member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A connection was made.
    Connected,
    /// No connection could be made, or the member did not say it is ready (`ping`).
    Unreachable,
    /// The member answered with this status.
    Answered(u16),
    /// The member took too long to answer.
    TimedOut,
}

/// A balancer. Shared by all threads; one decision is made at a time, so that the order of choices is exact.
///
/// `now` is monotonic time since an origin of the caller's choice, the same for all calls.
pub struct Balancer {
    settings: Settings,
    members: Vec<Arc<Member>>,
    sets: Sets,
    routes: Routes,
    session: Option<Box<dyn SessionReader>>,
    desk: Mutex<Desk>,
}

impl Balancer {
    /// A balancer of these members, in configuration order. Their ids must differ.
    pub fn new(settings: Settings, members: Vec<Member>, methods: Methods) -> Self {
        let members: Vec<_> = members.into_iter().map(Arc::new).collect();
        Self {
            settings,
            sets: Sets::new(&members),
            routes: Routes::new(&members),
            members,
            session: methods.session,
            desk: Mutex::new(Desk::new(methods.selector, methods.fallback)),
        }
    }

    /// What the configuration says.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The members in configuration order.
    pub fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// The route the request's session asks for; `None` without a session or where sessions are not sticky.
    ///
    /// Read it once a request and hand it to every [`choose`](Self::choose).
    pub fn session(&self, request: &dyn Request) -> Option<String> {
        self.session.as_ref()?.route(request)
    }

    /// Decides which member takes the request, and counts it there.
    ///
    /// `session` is the route the request asks for; `tried` are the ids of the members it was sent to in vain. Those count
    /// as unusable, so that spares, standbys and other sets step in for them; when nobody is left that way, the decision
    /// is made again without regard to earlier tries.
    ///
    /// # Errors
    ///
    /// [`Refusal::SessionUnusable`] when `nofailover` is on and the session's route is a member's, but no member can take
    /// it; [`Refusal::NoneEligible`] when nobody may be chosen at all.
    pub fn choose(
        &self,
        request: &dyn Request,
        session: Option<&str>,
        tried: &[u32],
        now: Duration,
        host: &dyn Host,
    ) -> Result<Choice, Refusal> {
        let mut desk = self.desk();
        recovery::force_recovery(&self.settings, &self.members, now);
        let mut decide = |tried| self.decide(&mut desk, request, session, tried, now, host);
        decide(tried).or_else(|refusal| match tried {
            [] => Err(refusal),
            _ => decide(&[]),
        })
    }

    /// What became of a request at a member: may put the member into the error state.
    pub fn report(&self, member: &Member, outcome: Outcome, now: Duration) {
        recovery::report(&self.settings, member, outcome, now);
    }

    /// Where a member stands in the method's schedule: Apache's `lbstatus`. For display.
    pub fn load(&self, id: u32) -> i64 {
        self.desk().load(id)
    }

    /// A heartbeat arrived from an address: tells every member there, or only the one at `port` where the heartbeat names
    /// one. Answers how many members that were.
    ///
    /// An IPv4 address and the same mapped into IPv6 are one address.
    pub fn beat(
        &self,
        from: IpAddr,
        port: Option<u16>,
        ready: u32,
        busy: u32,
        now: Duration,
    ) -> usize {
        let senders = self.members.iter().filter(|member| {
            member.settings.address.is_some_and(|address| {
                address.ip().to_canonical() == from.to_canonical()
                    && port.is_none_or(|port| port == address.port())
            })
        });
        senders
            .map(|member| member.counters.beat(ready, busy, now))
            .count()
    }

    /// One decision, with `tried` members out of it: the session's member, else the method's choice.
    fn decide(
        &self,
        desk: &mut Desk,
        request: &dyn Request,
        session: Option<&str>,
        tried: &[u32],
        now: Duration,
        host: &dyn Host,
    ) -> Result<Choice, Refusal> {
        if let Some(route) = session {
            if let Some(position) = self.routes.find(route, &self.members, tried, now) {
                desk.charge(&self.members, position, now);
                let own = self.members[position].settings.route.as_deref() == Some(route);
                return Ok(self.choice(position, true, !own));
            }
            if self.settings.nofailover && self.routes.knows(route) {
                return Err(Refusal::SessionUnusable);
            }
        }
        let position = desk
            .choose(&self.sets, &self.members, tried, request, now, host)
            .ok_or(Refusal::NoneEligible)?;
        Ok(self.choice(position, false, self.session.is_some()))
    }

    /// Gives the request to the member at `position`.
    fn choice(&self, position: usize, sticky: bool, route_changed: bool) -> Choice {
        let member = Arc::clone(&self.members[position]);
        member.counters.elect();
        Choice {
            lease: Lease::new(member),
            sticky,
            route_changed,
        }
    }

    /// The lock. A selector that panicked leaves at worst an odd schedule behind, which is no reason to stop balancing.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
