//! A balancer with members `b1`, `b2`, … and the clock it lives by.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use equipoise_balancer::{
    AttemptOutcome, Balancer, BalancerSettings, Counters, Explanation, Member, MemberSettings,
    NoMember, PickArgs, Selection, SelectorWithFallback,
};
use equipoise_bybusyness::ByBusyness;
use equipoise_byrequests::ByRequests;
use equipoise_bytraffic::ByTraffic;
use equipoise_heartbeat::Heartbeat;
use equipoise_sdk::Selector;
use equipoise_sdk::testing::{FakeEnv, FakeRequest};
use equipoise_session::Session;

/// Apache's defaults.
pub(crate) fn settings() -> BalancerSettings {
    BalancerSettings {
        name: "site".to_owned(),
        nofailover: false,
        forcerecovery: true,
        failonstatus: Vec::new(),
        failontimeout: false,
        panic_threshold: 0,
    }
}

/// A built-in method by the name the configuration has for it.
pub(crate) fn method(name: &str) -> Box<dyn Selector> {
    match name {
        "byrequests" => Box::new(ByRequests::default()),
        "bytraffic" => Box::new(ByTraffic),
        "bybusyness" => Box::new(ByBusyness::default()),
        "heartbeat" => Box::new(Heartbeat),
        _ => panic!("no method {name}"),
    }
}

/// A member's settings from words as in Apache's configuration, such as `loadfactor=2 lbset=1 status=+H retry=0`.
pub(crate) fn member_settings(name: &str, words: &str) -> MemberSettings {
    let mut settings = MemberSettings::named(name);
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=').expect("key=value");
        match key {
            "loadfactor" => settings.lbfactor = 100 * value.parse::<u32>().unwrap(),
            "lbset" => settings.lbset = value.parse().unwrap(),
            "route" => settings.route = Some(value.to_owned()),
            "redirect" => settings.redirect = Some(value.to_owned()),
            "status" => settings.status = value.parse().unwrap(),
            "retry" => settings.retry = Duration::from_secs(value.parse().unwrap()),
            "passes" => settings.passes = value.parse().unwrap(),
            "slow-start" => {
                settings.slow_start = Duration::from_secs(value.parse().unwrap());
            }
            "drain-until" => {
                settings.drain_until = Some(Duration::from_secs(value.parse().unwrap()));
            }
            "address" => settings.address = Some(value.parse::<SocketAddr>().unwrap()),
            _ => panic!("no key {key}"),
        }
    }
    settings
}

pub(crate) struct Site {
    pub(crate) balancer: Balancer,
    now: Cell<Duration>,
}

impl Site {
    /// `byrequests` over members described by words, sessions read from the cookie `SID` or the parameter `sidp`.
    pub(crate) fn new(members: &[&str]) -> Self {
        Self::with(settings(), "byrequests", members)
    }

    /// As [`new`](Self::new), with another method.
    pub(crate) fn by(name: &str, members: &[&str]) -> Self {
        Self::with(settings(), name, members)
    }

    pub(crate) fn with(settings: BalancerSettings, name: &str, members: &[&str]) -> Self {
        Self::with_selector(settings, method(name), members)
    }

    pub(crate) fn with_selector(
        settings: BalancerSettings,
        selector: Box<dyn Selector>,
        members: &[&str],
    ) -> Self {
        let counters = || Arc::new(Counters::default());
        let members = members.iter().map(|words| (*words, counters()));
        Self {
            balancer: balancer(settings, selector, members),
            now: Cell::new(Duration::from_secs(1_000)),
        }
    }

    /// The site after a change of configuration: the same members, described anew, with what they counted so far.
    pub(crate) fn reconfigured(&self, members: &[&str]) -> Self {
        let counters = self
            .balancer
            .members()
            .iter()
            .map(|m| Arc::clone(&m.counters));
        let members = members.iter().copied().zip(counters);
        Self {
            balancer: balancer(settings(), method("byrequests"), members),
            now: self.now.clone(),
        }
    }

