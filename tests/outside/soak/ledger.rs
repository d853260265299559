//! What became of every request, and what happened at the time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many bad answers are told, the first ones.
const TOLD: usize = 12;

/// So many events before a bad answer are told with it.
const RECENT: usize = 16;

/// How late a connection may notice that its member was killed.
const NOTICED_WITHIN: Duration = Duration::from_secs(1);

/// The account of a soak.
pub(super) struct Ledger {
    started: Instant,
    good: AtomicU64,
    /// POSTs that met a member's death.
    excused: AtomicU64,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    bad: u64,
    first_bad: Vec<String>,
    recent: VecDeque<String>,
    kills: Vec<Instant>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            good: AtomicU64::new(0),
            excused: AtomicU64::new(0),
            pages: Mutex::default(),
        }
    }

    /// Something happened that may be to blame for what follows.
    pub(super) fn note(&self, event: &str) {
        let event = format!("{:.2} s: {event}", self.started.elapsed().as_secs_f64());
        let mut pages = self.pages();
        if pages.recent.len() == RECENT {
            pages.recent.pop_front();
        }
        pages.recent.push_back(event);
    }

    /// A member is killed now.
    pub(super) fn note_kill(&self, member: &str) {
        self.pages().kills.push(Instant::now());
        self.note(&format!("{member} is killed"));
    }

    /// A request was answered as it should be.
    pub(super) fn good(&self) {
        self.good.fetch_add(1, Relaxed);
    }

    /// A request that must not be repeated, begun at this time, was answered with 502. Whether a member's death excuses that.
    pub(super) fn excuses(&self, begun: Instant) -> bool {
        let from = begun.checked_sub(NOTICED_WITHIN).unwrap_or(begun);
        let excused = self.pages().kills.iter().any(|kill| *kill >= from);
        self.excused.fetch_add(u64::from(excused), Relaxed);
        excused
    }

    /// Something was answered as it should not be.
    pub(super) fn bad(&self, what: &str) {
        let at = self.started.elapsed().as_secs_f64();
        let mut pages = self.pages();
        pages.bad += 1;
        if pages.first_bad.len() < TOLD {
            let recent: Vec<_> = pages.recent.iter().map(String::as_str).collect();
            let line = format!("{at:.2} s: {what}\n    before: {}", recent.join("; "));
            pages.first_bad.push(line);
        }
    }

    /// The first bad answers, and how many there were.
    pub(super) fn wrong(&self) -> Vec<String> {
        let pages = self.pages();
        if pages.bad == 0 {
            return Vec::new();
        }
        let count = format!("{} unexpected answers, the first of them:", pages.bad);
        [vec![count], pages.first_bad.clone()].concat()
    }

    /// How often a member was killed.
    pub(super) fn kills(&self) -> usize {
        self.pages().kills.len()
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (good, excused) = (self.good.load(Relaxed), self.excused.load(Relaxed));
        let (seconds, kills) = (self.started.elapsed().as_secs(), self.kills());
        write!(
            out,
            "{good} good answers in {seconds} s; {kills} kills, which {excused} POSTs met"
        )
    }
}
