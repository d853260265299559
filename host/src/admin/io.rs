//! The socket of an admin connection, with strict parsing and timeouts in both directions.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use equipoise_http::http1::{BodyEvent, HeadEvent, Phase, RequestReader};
use equipoise_http::{Fields, Head, Limits, Section, Violation};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::{HEAD_TIMEOUT, HEADER_SIZE, STALL_TIMEOUT};
use equipoise_proxy::downstream::LingeringClose;
use equipoise_proxy::lazy_timer::LazyTimer;
use equipoise_proxy::progress_timeout::ProgressTimeout;

/// The least that a client has to take of an answer on average, in bytes a second, after the first ten seconds.
const MIN_RATE: usize = 240;

/// BodyLimits on heads and trailers: hyper has narrower ones, and answers what is beyond them with 431.
const SECTION: Section = Section::new(2 * HEADER_SIZE as u32, 1000);

/// The stream hyper reads admin requests from and writes the answers to.
///
/// - Requests are read along by the rules for clients. A head that must not pass ends, for hyper, in a NUL, which no head may
///   contain: hyper answers 400 in its turn and closes. A body that must not pass ends in an [`io::ErrorKind::InvalidData`]
///   error.
/// - A client is cut off with an [`io::ErrorKind::TimedOut`] error that sends no whole head within [`HEAD_TIMEOUT`] of its
///   first byte (the first head: of the connection's beginning), that does nothing for [`STALL_TIMEOUT`] between requests, within a
///   body or while it should take an answer, or that takes an answer at less than [`MIN_RATE`]. hyper's own `header_read_timeout`
///   would count the time between requests as a head's, and knows of no body.
/// - A connection that is closed while the client still sends lingers for a moment, so that the client can read the answer.
pub(super) struct AdminIo<S> {
    stream: S,
    reader: RequestReader,
    /// Where `reader` puts what it reads.
    head: Head,
    trailers: Fields,
    /// Set when nothing more may be read.
    refusal: Option<Violation>,
    reading: LazyTimer,
    /// What `reading` was set for; none where the client has to be given time anew.
    awaited: Option<Phase>,
    writing: ProgressTimeout,
    lingering: LingeringClose,
}

impl<S: AsyncRead + AsyncWrite + Unpin> AdminIo<S> {
    /// A stream whose first head is awaited from now on.
    pub(super) fn new(stream: S) -> Self {
        let mut reading = LazyTimer::default();
        reading.set(Instant::now() + HEAD_TIMEOUT);
        let limits = Limits {
            head: SECTION,
            trailers: SECTION,
            ..Limits::default()
        };
        Self {
            stream,
            reader: RequestReader::new(limits),
            head: Head::new(),
            trailers: Fields::default(),
            refusal: None,
            reading,
            awaited: Some(Phase::Idle),
            writing: ProgressTimeout::new(STALL_TIMEOUT, MIN_RATE),
            lingering: LingeringClose::default(),
        }
    }

    /// Lets pass what may pass of the bytes read behind `start`.
    fn inspect(&mut self, buffer: &mut ReadBuf<'_>, start: usize) -> io::Result<()> {
        let mut at = start;
        while at < buffer.filled().len() || self.reader.phase() == Phase::Body {
            let is_body = self.reader.phase() == Phase::Body;
            let (used, more) = self.read_along(&buffer.filled()[at..]);
            if let Some(violation) = self.refusal {
                tracing::debug!(?violation, "refusing what an admin client sent");
                buffer.set_filled(at);
                if !is_body {
                    buffer.put_slice(b"\0");
                } else if at == start {
                    return Err(refused(violation));
                }
                return Ok(());
            }
            at += used;
            if more {
                break;
            }
        }
        Ok(())
    }

    /// Reads the next part of a request; tells how many bytes that were, and whether they were the last for now.
    fn read_along(&mut self, bytes: &[u8]) -> (usize, bool) {
        if self.reader.phase() != Phase::Body {
            let (used, event) = self.reader.head(bytes, &mut self.head);
            match event {
                HeadEvent::Refused(violation) => self.refusal = Some(violation),
                HeadEvent::Head | HeadEvent::Interim => self.awaited = None,
                HeadEvent::More => {}
            }
            return (used, event == HeadEvent::More);
        }
        // Time is given anew within a body, and behind it.
        self.awaited = None;
        let (used, event) = self.reader.body(bytes, &mut self.trailers);
        if let BodyEvent::Refused(violation) = event {
            self.refusal = Some(violation);
        }
        (used, event == BodyEvent::More)
    }

