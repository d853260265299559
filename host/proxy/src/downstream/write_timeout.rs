//! The write timeout of a client's connection: `client-timeout` and `client-rate`.

use std::io;
use std::task::{Context, Poll};

use crate::progress_timeout::ProgressTimeout;
use equipoise_config::Limits;

/// Times the writes to a client: expires when it takes nothing for `client-timeout`, or less than `client-rate` on average.
pub(super) struct WriteTimeout {
    timeout: ProgressTimeout,
    /// What was written since the stream was last flushed, in bytes.
    unflushed: usize,
}

impl WriteTimeout {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            timeout: ProgressTimeout::new(limits.client_timeout, limits.client_rate),
            unflushed: 0,
        }
    }

    /// So many bytes were written.
    #[inline]
    pub(super) fn record_written(&mut self, bytes: usize) {
        if bytes > 0 {
            self.unflushed = self.unflushed.saturating_add(bytes);
            self.timeout.record_progress(bytes);
        }
    }

    /// The stream was flushed.
    #[inline]
    pub(super) fn record_flushed(&mut self) {
        self.timeout
            .record_progress(std::mem::take(&mut self.unflushed));
    }

    /// Polled while nothing can be written: ready when the client is too slow.
    pub(super) fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.timeout.poll(context)
    }

    /// Times a flush or shutdown: an [`io::ErrorKind::TimedOut`] error when the client is too slow.
    pub(super) fn flush(
        &mut self,
        context: &mut Context<'_>,
        flushed: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        if flushed.is_pending() {
            let expired = self.poll_expired(context);
            return expired.map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        self.record_flushed();
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

    fn write_timeout() -> WriteTimeout {
        let limits = Limits {
            client_timeout: 8 * SECOND,
            client_rate: 100,
            ..Limits::default()
        };
        WriteTimeout::new(&limits)
    }

    /// Waits so long for a write to succeed with so many bytes; says whether the client was cut off meanwhile.
    async fn waits(write_timeout: &mut WriteTimeout, time: Duration, bytes: usize) -> bool {
        let blocked = poll_fn(|context| write_timeout.poll_expired(context));
        if tokio::time::timeout(time, blocked).await.is_ok() {
            return true;
        }
        write_timeout.record_written(bytes);
        false
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_off() {
        let mut write_timeout = write_timeout();
        let start = Instant::now();
        let error = poll_fn(|context| write_timeout.flush(context, Poll::Pending)).await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), 8 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_byte_now_and_then_is_cut_off() {
        let mut write_timeout = write_timeout();
        assert!(!waits(&mut write_timeout, 5 * SECOND, 1).await);
        assert!(!waits(&mut write_timeout, 4 * SECOND, 1).await);
        assert!(waits(&mut write_timeout, 4 * SECOND, 1).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_enough_is_waited_for_again_and_again() {
        let mut write_timeout = write_timeout();
        for _ in 0..100 {
            assert!(!waits(&mut write_timeout, 5 * SECOND, 500).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_before_a_flush_counts_with_it() {
        let mut write_timeout = write_timeout();
        for _ in 0..100 {
            write_timeout.record_written(500);
            let blocked = poll_fn(|context| write_timeout.flush(context, Poll::Pending));
            assert!(tokio::time::timeout(5 * SECOND, blocked).await.is_err());
            let flushed =
                poll_fn(|context| write_timeout.flush(context, Poll::Ready(Ok(())))).await;
            assert!(flushed.is_ok());
        }
    }
}
