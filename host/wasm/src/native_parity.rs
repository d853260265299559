//! The built-in policies decide alike as components and as native code: tests.

use std::sync::{Arc, LazyLock};

use equipoise_balancer::PluginHealthPolicy as _;
use equipoise_bybusyness::ByBusyness;
use equipoise_byrequests::ByRequests;
use equipoise_bytraffic::ByTraffic;
use equipoise_heartbeat::Heartbeat;
use equipoise_sdk::health::{
    CheckResponse, CheckResult, Failure, HealthPolicy as _, RequestOutcome,
};
use equipoise_sdk::testing::{FakeCandidate, FakeCandidates, FakeEnv, FakeRequest};
use equipoise_sdk::{MemberConfig, PolicyConfig, Selector, SessionReader};
use equipoise_session::Session;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::budget::Budget;
use super::builtin_components;
use super::compiler::{Cancel, Compiler};
use super::engine::Sandbox;
use super::instance_slot::InstanceSlot;
use super::policy::{PluginHealth, PluginSelector, PluginSession};
use super::version::Version;
use equipoise_balancer::Role;
use equipoise_config::Plugin;
use equipoise_file_watch::Content;

/// The most members of a balancer here.
const MEMBERS: u32 = 12;

static SANDBOX: LazyLock<Arc<Sandbox>> =
    LazyLock::new(|| Sandbox::new(Compiler::Here, None).expect("a sandbox"));

/// A slot of the built-in component of this name. Its deadline is generous: a debug build is slow.
fn slot(name: &str, role: Role, config: PolicyConfig) -> InstanceSlot {
    let bytes = builtin_components::find(name)
        .expect("a default plugin")
        .component
        .to_vec();
    let content = Content {
        hash: Sha256::digest(&bytes).into(),
        bytes,
    };
    let plugin = Plugin {
        deadline: std::time::Duration::from_secs(1),
        ..Plugin::new(name, name)
    };
    let on_quarantine: Arc<dyn Fn() + Send + Sync> = Arc::new(|| {});
    let code = SANDBOX.compile(&content, &Cancel::default());
    let code = code.expect("it compiles");
    let version = Version::load(&SANDBOX, &Arc::new(plugin), &content, &code, &on_quarantine);
    let version = Arc::new(version.expect("it loads"));
    InstanceSlot::new(&version, role, &Arc::new(config), Budget::unlimited())
        .expect("it can take the role")
}

fn native(name: &str) -> Box<dyn Selector> {
    match name {
        "byrequests" => Box::new(ByRequests::default()),
        "bytraffic" => Box::new(ByTraffic),
        "bybusyness" => Box::new(ByBusyness::default()),
        "heartbeat" => Box::new(Heartbeat),
        _ => panic!("no method {name}"),
    }
}

/// What happens at a balancer.
#[derive(Debug, Clone)]
enum Step {
    /// A decision among these, with this random number.
    Select(Vec<FakeCandidate>, u32),
    /// A sticky hit on one of these.
    Charge(Vec<FakeCandidate>, prop::sample::Index),
    Reset,
    /// Both are exchanged for fresh ones, which take over what they remember.
    Renew,
}

fn candidate(id: u32) -> impl Strategy<Value = FakeCandidate> {
    let counts = (any::<u64>(), any::<u64>(), any::<u64>());
    let slots = (
        0..50_u32,
        0..50_u32,
        prop_oneof![0..20_000_u32, Just(u32::MAX)],
    );
    (100..=10_000_u32, 0..20_u32, counts, slots).prop_map(move |(weight, busy, counts, slots)| {
        FakeCandidate {
            weight,
            busy,
            elected: counts.0,
            bytes_sent: counts.1,
            bytes_received: counts.2,
            ready_slots: slots.0,
            busy_slots: slots.1,
            heartbeat_age_ms: slots.2,
            ..FakeCandidate::new(id)
        }
    })
}

