//! A timeout that counts only the time in which this thread ran.
//!
//! The thread that makes checks does other things as well, and the machine may be busy: a response that lies there unread is not
//! late, and a request that is not sent yet has no response. So a check's time is measured in steps, and a step
//! that ends late by far does not count.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// Into how many steps a time is divided, and the shortest.
const STEPS: u32 = 8;
const MIN_STEP: Duration = Duration::from_millis(5);

/// How late a step may end and count.
const LATE_TOLERANCE: Duration = Duration::from_millis(5);

/// How many steps may not count, so that there is an end even where every step is late.
const MAX_LATE_STEPS: u32 = 16;

/// Awaits something for so long; `None` when that is over.
pub(super) async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let step = (time / STEPS).max(MIN_STEP);
    let (mut left, mut late_steps) = (time, 0);
    while !left.is_zero() {
        let (begun, step) = (Instant::now(), step.min(left));
        if let Ok(value) = timeout(step, &mut future).await {
            return Some(value);
        }
        let lasted = begun.elapsed();
        if lasted > step + LATE_TOLERANCE && late_steps < MAX_LATE_STEPS {
            late_steps += 1;
        } else {
            left = left.saturating_sub(lasted);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::task::Poll;

    use tokio::time::{advance, sleep};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Waits for a time in which this thread does nothing else.
    async fn stall(time: Duration) {
        advance(time).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_given_up_in_time() {
        for time in [SECOND / 1000, SECOND / 100, SECOND / 5, SECOND, 30 * SECOND] {
            let begun = Instant::now();
            assert_eq!(within(time, pending::<()>()).await, None);
            let lasted = begun.elapsed();
            // A timer goes by whole milliseconds, and there are 8 of them.
            let late = Duration::from_millis(9);
            assert!(
                (time..=time + late).contains(&lasted),
                "{time:?}: {lasted:?}"
            );
            let in_time = sleep(time.mul_f64(0.9));
            assert_eq!(within(time, in_time).await, Some(()), "{time:?}");
        }
    }

    /// Whenever we do not run, and for however long: the member has its time besides.
    #[tokio::test(start_paused = true)]
    async fn time_in_which_we_did_not_run_does_not_count() {
        for begins in [0, 1, 50, 100, 190] {
            for lasts in [20, 300, 5_000] {
                let [begins, lasts] = [begins, lasts].map(Duration::from_millis);
                let member = async {
                    sleep(begins).await;
                    stall(lasts).await;
                    // What comes after it has to be awaited.
                    sleep(Duration::from_millis(5)).await;
                };
                let answer = within(SECOND / 5, member).await;
                assert_eq!(answer, Some(()), "{begins:?} {lasts:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_an_end_even_if_we_are_always_late() {
        let mut turns = 0;
        let member = poll_fn(|context| {
            turns += 1;
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        let late = async {
            loop {
                stall(SECOND / 10).await;
            }
        };
        tokio::select! {
            answer = within(SECOND / 5, member) => assert_eq!(answer, None),
            () = late => {}
        }
        assert!(turns > 0);
    }
}
