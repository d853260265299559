//! An instance of a version: a store of its own, and the calls into it.

use equipoise_sdk::health::{
    CheckResponse, CheckResult, Failure, RequestOutcome, State, Transition,
};
use equipoise_sdk::{Affinity, PolicyConfig};
use wasmtime::{Result, Store};

use super::call_context::CallContext;
use super::clock::Nanos;
use super::fault::Fault;
use super::host_state::HostState;
use super::limits::{CpuDeadline, MemoryLimiter};
use super::prefetch::Prefetch;
use super::since_v0_1_0::equipoise::balancer::types::{Entry, MemberConfig as Member};
use super::since_v0_1_0::exports::equipoise::balancer as exports;
use super::since_v0_1_0::exports::equipoise::balancer::health as contract;
use super::version::Version;
use equipoise_balancer::FaultKind;
use equipoise_balancer::Role;

/// Maximum bytes that a plugin passes in one host call or one result: twice the maximum of a state.
const MAX_TRANSFER: usize = 2 * 1024 * 1024;

/// The largest state that is carried over, in bytes.
const MAX_STATE: usize = 1024 * 1024;

/// Handles of components: a plugin is handed none, WASI needs a few.
const MAX_HANDLES: usize = 10_000;

/// An instance. After a fault it may be in any state, and must not be called again.
pub(super) struct Instance {
    store: Store<HostState>,
    exports: Functions,
    /// Which columns `select` is handed; none where it is not.
    prefetch: Option<Prefetch>,
}

/// What may be called, of each interface that is exported.
struct Functions {
    selector: Option<exports::selector::Guest>,
    prefetch: Option<exports::prefetch::Guest>,
    schedule: Option<exports::schedule::Guest>,
    session: Option<exports::session::Guest>,
    session_cookie: Option<exports::session_cookie::Guest>,
    health: Option<exports::health::Guest>,
    state: Option<exports::state::Guest>,
}

