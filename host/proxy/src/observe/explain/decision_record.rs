//! Decision record of one request, of bounded size and without secrets.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use equipoise_balancer::{
    Eligibility, Explanation, FaultKind, Member, NoMember, PickReason, Selection,
};
use equipoise_http::{Head, Known};
use equipoise_sdk::Affinity;

use crate::downstream::Client;
use crate::error::ProxyError;
use crate::snapshot::PluginState;
use crate::snapshot::{Cluster, Snapshot};
use crate::target;
use equipoise_config::{BuiltinMethod, Method};
use equipoise_text::sanitize;

/// Members that a decision tells of; the one that was chosen is told of in any case.
const MAX_MEMBERS: usize = 256;

/// Tries that a story tells of; a request has up to 100.
const MAX_ATTEMPTS: usize = 16;

/// Characters of a host and of a path.
const MAX_LENGTHS: (usize, usize) = (253, 1024);

/// Characters of a method.
const MAX_METHOD: usize = 32;

/// Why a request went where it went.
pub(crate) struct DecisionRecord {
    /// Which decision it is; given to it when it is kept.
    pub(super) number: u64,
    pub(super) at: SystemTime,
    pub(super) begun: Instant,
    pub(super) client: String,
    pub(super) method: String,
    pub(super) host: String,
    /// Without its parameters and the query.
    pub(super) path: String,
    pub(super) route: Option<String>,
    pub(super) balancer: Option<String>,
    pub(super) session: Session,
    /// The members of the balancer, in configuration order.
    pub(super) members: Arc<[Arc<Member>]>,
    pub(super) attempts: Vec<Attempt>,
    /// Tries that there was no space for.
    pub(super) more_attempts: u32,
    pub(super) failure: Option<String>,
    pub(super) status: u16,
    /// From the request's head to the response's.
    pub(super) duration: Duration,
}

impl Default for DecisionRecord {
    fn default() -> Self {
        Self {
            number: 0,
            at: UNIX_EPOCH,
            begun: Instant::now(),
            client: String::new(),
            method: String::new(),
            host: String::new(),
            path: String::new(),
            route: None,
            balancer: None,
            session: Session::None,
            members: Arc::default(),
            attempts: Vec::new(),
            more_attempts: 0,
            failure: None,
            status: 0,
            duration: Duration::ZERO,
        }
    }
}

/// What was found of the request's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Session {
    /// The balancer's sessions are not sticky.
    Off,
    /// It has none.
    None,
    /// Its plugin made a mistake, so that the request counts as one without.
    Fault(&'static str),
    Route(String),
    /// The beginning of its key, which may be a secret.
    Key(String),
}

/// A try.
pub(super) struct Attempt {
    /// When the decision was made, on the balancer's clock.
    pub(super) decided: Duration,
    /// What the decision went by, but for the standings.
    pub(super) explanation: Explanation,
    /// How members stood, by their positions.
    pub(super) standings: Box<[(usize, Eligibility)]>,
    /// The position of the member, and how it was found.
    pub(super) chosen: Option<(usize, PickReason)>,
    /// Who chose, in a word: a method's or a plugin's name.
    pub(super) policy: Option<String>,
    /// Why this member, or why none.
    pub(super) because: String,
    pub(super) outcome: Outcome,
}

/// What became of a try.
pub(super) enum Outcome {
    /// No member was eligible.
    Refused,
    /// It is under way.
    Open,
    Answered {
        status: u16,
        after: Duration,
    },
    Failed {
        failure: String,
        after: Duration,
    },
}

impl DecisionRecord {
    /// A request that begins now.
    pub(crate) fn begin(client: &Client, request: &Head) -> Self {
        let host = request.get(Known::Host).unwrap_or_default();
        let (path, _) = target::split(request);
        Self {
            at: SystemTime::now(),
            client: client.address.ip().to_string(),
            method: sanitize::text(&String::from_utf8_lossy(request.method_bytes()), MAX_METHOD),
            host: sanitize::text(&String::from_utf8_lossy(host), MAX_LENGTHS.0),
            path: sanitize::path(&String::from_utf8_lossy(path), MAX_LENGTHS.1),
            ..Self::default()
        }
    }

    /// Its route is found, and has no balancer.
    pub(crate) fn record_local(&mut self, route: &equipoise_config::Route) {
        self.route = Some(route.label());
    }

