//! Health history of a balancer's members: a log line for each change, and each member's state, its cause, and last checks.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use equipoise_balancer::{AttemptOutcome, Member, Observer, StateChange};

use equipoise_text::bounded;

/// How many checks of a member are remembered.
const MAX_CHECKS: usize = 16;

/// How many changes of a member are logged within [`WINDOW`]: one that flaps must not fill the log.
const MAX_LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// The health of one balancer's members over time; lives on when plugins and policies are exchanged.
pub struct HealthHistory {
    balancer: String,
    /// By member id; `None` is the balancer itself.
    members: Mutex<BTreeMap<Option<u32>, MemberHistory>>,
}

/// What is known of one member.
#[derive(Debug, Clone)]
pub struct MemberHistory {
    /// When its state last changed, and how, in words; none before the first change.
    pub change: Option<(SystemTime, String)>,
    /// The last checks, the newest last.
    pub checks: VecDeque<Check>,
    /// How all of them went.
    pub counts: CheckCounts,
    throttle: LogThrottle,
}

/// How many checks went which way.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckCounts {
    /// As expected.
    pub passed: u64,
    /// Otherwise.
    pub failed: u64,
}

/// A check that was made.
#[derive(Debug, Clone)]
pub struct Check {
    /// When it ended.
    pub at: SystemTime,
    /// Whether the member was as expected.
    pub passed: bool,
    /// What came of it, in words.
    pub detail: String,
}

/// What was logged of a member lately.
#[derive(Debug, Clone)]
struct LogThrottle {
    window_start: Instant,
    written: u32,
    suppressed: u32,
}

impl MemberHistory {
    fn new() -> Self {
        Self {
            change: None,
            checks: VecDeque::new(),
            counts: CheckCounts::default(),
            throttle: LogThrottle {
                window_start: Instant::now(),
                written: 0,
                suppressed: 0,
            },
        }
    }
}

