//! Plugins as policies: the SDK's traits, implemented by calls into instances, with every result checked.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use equipoise_balancer::PluginHealthPolicy;
use equipoise_sdk::health::{CheckResult, RequestOutcome, Transition};
use equipoise_sdk::{Affinity, Candidates, Env, Request, Selector, SessionReader};

use super::call_context::CallContext;
use super::fault::Fault;
use super::instance_slot::{InstanceSlot, one_line};
use equipoise_balancer::FaultKind;

/// Maximum length of a route, key or cookie, in bytes.
const MAX_TEXT: usize = 4096;

/// A plugin that chooses members.
pub(super) struct PluginSelector(pub(super) InstanceSlot);

impl Selector for PluginSelector {
    fn select(
        &mut self,
        request: &dyn Request,
        candidates: &dyn Candidates,
        env: &dyn Env,
    ) -> Option<usize> {
        let count = candidates.len();
        let context = CallContext {
            candidates: Some(candidates),
            ..InstanceSlot::request_context(request, env)
        };
        let count_u32 = u32::try_from(count).unwrap_or(u32::MAX);
        let selection = self.0.call(|instance| instance.select(context, count_u32));
        match selection {
            Some(Some(position)) if (position as usize) < count => Some(position as usize),
            Some(Some(position)) => {
                let detail = format!("position {position} of {count} candidates");
                self.0
                    .record_fault(&Fault::new(FaultKind::Position, detail));
                candidates.restrict_fallback(&[]);
                None
            }
            Some(None) => {
                self.0.count_declined();
                None
            }
            None => {
                // A restriction from before its fault does not count.
                candidates.restrict_fallback(&[]);
                None
            }
        }
    }

    fn record_sticky(&mut self, usable: &dyn Candidates, chosen: usize) {
        let context = CallContext {
            candidates: Some(usable),
            ..CallContext::default()
        };
        let chosen = u32::try_from(chosen).unwrap_or(u32::MAX);
        self.0
            .call(|instance| instance.record_sticky(context, chosen));
    }

    fn lbstatus(&mut self, id: u32) -> i64 {
        self.0.call(|instance| instance.lbstatus(id)).unwrap_or(0)
    }

    /// As many as the plugin returns within one deadline in all.
    fn lbstatuses(&mut self, ids: &[u32]) -> Vec<i64> {
        if !self.0.has_schedule() {
            return vec![0; ids.len()];
        }
        let deadline = self.0.deadline();
        let lbstatus = |&id: &u32| {
            let is_in_time = self.0.now() < deadline;
            is_in_time.then(|| self.0.call(|instance| instance.lbstatus(id)))?
        };
        ids.iter().map_while(lbstatus).collect()
    }

    fn reset(&mut self) {
        self.0.call(|instance| instance.reset());
    }

    fn save(&mut self) -> Vec<u8> {
        self.0.save()
    }

    fn restore(&mut self, blob: &[u8]) -> Result<(), String> {
        self.0.restore(blob)
    }
}

thread_local! {
    /// The number of this thread among those that read sessions, so that each begins at an instance of its own.
    static NUMBER: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Relaxed)
    };
}

/// A plugin that reads sessions: by an instance that is free, the thread's own first. There is at least one.
pub(super) struct PluginSession(Vec<Mutex<InstanceSlot>>);

impl PluginSession {
    pub(super) fn new(slots: Vec<InstanceSlot>) -> Self {
        Self(slots.into_iter().map(Mutex::new).collect())
    }

