//! Schedules checks: one after another for a member, jittered between members, bounded in number.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};

/// The most checks under way at once, over all members.
const MAX_CONCURRENT: usize = 256;

/// The longest wait for the first check, so that a member that is dead at the start is found soon.
const MAX_FIRST_DELAY: Duration = Duration::from_secs(1);

/// What checks of all members share, so that no more than 256 are under way at once. One that waits for its turn has not
/// begun: waiting is not the member's time.
pub(crate) fn permits() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MAX_CONCURRENT))
}

/// Makes one check after another until it is dropped, and hands over what each finds.
///
/// From the start of a check to the start of the next it is 90 to 99 % of the interval, at random: so checks of many
/// members drift apart, and the hundredth that is left absorbs late timers, so that a check starts in every interval. One
/// that takes longer than that is followed by the next at once.
pub(super) async fn repeat<T>(
    interval: Duration,
    permits: &Semaphore,
    mut check: impl AsyncFnMut() -> T,
    mut report: impl FnMut(T),
) {
    sleep(interval.min(MAX_FIRST_DELAY).mul_f64(fastrand::f64())).await;
    // It is never closed.
    while let Ok(permit) = permits.acquire().await {
        let start = Instant::now();
        let found = check().await;
        drop(permit);
        report(found);
        sleep_until(start + interval.mul_f64(0.9 + 0.09 * fastrand::f64())).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::task::LocalSet;
    use tokio::time::timeout;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// When checks start that take so long each, within a time.
    async fn starts(interval: Duration, each: Duration, time: Duration) -> Vec<Duration> {
        let (begin, starts) = (Instant::now(), RefCell::new(Vec::new()));
        let under_way = Cell::new(0);
        let check = async || {
            starts.borrow_mut().push(begin.elapsed());
            under_way.set(under_way.get() + 1);
            assert_eq!(under_way.get(), 1, "two at once");
            sleep(each).await;
            under_way.set(0);
        };
        let permits = permits();
        let endless = timeout(time, repeat(interval, &permits, check, |()| {})).await;
        assert!(endless.is_err());
        starts.into_inner()
    }

    fn gaps(starts: &[Duration]) -> Vec<Duration> {
        starts.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn checks_start_an_interval_apart_and_a_little_less() {
        for interval in [SECOND / 10, SECOND, 30 * SECOND] {
            let gaps = gaps(&starts(interval, interval / 2, 100 * interval).await);
            assert!(gaps.len() >= 98, "{gaps:?}");
            let bounds = interval.mul_f64(0.9)..=interval;
            assert!(gaps.iter().all(|gap| bounds.contains(gap)), "{gaps:?}");
            assert!(gaps.iter().any(|gap| *gap != gaps[0]), "{gaps:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_check_is_made_within_a_second_or_the_interval() {
        for (interval, within) in [(30 * SECOND, SECOND), (SECOND / 5, SECOND / 5)] {
            let mut firsts: Vec<Duration> = Vec::new();
            for _ in 0..50 {
                firsts.extend(
                    starts(interval, Duration::ZERO, SECOND + SECOND / 100)
                        .await
                        .first(),
                );
            }
            assert_eq!(firsts.len(), 50);
            // A timer goes by whole milliseconds.
            let late = within + Duration::from_millis(1);
            assert!(firsts.iter().all(|first| *first <= late), "{firsts:?}");
            assert!(firsts.iter().any(|first| *first < within / 2), "{firsts:?}");
            assert!(firsts.iter().any(|first| *first > within / 2), "{firsts:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_takes_longer_than_the_interval_delays_the_next() {
        let gaps = gaps(&starts(SECOND, 3 * SECOND, 60 * SECOND).await);
        assert!(gaps.len() >= 18, "{gaps:?}");
        let bounds = 3 * SECOND..=3 * SECOND + Duration::from_millis(1);
        assert!(gaps.iter().all(|gap| bounds.contains(gap)), "{gaps:?}");
    }

    /// The guarantee: whenever a member dies, `fails` checks have failed within interval × fails + timeout.
    #[tokio::test(start_paused = true)]
    async fn a_dead_member_is_found_within_its_time() {
        for round in 0..60_u32 {
            let (interval, fails) = (SECOND, 1 + round % 3);
            let time = if round % 2 == 0 {
                interval
            } else {
                interval / 2
            };
            let dies = 3 * SECOND + SECOND * round / 60;
            let (begin, failed) = (Instant::now(), Cell::new(0));
            // A member that dies says nothing any more: what is under way then times out, too.
            let check = async || {
                let is_well = async || {
                    sleep(SECOND / 100).await;
                    if begin.elapsed() > dies {
                        std::future::pending::<()>().await;
                    }
                };
                timeout(time, is_well()).await.is_ok()
            };
            let found = Cell::new(None);
            let report = |is_well: bool| {
                failed.set(if is_well { 0 } else { failed.get() + 1 });
                if failed.get() == fails && found.get().is_none() {
                    found.set(Some(begin.elapsed()));
                }
            };
            let permits = permits();
            let _ = timeout(20 * SECOND, repeat(interval, &permits, check, report)).await;
            let found = found.get().expect("a dead member is found");
            assert!(
                found <= dies + interval * fails + time,
                "{found:?} {dies:?} {fails}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_256_checks_are_under_way_and_all_get_their_turn() {
        let (permits, under_way, most) = (permits(), Cell::new(0), Cell::new(0));
        let done: Vec<_> = (0..600).map(|_| Cell::new(0)).collect();
        let check = async || {
            under_way.set(under_way.get() + 1);
            most.set(most.get().max(under_way.get()));
            sleep(SECOND).await;
            under_way.set(under_way.get() - 1);
        };
        let all = done.iter().map(|done| {
            let report = |()| done.set(done.get() + 1);
            repeat(SECOND, &permits, &check, report)
        });
        let mut all: Vec<_> = all.map(Box::pin).collect();
        let every = std::future::poll_fn(|context| {
            for one in &mut all {
                assert!(one.as_mut().poll(context).is_pending());
            }
            std::task::Poll::<()>::Pending
        });
        let _ = LocalSet::new().run_until(timeout(9 * SECOND, every)).await;
        assert_eq!(most.get(), MAX_CONCURRENT);
        // Three rounds of 256 make each wait for 2 s; so in 9 s each is checked three times or so.
        assert!(done.iter().all(|done| done.get() >= 2), "{done:?}");
    }
}
