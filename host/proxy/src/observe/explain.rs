//! Why a request went where it went: the last decisions, kept for the admin API.
//!
//! Each request that is explained has a [`DecisionRecord`], which its worker writes while it serves it and hands over when the head of
//! the response is there. A ring keeps the last of them. A worker takes the next place in it by adding to a counter, so that
//! none waits for another unless the ring goes round meanwhile.

mod decision_record;
mod view;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use decision_record::DecisionRecord;
use equipoise_config as config;
pub use view::{DecisionView, Summary};

/// How many decisions a list has at most: the newest.
const MAX_LISTED: usize = 1000;

/// How many bytes of decisions are kept, however many that are. With few members 100,000 of them need less.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// Random bits at the start of an id, so that ids of two runs differ.
const RUN_BITS: u32 = 36;

/// The last decisions.
pub struct Explain {
    pub(crate) config: config::Explain,
    /// Of this run of the program.
    run: u64,
    /// The number of the next decision.
    next: AtomicU64,
    /// Where a decision is: at its number modulo their count.
    kept: Box<[Mutex<Option<Arc<DecisionRecord>>>]>,
    /// The number of the oldest decision that may be kept.
    oldest: AtomicU64,
    /// Bytes of all that are kept, and how many there may be.
    bytes: AtomicUsize,
    max_bytes: usize,
}

impl Explain {
    /// As many as the configuration wants; none where that is none.
    pub fn new(config: &config::Explain) -> Option<Self> {
        (config.decisions > 0).then(|| Self {
            config: config.clone(),
            run: fastrand::u64(..1 << RUN_BITS),
            next: AtomicU64::new(0),
            kept: (0..config.decisions).map(|_| Mutex::default()).collect(),
            oldest: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            max_bytes: MAX_BYTES,
        })
    }

    /// Keeps a story in place of the oldest one, and of more where they have too many bytes together; its id.
    pub(crate) fn keep(&self, mut decision_record: Box<DecisionRecord>) -> String {
        let number = self.next.fetch_add(1, Relaxed);
        decision_record.number = number;
        let decision_record = Arc::<DecisionRecord>::from(decision_record);
        let mut place = self.place(number);
        // A worker that was held up meanwhile has a story that is too old already.
        let is_newer = place.as_ref().is_none_or(|kept| kept.number < number);
        let before = if is_newer {
            self.bytes.fetch_add(decision_record.bytes(), Relaxed);
            place.replace(decision_record)
        } else {
            None
        };
        // Whatever it was, it is dropped when the lock is free again.
        drop(place);
        self.forget(before);
        self.make_room(number);
        self.id(number)
    }

    /// Drops the oldest decisions until the rest have few enough bytes, but not the `newest`.
    fn make_room(&self, newest: u64) {
        let first = newest.saturating_sub(self.kept.len() as u64 - 1);
        self.oldest.fetch_max(first, Relaxed);
        while self.bytes.load(Relaxed) > self.max_bytes {
            let is_older = |number: u64| (number < newest).then_some(number + 1);
            let Ok(number) = self.oldest.fetch_update(Relaxed, Relaxed, is_older) else {
                return;
            };
            let mut place = self.place(number);
            let decision_record = place.take_if(|decision_record| decision_record.number == number);
            drop(place);
            self.forget(decision_record);
        }
    }

    /// A story is kept no longer.
    fn forget(&self, decision_record: Option<Arc<DecisionRecord>>) {
        if let Some(decision_record) = decision_record {
            self.bytes.fetch_sub(decision_record.bytes(), Relaxed);
        }
    }

    /// The newest decisions, the newest first; 1,000 at most.
    pub fn list(&self) -> Vec<Summary> {
        let next = self.next.load(Relaxed);
        let oldest = next.saturating_sub(self.kept.len().min(MAX_LISTED) as u64);
        let records = (oldest..next)
            .rev()
            .filter_map(|number| self.record(number));
        records
            .map(|decision_record| Summary::of(&decision_record, self.id(decision_record.number)))
            .collect()
    }

