//! Decisions by cached candidate lists are those of an evaluation of every member.

use std::time::Duration;

use equipoise_balancer::{AttemptOutcome, NoMember, PickArgs, PickReason, Selection};
use equipoise_sdk::Affinity;
use equipoise_sdk::testing::{FakeEnv, FakeRequest};
use proptest::prelude::*;

use crate::site::{Site, args, settings};

const MEMBERS: usize = 7;

/// Something that happens, to a member by its place.
#[derive(Debug, Clone)]
enum Event {
    Fails(usize),
    Responds(usize),
    IsJudged(usize, bool),
    IsChecked(usize, bool),
    Beats(usize, u32, u32),
    Sends(usize, u64),
    TimePasses(u64),
    /// A request: what it is of, where it was tried before, and whether it lasts.
    Comes(Option<Affinity>, Vec<u32>, bool),
    /// One that lasts ends.
    Ends,
    /// The operator changes a member's status.
    HasStatus(usize, &'static str),
}

fn member() -> impl Strategy<Value = String> {
    let status = prop::sample::select(vec!["", "", "", "", "+R", "+H", "+N", "+D", "+S", "+I"]);
    (1_u8..4, 0_u8..2, status, 0_u8..4, any::<bool>(), 1_u8..3).prop_map(
        |(weight, set, status, retry, starts_slowly, route)| {
            let slow_start = if starts_slowly { 5 } else { 0 };
            format!(
                "loadfactor={weight} lbset={set} status={status} retry={retry} \
                 slow-start={slow_start} route=r{route} passes=2"
            )
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let place = || 0..MEMBERS;
    let affinity = prop_oneof![
        4 => Just(None),
        2 => (1_u8..4).prop_map(|route| Some(Affinity::Route(format!("r{route}")))),
        1 => (0_u8..9).prop_map(|key| Some(Affinity::Key(format!("user {key}")))),
    ];
    let tried = prop_oneof![
        4 => Just(Vec::new()),
        1 => prop::collection::vec(0..MEMBERS as u32, 1..MEMBERS),
    ];
    let status = prop::sample::select(vec!["+N", "-N", "+D", "-D", "+S", "-S", "+I"]);
    prop_oneof![
        3 => place().prop_map(Event::Fails),
        1 => place().prop_map(Event::Responds),
        2 => (place(), any::<bool>()).prop_map(|(at, is_healthy)| Event::IsJudged(at, is_healthy)),
        2 => (place(), any::<bool>()).prop_map(|(at, passed)| Event::IsChecked(at, passed)),
        1 => (place(), 0_u32..9, 0_u32..3).prop_map(|(at, ready, busy)| Event::Beats(at, ready, busy)),
        1 => (place(), 0_u64..5_000).prop_map(|(at, bytes)| Event::Sends(at, bytes)),
        3 => prop::sample::select(vec![1, 400, 999, 1_000, 1_001, 6_000]).prop_map(Event::TimePasses),
        9 => (affinity, tried, any::<bool>()).prop_map(|(of, tried, lasts)| Event::Comes(of, tried, lasts)),
        2 => Just(Event::Ends),
        1 => (place(), status).prop_map(|(at, status)| Event::HasStatus(at, status)),
    ]
}

/// A site whose decisions are explained, or not. Those that are evaluate every member anew.
struct Twin {
    site: Site,
    is_explained: bool,
    lasting: Vec<Selection>,
}

impl Twin {
    fn decide(
        &mut self,
        of: Option<&Affinity>,
        tried: &[u32],
        random: u32,
        lasts: bool,
    ) -> Decision {
        let (request, host) = (FakeRequest::get("/"), FakeEnv::with_random(random));
        let args = PickArgs {
            session: of,
            tried,
            now: self.site.now(),
            ..args(&request, &host)
        };
        let selection = match self.is_explained {
            true => self.site.balancer.explain(&args).0,
            false => self.site.balancer.choose(&args),
        };
        let decision = match &selection {
            Ok(selection) => Ok((selection.position, selection.reason)),
            Err(no_member) => Err(*no_member),
        };
        self.lasting.extend(selection.ok().filter(|_| lasts));
        decision
    }

    fn apply(mut self, event: &Event, random: u32) -> (Self, Option<Decision>) {
        let now = self.site.now();
        let balancer = &self.site.balancer;
        let member = |at: usize| &balancer.members()[at];
        match *event {
            Event::Fails(at) => balancer.report(member(at), AttemptOutcome::Unreachable, now),
            Event::Responds(at) => balancer.report(member(at), AttemptOutcome::Responded(200), now),
            Event::IsJudged(at, is_healthy) => balancer.set_health(at as u32, is_healthy, "", now),
            Event::IsChecked(at, passed) => balancer.record_check(at as u32, passed, now),
            Event::Beats(at, ready, busy) => member(at).counters.record_heartbeat(ready, busy, now),
            Event::Sends(at, bytes) => member(at).counters.add_transferred(bytes),
            Event::TimePasses(milliseconds) => self.site.wait(Duration::from_millis(milliseconds)),
            Event::Comes(ref of, ref tried, lasts) => {
                let decision = self.decide(of.as_ref(), tried, random, lasts);
                return (self, Some(decision));
            }
            Event::Ends => drop(self.lasting.pop()),
            Event::HasStatus(at, change) => {
                let name = member(at).settings.name.clone();
                self.site = self.site.with_status(&name, change);
            }
        }
        (self, None)
    }

    /// How the members are.
    fn state(&self) -> Vec<(bool, bool, u32, u64, i64)> {
        let members = self.site.balancer.members();
        let ids: Vec<u32> = members.iter().map(|member| member.id).collect();
        let loads = self.site.balancer.lbstatus(&ids);
        let state = |(member, load): (&std::sync::Arc<equipoise_balancer::Member>, i64)| {
            let counters = &member.counters;
            let (in_error, is_unhealthy) = (counters.in_error(), counters.is_unhealthy());
            let (retries, elected) = (counters.retries(), counters.elected());
            (in_error, is_unhealthy, retries, elected, load)
        };
        members.iter().zip(loads).map(state).collect()
    }
}

/// A decision: position and reason, or why there is none.
type Decision = Result<(usize, PickReason), NoMember>;

proptest! {
    #[test]
    fn decisions_by_the_cache_are_those_of_an_evaluation_of_every_member(
        method in prop::sample::select(vec!["byrequests", "bytraffic", "bybusyness", "heartbeat"]),
        forcerecovery in any::<bool>(),
        panic_threshold in prop::sample::select(vec![0, 40]),
        members in prop::collection::vec(member(), MEMBERS),
        events in prop::collection::vec((event(), any::<u32>()), 1..120),
    ) {
        let words: Vec<&str> = members.iter().map(String::as_str).collect();
        let [mut one, mut other] = [false, true].map(|is_explained| {
            let mut settings = settings();
            settings.forcerecovery = forcerecovery;
            settings.panic_threshold = panic_threshold;
            Twin {
                site: Site::with(settings, method, &words),
                is_explained,
                lasting: Vec::new(),
            }
        });
        for (event, random) in events {
            let decision;
            (one, decision) = one.apply(&event, random);
            let expected;
            (other, expected) = other.apply(&event, random);
            prop_assert_eq!(decision, expected, "{:?}", event);
            prop_assert_eq!(one.state(), other.state(), "{:?}", event);
        }
    }
}
