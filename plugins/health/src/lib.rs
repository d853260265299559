//! The built-in health policy: consecutive checks, and outliers among live requests.
//!
//! # Checks
//!
//! A member is unhealthy after `fails` failed checks in a row, and healthy again after `passes` passed ones. A check of the
//! other kind restarts the count. (Apache counts on, in spite of its manual.)
//!
//! | check, `fails` = 2 and `passes` = 2 | ✗ | ✓ | ✗ | ✗ | ✓ | ✗ | ✓ | ✓ |
//! |---|---|---|---|---|---|---|---|---|
//! | state after it | healthy | healthy | healthy | unhealthy | unhealthy | unhealthy | unhealthy | healthy |
//!
//! # Outliers
//!
//! Off unless `consecutive-failures` or `failure-rate` says otherwise. A request failed when it got no response, or one
//! with a status among `statuses`. A member is ejected for `eject-ms` when so many requests in a row failed, or, of at least
//! `min-requests` within `window-ms`, so large a part. Every ejection lasts twice as long as the one before, up to
//! `max-eject-ms`; a member that then serves well for as long as it was last ejected has one less to its name. Never more
//! than `max-ejected` percent of the members are ejected at a time, rounded down, so that a fault that all members share
//! does not take the service away.
//!
//! A member is healthy while it neither fails its checks nor is ejected.
//!
//! # Source
//!
//! The counts of checks are HAProxy's `rise` and `fall`. Ejection is Envoy's outlier detection, with a rate over the members
//! own requests instead of one beside the other members'.

mod checks;
mod outliers;
mod settings;

use std::collections::{BTreeMap, BTreeSet};

use equipoise_sdk::health::{CheckResult, HealthPolicy, RequestOutcome, State, Transition};
use equipoise_sdk::{Env, PolicyConfig, export_health};

use checks::Checks;
use outliers::{Outliers, Traffic};
use settings::Settings;

/// The policy.
#[derive(Debug, Default)]
pub struct Health {
    outliers: Outliers,
    members: BTreeMap<u32, Member>,
    /// Members that are ejected, or whose ejections are not forgiven yet: time alone may change their state.
    ejected: BTreeSet<u32>,
    /// Whether the states of all are due, since they were restored.
    are_new: bool,
}

/// The state of a member.
#[derive(Debug, Default)]
struct Member {
    checks: Checks,
    traffic: Traffic,
    /// Whether it was last reported as unhealthy.
    is_unhealthy: bool,
}

impl HealthPolicy for Health {
    fn configure(&mut self, config: &PolicyConfig) -> Result<(), String> {
        self.outliers = Outliers::new(Settings::read(config)?);
        let members = config.members.iter();
        self.members = members
            .map(|configured| {
                let mut member = self.members.remove(&configured.id).unwrap_or_default();
                let (passes, fails) = (configured.passes, configured.fails);
                member.checks.configure(passes, fails);
                (configured.id, member)
            })
            .collect();
        self.are_new = true;
        Ok(())
    }

    fn on_checks(&mut self, results: &[CheckResult], env: &dyn Env) -> Vec<Transition> {
        for result in results {
            if let Some(member) = self.members.get_mut(&result.member) {
                member.checks.count(result);
            }
        }
        let checked = results.iter().map(|result| result.member);
        self.transitions(checked.collect(), env.now_ms())
    }

    fn on_requests(&mut self, outcomes: &[RequestOutcome], env: &dyn Env) -> Vec<Transition> {
        let now = env.now_ms();
        let mut ejected = None;
        for outcome in outcomes {
            if let Some(member) = self.members.get_mut(&outcome.member) {
                self.outliers.count(&mut member.traffic, outcome);
                if let Some(reason) = self.outliers.reason(&member.traffic, now) {
                    let count = ejected.get_or_insert_with(|| self.count_ejected(now));
                    *count += usize::from(self.eject(outcome.member, *count, &reason, now));
                }
            }
        }
        self.transitions(BTreeSet::new(), now)
    }