/// Some of the members, each with numbers of its own.
fn candidates() -> impl Strategy<Value = Vec<FakeCandidate>> {
    let members: Vec<u32> = (0..MEMBERS).collect();
    let some = prop::sample::subsequence(members, 1..=MEMBERS as usize);
    some.prop_flat_map(|ids| ids.into_iter().map(candidate).collect::<Vec<_>>())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (candidates(), any::<u32>()).prop_map(|(among, random)| Step::Select(among, random)),
        2 => (candidates(), any::<prop::sample::Index>()).prop_map(|(among, of)| Step::Charge(among, of)),
        1 => Just(Step::Reset),
        1 => Just(Step::Renew),
    ]
}

/// Lets both live through the same steps.
fn assert_equal(name: &str, steps: &[Step]) -> Result<(), TestCaseError> {
    let plugin = || PluginSelector(slot(name, Role::Selector, PolicyConfig::default()));
    let (mut plugged, mut built_in) = (plugin(), native(name));
    let request = FakeRequest::get("/");
    for step in steps {
        match step {
            Step::Select(among, random) => {
                let among: FakeCandidates = among.iter().cloned().collect();
                let env = FakeEnv::with_random(*random);
                let expected = built_in.select(&request, &among, &env);
                prop_assert_eq!(plugged.select(&request, &among, &env), expected);
            }
            Step::Charge(usable, taker) => {
                let taker = taker.index(usable.len());
                let usable: FakeCandidates = usable.iter().cloned().collect();
                built_in.record_sticky(&usable, taker);
                plugged.record_sticky(&usable, taker);
            }
            Step::Reset => {
                built_in.reset();
                plugged.reset();
            }
            Step::Renew => {
                let (saved, expected) = (plugged.save(), built_in.save());
                prop_assert_eq!(&saved, &expected);
                (plugged, built_in) = (plugin(), native(name));
                prop_assert_eq!(plugged.restore(&saved), built_in.restore(&expected));
            }
        }
        for id in 0..MEMBERS {
            prop_assert_eq!(plugged.lbstatus(id), built_in.lbstatus(id));
        }
    }
    Ok(())
}

/// What happens to the members of a health policy.
#[derive(Debug, Clone)]
enum Event {
    CheckResult(CheckResult),
    Exchanges(Vec<RequestOutcome>),
    /// So many milliseconds pass.
    Wait(u64),
    /// Both are exchanged for fresh ones, which take over what they remember.
    Renew,
}

fn failure() -> impl Strategy<Value = Failure> {
    prop_oneof![
        Just(Failure::Unreachable),
        Just(Failure::TimedOut),
        Just(Failure::Reset),
        Just(Failure::InvalidResponse),
    ]
}

fn probe() -> impl Strategy<Value = CheckResult> {
    let response = (100..600_u16, "[a-z]{0,8}").prop_map(|(status, text)| CheckResponse {
        status,
        headers: vec![("x-load".to_owned(), text.clone())],
        body: text.into_bytes(),
    });
    let response = prop_oneof![response.prop_map(Ok), failure().prop_map(Err)];
    (0..5_u32, response, any::<bool>()).prop_map(|(member, response, passed)| CheckResult {
        member,
        at_ms: 0,
        latency_us: 100,
        passed: passed && response.is_ok(),
        response,
    })
}

