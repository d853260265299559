//! Request body: sent to a member, and buffered for retries up to `replay-buffer`.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use equipoise_http::http1::Framing;
use equipoise_http::{Head, Known};
use tokio::time::Instant;

use super::downstream::Downstream;
use crate::body_frame::BodyFrame;
use crate::error::ClientError;
use crate::error::MemberError;
use crate::progress_timeout::ProgressTimeout;
use crate::upstream::Connection;
use crate::wire::MAX_COPIED;
use equipoise_config::Limits;

/// The body of one request, whichever members it is sent to.
///
/// What was read of it is kept in memory, without its framing, while it fits into `limit` bytes and another member may still
/// have to be sent it.
pub(crate) struct RequestBody {
    framing: Framing,
    limit: usize,
    /// How many bytes of payload may still come from the client; none where there is no bound.
    left: Option<usize>,
    /// Whether the request may be tried again once a member has begun to read it.
    is_idempotent: bool,
    /// How much of what is kept was sent to the present member.
    sent: usize,
    /// Whether data was read that is kept no more.
    is_incomplete: bool,
    has_trailers: bool,
    /// Whether the client has sent all of it.
    has_ended: bool,
    /// Whether the present member was sent the end, and all of it.
    progress: Progress,
    /// Whether 100 Continue is still awaited (`ping`).
    awaits_continue: bool,
    /// Whether the member waits for us because we wait for the client.
    awaits_client: bool,
    /// When the last data went to a member.
    last_progress: Option<Instant>,
    /// Whether it has got on since that was noted.
    has_progressed: bool,
    /// How long the client may leave us waiting; none once the member has answered: client and member may then talk with
    /// each other as slowly as they like.
    timeout: Option<ProgressTimeout>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Sending,
    /// The end is on its way.
    Ended,
    /// All of it was written, or it is of no use any more.
    Done,
}

/// Which side failed while the request body was sent.
pub(crate) enum RequestBodyError {
    Client(ClientError),
    Member(MemberError),
}

impl RequestBody {
    /// The body that a request has, of which up to `limit` bytes are kept to be sent again; `None` if there is none. It may have
    /// `most` bytes.
    ///
    /// The client may stall for `client-timeout`, and has to send `client-rate` on average until the member has answered,
    /// but for gRPC, whose bodies are messages that come when they come.
    pub(crate) fn of(
        framing: Framing,
        request: &Head,
        limit: usize,
        most: Option<usize>,
        limits: &Limits,
    ) -> Option<Self> {
        if matches!(framing, Framing::None | Framing::Length(0)) {
            return None;
        }
        let rate = if is_grpc(request) {
            0
        } else {
            limits.client_rate
        };
        Some(Self {
            framing,
            limit,
            left: most,
            is_idempotent: request.method().is_idempotent(),
            sent: 0,
            is_incomplete: false,
            has_trailers: false,
            has_ended: false,
            progress: Progress::Sending,
            awaits_continue: false,
            awaits_client: false,
            last_progress: None,
            has_progressed: false,
            timeout: Some(ProgressTimeout::new(limits.client_timeout, rate)),
        })
    }

    /// Where it ends.
    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether all of it can be sent to another member.
    pub(crate) fn is_replayable(&self) -> bool {
        !self.is_incomplete
    }

    /// Whether nothing more is to be sent to the present member.
    pub(crate) fn is_done(&self) -> bool {
        self.progress == Progress::Done
    }

    /// Whether the next byte is the client's to send.
    pub(crate) fn awaits_client(&self) -> bool {
        self.awaits_client && !self.is_done()
    }

    /// Whether 100 Continue is still awaited.
    pub(crate) fn awaits_continue(&self) -> bool {
        self.awaits_continue
    }

    /// It goes to another member, from its start; once that asks for it, if it is to.
    pub(crate) fn rewind(&mut self, ping: Option<Duration>) {
        self.sent = 0;
        self.progress = Progress::Sending;
        self.awaits_continue = ping.is_some();
        self.awaits_client = false;
        self.last_progress = None;
        self.has_progressed = true;
    }

    /// The member sent 100 Continue.
    pub(crate) fn continue_received(&mut self) {
        self.awaits_continue = false;
    }

    /// Since when the member has been the one to be waited for; `None` while the client is.
    pub(crate) fn member_idle_since(&self) -> Option<Instant> {
        (!self.awaits_client()).then(|| self.last_progress.unwrap_or_else(Instant::now))
    }

