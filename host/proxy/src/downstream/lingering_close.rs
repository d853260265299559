//! Lingering close: discards what a client still sends, so that it can read the end of the response.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use crate::lazy_timer::LazyTimer;

/// How long a client may go on sending after the response.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// How many bytes are discarded at most.
const MAX_DISCARDED: usize = 1024 * 1024;

/// Discards what a client still sends. If the connection were closed at once, the kernel would respond to further bytes with a
/// reset, and the client could lose the end of the response before it has read it.
#[derive(Default)]
pub struct LingeringClose {
    deadline: LazyTimer,
    /// How many bytes were thrown away since we said our last word.
    discarded: Option<usize>,
}

impl LingeringClose {
    /// Whether the close has begun.
    pub fn has_begun(&self) -> bool {
        self.discarded.is_some()
    }

    /// Ready when the client has closed its side, or has had the time to read the response.
    pub fn poll<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        if !self.has_begun() {
            self.deadline.set(Instant::now() + LINGER_TIMEOUT);
        }
        let discarded = self.discarded.get_or_insert(0);
        let mut scratch = [0; 4096];
        while *discarded < MAX_DISCARDED {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    *discarded += buffer.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.deadline.poll(context),
            }
        }
        Poll::Ready(())
    }
}
