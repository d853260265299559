//! How long a client may take to take what it is sent.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::config::Limits;
use crate::deadline::Deadline;
use crate::rate::Rate;

/// Times the writes to a client: one that takes nothing for `client-timeout`, or less than `client-rate` on average, is cut
/// off with an [`io::ErrorKind::TimedOut`] error. A write that succeeds at once costs nothing, not even a look at the clock.
pub(super) struct Patience {
    limits: Arc<Limits>,
    deadline: Deadline,
    rate: Rate,
    /// What was written since the stream was last flushed, in bytes.
    unflushed: usize,
}

impl Patience {
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        Self {
            rate: Rate::new(limits.client_rate),
            limits,
            deadline: Deadline::default(),
            unflushed: 0,
        }
    }

    /// Forgets how slow the client was with the answers up to now.
    pub(super) fn renew(&mut self) {
        self.rate = Rate::new(self.limits.client_rate);
    }

    /// What becomes of a write.
    pub(super) fn write(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.unflushed = self.unflushed.saturating_add(bytes);
        }
        let taken = match written {
            Poll::Ready(Ok(bytes)) => bytes,
            _ => 0,
        };
        self.timed(context, written, taken)
    }

    /// What becomes of a flush, or of the end of the stream.
    pub(super) fn flush(
        &mut self,
        context: &mut Context<'_>,
        flushed: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        let taken = if flushed.is_ready() {
            std::mem::take(&mut self.unflushed)
        } else {
            0
        };
        self.timed(context, flushed, taken)
    }

    fn timed<T>(
        &mut self,
        context: &mut Context<'_>,
        done: Poll<io::Result<T>>,
        taken: usize,
    ) -> Poll<io::Result<T>> {
        if done.is_ready() {
            if self.rate.is_waiting() {
                self.rate.pass(taken, Instant::now());
                self.deadline.clear();
            }
            return done;
        }
        if !self.rate.is_waiting() {
            let now = Instant::now();
            self.rate.wait(now);
            let stalled = now + self.limits.client_timeout;
            let too_slow = self.rate.deadline().unwrap_or(stalled);
            self.deadline.set(stalled.min(too_slow));
        }
        self.deadline
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn patience() -> Patience {
        let limits = Limits {
            client_timeout: 8 * SECOND,
            client_rate: 100,
            ..Limits::default()
        };
        Patience::new(Arc::new(limits))
    }

    /// Waits so long for a write to succeed with so many bytes; says whether the client was cut off meanwhile.
    async fn waits(patience: &mut Patience, time: Duration, bytes: usize) -> bool {
        let blocked = poll_fn(|context| patience.write(context, Poll::Pending));
        if tokio::time::timeout(time, blocked).await.is_ok() {
            return true;
        }
        poll_fn(|context| patience.write(context, Poll::Ready(Ok(bytes))))
            .await
            .is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_off() {
        let mut patience = patience();
        let start = Instant::now();
        let error = poll_fn(|context| patience.write(context, Poll::Pending)).await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), 8 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_byte_now_and_then_is_cut_off() {
        let mut patience = patience();
        assert!(!waits(&mut patience, 5 * SECOND, 1).await);
        assert!(!waits(&mut patience, 4 * SECOND, 1).await);
        assert!(waits(&mut patience, 4 * SECOND, 1).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_enough_is_waited_for_again_and_again() {
        let mut patience = patience();
        for _ in 0..100 {
            assert!(!waits(&mut patience, 5 * SECOND, 500).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_before_a_flush_counts_with_it() {
        let mut patience = patience();
        for _ in 0..100 {
            let written = poll_fn(|context| patience.write(context, Poll::Ready(Ok(500)))).await;
            assert_eq!(written.unwrap(), 500);
            let blocked = poll_fn(|context| patience.flush(context, Poll::Pending));
            assert!(tokio::time::timeout(5 * SECOND, blocked).await.is_err());
            let flushed = poll_fn(|context| patience.flush(context, Poll::Ready(Ok(())))).await;
            assert!(flushed.is_ok());
        }
    }
}