    /// The response has begun: the client is no longer timed, and nothing is replayed. A member that responds instead of
    /// sending 100 gets no body.
    pub(crate) fn response_started(&mut self) {
        self.timeout = None;
        self.limit = 0;
        if self.awaits_continue {
            self.stop();
        }
    }

    /// Nothing more goes to the member.
    pub(crate) fn stop(&mut self) {
        self.progress = Progress::Done;
    }

    /// Carries on; ready when the member has all of it.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        replay: &mut Vec<u8>,
        client: &mut dyn Downstream,
        member: &mut Connection,
    ) -> Poll<Result<(), RequestBodyError>> {
        let polled = self.poll_send(context, replay, client, member);
        if std::mem::take(&mut self.has_progressed) {
            self.last_progress = Some(Instant::now());
        }
        polled
    }

    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        replay: &mut Vec<u8>,
        client: &mut dyn Downstream,
        member: &mut Connection,
    ) -> Poll<Result<(), RequestBodyError>> {
        loop {
            if self.awaits_continue {
                let flushed = member.poll_flush(context);
                return match flushed {
                    Poll::Ready(Err(fault)) => Poll::Ready(Err(RequestBodyError::Member(fault))),
                    _ => Poll::Pending,
                };
            }
            if let Some(kept) = replay.get(self.sent..).filter(|kept| !kept.is_empty()) {
                let taken = ready!(member.poll_payload(context, kept));
                self.sent += taken.map_err(RequestBodyError::Member)?;
                self.has_progressed = true;
                continue;
            }
            if !client.payload().is_empty() {
                if self.can_keep(replay, client.payload().len(), member) {
                    replay.extend_from_slice(client.payload());
                    client.consume(client.payload().len());
                    continue;
                }
                let taken = ready!(member.poll_payload(context, client.payload()));
                client.consume(taken.map_err(RequestBodyError::Member)?);
                self.discard_kept(replay);
                self.has_progressed = true;
                continue;
            }
            if self.has_ended {
                return self.poll_end(context, client, member);
            }
            self.awaits_client = true;
            match client.poll_body(context) {
                Poll::Pending => return self.poll_client_timeout(context, member),
                Poll::Ready(Ok(BodyFrame::Data)) => {
                    let bytes = client.payload().len();
                    if let Some(left) = &mut self.left {
                        let Some(rest) = left.checked_sub(bytes) else {
                            let error = ClientError::BodyTooLarge;
                            return Poll::Ready(Err(RequestBodyError::Client(error)));
                        };
                        *left = rest;
                    }
                    self.record_progress(bytes);
                }
                Poll::Ready(Ok(BodyFrame::Trailers)) => self.has_trailers = true,
                Poll::Ready(Ok(BodyFrame::End)) => {
                    self.has_ended = true;
                    self.record_progress(0);
                }
                Poll::Ready(Err(fault)) => {
                    return Poll::Ready(Err(RequestBodyError::Client(fault)));
                }
            }
        }
    }

    /// Whether a piece of so many bytes is kept before it is sent: it fits, and the member may fail in a way after which another
    /// is asked. A large piece goes from where it is instead, and is given up when the member has taken some of it; until then,
    /// it is there for another member.
    fn can_keep(&self, replay: &[u8], bytes: usize, member: &Connection) -> bool {
        let may_come_again = self.is_idempotent
            || member.speaks_http2()
            || (bytes <= MAX_COPIED && !member.has_sent());
        !self.is_incomplete && may_come_again && replay.len() + bytes <= self.limit
    }

    /// A part of the body went to the member that is not kept: nothing of it can be sent again.
    fn discard_kept(&mut self, replay: &mut Vec<u8>) {
        self.is_incomplete = true;
        replay.clear();
        self.sent = 0;
    }

    fn record_progress(&mut self, bytes: usize) {
        self.awaits_client = false;
        self.has_progressed = true;
        if let Some(timeout) = &mut self.timeout {
            timeout.record_progress(bytes);
        }
    }

    fn poll_end(
        &mut self,
        context: &mut Context<'_>,
        client: &mut dyn Downstream,
        member: &mut Connection,
    ) -> Poll<Result<(), RequestBodyError>> {
        if self.progress == Progress::Sending {
            let trailers = self.has_trailers.then(|| client.trailers());
            member.end(trailers).map_err(RequestBodyError::Member)?;
            self.progress = Progress::Ended;
        }
        if self.progress == Progress::Ended {
            ready!(member.poll_flush(context)).map_err(RequestBodyError::Member)?;
            self.progress = Progress::Done;
            self.has_progressed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing more has come: flushes to the member. Ready when the client has timed out.
    fn poll_client_timeout(
        &mut self,
        context: &mut Context<'_>,
        member: &mut Connection,
    ) -> Poll<Result<(), RequestBodyError>> {
        if let Poll::Ready(Err(fault)) = member.poll_flush(context) {
            return Poll::Ready(Err(RequestBodyError::Member(fault)));
        }
        let Some(timeout) = &mut self.timeout else {
            return Poll::Pending;
        };
        ready!(timeout.poll(context));
        Poll::Ready(Err(RequestBodyError::Client(ClientError::TimedOut)))
    }
}

fn is_grpc(request: &Head) -> bool {
    let content = request.get(Known::ContentType);
    content.is_some_and(|content| content.starts_with(b"application/grpc"))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;

    use equipoise_http::http1::RequestReader;
    use equipoise_http::{Edit, Fields};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::either::Either;

    use super::*;
    use crate::duplex::Duplex;
    use crate::upstream::{Origin, test_endpoint as endpoint};

    const SECOND: Duration = Duration::from_secs(1);

    /// The side of a client that sends a body, and to which nothing is said yet.
    struct Client {
        framing: Framing,
        /// What it has yet to send, and whether it then ends the body; otherwise it stalls.
        pieces: VecDeque<Vec<u8>>,
        ends: bool,
        now: Vec<u8>,
        trailers: Fields,
        has_said_trailers: bool,
    }

    impl Client {
        fn sending<'p>(framing: Framing, pieces: impl IntoIterator<Item = &'p [u8]>) -> Self {
            Self {
                framing,
                pieces: pieces.into_iter().map(<[u8]>::to_vec).collect(),
                ends: true,
                now: Vec::new(),
                trailers: Fields::default(),
                has_said_trailers: false,
            }
        }
    }

    impl Downstream for Client {
        fn framing(&self) -> Framing {
            self.framing
        }

        fn poll_body(&mut self, _: &mut Context<'_>) -> Poll<Result<BodyFrame, ClientError>> {
            assert!(self.now.is_empty(), "payload is taken before");
            if let Some(piece) = self.pieces.pop_front() {
                self.now = piece;
                return Poll::Ready(Ok(BodyFrame::Data));
            }
            if !self.ends {
                return Poll::Pending;
            }
            let has_said = std::mem::replace(&mut self.has_said_trailers, true);
            Poll::Ready(Ok(match self.trailers.is_empty() || has_said {
                true => BodyFrame::End,
                false => BodyFrame::Trailers,
            }))
        }

        fn payload(&self) -> &[u8] {
            &self.now
        }

        fn consume(&mut self, bytes: usize) {
            self.now.drain(..bytes);
        }

        fn trailers(&self) -> &Fields {
            &self.trailers
        }

        fn poll_closed(&mut self, _: &mut Context<'_>) -> Poll<ClientError> {
            Poll::Pending
        }

        fn interim(&mut self, _: &Head, _: &Edit) {
            unreachable!("nothing is answered")
        }

        fn begin(&mut self, _: &Head, _: &mut Edit, _: Framing) {
            unreachable!("nothing is answered")
        }

        fn poll_payload(
            &mut self,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<Result<usize, ClientError>> {
            unreachable!("nothing is answered")
        }

        fn close_after_response(&mut self) {}

        fn end(&mut self, _: Option<&Fields>) {
            unreachable!("nothing is answered")
        }

        fn abort(&mut self) {}

        fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
            Poll::Ready(Ok(()))
        }

        fn tunnel(&mut self) -> Option<&mut dyn Duplex> {
            None
        }
    }

    /// A connection to a member, and the member's side of it.
    async fn member() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (far, _) = listener.accept().await.unwrap();
        (Connection::over(Either::Left(near.unwrap())), far)
    }

    /// A connection on which nothing can be written any more.
    async fn member_that_takes_nothing() -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        near.shutdown().await.unwrap();
        Connection::over(Either::Left(near))
    }

    /// A request with a body that is kept up to `limit` bytes.
    fn request_body(client: &Client, limit: usize) -> RequestBody {
        request_body_of(b"PUT", client, limit)
    }

    fn request_body_of(method: &[u8], client: &Client, limit: usize) -> RequestBody {
        let mut head = Head::new();
        head.begin_request(method, b"/", equipoise_http::Version::Http11)
            .unwrap();
        let limits = Limits {
            client_timeout: 60 * SECOND,
            client_rate: 0,
            ..Limits::default()
        };
        RequestBody::of(client.framing, &head, limit, None, &limits).unwrap()
    }

    fn begin(connection: &mut Connection, framing: Framing) {
        let mut head = Head::new();
        head.begin_request(b"PUT", b"/", equipoise_http::Version::Http11)
            .unwrap();
        let endpoint = endpoint("http://127.0.0.1:1", "");
        let origin = Origin {
            client: ([127, 0, 0, 1], 1).into(),
            listener: ([127, 0, 0, 1], 2).into(),
            tls: None,
            member: &endpoint.config,
        };
        let begun = connection.begin(&head, &Edit::new(), framing, None, &origin);
        begun.unwrap();
    }

    /// Sends the body to a new member: what of it arrives there.
    async fn deliver(
        request: &mut RequestBody,
        replay: &mut Vec<u8>,
        client: &mut Client,
    ) -> Vec<u8> {
        let (mut connection, mut far) = member().await;
        begin(&mut connection, request.framing());
        request.rewind(None);
        let sending = async move {
            let sent = poll_fn(|context| request.poll(context, replay, client, &mut connection));
            assert!(sent.await.is_ok());
            assert!(request.is_done());
        };
        let mut arrived = Vec::new();
        let ((), read) = tokio::join!(sending, far.read_to_end(&mut arrived));
        read.unwrap();
        let head = memchr::memmem::find(&arrived, b"\r\n\r\n").unwrap() + 4;
        arrived.split_off(head)
    }

    #[tokio::test]
    async fn each_member_that_is_asked_gets_the_whole_body() {
        let large = vec![b'x'; 300_000];
        for pieces in [
            &[&b"a"[..], b"bc", b"def"][..],
            &[&large],
            &[&large, b"end"],
        ] {
            let body = pieces.concat();
            let framing = Framing::Length(body.len() as u64);
            let mut client = Client::sending(framing, pieces.iter().copied());
            let mut request = request_body(&client, 1 << 20);
            let mut replay = Vec::new();
            for _ in 0..3 {
                let arrived = deliver(&mut request, &mut replay, &mut client).await;
                assert!(arrived == body);
                assert!(request.is_replayable());
            }
        }
    }

    #[tokio::test]
    async fn trailers_go_with_the_body_to_each_member() {
        let mut client = Client::sending(Framing::Chunked, [&b"body"[..]]);
        client.trailers.push(b"X-Sum", b"7").unwrap();
        let mut request = request_body(&client, 100);
        let mut replay = Vec::new();
        for _ in 0..2 {
            let arrived = deliver(&mut request, &mut replay, &mut client).await;
            assert_eq!(arrived, b"4\r\nbody\r\n0\r\nX-Sum: 7\r\n\r\n");
        }
    }

    #[tokio::test]
    async fn what_is_larger_than_is_kept_reaches_one_member_whole_and_no_other() {
        let piece = [b'x'; 1000];
        let framing = Framing::Length(100_000);
        let mut client = Client::sending(framing, (0..100).map(|_| &piece[..]));
        let mut request = request_body(&client, 50_500);
        let mut replay = Vec::new();
        let arrived = deliver(&mut request, &mut replay, &mut client).await;
        assert_eq!(arrived.len(), 100_000);
        assert!(!request.is_replayable());
        assert!(replay.is_empty());
    }

    #[tokio::test]
    async fn a_large_piece_that_no_second_member_gets_is_not_kept() {
        let large = vec![b'x'; 300_000];
        let framing = Framing::Length(large.len() as u64);
        let mut client = Client::sending(framing, [&large[..]]);
        let mut request = request_body_of(b"POST", &client, 1 << 20);
        let mut replay = Vec::new();
        assert!(deliver(&mut request, &mut replay, &mut client).await == large);
        assert_eq!(replay.capacity(), 0);
        assert!(!request.is_replayable());
    }

    #[tokio::test]
    async fn what_a_member_takes_nothing_of_goes_to_the_next_one() {
        for body in [&b"small"[..], &[b'x'; 300_000]] {
            let framing = Framing::Length(body.len() as u64);
            let mut client = Client::sending(framing, [body]);
            let mut request = request_body_of(b"POST", &client, 1 << 20);
            let mut replay = Vec::new();
            let mut gone = member_that_takes_nothing().await;
            begin(&mut gone, framing);
            let sent =
                poll_fn(|context| request.poll(context, &mut replay, &mut client, &mut gone)).await;
            assert!(matches!(sent, Err(RequestBodyError::Member(_))));
            assert!(request.is_replayable());
            assert!(deliver(&mut request, &mut replay, &mut client).await == body);
        }
    }

    #[tokio::test]
    async fn tiny_pieces_are_kept_in_no_more_memory_than_large_ones() {
        let framing = Framing::Chunked;
        let mut client = Client::sending(framing, (0..10_000).map(|_| &b"x"[..]));
        let mut request = request_body(&client, 10_000);
        let mut replay = Vec::new();
        deliver(&mut request, &mut replay, &mut client).await;
        assert!(request.is_replayable());
        assert!(replay.capacity() <= 2 * 10_000, "{}", replay.capacity());
    }

    #[tokio::test]
    async fn a_body_with_a_go_ahead_waits_for_it() {
        let mut client = Client::sending(Framing::Length(4), [&b"body"[..]]);
        let mut request = request_body(&client, 100);
        let (mut connection, mut far) = member().await;
        begin(&mut connection, request.framing());
        request.rewind(Some(SECOND));
        let mut replay = Vec::new();
        let mut head = [0; 100];
        let polled = poll_fn(|context| {
            let polled = request.poll(context, &mut replay, &mut client, &mut connection);
            Poll::Ready(polled.is_pending())
        });
        assert!(polled.await);
        let read = far.read(&mut head).await.unwrap();
        assert!(head[..read].ends_with(b"\r\n\r\n"), "the head is sent");
        assert_eq!(client.pieces.len(), 1, "nothing of the body is read");
        request.continue_received();
        let sent =
            poll_fn(|context| request.poll(context, &mut replay, &mut client, &mut connection));
        assert!(sent.await.is_ok());
        far.read_exact(&mut head[..4]).await.unwrap();
        assert_eq!(&head[..4], b"body");
        assert!(connection.has_sent());
    }

    #[tokio::test]
    async fn a_member_that_answers_without_asking_for_the_body_gets_none() {
        let client = Client::sending(Framing::Length(4), [&b"body"[..]]);
        let mut request = request_body(&client, 100);
        request.rewind(Some(SECOND));
        request.response_started();
        assert!(request.is_done());
        request.rewind(None);
        request.response_started();
        assert!(!request.is_done(), "one that was not to ask gets the rest");
    }

    /// The one before may have been waited for, or may have waited for the client.
    #[tokio::test(start_paused = true)]
    async fn the_next_member_is_timed_from_its_own_start() {
        let mut client = Client::sending(Framing::Length(9), [&b"body"[..]]);
        client.ends = false;
        let mut request = request_body(&client, 100);
        let (mut connection, _far) = member().await;
        begin(&mut connection, request.framing());
        let mut replay = Vec::new();
        poll_fn(|context| {
            let polled = request.poll(context, &mut replay, &mut client, &mut connection);
            assert!(polled.is_pending());
            Poll::Ready(())
        })
        .await;
        assert!(request.awaits_client());
        assert_eq!(request.member_idle_since(), None);
        tokio::time::advance(5 * SECOND).await;
        request.rewind(None);
        assert!(!request.awaits_client(), "there is a part to be sent first");
        assert_eq!(request.member_idle_since(), Some(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stalls_is_given_up_until_the_member_has_answered() {
        for has_answered in [false, true] {
            let mut client = Client::sending(Framing::Length(9), [&b"body"[..]]);
            client.ends = false;
            let mut request = request_body(&client, 100);
            let (mut connection, _far) = member().await;
            begin(&mut connection, request.framing());
            if has_answered {
                request.response_started();
            }
            let mut replay = Vec::new();
            let start = Instant::now();
            let sending =
                poll_fn(|context| request.poll(context, &mut replay, &mut client, &mut connection));
            match tokio::time::timeout(1000 * SECOND, sending).await {
                Ok(Err(RequestBodyError::Client(fault))) => {
                    assert_eq!(fault, ClientError::TimedOut);
                    assert_eq!(start.elapsed(), 60 * SECOND);
                    assert!(!has_answered);
                }
                Ok(_) => panic!("neither sent nor the member's fault"),
                Err(_) => assert!(has_answered),
            }
        }
    }

    #[test]
    fn a_body_of_no_bytes_is_none() {
        let limits = Limits::default();
        let mut head = Head::new();
        let mut reader = RequestReader::new(limits.message_limits());
        reader.head(
            b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            &mut head,
        );
        assert!(RequestBody::of(reader.framing(), &head, 100, None, &limits).is_none());
        assert!(RequestBody::of(Framing::None, &head, 100, None, &limits).is_none());
    }
}
