//! A plugin as a policy: what the balancer asks, it answers, and every answer is checked.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use equipoise_balancer::PluginHealthPolicy;
use equipoise_sdk::health::{CheckResult, RequestOutcome, Transition};
use equipoise_sdk::{Affinity, Candidates, Env, Request, Selector, SessionReader};

use super::ambient::Ambient;
use super::fault::Fault;
use super::seat::{Seat, one_line};
use equipoise_balancer::FaultKind;

/// The longest route, key and cookie, in bytes.
const LONGEST: usize = 4096;

/// A plugin that chooses members.
pub(super) struct PluginSelector(pub(super) Seat);

impl Selector for PluginSelector {
    fn select(
        &mut self,
        request: &dyn Request,
        candidates: &dyn Candidates,
        host: &dyn Env,
    ) -> Option<usize> {
        let count = candidates.len();
        let ambient = Ambient {
            candidates: Some(candidates),
            ..Seat::ambient(request, host)
        };
        let asked = u32::try_from(count).unwrap_or(u32::MAX);
        let answer = self.0.ask(|instance| instance.select(ambient, asked));
        match answer {
            Some(Some(position)) if (position as usize) < count => Some(position as usize),
            Some(Some(position)) => {
                let detail = format!("answered position {position} of {count} candidates");
                self.0.blame(&Fault::new(FaultKind::Position, detail));
                candidates.restrict_fallback(&[]);
                None
            }
            Some(None) => {
                self.0.note_declined();
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
        let ambient = Ambient {
            candidates: Some(usable),
            ..Ambient::default()
        };
        let chosen = u32::try_from(chosen).unwrap_or(u32::MAX);
        self.0
            .ask(|instance| instance.record_sticky(ambient, chosen));
    }

    fn lbstatus(&mut self, id: u32) -> i64 {
        self.0.ask(|instance| instance.lbstatus(id)).unwrap_or(0)
    }

    /// As many as the plugin answers within one deadline in all.
    fn lbstatuses(&mut self, ids: &[u32]) -> Vec<i64> {
        if !self.0.has_schedule() {
            return vec![0; ids.len()];
        }
        let deadline = self.0.deadline();
        let load = |&id: &u32| {
            let is_in_time = self.0.now() < deadline;
            is_in_time.then(|| self.0.ask(|instance| instance.lbstatus(id)))?
        };
        ids.iter().map_while(load).collect()
    }

    fn reset(&mut self) {
        self.0.ask(|instance| instance.reset());
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

/// A plugin that reads sessions. The thread's own instance reads, or another that is free; there is one at least.
pub(super) struct PluginSession(Vec<Mutex<Seat>>);

impl PluginSession {
    pub(super) fn new(seats: Vec<Seat>) -> Self {
        Self(seats.into_iter().map(Mutex::new).collect())
    }

    /// An instance that is not being asked, else the thread's own when it is free.
    fn seat(&self) -> Option<MutexGuard<'_, Seat>> {
        let own = NUMBER.with(|number| number % self.0.len().max(1));
        let (before, from) = self.0.split_at_checked(own)?;
        let mut seats = from.iter().chain(before);
        let free = seats.find_map(|seat| seat.try_lock().ok());
        let own = from.first();
        free.or_else(|| Some(own?.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl SessionReader for PluginSession {
    fn read(&self, request: &dyn Request, host: &dyn Env) -> Option<Affinity> {
        let mut seat = self.seat()?;
        let affinity = seat.ask(|instance| instance.read(Seat::ambient(request, host)))??;
        if let Err(detail) = check_affinity(&affinity) {
            seat.blame(&Fault::new(FaultKind::Session, detail));
            return None;
        }
        Some(affinity)
    }

    fn issue_cookie(&self, request: &dyn Request, host: &dyn Env, route: &str) -> Option<String> {
        let mut seat = self.seat()?;
        let cookie = seat.ask(|instance| instance.issue(Seat::ambient(request, host), route))??;
        if let Err(detail) = check_cookie(&cookie) {
            seat.blame(&Fault::new(FaultKind::Session, detail));
            return None;
        }
        Some(cookie)
    }

    /// What the first of the instances remembers.
    fn save(&self) -> Vec<u8> {
        let first = self.0.first();
        first.map_or_else(Vec::new, |seat| {
            seat.lock().unwrap_or_else(PoisonError::into_inner).save()
        })
    }

    fn restore(&mut self, blob: &[u8]) -> Result<(), String> {
        let mut seats = self.0.iter_mut();
        seats.try_for_each(|seat| {
            let seat = seat.get_mut().unwrap_or_else(PoisonError::into_inner);
            seat.restore(blob)
        })
    }
}

/// A plugin that judges members.
pub(super) struct SeatedJudge(pub(super) Seat);

impl PluginHealthPolicy for SeatedJudge {
    fn on_checks(&mut self, results: &[CheckResult], host: &dyn Env) -> Option<Vec<Transition>> {
        let transitions = self
            .0
            .ask(|instance| instance.on_checks(Seat::timed(host), results))?;
        Some(transitions.into_iter().map(presentable).collect())
    }

    fn on_requests(
        &mut self,
        outcomes: &[RequestOutcome],
        host: &dyn Env,
    ) -> Option<Vec<Transition>> {
        let transitions = self
            .0
            .ask(|instance| instance.on_requests(Seat::timed(host), outcomes))?;
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

/// Holds a session to what wit/v0.1/session.wit says.
fn check_affinity(affinity: &Affinity) -> Result<(), String> {
    let (what, text) = match affinity {
        Affinity::Route(route) => ("route", route),
        Affinity::Key(key) => ("key", key),
    };
    if !(1..=LONGEST).contains(&text.len()) {
        Err(format!(
            "a {what} of {} bytes, not 1 to {LONGEST}",
            text.len()
        ))
    } else if text.chars().any(char::is_control) {
        Err(format!("a {what} with a control character"))
    } else {
        Ok(())
    }
}

/// Holds a cookie to what wit/v0.1/session.wit says.
fn check_cookie(cookie: &str) -> Result<(), String> {
    let name = cookie.split_once('=').map_or("", |(name, _)| name);
    if cookie.len() > LONGEST {
        Err(format!(
            "a cookie of {} bytes; {LONGEST} are the most",
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
    fn cookies_that_are_none_are_refused() {
        assert!(check_cookie("SID=a.r1; Path=/; HttpOnly").is_ok());
        assert!(check_cookie("SID=").is_ok());
        for bad in ["", "SID", "=a", "S ID=a", "a;b=c", "SID=a\r\nX: y", "SID=ä"] {
            assert!(check_cookie(bad).is_err(), "{bad:?}");
        }
        assert!(check_cookie(&format!("SID={}", "a".repeat(4093))).is_err());
    }
}