    /// A line a member: its id, whether it is unhealthy, and what its checks and its traffic write of themselves.
    fn save(&mut self) -> Vec<u8> {
        let line = |(id, member): (&u32, &Member)| {
            let unhealthy = u8::from(member.is_unhealthy);
            format!(
                "{id} {unhealthy} {} {}\n",
                member.checks.save(),
                member.traffic.save()
            )
        };
        let lines: String = self.members.iter().map(line).collect();
        lines.into_bytes()
    }

    fn restore(&mut self, blob: &[u8]) -> Result<(), String> {
        let text = str::from_utf8(blob).map_err(|error| error.to_string())?;
        let lines: Option<Vec<_>> = text.lines().map(line).collect();
        for (id, before) in lines.ok_or("not the state of this policy")? {
            if let Some(member) = self.members.get_mut(&id) {
                member.is_unhealthy = before.is_unhealthy;
                member.checks.take_over(&before.checks);
                member.traffic = before.traffic;
            }
        }
        self.are_new = true;
        Ok(())
    }
}

/// A member out of a line of [`Health::save`].
fn line(line: &str) -> Option<(u32, Member)> {
    let words = line.split(' ').map(|word| word.parse().ok());
    let words: Vec<u64> = words.collect::<Option<_>>()?;
    let [id, is_unhealthy, checks @ .., _, _, _, _] = &*words else {
        return None;
    };
    let member = Member {
        checks: Checks::restored(checks)?,
        traffic: Traffic::restored(&words[words.len() - 4..])?,
        is_unhealthy: *is_unhealthy != 0,
    };
    Some((u32::try_from(*id).ok()?, member))
}

impl Health {
    /// The number of ejected members.
    fn count_ejected(&self, now: u64) -> usize {
        let members = self.ejected.iter().filter_map(|id| self.members.get(id));
        members
            .filter(|member| member.traffic.is_ejected(now))
            .count()
    }

    /// Ejects a member unless too many are ejected; returns whether it did.
    fn eject(&mut self, id: u32, ejected: usize, reason: &str, now: u64) -> bool {
        let has_room = self.outliers.allows(ejected + 1, self.members.len());
        match self.members.get_mut(&id).filter(|_| has_room) {
            Some(member) => {
                self.outliers.eject(&mut member.traffic, reason, now);
                self.ejected.insert(id);
                true
            }
            None => false,
        }
    }

    /// Members whose state differs from the last one reported: of those that were checked, and those that time may have changed.
    /// Other members cost nothing.
    fn transitions(&mut self, mut due: BTreeSet<u32>, now: u64) -> Vec<Transition> {
        match std::mem::take(&mut self.are_new) {
            true => due.extend(self.members.keys()),
            false => due.extend(&self.ejected),
        }
        let mut transitions = Vec::new();
        for id in due {
            let Some(member) = self.members.get_mut(&id) else {
                self.ejected.remove(&id);
                continue;
            };
            self.outliers.forgive(&mut member.traffic, now);
            let is_ejected = member.traffic.is_ejected(now);
            match member.traffic.is_settled(now) {
                true => self.ejected.remove(&id),
                false => self.ejected.insert(id),
            };
            let is_unhealthy = member.checks.are_failed() || is_ejected;
            if is_unhealthy == member.is_unhealthy {
                continue;
            }
            member.is_unhealthy = is_unhealthy;
            transitions.push(if is_unhealthy {
                let reason = match is_ejected {
                    true => member.traffic.reason(),
                    false => member.checks.failure(),
                };
                transition(id, State::Unhealthy, reason)
            } else {
                let reason = match member.checks.have_recovered() {
                    true => member.checks.recovery(),
                    false => "ejection ended".to_owned(),
                };
                transition(id, State::Healthy, reason)
            });
        }
        transitions
    }
}

fn transition(member: u32, state: State, reason: String) -> Transition {
    Transition {
        member,
        state,
        reason,
    }
}

export_health!(Health, state);

#[cfg(test)]
mod tests;