fn exchange() -> impl Strategy<Value = RequestOutcome> {
    let status = prop_oneof![Just(200_u16), Just(500), 100..600_u16];
    let status = prop_oneof![2 => status.prop_map(Ok), 1 => failure().prop_map(Err)];
    (0..5_u32, status).prop_map(|(member, status)| RequestOutcome {
        member,
        at_ms: 0,
        latency_us: 100,
        status,
        bytes_sent: 10,
        bytes_received: 20,
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => probe().prop_map(Event::CheckResult),
        4 => prop::collection::vec(exchange(), 0..12).prop_map(Event::Exchanges),
        2 => (0..3_000_u64).prop_map(Event::Wait),
        1 => Just(Event::Renew),
    ]
}

/// Four members, of which two may be ejected.
fn health_config() -> PolicyConfig {
    let member = |id| MemberConfig {
        id,
        passes: 2,
        fails: 2,
        ..MemberConfig::default()
    };
    let settings = [
        ("consecutive-failures", "3"),
        ("failure-rate", "60"),
        ("min-requests", "5"),
        ("eject-ms", "1000"),
    ];
    PolicyConfig {
        members: (0..4).map(member).collect(),
        ..PolicyConfig::from_settings(settings)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn health_decides_as_a_plugin_as_it_does_built_in(events in prop::collection::vec(event(), 1..60)) {
        let plugin = || PluginHealth(slot("health", Role::Health, health_config()));
        let rule = || {
            let mut rule = equipoise_health::Health::default();
            rule.configure(&health_config()).expect("the settings are right");
            rule
        };
        let (mut plugged, mut built_in) = (plugin(), rule());
        let mut env = FakeEnv { now_ms: 1_000_000, ..FakeEnv::default() };
        for event in events {
            match event {
                Event::CheckResult(probe) => {
                    let probes = [CheckResult { at_ms: env.now_ms, ..probe }];
                    let expected = built_in.on_checks(&probes, &env);
                    prop_assert_eq!(plugged.on_checks(&probes, &env), Some(expected));
                }
                Event::Exchanges(mut exchanges) => {
                    exchanges.iter_mut().for_each(|exchange| exchange.at_ms = env.now_ms);
                    let expected = built_in.on_requests(&exchanges, &env);
                    prop_assert_eq!(plugged.on_requests(&exchanges, &env), Some(expected));
                }
                Event::Wait(time) => env.now_ms += time,
                Event::Renew => {
                    let (saved, expected) = (plugged.save(), built_in.save());
                    prop_assert_eq!(&saved, &expected);
                    (plugged, built_in) = (plugin(), rule());
                    prop_assert_eq!(plugged.restore(&saved), built_in.restore(&expected));
                }
            }
        }
    }

    #[test]
    fn byrequests_decides_as_a_plugin_as_it_does_built_in(steps in prop::collection::vec(step(), 1..40)) {
        assert_equal("byrequests", &steps)?;
    }

    #[test]
    fn bytraffic_decides_as_a_plugin_as_it_does_built_in(steps in prop::collection::vec(step(), 1..40)) {
        assert_equal("bytraffic", &steps)?;
    }

    #[test]
    fn bybusyness_decides_as_a_plugin_as_it_does_built_in(steps in prop::collection::vec(step(), 1..40)) {
        assert_equal("bybusyness", &steps)?;
    }

    #[test]
    fn heartbeat_decides_as_a_plugin_as_it_does_built_in(steps in prop::collection::vec(step(), 1..40)) {
        assert_equal("heartbeat", &steps)?;
    }

    #[test]
    fn session_is_read_by_the_plugin_as_it_is_built_in(
        targets in prop::collection::vec("/[a-c;=.?&]{0,16}", 1..20),
        cookie in "[ab;,= .\t]{0,24}",
        routes in prop::collection::btree_set("[a-c=]{1,2}", 0..4),
        separator in prop::option::of(prop::sample::select(vec!['.', '-', 'a'])),
        semicolon_ends: bool,
    ) {
        let text = separator.map_or_else(|| "Off".to_owned(), String::from);
        let config = PolicyConfig::from_settings([
            ("cookie", "a"),
            ("parameter", "b"),
            ("separator", &*text),
            ("semicolon-ends", if semicolon_ends { "true" } else { "false" }),
        ]);
        let member = |route: &String| MemberConfig { route: Some(route.clone()), ..MemberConfig::default() };
        let members = routes.iter().map(member).collect();
        let config = PolicyConfig { members, ..config };
        let plugged = PluginSession::new(vec![slot("session", Role::Session, config)]);
        let built_in = Session {
            cookie: "a".to_owned(),
            parameter: "b".to_owned(),
            separator,
            semicolon_ends,
            routes,
        };
        let env = FakeEnv::default();
        for target in targets {
            let request = FakeRequest::get(&target).with_header("cookie", &cookie);
            prop_assert_eq!(plugged.read(&request, &env), built_in.read(&request, &env));
        }
    }
}
