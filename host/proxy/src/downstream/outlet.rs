//! What a client is sent, timed.

use std::io;
use std::task::{Context, Poll};

use crate::patience::Patience;
use equipoise_config::Limits;

/// Times the writes to a client: one that takes nothing for `client-timeout`, or less than `client-rate` on average, is cut
/// off.
pub(super) struct Outlet {
    patience: Patience,
    /// What was written since the stream was last flushed, in bytes.
    unflushed: usize,
}

impl Outlet {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            patience: Patience::new(limits.client_timeout, limits.client_rate),
            unflushed: 0,
        }
    }

    /// So many bytes were written.
    #[inline]
    pub(super) fn note_written(&mut self, bytes: usize) {
        if bytes > 0 {
            self.unflushed = self.unflushed.saturating_add(bytes);
            self.patience.pass(bytes);
        }
    }

    /// The stream was flushed.
    #[inline]
    pub(super) fn note_flushed(&mut self) {
        self.patience.pass(std::mem::take(&mut self.unflushed));
    }

    /// Nothing can be written: ready when the client is too slow.
    pub(super) fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.patience.poll(context)
    }

    /// What becomes of a flush, or of the end of the stream; a client that is too slow is an [`io::ErrorKind::TimedOut`] error.
    pub(super) fn flush(
        &mut self,
        context: &mut Context<'_>,
        flushed: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        if flushed.is_pending() {
            let late = self.poll_late(context);
            return late.map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        self.note_flushed();
        flushed
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn outlet() -> Outlet {
        let limits = Limits {
            client_timeout: 8 * SECOND,
            client_rate: 100,
            ..Limits::default()
        };
        Outlet::new(&limits)
    }

    /// Waits so long for a write to succeed with so many bytes; says whether the client was cut off meanwhile.
    async fn waits(outlet: &mut Outlet, time: Duration, bytes: usize) -> bool {
        let blocked = poll_fn(|context| outlet.poll_late(context));
        if tokio::time::timeout(time, blocked).await.is_ok() {
            return true;
        }
        outlet.note_written(bytes);
        false
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_off() {
        let mut outlet = outlet();
        let start = Instant::now();
        let error = poll_fn(|context| outlet.flush(context, Poll::Pending)).await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), 8 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_byte_now_and_then_is_cut_off() {
        let mut outlet = outlet();
        assert!(!waits(&mut outlet, 5 * SECOND, 1).await);
        assert!(!waits(&mut outlet, 4 * SECOND, 1).await);
        assert!(waits(&mut outlet, 4 * SECOND, 1).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_enough_is_waited_for_again_and_again() {
        let mut outlet = outlet();
        for _ in 0..100 {
            assert!(!waits(&mut outlet, 5 * SECOND, 500).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_before_a_flush_counts_with_it() {
        let mut outlet = outlet();
        for _ in 0..100 {
            outlet.note_written(500);
            let blocked = poll_fn(|context| outlet.flush(context, Poll::Pending));
            assert!(tokio::time::timeout(5 * SECOND, blocked).await.is_err());
            let flushed = poll_fn(|context| outlet.flush(context, Poll::Ready(Ok(())))).await;
            assert!(flushed.is_ok());
        }
    }
}