    /// A free instance; otherwise waits for the thread's own.
    fn slot(&self) -> Option<MutexGuard<'_, InstanceSlot>> {
        let own = NUMBER.with(|number| number % self.0.len().max(1));
        let (before, from) = self.0.split_at_checked(own)?;
        let mut slots = from.iter().chain(before);
        let free = slots.find_map(|slot| slot.try_lock().ok());
        let own = from.first();
        free.or_else(|| Some(own?.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl SessionReader for PluginSession {
    fn read(&self, request: &dyn Request, env: &dyn Env) -> Option<Affinity> {
        let mut slot = self.slot()?;
        let affinity =
            slot.call(|instance| instance.read(InstanceSlot::request_context(request, env)))??;
        if let Err(detail) = check_affinity(&affinity) {
            slot.record_fault(&Fault::new(FaultKind::Session, detail));
            return None;
        }
        Some(affinity)
    }

    fn issue_cookie(&self, request: &dyn Request, env: &dyn Env, route: &str) -> Option<String> {
        let mut slot = self.slot()?;
        let cookie = slot.call(|instance| {
            instance.issue(InstanceSlot::request_context(request, env), route)
        })??;
        if let Err(detail) = check_cookie(&cookie) {
            slot.record_fault(&Fault::new(FaultKind::Session, detail));
            return None;
        }
        Some(cookie)
    }

    /// The state of the first instance.
    fn save(&self) -> Vec<u8> {
        let first = self.0.first();
        first.map_or_else(Vec::new, |slot| {
            slot.lock().unwrap_or_else(PoisonError::into_inner).save()
        })
    }

    fn restore(&mut self, blob: &[u8]) -> Result<(), String> {
        let mut slots = self.0.iter_mut();
        slots.try_for_each(|slot| {
            let slot = slot.get_mut().unwrap_or_else(PoisonError::into_inner);
            slot.restore(blob)
        })
    }
}

/// A plugin that decides which members are healthy.
pub(super) struct PluginHealth(pub(super) InstanceSlot);

impl PluginHealthPolicy for PluginHealth {
    fn on_checks(&mut self, results: &[CheckResult], env: &dyn Env) -> Option<Vec<Transition>> {
        let transitions = self
            .0
            .call(|instance| instance.on_checks(InstanceSlot::env_context(env), results))?;
        Some(transitions.into_iter().map(presentable).collect())
    }

    fn on_requests(
        &mut self,
        outcomes: &[RequestOutcome],
        env: &dyn Env,
    ) -> Option<Vec<Transition>> {
        let transitions = self
            .0
            .call(|instance| instance.on_requests(InstanceSlot::env_context(env), outcomes))?;
        Some(transitions.into_iter().map(presentable).collect())
    }

    fn save(&mut self) -> Vec<u8> {
        self.0.save()
    }

    fn restore(&mut self, blob: &[u8]) -> Result<(), String> {
        self.0.restore(blob)
    }
}

/// A transition whose reason is fit for a log line.
fn presentable(transition: Transition) -> Transition {
    Transition {
        reason: one_line(&transition.reason),
        ..transition
    }
}

/// Checks a session by wit/v0.1/session.wit.
fn check_affinity(affinity: &Affinity) -> Result<(), String> {
    let (what, text) = match affinity {
        Affinity::Route(route) => ("route", route),
        Affinity::Key(key) => ("key", key),
    };
    if !(1..=MAX_TEXT).contains(&text.len()) {
        Err(format!(
            "a {what} of {} bytes, not 1 to {MAX_TEXT}",
            text.len()
        ))
    } else if text.chars().any(char::is_control) {
        Err(format!("a {what} with a control character"))
    } else {
        Ok(())
    }
}

/// Checks a cookie by wit/v0.1/session.wit.
fn check_cookie(cookie: &str) -> Result<(), String> {
    let name = cookie.split_once('=').map_or("", |(name, _)| name);
    if cookie.len() > MAX_TEXT {
        Err(format!(
            "a cookie of {} bytes; {MAX_TEXT} are the most",
            cookie.len()
        ))
    } else if !cookie.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        Err("a cookie with a character that is not visible ASCII".to_owned())
    } else if name.is_empty() || name.contains([' ', ';', ',']) {
        Err("a cookie without `name=` at its start".to_owned())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_could_break_a_header_or_a_log_are_refused() {
        for affinity in [Affinity::Route, Affinity::Key] {
            let check = |text: &str| check_affinity(&affinity(text.to_owned())).is_ok();
            assert!(check("r1") && check("user 42, ä") && check(&"k".repeat(4096)));
            for bad in ["", "a\r\nb", "a\tb", "a\0", "\u{85}", "\x7f", "\x1b[31m"] {
                assert!(!check(bad), "{bad:?}");
            }
            assert!(!check(&"k".repeat(4097)));
        }
    }

    #[test]
    fn invalid_cookies_are_refused() {
        assert!(check_cookie("SID=a.r1; Path=/; HttpOnly").is_ok());
        assert!(check_cookie("SID=").is_ok());
        for bad in ["", "SID", "=a", "S ID=a", "a;b=c", "SID=a\r\nX: y", "SID=ä"] {
            assert!(check_cookie(bad).is_err(), "{bad:?}");
        }
        assert!(check_cookie(&format!("SID={}", "a".repeat(4093))).is_err());
    }
}
