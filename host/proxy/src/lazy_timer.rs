//! A timer that is set far more often than it fires.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer whose deadline is moved on every request at no cost: the runtime's timer is armed once and, when it fires early, armed
/// again for the rest. Only a deadline moved *nearer* resets it at once.
///
/// It belongs to one task: the task that polls it last is the one that is woken.
#[derive(Debug, Default)]
pub struct LazyTimer {
    /// When to fire; `None` while it is not set.
    at: Option<Instant>,
    /// The timer, armed for `at` or earlier.
    timer: Option<Pin<Box<Sleep>>>,
    /// Which task it wakes; `None` while no task is registered.
    wakes: Option<Waker>,
}

impl LazyTimer {
    /// Fires at `at` and forgets any deadline set before.
    pub fn set(&mut self, at: Instant) {
        self.at = Some(at);
        if let Some(timer) = self.timer.as_mut().filter(|timer| timer.deadline() > at) {
            timer.as_mut().reset(at);
            self.wakes = None;
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
    #[inline]
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        if let (Some(timer), Some(wakes)) = (&self.timer, &self.wakes)
            && wakes.will_wake(context.waker())
            && !timer.is_elapsed()
        {
            return Poll::Pending;
        }
        self.poll_timer(at, context)
    }

    /// The same where the task has to be registered, or the timer has fired.
    fn poll_timer(&mut self, at: Instant, context: &mut Context<'_>) -> Poll<()> {
        self.wakes = None;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        // Unconstrained: for a task that has used up its budget, the timer would be pending and not register it.
        while Pin::new(&mut unconstrained(timer.as_mut()))
            .poll(context)
            .is_ready()
        {
            if timer.deadline() >= at {
                self.at = None;
                self.timer = None;
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
        self.wakes = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::time::Duration;

    use tokio::task::coop::{consume_budget, has_budget_remaining};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_deadline_moved_away_fires_at_the_later_time() {
        let start = Instant::now();
        let mut deadline = LazyTimer::default();
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
        let mut deadline = LazyTimer::default();
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
    async fn the_task_that_polls_last_is_woken_also_of_a_deadline_that_came_nearer() {
        let start = Instant::now();
        let mut deadline = LazyTimer::default();
        let pending = |deadline: &mut LazyTimer| {
            let mut context = Context::from_waker(Waker::noop());
            assert!(deadline.poll(&mut context).is_pending());
        };
        deadline.set(start + 60 * SECOND);
        pending(&mut deadline);
        pending(&mut deadline);
        let polled = tokio::spawn(async move {
            assert!(
                poll_fn(|context| Poll::Ready(deadline.poll(context)))
                    .await
                    .is_pending()
            );
            deadline.set(start + 2 * SECOND);
            assert!(
                poll_fn(|context| Poll::Ready(deadline.poll(context)))
                    .await
                    .is_pending()
            );
            // Moved away, and so the timer fires in vain first.
            deadline.set(start + 3 * SECOND);
            poll_fn(|context| deadline.poll(context)).await;
        });
        polled.await.unwrap();
        assert_eq!(start.elapsed(), 3 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_fires_for_a_task_that_had_used_up_its_budget() {
        let start = Instant::now();
        let mut deadline = LazyTimer::default();
        deadline.set(start + SECOND);
        poll_fn(|context| {
            while has_budget_remaining() {
                let _ = pin!(consume_budget()).poll(context);
            }
            deadline.poll(context)
        })
        .await;
        assert_eq!(start.elapsed(), SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cleared_deadline_never_fires() {
        let mut deadline = LazyTimer::default();
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