    /// Its route is found, and what there is of a session, or what the plugin that reads sessions did wrong.
    pub(crate) fn record_route(
        &mut self,
        route: &equipoise_config::Route,
        cluster: &Cluster,
        session: Option<&Affinity>,
        fault: Option<FaultKind>,
    ) {
        self.route = Some(route.label());
        self.balancer = Some(cluster.balancer.settings().name.clone());
        self.members = cluster.balancer.shared_members();
        self.session = match (session, cluster.config.sticky.is_some(), fault) {
            (Some(Affinity::Route(route)), ..) => Session::Route(sanitize::text(route, 64)),
            (Some(Affinity::Key(key)), ..) => Session::Key(truncated_key(key)),
            (None, false, _) => Session::Off,
            (None, true, Some(fault)) => Session::Fault(fault.name()),
            (None, true, None) => Session::None,
        };
    }

    /// A decision was made.
    pub(crate) fn record_decision(
        &mut self,
        snapshot: &Snapshot,
        cluster: &Cluster,
        decision: &Result<Selection, NoMember>,
        mut explanation: Explanation,
        decided: Duration,
    ) {
        // No member was eligible a moment ago, and the request has waited since.
        self.attempts
            .pop_if(|last| matches!(last.outcome, Outcome::Refused));
        if self.attempts.len() == MAX_ATTEMPTS {
            self.more_attempts += 1;
            return;
        }
        let chosen = decision.as_ref().ok().and_then(|choice| {
            let id = choice.lease.member().id;
            let position = self.members.iter().position(|member| member.id == id);
            Some((position?, choice.reason))
        });
        let (policy, because) = match (decision, &cluster.config.method) {
            (Err(refusal), _) => (None, refusal.to_string()),
            (Ok(choice), method) => self.reason(choice.reason, *method, snapshot, cluster),
        };
        let standings = std::mem::take(&mut explanation.eligibility);
        let is_told = |position| {
            position < MAX_MEMBERS || chosen.is_some_and(|(chosen, _)| chosen == position)
        };
        let told = standings.into_iter().enumerate();
        self.attempts.push(Attempt {
            decided,
            explanation,
            standings: told.filter(|(position, _)| is_told(*position)).collect(),
            chosen,
            policy,
            because,
            outcome: match decision {
                Ok(_) => Outcome::Open,
                Err(_) => Outcome::Refused,
            },
        });
    }

    /// Who chose, and why it was up to him.
    fn reason(
        &self,
        by: PickReason,
        method: Method,
        snapshot: &Snapshot,
        cluster: &Cluster,
    ) -> (Option<String>, String) {
        let (named, fallback, why) = match method {
            Method::Builtin(method) => {
                let name = method.word().to_owned();
                let why = format!("{name} chose nobody");
                (name, BuiltinMethod::Byrequests, why)
            }
            Method::Plugin { plugin, fallback } => {
                let name = snapshot.plugin_name(plugin).to_owned();
                let why = match (snapshot.take_fault(), snapshot.plugin_state(plugin)) {
                    (Some(FaultKind::OverBudget), _) => {
                        format!("plugin {name} is over its cpu-budget")
                    }
                    (Some(fault), _) => format!("plugin {name} failed ({})", fault.name()),
                    (None, PluginState::Unloaded) => format!("plugin {name} is not loaded"),
                    (None, PluginState::Quarantined) => format!("plugin {name} is out of service"),
                    (None, PluginState::Serving) => {
                        match cluster.aside().any(|aside| aside.plugin == name) {
                            true => format!("plugin {name} is set aside"),
                            false => format!("plugin {name} left it the choice"),
                        }
                    }
                };
                (name, fallback, why)
            }
        };
        let fallback = fallback.word();
        match by {
            PickReason::Session => (None, "it has the session's route".to_owned()),
            PickReason::Redirect => (None, "it stands in for the session's member".to_owned()),
            PickReason::Key => (None, "it has the session's key".to_owned()),
            PickReason::Method => {
                let kind = match method {
                    Method::Builtin(_) => "",
                    Method::Plugin { .. } => "plugin ",
                };
                let because = format!("{kind}{named} chose it");
                (Some(named), because)
            }
            PickReason::Fallback => (
                Some(fallback.to_owned()),
                format!("{fallback} chose it, since {why}"),
            ),
            PickReason::ConfigurationOrder => (
                None,
                format!("it is the first, since {why} and {fallback} neither"),
            ),
        }
    }