impl LogThrottle {
    /// Whether another may be written, and how many were left out before it.
    fn admit(&mut self, now: Instant) -> Option<u32> {
        if now.saturating_duration_since(self.window_start) >= WINDOW {
            self.window_start = now;
            self.written = 0;
        }
        if self.written == MAX_LINES {
            self.suppressed += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

impl HealthHistory {
    /// Of this balancer, of which nothing is known.
    pub fn new(balancer: impl Into<String>) -> Self {
        Self {
            balancer: balancer.into(),
            members: Mutex::default(),
        }
    }

    /// A check of a member ended.
    pub fn record_check(&self, member: u32, passed: bool, detail: String) {
        let mut members = self.members();
        let MemberHistory { checks, counts, .. } = member_history(&mut members, Some(member));
        match passed {
            true => counts.passed += 1,
            false => counts.failed += 1,
        }
        if checks.len() == MAX_CHECKS {
            checks.pop_front();
        }
        checks.push_back(Check {
            at: SystemTime::now(),
            passed,
            detail: bounded::message(&detail).into_owned(),
        });
    }

    /// Forgets all members but these.
    pub(crate) fn retain(&self, members: &[Member]) {
        let ids: HashSet<u32> = members.iter().map(|member| member.id).collect();
        self.members()
            .retain(|id, _| id.is_none_or(|id| ids.contains(&id)));
    }

    /// What is known of a member; none where nothing has happened.
    pub fn member(&self, member: u32) -> Option<MemberHistory> {
        self.members().get(&Some(member)).cloned()
    }

    /// What the last check of a member met; nothing without checks.
    fn last_check(&self, member: u32) -> Option<String> {
        let members = self.members();
        let check = members.get(&Some(member))?.checks.back()?;
        Some(check.detail.clone())
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<Option<u32>, MemberHistory>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn member_history(
    members: &mut BTreeMap<Option<u32>, MemberHistory>,
    member: Option<u32>,
) -> &mut MemberHistory {
    members.entry(member).or_insert_with(MemberHistory::new)
}

impl Observer for HealthHistory {
    fn observe(&self, member: Option<&Member>, change: StateChange<'_>) {
        let id = member.map(|member| member.id);
        let last_check = id.and_then(|id| self.last_check(id));
        let cause = describe(member, change, last_check.as_deref());
        let cause = bounded::message(&cause).into_owned();
        let admitted = {
            let mut members = self.members();
            let history = member_history(&mut members, id);
            history.change = Some((SystemTime::now(), cause.clone()));
            history.throttle.admit(Instant::now())
        };
        let Some(suppressed) = admitted else {
            return;
        };
        let balancer = &self.balancer;
        let subject = match member {
            Some(member) => format!("balancer {balancer}: member {}", member.settings.name),
            None => format!("balancer {balancer}"),
        };
        let suppressed = match suppressed {
            0 => String::new(),
            lines => format!(" ({lines} changes before this one were not logged)"),
        };
        if is_good(change) {
            tracing::info!("{subject} {cause}{suppressed}");
        } else {
            tracing::warn!("{subject} {cause}{suppressed}");
        }
    }
}

fn is_good(change: StateChange<'_>) -> bool {
    match change {
        StateChange::Failed(_) | StateChange::Unhealthy(_) | StateChange::PanicStarted { .. } => {
            false
        }
        StateChange::Retried
        | StateChange::Forced
        | StateChange::Recovered
        | StateChange::Healthy(_)
        | StateChange::PanicEnded { .. } => true,
    }
}

/// The predicate of a sentence whose subject is the member or the balancer.
fn describe(member: Option<&Member>, change: StateChange<'_>, last_check: Option<&str>) -> String {
    let last_check = match last_check {
        Some(detail) => format!(" (last check: {detail})"),
        None => String::new(),
    };
    match change {
        StateChange::Failed(outcome) => {
            let retry = member.map_or(Duration::ZERO, |member| member.settings.retry);
            format!("is in error for {retry:?}: {}", cause(outcome))
        }
        StateChange::Retried => "is tried again".to_owned(),
        StateChange::Forced => "is tried again: all members were in error".to_owned(),
        StateChange::Recovered => {
            format!("is no longer in error: it passed its checks{last_check}")
        }
        StateChange::Healthy(reason) => format!("is healthy: {reason}{last_check}"),
        StateChange::Unhealthy(reason) => format!("is unhealthy: {reason}{last_check}"),
        StateChange::PanicStarted { healthy, all } => {
            format!("panics: {healthy} of {all} members are healthy, and all are used")
        }
        StateChange::PanicEnded { healthy, all } => {
            format!("no longer panics: {healthy} of {all} members are healthy")
        }
    }
}

/// What a request met.
fn cause(outcome: AttemptOutcome) -> String {
    match outcome {
        AttemptOutcome::Connected => "it was connected".to_owned(),
        AttemptOutcome::Unreachable => "it cannot be reached".to_owned(),
        AttemptOutcome::Responded(status) => format!("it responded with {status}"),
        AttemptOutcome::TimedOut => "response timeout".to_owned(),
        AttemptOutcome::ResponseFailed => {
            "it closed the connection before its response was complete".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_member_that_flaps_are_bounded_and_told_of_later() {
        let start = Instant::now();
        let mut throttle = MemberHistory::new().throttle;
        throttle.window_start = start;
        for line in 0..MAX_LINES {
            assert_eq!(throttle.admit(start), Some(0), "line {line}");
        }
        assert_eq!(throttle.admit(start), None);
        assert_eq!(throttle.admit(start), None);
        assert_eq!(throttle.admit(start + WINDOW), Some(2));
        assert_eq!(throttle.admit(start + WINDOW), Some(0));
    }

    #[test]
    fn what_a_check_met_is_kept_in_bounded_space() {
        let health_history = HealthHistory::new("site");
        for _ in 0..MAX_CHECKS + 5 {
            health_history.record_check(3, false, "x".repeat(99_000));
        }
        let history = health_history.member(3).expect("a history");
        let bytes: usize = history.checks.iter().map(|check| check.detail.len()).sum();
        assert!(bytes <= MAX_CHECKS * bounded::MESSAGE, "{bytes}");
    }

    #[test]
    fn last_checks_are_kept_and_older_ones_forgotten() {
        let health_history = HealthHistory::new("site");
        for number in 0..MAX_CHECKS + 5 {
            health_history.record_check(3, true, number.to_string());
        }
        let members = health_history.members();
        let checks = &members[&Some(3)].checks;
        assert_eq!(checks.len(), MAX_CHECKS);
        assert_eq!(checks.front().map(|check| &*check.detail), Some("5"));
    }
}
