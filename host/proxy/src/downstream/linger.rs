//! The last moments of a client's connection.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use crate::deadline::Deadline;

/// How long and for how many bytes a client is listened to after our last word.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 1024 * 1024);

/// Throws away what a client still sends: closed at once, the kernel would answer what is yet to come with a reset, and that
/// would take our last words from the client before it has read them.
#[derive(Default)]
pub struct Linger {
    deadline: Deadline,
    /// How many bytes were thrown away since we said our last word.
    thrown_away: Option<usize>,
}

impl Linger {
    /// Whether our last word was said.
    pub fn has_begun(&self) -> bool {
        self.thrown_away.is_some()
    }

    /// Ready when the client has stopped, or has had the time to read what we said.
    pub fn poll<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        if !self.has_begun() {
            self.deadline.set(Instant::now() + LINGER.0);
        }
        let thrown_away = self.thrown_away.get_or_insert(0);
        let mut scratch = [0; 4096];
        while *thrown_away < LINGER.1 {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    *thrown_away += buffer.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.deadline.poll(context),
            }
        }
        Poll::Ready(())
    }
}