    /// What became of the try that is under way, after so long.
    pub(crate) fn record_outcome(&mut self, answer: Result<u16, &ProxyError>, now: Duration) {
        let Some(attempt) = self.attempts.last_mut().filter(|_| self.more_attempts == 0) else {
            return;
        };
        let after = now.saturating_sub(attempt.decided);
        attempt.outcome = match answer {
            Ok(status) => Outcome::Answered { status, after },
            Err(failure) => Outcome::Failed {
                failure: failure.to_string(),
                after,
            },
        };
    }

    /// The request failed.
    pub(crate) fn record_error(&mut self, failure: &dyn std::fmt::Display) {
        self.failure = Some(failure.to_string());
    }

    /// The head of the response is there.
    pub(crate) fn record_response(&mut self, status: u16) {
        self.status = status;
        self.duration = self.begun.elapsed();
    }

    /// How many bytes it takes, without what it shares with others.
    pub(super) fn bytes(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let session = match &self.session {
            Session::Route(text) | Session::Key(text) => text.len(),
            Session::Off | Session::None | Session::Fault(_) => 0,
        };
        let texts = [&self.client, &self.method, &self.host, &self.path].map(String::len);
        let names = [&self.route, &self.balancer, &self.failure].map(length);
        let attempts = self.attempts.iter().map(Attempt::bytes).sum::<usize>();
        size_of::<Self>()
            + texts.iter().sum::<usize>()
            + names.iter().sum::<usize>()
            + session
            + attempts
    }

    /// A story that takes about so many bytes.
    #[cfg(test)]
    pub(super) fn sized(bytes: usize) -> Self {
        Self {
            path: "x".repeat(bytes),
            ..Self::default()
        }
    }
}

impl Attempt {
    fn bytes(&self) -> usize {
        let failure = match &self.outcome {
            Outcome::Failed { failure, .. } => failure.len(),
            Outcome::Refused | Outcome::Open | Outcome::Answered { .. } => 0,
        };
        let policy = self.policy.as_ref().map_or(0, String::len);
        size_of::<Self>() + size_of_val(&*self.standings) + policy + self.because.len() + failure
    }
}

/// The beginning of a key: enough to recognize it, too little to use it.
fn truncated_key(key: &str) -> String {
    let count = key.chars().count();
    let seen: String = key.chars().take((count / 2).min(4)).collect();
    sanitize::text(&seen, 4) + "…"
}

/// How a member stood, in a word and in a sentence; `decided` is when.
pub(super) fn words(
    standing: Eligibility,
    chosen: Option<PickReason>,
    decided: Duration,
) -> (&'static str, String) {
    let (word, sentence) = match standing {
        Eligibility::Candidate => ("candidate", "could be chosen"),
        Eligibility::NotConsidered => match chosen {
            Some(PickReason::Session | PickReason::Redirect) => {
                ("not-asked", "the session has its member")
            }
            _ => ("not-asked", "another set was asked first"),
        },
        Eligibility::Disabled => ("disabled", "disabled by the operator"),
        Eligibility::Stopped => ("stopped", "stopped by the operator"),
        Eligibility::InError(Some(until)) => {
            let left = until.saturating_sub(decided).as_secs_f64();
            return ("error", format!("in error for another {left:.1} s"));
        }
        Eligibility::InError(None) => ("error", "in error"),
        Eligibility::Unhealthy => ("unhealthy", "unhealthy"),
        Eligibility::Draining => ("draining", "draining: takes sessions of its own only"),
        Eligibility::Drained => ("drained", "drained: its sessions move, too"),
        Eligibility::Tried => ("tried", "tried before for this request"),
        Eligibility::SpareNotNeeded => ("spare", "a spare, and nobody is missing that it replaces"),
        Eligibility::StandbyNotNeeded => ("standby", "a standby, and others can be chosen"),
        Eligibility::HeldBack => ("slow-start", "held back by its slow start"),
        Eligibility::ExcludedByMethod => ("narrowed", "left out by the method"),
    };
    (word, sentence.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What docs/configuration.md says of the space that a decision takes.
    #[test]
    fn standing_takes_24_bytes() {
        assert_eq!(size_of::<(usize, Eligibility)>(), 24);
    }

    #[test]
    fn keys_are_shortened_however_short_they_are() {
        let table = [("", "…"), ("a", "…"), ("ab", "a…"), ("abcd", "ab…")];
        for (key, seen) in table {
            assert_eq!(truncated_key(key), seen);
        }
        assert_eq!(truncated_key("0123456789"), "0123…");
    }
}
