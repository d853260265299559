//! A timer that is set far more often than it fires.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline that may be moved on every request at no cost: the timer behind it is armed once and, when it fires early,
/// armed again for the rest. Only a deadline moved *nearer* touches the timer at once.
///
/// It belongs to one task: the task that polls it last is the one that is woken.
#[derive(Debug, Default)]
pub(crate) struct Deadline {
    /// When to fire; `None` while nobody waits.
    at: Option<Instant>,
    /// The timer, armed for `at` or earlier.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Fires at `at` and forgets any deadline set before.
    pub(crate) fn set(&mut self, at: Instant) {
        self.at = Some(at);
        if let Some(timer) = self.timer.as_mut().filter(|timer| timer.deadline() > at) {
            timer.as_mut().reset(at);
        }
    }

    /// Whether a deadline is set.
    pub(crate) fn is_set(&self) -> bool {
        self.at.is_some()
    }

    /// Fires no more until it is set again.
    pub(crate) fn clear(&mut self) {
        self.at = None;
    }

    /// Ready, once, when the deadline has passed.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        loop {
            std::task::ready!(timer.as_mut().poll(context));
            if timer.deadline() >= at {
                self.at = None;
                self.timer = None;
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_deadline_moved_away_fires_at_the_later_time() {
        let start = Instant::now();
        let mut deadline = Deadline::default();
        deadline.set(start + SECOND);
        assert!(
            poll_fn(|context| Poll::Ready(deadline.poll(context)))
                .await
                .is_pending()
        );
        deadline.set(start + 5 * SECOND);
        poll_fn(|context| deadline.poll(context)).await;
        assert_eq!(start.elapsed(), 5 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_moved_nearer_fires_at_the_earlier_time() {
        let start = Instant::now();
        let mut deadline = Deadline::default();
        deadline.set(start + 60 * SECOND);
        assert!(
            poll_fn(|context| Poll::Ready(deadline.poll(context)))
                .await
                .is_pending()
        );
        deadline.set(start + SECOND);
        poll_fn(|context| deadline.poll(context)).await;
        assert_eq!(start.elapsed(), SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cleared_deadline_never_fires() {
        let mut deadline = Deadline::default();
        deadline.set(Instant::now() + SECOND);
        deadline.clear();
        assert!(!deadline.is_set());
        tokio::time::advance(2 * SECOND).await;
        assert!(
            poll_fn(|context| Poll::Ready(deadline.poll(context)))
                .await
                .is_pending()
        );
    }
}
