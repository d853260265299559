//! Why a request went where it went: the last decisions, kept for whoever asks the admin listener.
//!
//! Each request that is explained has a [`Story`], which its worker writes while it serves it and hands over when the head of
//! the answer is there. A ring keeps the last of them. A worker takes the next place in it by adding to a counter, so that
//! none waits for another unless the ring goes round meanwhile.

mod story;
mod view;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;

use crate::config;
pub(crate) use story::Story;
pub(crate) use view::{StoryView, Summary};

/// How many decisions a list has at most: the newest.
const LISTED: usize = 1000;

/// Random bits at the start of an id, so that ids of two runs differ.
const RUN_BITS: u32 = 36;

/// The last decisions.
pub(crate) struct Explain {
    pub(crate) config: config::Explain,
    /// Of this run of the program.
    run: u64,
    /// The number of the next decision.
    next: AtomicU64,
    /// Where a decision is: at its number modulo their count.
    kept: Box<[Mutex<Option<Arc<Story>>>]>,
}

impl Explain {
    /// As many as the configuration wants; none where that is none.
    pub(crate) fn new(config: &config::Explain) -> Option<Self> {
        (config.decisions > 0).then(|| Self {
            config: config.clone(),
            run: fastrand::u64(..1 << RUN_BITS),
            next: AtomicU64::new(0),
            kept: (0..config.decisions).map(|_| Mutex::default()).collect(),
        })
    }

    /// Keeps a story in place of the oldest one; its id.
    pub(crate) fn keep(&self, mut story: Box<Story>) -> String {
        let number = self.next.fetch_add(1, Relaxed);
        story.number = number;
        let story = Arc::<Story>::from(story);
        let mut place = self.place(number);
        // A worker that was held up meanwhile has a story that is too old already.
        let is_newer = place.as_ref().is_none_or(|kept| kept.number < number);
        let before = if is_newer { place.replace(story) } else { None };
        // Whatever it was, it is dropped when the lock is free again.
        drop(place);
        drop(before);
        self.id(number)
    }

    /// The newest decisions, the newest first; 1,000 at most.
    pub(crate) fn list(&self) -> Vec<Summary> {
        let next = self.next.load(Relaxed);
        let oldest = next.saturating_sub(self.kept.len().min(LISTED) as u64);
        let stories = (oldest..next).rev().filter_map(|number| self.story(number));
        stories
            .map(|story| Summary::of(&story, self.id(story.number)))
            .collect()
    }

    /// The decision with this id; `None` where it is not kept any more, or never was.
    pub(crate) fn find(&self, id: &str) -> Option<StoryView> {
        let (run, number) = id.split_once('-')?;
        let number = u64::from_str_radix(number, 36).ok()?;
        let is_ours = run == base_36(self.run) && base_36(number) == id[run.len() + 1..];
        let story = self.story(number).filter(|_| is_ours)?;
        Some(StoryView::of(&story, self.id(number)))
    }

    fn story(&self, number: u64) -> Option<Arc<Story>> {
        let story = self.place(number).clone();
        story.filter(|story| story.number == number)
    }

    fn place(&self, number: u64) -> std::sync::MutexGuard<'_, Option<Arc<Story>>> {
        let place = (number % self.kept.len() as u64) as usize;
        let place = self.kept[place].lock();
        place.unwrap_or_else(PoisonError::into_inner)
    }

    fn id(&self, number: u64) -> String {
        format!("{}-{}", base_36(self.run), base_36(number))
    }
}

/// An id as a header field's value.
pub(crate) fn value(id: &str) -> HeaderValue {
    // Letters, digits and a dash.
    HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static(""))
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
