//! A balancer: members, rules, and the decision which member takes a request.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use equipoise_sdk::{Affinity, Env, Request, Selector, SessionReader};
use thiserror::Error;

use crate::eligible::PickContext;
use crate::explanation::{DecisionTrace, NoTrace};
use crate::health::PanicMode;
use crate::picker::Picker;
use crate::roster::Roster;
use crate::{Explanation, Lease, Member, Observer, PickReason, Renewal, StateChange, recovery};

/// The configuration of a balancer, as far as choosing is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalancerSettings {
    /// The balancer's name.
    pub name: String,
    /// `nofailover`: a session whose member is unusable gets a refusal instead of another member.
    pub nofailover: bool,
    /// `forcerecovery`: when every member is in error, all error states end at once.
    pub forcerecovery: bool,
    /// `failonstatus`: response codes that put the member into the error state.
    pub failonstatus: Vec<u16>,
    /// `failontimeout`: whether a response that does not come in time puts the member into the error state.
    pub failontimeout: bool,
    /// `panic_mode-threshold`: with fewer healthy members than so many percent of those enabled, unhealthy ones are used as
    /// well; 0 for never.
    pub panic_threshold: u8,
}

/// A balancing method, and the one that stands in for it.
pub struct SelectorWithFallback {
    /// Chooses among the candidates.
    pub selector: Box<dyn Selector>,
    /// Chooses where the selector returns nothing or an invalid position.
    pub fallback: Box<dyn Selector>,
    /// Renews what the selector runs by; none where there is nothing to renew.
    pub renewal: Option<Arc<dyn Renewal>>,
}

/// The inputs of a decision.
#[derive(Clone, Copy)]
pub struct PickArgs<'request> {
    /// The number of the worker, from 0: where each worker has a selector of its own, it picks that.
    pub worker: usize,
    /// The request.
    pub request: &'request dyn Request,
    /// What [`Balancer::session`] returned for it.
    pub session: Option<&'request Affinity>,
    /// The ids of the members at which the request failed. Those count as unusable, so that spares, standbys and other sets
    /// step in for them; where no member is eligible then, the decision is made again without regard to earlier tries.
    pub tried: &'request [u32],
    /// Monotonic time since an origin of the caller's choice, the same for all decisions.
    pub now: Duration,
    /// The policies' source of time and random numbers.
    pub host: &'request dyn Env,
}

/// A member chosen for a request.
#[derive(Debug)]
pub struct Selection {
    /// The member's position in [`Balancer::members`].
    pub position: usize,
    /// Counts the request as in flight at the member until it is dropped.
    pub lease: Lease,
    /// Whether the member was found by the request's session.
    pub sticky: bool,
    /// Why the member was chosen.
    pub reason: PickReason,
    /// Apache's `BALANCER_ROUTE_CHANGED`: sessions are sticky and the member's route is not the one the request carries.
    pub route_changed: bool,
}

/// Why there is no member for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoMember {
    /// No member is eligible: all are in error, disabled, stopped, draining, or there is no member at all.
    #[error("no member is eligible")]
    NoneEligible,
    /// `nofailover` is on and the session's member cannot be used.
    #[error("the session's member is unusable and nofailover is on")]
    SessionUnusable,
}

/// The outcome of a request at a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// A connection was made.
    Connected,
    /// No connection could be made, or the member did not say it is ready (`ping`).
    Unreachable,
    /// The member responded with this status.
    Responded(u16),
    /// The member did not respond in time.
    TimedOut,
    /// The connection was reset before the response was there, or the response was invalid.
    ResponseFailed,
}

/// A balancer. Shared by all threads; one decision is made at a time, so that the order of selections is exact, unless each
/// worker has a selector of its own. A clone is the same balancer.
#[derive(Clone)]
pub struct Balancer {
    settings: Arc<BalancerSettings>,
    roster: Arc<Roster>,
    session: Option<Arc<dyn SessionReader>>,
    panic_mode: Arc<PanicMode>,
    observer: Arc<dyn Observer>,
    /// One, or one for each worker.
    pickers: Arc<[Mutex<Picker>]>,
}