    /// Gives the client time for what it is to send next, unless it was given already.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let phase = self.reader.phase();
        if self.awaited != Some(phase) {
            self.awaited = Some(phase);
            if phase == Phase::Idle {
                // How slow the client was with the answers up to now is forgotten.
                self.writing = ProgressTimeout::new(STALL_TIMEOUT, MIN_RATE);
            }
            let patience = match phase {
                Phase::Head => HEAD_TIMEOUT,
                Phase::Idle | Phase::Body | Phase::Over => STALL_TIMEOUT,
            };
            self.reading.set(Instant::now() + patience);
        }
        ready!(self.reading.poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

fn refused(violation: Violation) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, violation)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for AdminIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(violation) = self.refusal {
            return Poll::Ready(Err(refused(violation)));
        }
        let start = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() > start => {
                Poll::Ready(self.inspect(buffer, start))
            }
            Poll::Pending => self.poll_patience(context),
            ended => ended,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for AdminIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(context, bytes) else {
            ready!(self.writing.poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        };
        self.writing
            .record_progress(*written.as_ref().unwrap_or(&0));
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.lingering.has_begun() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        }
        if this.reader.phase() != Phase::Idle {
            ready!(this.lingering.poll(&mut this.stream, context));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::{sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

    fn connected() -> (DuplexStream, AdminIo<DuplexStream>) {
        let (client, server) = duplex(1024);
        (client, AdminIo::new(server))
    }

    /// What passes of what a client sends that much of at a time, and how it ends.
    async fn passed(sent: &[u8], piece: usize) -> (Vec<u8>, io::ErrorKind) {
        let (mut client, mut io) = connected();
        let mut read = Vec::new();
        for piece in sent.chunks(piece) {
            client.write_all(piece).await.unwrap();
            // Room for all of it, so that it comes at once.
            read.reserve(1024);
            if let Err(error) = io.read_buf(&mut read).await {
                return (read, error.kind());
            }
        }
        let error = io.read_buf(&mut read).await.expect_err("an end");
        (read, error.kind())
    }

    /// Reads until the client is cut off; after how long that was.
    async fn cut_off(io: &mut AdminIo<DuplexStream>) -> Duration {
        let start = Instant::now();
        loop {
            if let Err(error) = io.read_u8().await {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                return start.elapsed();
            }
        }
    }

    /// Sends a byte of a head every second, for ever.
    async fn drip(client: &mut DuplexStream) {
        loop {
            client.write_all(b"A").await.unwrap();
            sleep(SECOND).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_pass_as_they_are_wherever_they_are_cut() {
        let chunks = b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n";
        let length = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n\0\r\n";
        let requests = [GET, POST, chunks, length, GET, GET].concat();
        for piece in 1..requests.len() {
            let expected = (requests.clone(), io::ErrorKind::TimedOut);
            assert_eq!(passed(&requests, piece).await, expected, "{piece}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_can_be_read_in_two_ways_never_becomes_whole() {
        for head in [
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        ] {
            for piece in 1..=head.len() {
                let sent = [GET, head.as_bytes()].concat();
                let (read, end) = passed(&sent, piece).await;
                let behind = read.strip_prefix(GET).expect("what came before passes");
                let begun = behind.strip_suffix(b"\0").expect("a NUL");
                assert!(head.as_bytes().starts_with(begun), "{piece}: {head:?}");
                assert!(begun.len() < head.len(), "{piece}: {head:?}");
                assert_eq!(end, io::ErrorKind::InvalidData, "{piece}: {head:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_malformed_body_ends_in_an_error() {
        let sent = [POST, b"1\r\na\r\nx\r\n"].concat();
        for piece in 1..=sent.len() {
            let (read, end) = passed(&sent, piece).await;
            assert!(read.starts_with(POST) && sent.starts_with(&read), "{piece}");
            assert!(read.len() < sent.len(), "{piece}");
            assert_eq!(end, io::ErrorKind::InvalidData, "{piece}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_is_not_there_in_time_is_cut_off() {
        let (_client, mut io) = connected();
        assert_eq!(cut_off(&mut io).await, HEAD_TIMEOUT);
        let (mut client, mut io) = connected();
        tokio::select! {
            () = drip(&mut client) => unreachable!(),
            time = cut_off(&mut io) => assert_eq!(time, HEAD_TIMEOUT),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn behind_an_answer_the_time_of_a_head_begins_with_its_first_byte() {
        let (mut client, mut io) = connected();
        client.write_all(GET).await.unwrap();
        io.read_exact(&mut vec![0; GET.len()]).await.unwrap();
        io.write_all(b"answer").await.unwrap();
        let later = async {
            sleep(8 * SECOND).await;
            drip(&mut client).await;
        };
        tokio::select! {
            () = later => unreachable!(),
            time = cut_off(&mut io) => assert_eq!(time, 8 * SECOND + HEAD_TIMEOUT),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_take_long_and_must_not_stall() {
        let (mut client, mut io) = connected();
        client.write_all(POST).await.unwrap();
        let slowly = async {
            for _ in 0..10 {
                sleep(STALL_TIMEOUT - SECOND).await;
                client.write_all(b"1\r\na\r\n").await.unwrap();
            }
        };
        let (time, ()) = tokio::join!(cut_off(&mut io), slowly);
        assert_eq!(time, 10 * (STALL_TIMEOUT - SECOND) + STALL_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_its_answer_too_slowly_is_cut_off() {
        for (pause, bytes) in [(3, 1), (1000, 1024)] {
            let (mut client, mut io) = connected();
            let sip = async {
                loop {
                    sleep(pause * SECOND).await;
                    client.read_exact(&mut vec![0; bytes]).await.unwrap();
                }
            };
            let error = tokio::select! {
                () = sip => unreachable!(),
                written = io.write_all(&[0; 100_000]) => written.unwrap_err(),
            };
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{bytes}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_client_still_sends_at_the_end_is_thrown_away() {
        let (mut client, mut io) = connected();
        client.write_all(POST).await.unwrap();
        io.read_exact(&mut vec![0; POST.len()]).await.unwrap();
        let sent = async {
            client.write_all(&[0; 10_000]).await.unwrap();
            drop(client);
        };
        let ends = async { tokio::join!(io.shutdown(), sent) };
        let (shut, ()) = timeout(SECOND, ends).await.expect("it is read");
        shut.unwrap();
    }
}