impl Instance {
    /// A fresh instance, which runs the component's start functions.
    pub(super) fn new(version: &Version) -> Result<Self, Fault> {
        let plugin = &version.plugin;
        let state = HostState::new(
            MemoryLimiter::new(plugin.memory),
            CpuDeadline::new(plugin.deadline),
            version.logger.clone(),
            plugin.clone(),
        );
        let mut store = Store::new(version.sandbox.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.epoch_deadline_callback(|mut store| store.data_mut().cpu.tick());
        store.set_epoch_deadline(1);
        store.set_hostcall_fuel(MAX_TRANSFER);
        store.set_max_component_handles(MAX_HANDLES);
        match Functions::of_new_instance(&mut store, version) {
            Ok(exports) => Ok(Self {
                store,
                exports,
                prefetch: None,
            }),
            Err(error) => Err(fault(&store, &error)),
        }
    }

    /// Tells it its settings and members. The inner error is its own refusal.
    pub(super) fn configure(
        &mut self,
        role: Role,
        config: &PolicyConfig,
    ) -> Result<Result<(), String>, Fault> {
        let (settings, members) = (entries(&config.settings), members(config));
        let (selector, session) = (self.exports.selector.clone(), self.exports.session.clone());
        let health = self.exports.health.clone();
        self.call(CallContext::default(), |store| match role {
            Role::Selector => selector.map_or(Ok(Ok(())), |selector| {
                selector.call_configure(store, &settings, &members)
            }),
            Role::Session => session.map_or(Ok(Ok(())), |session| {
                session.call_configure(store, &settings, &members)
            }),
            Role::Health => health.map_or(Ok(Ok(())), |health| {
                health.call_configure(store, &settings, &members)
            }),
        })
    }

    /// Asks which columns are to come with the question; to be called when it is configured. The inner error says which of
    /// them cannot.
    pub(super) fn ask_for_columns(&mut self) -> Result<Result<(), String>, Fault> {
        let Some(prefetch) = self.exports.prefetch.clone() else {
            return Ok(Ok(()));
        };
        let names = self.call(CallContext::default(), |store| prefetch.call_columns(store))?;
        let prefetch = Prefetch::of(&names);
        Ok(prefetch.map(|prefetch| self.prefetch = prefetch))
    }

    /// The position it chooses among so many candidates, unchecked.
    pub(super) fn select(
        &mut self,
        context: CallContext<'_>,
        count: u32,
    ) -> Result<Option<u32>, Fault> {
        let Self {
            store,
            exports,
            prefetch,
        } = self;
        if let (Some(prefetch), Some(columns), Some(candidates)) =
            (&exports.prefetch, prefetch, context.candidates)
        {
            let function = prefetch.func_select();
            let (random, numbers) = (context.random(), columns.gather(candidates));
            return call(store, context, |store| {
                Ok(function.call(store, (count, random, numbers))?.0)
            });
        }
        let Some(selector) = &exports.selector else {
            return Ok(None);
        };
        let function = selector.func_select();
        call(store, context, |store| {
            Ok(function.call(store, (count,))?.0)
        })
    }

    pub(super) fn record_sticky(
        &mut self,
        context: CallContext<'_>,
        chosen: u32,
    ) -> Result<(), Fault> {
        let Some(schedule) = &self.exports.schedule else {
            return Ok(());
        };
        let function = schedule.func_record_sticky();
        self.call(context, |store| function.call(store, (chosen,)))
    }

    pub(super) fn lbstatus(&mut self, id: u32) -> Result<i64, Fault> {
        let Some(schedule) = &self.exports.schedule else {
            return Ok(0);
        };
        let function = schedule.func_lbstatus();
        self.call(CallContext::default(), |store| {
            Ok(function.call(store, (id,))?.0)
        })
    }

    pub(super) fn reset(&mut self) -> Result<(), Fault> {
        let Some(schedule) = &self.exports.schedule else {
            return Ok(());
        };
        let function = schedule.func_reset();
        self.call(CallContext::default(), |store| function.call(store, ()))
    }

    /// The session of a request, unchecked.
    pub(super) fn read(&mut self, context: CallContext<'_>) -> Result<Option<Affinity>, Fault> {
        let Some(session) = &self.exports.session else {
            return Ok(None);
        };
        let function = session.func_read();
        let (affinity,) = self.call(context, |store| function.call(store, ()))?;
        Ok(affinity.map(|affinity| match affinity {
            exports::session::Affinity::Route(route) => Affinity::Route(route),
            exports::session::Affinity::Key(key) => Affinity::Key(key),
        }))
    }

    /// The cookie for a response of the member with this route, unchecked.
    pub(super) fn issue(
        &mut self,
        context: CallContext<'_>,
        route: &str,
    ) -> Result<Option<String>, Fault> {
        let Some(cookie) = self.exports.session_cookie.clone() else {
            return Ok(None);
        };
        self.call(context, |store| cookie.call_issue(store, route))
    }

    /// What changes by these checks.
    pub(super) fn on_checks(
        &mut self,
        context: CallContext<'_>,
        results: &[CheckResult],
    ) -> Result<Vec<Transition>, Fault> {
        let Some(health) = self.exports.health.clone() else {
            return Ok(Vec::new());
        };
        let results: Vec<_> = results.iter().map(check_result).collect();
        let transitions = self.call(context, |store| health.call_on_checks(store, &results))?;
        Ok(transitions.into_iter().map(transition).collect())
    }

    /// What changes by these requests.
    pub(super) fn on_requests(
        &mut self,
        context: CallContext<'_>,
        outcomes: &[RequestOutcome],
    ) -> Result<Vec<Transition>, Fault> {
        let Some(health) = self.exports.health.clone() else {
            return Ok(Vec::new());
        };
        let outcomes: Vec<_> = outcomes.iter().map(request_outcome).collect();
        let transitions = self.call(context, |store| health.call_on_requests(store, &outcomes))?;
        Ok(transitions.into_iter().map(transition).collect())
    }

    /// What the next instance should know; empty where it does not say.
    pub(super) fn save(&mut self) -> Result<Vec<u8>, Fault> {
        let Some(state) = &self.exports.state else {
            return Ok(Vec::new());
        };
        let function = state.func_save();
        let (blob,) = self.call(CallContext::default(), |store| function.call(store, ()))?;
        if blob.len() > MAX_STATE {
            let detail = format!("a state of {} bytes; 1 MiB is the most", blob.len());
            return Err(Fault::new(FaultKind::Malformed, detail));
        }
        Ok(blob)
    }

    /// Hands over what the instance before saved. The inner error is its own refusal.
    pub(super) fn restore(&mut self, blob: &[u8]) -> Result<Result<(), String>, Fault> {
        let Some(state) = self.exports.state.clone() else {
            return Ok(Ok(()));
        };
        self.call(CallContext::default(), |store| {
            state.call_restore(store, blob)
        })
    }

    /// Bytes of memory it has.
    pub(super) fn memory(&self) -> usize {
        self.store.data().memory.taken()
    }

    /// The thread's processor time at the first tick that the last call saw.
    pub(super) fn first_tick(&self) -> Option<Nanos> {
        self.store.data().cpu.first_tick()
    }

    fn call<R>(
        &mut self,
        context: CallContext<'_>,
        function: impl FnOnce(&mut Store<HostState>) -> Result<R>,
    ) -> Result<R, Fault> {
        call(&mut self.store, context, function)
    }
}

/// Calls a function of the instance in this store.
fn call<R>(
    store: &mut Store<HostState>,
    context: CallContext<'_>,
    function: impl FnOnce(&mut Store<HostState>) -> Result<R>,
) -> Result<R, Fault> {
    let state = store.data_mut();
    state.memory.begin();
    state.cpu.begin();
    store.set_epoch_deadline(1);
    let result = context.during(|| function(&mut *store));
    result.map_err(|error| fault(store, &error))
}

impl Functions {
    fn of_new_instance(store: &mut Store<HostState>, version: &Version) -> Result<Self> {
        let instance = version.pre.instantiate(&mut *store)?;
        let exports = &version.exports;
        /// The functions of an interface that is exported.
        macro_rules! functions {
            ($interface:ident) => {{
                let indices = exports.$interface.as_ref();
                let load = |indices: &exports::$interface::GuestIndices| {
                    indices.load(&mut *store, &instance)
                };
                indices.map(load).transpose()?
            }};
        }
        Ok(Self {
            selector: functions!(selector),
            prefetch: functions!(prefetch),
            schedule: functions!(schedule),
            session: functions!(session),
            session_cookie: functions!(session_cookie),
            health: functions!(health),
            state: functions!(state),
        })
    }
}

fn fault(store: &Store<HostState>, error: &wasmtime::Error) -> Fault {
    Fault::from_error(error, store.data().memory.was_refused())
}

fn check_result(result: &CheckResult) -> contract::CheckResult {
    let response = |response: &CheckResponse| contract::CheckResponse {
        status: response.status,
        headers: response
            .headers
            .iter()
            .map(|(key, value)| Entry {
                key: key.clone(),
                value: value.clone(),
            })
            .collect(),
        body: response.body.clone(),
    };
    contract::CheckResult {
        member: result.member,
        at_ms: result.at_ms,
        latency_us: result.latency_us,
        response: result.response.as_ref().map(response).map_err(failure),
        passed: result.passed,
    }
}

fn request_outcome(outcome: &RequestOutcome) -> contract::RequestOutcome {
    contract::RequestOutcome {
        member: outcome.member,
        at_ms: outcome.at_ms,
        latency_us: outcome.latency_us,
        status: outcome.status.map_err(|reason| failure(&reason)),
        bytes_sent: outcome.bytes_sent,
        bytes_received: outcome.bytes_received,
    }
}

fn failure(failure: &Failure) -> contract::Failure {
    match failure {
        Failure::Unreachable => contract::Failure::Unreachable,
        Failure::TimedOut => contract::Failure::TimedOut,
        Failure::Reset => contract::Failure::Reset,
        Failure::InvalidResponse => contract::Failure::InvalidResponse,
    }
}

fn transition(transition: contract::Transition) -> Transition {
    Transition {
        member: transition.member,
        state: match transition.state {
            contract::State::Healthy => State::Healthy,
            contract::State::Unhealthy => State::Unhealthy,
        },
        reason: transition.reason,
    }
}

fn entries(map: &std::collections::BTreeMap<String, String>) -> Vec<Entry> {
    let entries = map.iter();
    entries
        .map(|(key, value)| Entry {
            key: key.clone(),
            value: value.clone(),
        })
        .collect()
}

fn members(config: &PolicyConfig) -> Vec<Member> {
    let members = config.members.iter();
    members
        .map(|member| Member {
            id: member.id,
            url: member.url.clone(),
            weight: member.weight,
            lbset: member.lbset,
            route: member.route.clone(),
            passes: member.passes,
            fails: member.fails,
            metadata: entries(&member.metadata),
        })
        .collect()
}