impl Balancer {
    /// A balancer of these members, in configuration order. Their ids must differ.
    ///
    /// `session` reads the sticky session; `None` where sessions are not sticky. `selectors` is one, shared by all
    /// workers, or one for each worker.
    ///
    /// # Panics
    /// There is no selector.
    pub fn new(
        settings: BalancerSettings,
        members: Vec<Member>,
        session: Option<Box<dyn SessionReader>>,
        selectors: impl IntoIterator<Item = SelectorWithFallback>,
    ) -> Self {
        Self {
            settings: Arc::new(settings),
            roster: Arc::new(Roster::new(members)),
            session: session.map(Arc::from),
            panic_mode: Arc::default(),
            observer: Arc::new(NoopObserver),
            pickers: pickers(selectors),
        }
    }

    /// The same balancer, with an observer of its state changes.
    #[must_use]
    pub fn with_observer(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// The same balancer, with its state, under another configuration from `now` on: these settings, and these members in
    /// configuration order.
    ///
    /// A member with the id and the counters of an existing one is the same member. One that is enabled again starts slowly.
    #[must_use]
    pub fn with_members(
        &self,
        settings: BalancerSettings,
        members: Vec<Member>,
        now: Duration,
    ) -> Self {
        let roster = Roster::new(members);
        for member in &*roster.members {
            if let Some(before) = self.roster.member(member.id) {
                member.reenable(before.settings.status, now);
            }
        }
        let balancer = Self {
            settings: Arc::new(settings),
            roster: Arc::new(roster),
            ..self.clone()
        };
        balancer.update_panic_mode();
        balancer
    }

    /// The same balancer with another session reader, which takes over the state of the one before if `inherit` is set.
    #[must_use]
    pub fn with_session(&self, mut session: Option<Box<dyn SessionReader>>, inherit: bool) -> Self {
        if let (true, Some(session), Some(before)) = (inherit, &mut session, &self.session) {
            // State of another version that cannot be restored is ignored.
            let _ = session.restore(&before.save());
        }
        Self {
            session: session.map(Arc::from),
            ..self.clone()
        }
    }

    /// The same balancer with other selectors, which take over the state of these if `inherit` is set.
    ///
    /// # Panics
    /// There is no selector.
    #[must_use]
    pub fn with_selectors(
        &self,
        selectors: impl IntoIterator<Item = SelectorWithFallback>,
        inherit: bool,
    ) -> Self {
        let pickers = pickers(selectors);
        if inherit {
            for (picker, before) in pickers.iter().zip(self.pickers.iter().cycle()) {
                let saved = with(before, Picker::save);
                with(picker, |picker| picker.restore(&saved));
            }
        }
        Self {
            pickers,
            ..self.clone()
        }
    }

    /// The configuration.
    pub fn settings(&self) -> &BalancerSettings {
        &self.settings
    }

    /// The members in configuration order.
    pub fn members(&self) -> &[Arc<Member>] {
        &self.roster.members
    }

    /// The same, shared.
    pub fn shared_members(&self) -> Arc<[Arc<Member>]> {
        self.roster.members.clone()
    }

    /// The position of the member of this id in [`members`](Self::members).
    pub fn position(&self, id: u32) -> Option<usize> {
        self.roster.position(id)
    }

    /// What keeps the request's session at its member; `None` without a session or where sessions are not sticky.
    ///
    /// Read it once a request and hand it to every [`choose`](Self::choose).
    pub fn session(&self, request: &dyn Request, host: &dyn Env) -> Option<Affinity> {
        self.session.as_ref()?.read(request, host)
    }

    /// The cookie that the session reader issues to a session that is new at the member with this `route`.
    pub fn session_cookie(
        &self,
        request: &dyn Request,
        host: &dyn Env,
        route: &str,
    ) -> Option<String> {
        let session = self.session.as_ref();
        session?.issue_cookie(request, host, route)
    }

    /// Decides which member takes the request, and counts it there.
    ///
    /// # Errors
    ///
    /// [`NoMember::SessionUnusable`] when `nofailover` is on and the session's route is a member's, but no member can take
    /// it; [`NoMember::NoneEligible`] when no member is eligible.
    pub fn choose(&self, args: &PickArgs<'_>) -> Result<Selection, NoMember> {
        self.choose_traced(args, &mut NoTrace)
    }

    /// As [`choose`](Self::choose), with a trace of the decision.
    pub fn explain(&self, args: &PickArgs<'_>) -> (Result<Selection, NoMember>, Explanation) {
        let mut explanation = Explanation::default();
        let selection = self.choose_traced(args, &mut explanation);
        (selection, explanation)
    }

    fn choose_traced(
        &self,
        args: &PickArgs<'_>,
        trace: &mut impl DecisionTrace,
    ) -> Result<Selection, NoMember> {
        with(self.picker(args.worker), |picker| {
            let context = self.context(args);
            picker.recover(&self.settings, &self.roster, context, trace);
            match (self.decide(picker, args, trace), args.tried) {
                (Ok(selection), _) => Ok(selection),
                (Err(no_member), []) => Err(no_member),
                (Err(_), _) => {
                    trace.ignore_tried();
                    let args = PickArgs {
                        tried: &[],
                        ..*args
                    };
                    self.decide(picker, &args, trace)
                }
            }
        })
    }

    /// Records the outcome of a request at a member: may put the member into the error state.
    pub fn report(&self, member: &Member, outcome: AttemptOutcome, now: Duration) {
        recovery::report(&self.settings, member, outcome, now, &*self.observer);
    }

    /// Sets whether a member is healthy, and why. An id that is no member's is ignored.
    ///
    /// To be called by one thread at a time.
    pub fn set_health(&self, id: u32, is_healthy: bool, reason: &str, now: Duration) {
        let Some(member) = self.roster.member(id) else {
            return;
        };
        let context = (&self.roster, self.settings.panic_threshold);
        // The observer may rely on the panic mode being up to date.
        let Some(panic_mode) = self.panic_mode.set_health(context, member, is_healthy, now) else {
            return;
        };
        let change = match is_healthy {
            true => StateChange::Healthy(reason),
            false => StateChange::Unhealthy(reason),
        };
        self.observer.observe(Some(member), change);
        if let Some(change) = panic_mode {
            self.observer.observe(None, change);
        }
    }

    /// Updates the panic mode, and notifies the observer if it has changed.
    fn update_panic_mode(&self) {
        let threshold = self.settings.panic_threshold;
        if let Some(change) = self.panic_mode.update(&self.roster, threshold) {
            self.observer.observe(None, change);
        }
    }

    /// Records a health check of a member: enough passed in a row end its error state. To be called by one thread at a time.
    pub fn record_check(&self, id: u32, passed: bool, now: Duration) {
        if let Some(member) = self.roster.member(id)
            && member.record_check(passed, now)
        {
            self.observer.observe(Some(member), StateChange::Recovered);
        }
    }

    /// Whether so few members are healthy that the balancer ignores health.
    pub fn in_panic_mode(&self) -> bool {
        self.panic_mode.is_on()
    }

    /// The time until the first member that is in error is retried; `None` where no member is in error.
    pub fn retry_in(&self, now: Duration) -> Option<Duration> {
        let members = self.members().iter();
        members.filter_map(|member| member.retry_in(now)).min()
    }

    /// The members' `lbstatus` (as Apache's) in the selector's schedule, summed over all workers; of the first so many, where the
    /// selector returns fewer. For display.
    ///
    /// No decision is made during the call.
    pub fn lbstatus(&self, ids: &[u32]) -> Vec<i64> {
        let lbstatus = self
            .pickers
            .iter()
            .map(|picker| with(picker, |it| it.lbstatus(ids)));
        let sum = |one: Vec<i64>, other: Vec<i64>| {
            let both = one.into_iter().zip(other);
            both.map(|(one, other)| one.saturating_add(other)).collect()
        };
        lbstatus.reduce(sum).unwrap_or_default()
    }

    /// Records a heartbeat from an address, for every member there, or only for the one at `port` where the heartbeat names
    /// one. Returns the number of these members.
    ///
    /// An IPv4 address and the same mapped into IPv6 are one address.
    pub fn record_heartbeat(
        &self,
        from: IpAddr,
        port: Option<u16>,
        ready: u32,
        busy: u32,
        now: Duration,
    ) -> usize {
        let senders = self.members().iter().filter(|member| {
            member.settings.address.is_some_and(|address| {
                address.ip().to_canonical() == from.to_canonical()
                    && port.is_none_or(|port| port == address.port())
            })
        });
        senders
            .map(|member| member.counters.record_heartbeat(ready, busy, now))
            .count()
    }

    /// One decision: the session's member, else the selector's choice.
    fn decide(
        &self,
        picker: &mut Picker,
        args: &PickArgs<'_>,
        trace: &mut impl DecisionTrace,
    ) -> Result<Selection, NoMember> {
        let (roster, context) = (&self.roster, self.context(args));
        trace.begin(roster.members.len(), self.in_panic_mode());
        match args.session {
            Some(Affinity::Route(route)) => {
                let members = &roster.members;
                let position = roster.routes.find(route, members, context, trace);
                if let Some(position) = position {
                    picker.record_sticky(roster, position, args);
                    let own = members[position].settings.route.as_deref() == Some(route);
                    let reason = if own {
                        PickReason::Session
                    } else {
                        PickReason::Redirect
                    };
                    return Ok(self.selection(position, args.now, reason, !own));
                }
                if self.settings.nofailover && roster.routes.contains(route) {
                    return Err(NoMember::SessionUnusable);
                }
            }
            Some(Affinity::Key(key)) => {
                let position = picker
                    .find(key, roster, context, trace)
                    .ok_or(NoMember::NoneEligible)?;
                picker.record_sticky(roster, position, args);
                return Ok(self.selection(position, args.now, PickReason::Key, false));
            }
            None => {}
        }
        let (position, reason) = picker
            .choose(roster, args, context, trace)
            .ok_or(NoMember::NoneEligible)?;
        Ok(self.selection(position, args.now, reason, self.session.is_some()))
    }

    fn context<'a>(&'a self, args: &PickArgs<'a>) -> PickContext<'a> {
        PickContext {
            tried: args.tried,
            now: args.now,
            observer: &*self.observer,
        }
    }

    /// Gives the request to the member at `position`.
    fn selection(
        &self,
        position: usize,
        now: Duration,
        reason: PickReason,
        route_changed: bool,
    ) -> Selection {
        let member = Arc::clone(&self.roster.members[position]);
        member.counters.elect();
        Selection {
            position,
            lease: Lease::new(member, now),
            sticky: matches!(
                reason,
                PickReason::Session | PickReason::Redirect | PickReason::Key
            ),
            reason,
            route_changed,
        }
    }

    fn picker(&self, worker: usize) -> &Mutex<Picker> {
        match &*self.pickers {
            [only] => only,
            pickers => &pickers[worker % pickers.len()],
        }
    }
}

/// Ignores state changes.
struct NoopObserver;

impl Observer for NoopObserver {
    fn observe(&self, _member: Option<&Member>, _change: StateChange<'_>) {}
}

/// Locks a picker for some work. What is to be renewed then is renewed behind that, when others have the picker again.
#[inline]
fn with<R>(picker: &Mutex<Picker>, work: impl FnOnce(&mut Picker) -> R) -> R {
    let mut picker = lock(picker);
    let outcome = work(&mut picker);
    let renewal = picker.due_renewal();
    drop(picker);
    if let Some(renewal) = renewal {
        renewal.renew();
    }
    outcome
}

/// A picker's lock. A selector that panicked leaves at worst an odd schedule behind, which is no reason to stop balancing.
fn lock(picker: &Mutex<Picker>) -> MutexGuard<'_, Picker> {
    picker.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pickers(selectors: impl IntoIterator<Item = SelectorWithFallback>) -> Arc<[Mutex<Picker>]> {
    let selectors = selectors.into_iter();
    let pickers: Arc<[_]> = selectors.map(|one| Mutex::new(Picker::new(one))).collect();
    assert!(!pickers.is_empty(), "a balancer needs a selector");
    pickers
}