    pub(crate) fn with_balancer(self, change: impl FnOnce(Balancer) -> Balancer) -> Self {
        Self {
            balancer: change(self.balancer),
            ..self
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.now.get()
    }

    pub(crate) fn wait(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }

    pub(crate) fn member(&self, name: &str) -> &Arc<Member> {
        let mut members = self.balancer.members().iter();
        members
            .find(|member| member.settings.name == name)
            .expect("the member exists")
    }

    pub(crate) fn choose(
        &self,
        request: &FakeRequest,
        tried: &[&str],
        random: u32,
    ) -> Result<Selection, NoMember> {
        let host = FakeEnv::with_random(random);
        let session = self.balancer.session(request, &host);
        let tried: Vec<u32> = tried.iter().map(|name| self.member(name).id).collect();
        self.balancer.choose(&PickArgs {
            session: session.as_ref(),
            tried: &tried,
            now: self.now(),
            ..args(request, &host)
        })
    }

    /// As [`choose`](Self::choose), and its explanation.
    pub(crate) fn explain(
        &self,
        request: &FakeRequest,
        tried: &[&str],
    ) -> (Result<Selection, NoMember>, Explanation) {
        let host = FakeEnv::with_random(0);
        let session = self.balancer.session(request, &host);
        let tried: Vec<u32> = tried.iter().map(|name| self.member(name).id).collect();
        self.balancer.explain(&PickArgs {
            session: session.as_ref(),
            tried: &tried,
            now: self.now(),
            ..args(request, &host)
        })
    }

    /// The member that takes one request without a session; it is over at once.
    pub(crate) fn serve(&self) -> String {
        self.serve_request(&FakeRequest::get("/"))
    }

    /// The member that takes one request of a session with this route.
    pub(crate) fn serve_session(&self, route: &str) -> String {
        self.serve_request(&session_of(route))
    }

    /// The member that takes one request that was tried at other members before.
    pub(crate) fn serve_tried(&self, tried: &[&str]) -> String {
        name(self.choose(&FakeRequest::get("/"), tried, 0))
    }

    /// The member that takes the request.
    pub(crate) fn serve_request(&self, request: &FakeRequest) -> String {
        name(self.choose(request, &[], 0))
    }

    /// The member that takes each of `count` requests without a session, such as `b1 b2 b1`.
    pub(crate) fn sequence(&self, count: usize) -> String {
        let served: Vec<_> = (0..count).map(|_| self.serve()).collect();
        served.join(" ")
    }

    pub(crate) fn report(&self, name: &str, outcome: AttemptOutcome) {
        self.balancer.report(self.member(name), outcome, self.now());
    }

    /// The members cannot be reached.
    pub(crate) fn fail(&self, names: &[&str]) {
        for name in names {
            self.report(name, AttemptOutcome::Unreachable);
        }
    }

    pub(crate) fn in_error(&self, name: &str) -> bool {
        self.member(name).counters.in_error()
    }
}

fn balancer<'words>(
    settings: BalancerSettings,
    selector: Box<dyn Selector>,
    members: impl Iterator<Item = (&'words str, Arc<Counters>)>,
) -> Balancer {
    let member = |(id, (words, counters))| Member {
        id,
        settings: member_settings(&format!("b{}", id + 1), words),
        counters,
    };
    let members: Vec<Member> = (0..).zip(members).map(member).collect();
    let routes = members.iter().filter_map(|it| it.settings.route.clone());
    let session = Session {
        cookie: "SID".to_owned(),
        parameter: "sidp".to_owned(),
        separator: Some('.'),
        semicolon_ends: false,
        routes: routes.collect(),
    };
    let methods = SelectorWithFallback {
        selector,
        fallback: method("byrequests"),
        renewal: None,
    };
    Balancer::new(settings, members, Some(Box::new(session)), [methods])
}

/// The first try of a request without a session, at the origin of time.
pub(crate) fn args<'request>(
    request: &'request FakeRequest,
    host: &'request FakeEnv,
) -> PickArgs<'request> {
    PickArgs {
        worker: 0,
        request,
        session: None,
        tried: &[],
        now: Duration::ZERO,
        host,
    }
}

/// A request of a session with this route.
pub(crate) fn session_of(route: &str) -> FakeRequest {
    FakeRequest::get("/").with_header("Cookie", &format!("SID=abc.{route}"))
}

/// The name of the member chosen; the request is over. A refusal is Apache's `503`.
pub(crate) fn name(selection: Result<Selection, NoMember>) -> String {
    match selection {
        Ok(selection) => selection.lease.member().settings.name.clone(),
        Err(_) => "503".to_owned(),
    }
}