    /// The decision with this id; `None` where it is not kept any more, or never was.
    pub fn find(&self, id: &str) -> Option<DecisionView> {
        let (run, number) = id.split_once('-')?;
        let number = u64::from_str_radix(number, 36).ok()?;
        let is_ours = run == base_36(self.run) && base_36(number) == id[run.len() + 1..];
        let decision_record = self.record(number).filter(|_| is_ours)?;
        Some(DecisionView::of(&decision_record, self.id(number)))
    }

    fn record(&self, number: u64) -> Option<Arc<DecisionRecord>> {
        let decision_record = self.place(number).clone();
        decision_record.filter(|decision_record| decision_record.number == number)
    }

    fn place(&self, number: u64) -> std::sync::MutexGuard<'_, Option<Arc<DecisionRecord>>> {
        let place = (number % self.kept.len() as u64) as usize;
        let place = self.kept[place].lock();
        place.unwrap_or_else(PoisonError::into_inner)
    }

    fn id(&self, number: u64) -> String {
        format!("{}-{}", base_36(self.run), base_36(number))
    }
}

fn base_36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize]);
        number /= 36;
        if number == 0 {
            break;
        }
    }
    digits.iter().rev().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(decisions: usize) -> Explain {
        let config = config::Explain {
            decisions,
            header: None,
        };
        Explain::new(&config).expect("it is on")
    }

    #[test]
    fn the_last_decisions_are_kept_and_found_by_id() {
        let explain = explain(3);
        let ids: Vec<_> = (0..5).map(|_| explain.keep(Box::default())).collect();
        let found = |id: &String| explain.find(id).is_some();
        assert_eq!(
            ids.iter().map(found).collect::<Vec<_>>(),
            [false, false, true, true, true]
        );
        let listed: Vec<_> = explain.list().into_iter().map(|one| one.id).collect();
        assert_eq!(listed, [ids[4].clone(), ids[3].clone(), ids[2].clone()]);
    }

    #[test]
    fn decisions_that_are_large_push_older_ones_out() {
        let mut explain = explain(100);
        explain.max_bytes = 100_000;
        let ids: Vec<_> = (0..50)
            .map(|_| explain.keep(Box::new(DecisionRecord::sized(9_000))))
            .collect();
        let kept = ids.iter().filter(|id| explain.find(id).is_some()).count();
        assert!((8..=11).contains(&kept), "{kept}");
        assert!(ids[50 - kept..].iter().all(|id| explain.find(id).is_some()));
        // One that is too large alone is kept alone.
        let huge = explain.keep(Box::new(DecisionRecord::sized(1_000_000)));
        assert!(explain.find(&huge).is_some());
        assert_eq!(explain.list().len(), 1);
        let small = explain.keep(Box::default());
        assert!(explain.find(&huge).is_none() && explain.find(&small).is_some());
        let held = explain.bytes.load(Relaxed);
        assert_eq!(held, size_of::<DecisionRecord>());
    }

    #[test]
    fn ids_that_never_were_are_not_found() {
        let explain = explain(3);
        let id = explain.keep(Box::default());
        let (run, number) = id.split_once('-').expect("a dash");
        for other in [
            "",
            "-",
            "0-0",
            number,
            &format!("{run}-1"),
            &format!("{run}-+0"),
            &format!("{run}-00"),
            &format!("{run}-zzzzzzzzzzzzzzzzzzzz"),
        ] {
            assert!(explain.find(other).is_none(), "{other}");
        }
        assert!(explain.find(&id).is_some());
    }

    #[test]
    fn explaining_is_off_by_default() {
        assert!(Explain::new(&config::Explain::default()).is_none());
    }

    #[test]
    fn numbers_have_36_digits() {
        assert_eq!([0, 35, 36, 1295].map(base_36), ["0", "z", "10", "zz"]);
    }
}
