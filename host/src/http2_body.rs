//! Bodies by HTTP/2, as the h2 crate has them, for both roles.

use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use equipoise_http::http1::{Sender, TrailerVerdict, trailer};
use equipoise_http::{Fields, Violation};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::proxy::Piece;

/// A body on its way in. Its sender may send on as far as what came has been taken.
#[derive(Debug)]
pub(crate) struct Incoming {
    stream: RecvStream,
    from: Sender,
    /// What came last and is not taken yet.
    data: Bytes,
    has_data_ended: bool,
    trailers: Fields,
}

/// Why a body does not come to its end.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The stream or its connection broke.
    Http2(h2::Error),
    /// Its trailers must not pass.
    Violation(Violation),
}

impl Incoming {
    pub(crate) fn new(stream: RecvStream, from: Sender) -> Self {
        Self {
            stream,
            from,
            data: Bytes::new(),
            has_data_ended: false,
            trailers: Fields::default(),
        }
    }

    /// Whether nothing will come.
    pub(crate) fn is_over(&self) -> bool {
        self.data.is_empty() && self.stream.is_end_stream()
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Piece, Broken>> {
        while !self.has_data_ended {
            if !self.data.is_empty() {
                return Poll::Ready(Ok(Piece::Data));
            }
            match ready!(self.stream.poll_data(context)) {
                None => {
                    self.has_data_ended = true;
                    let trailers = ready!(self.stream.poll_trailers(context));
                    return self.judge(trailers);
                }
                Some(data) => self.data = data.map_err(Broken::Http2)?,
            }
        }
        if self.stream.is_end_stream() {
            return Poll::Ready(Ok(Piece::End));
        }
        let trailers = ready!(self.stream.poll_trailers(context));
        self.judge(trailers)
    }

    /// Holds trailers to the rules that they have in any version.
    fn judge(
        &mut self,
        trailers: Result<Option<HeaderMap>, h2::Error>,
    ) -> Poll<Result<Piece, Broken>> {
        let Some(trailers) = trailers.map_err(Broken::Http2)? else {
            return Poll::Ready(Ok(Piece::End));
        };
        for (name, value) in &trailers {
            let name = name.as_str().as_bytes();
            match trailer(name, self.from) {
                TrailerVerdict::LeftOut => {}
                TrailerVerdict::Refused => {
                    return Poll::Ready(Err(Broken::Violation(Violation::Trailer)));
                }
                TrailerVerdict::Passed => {
                    let pushed = self.trailers.push(name, value.as_bytes());
                    pushed.map_err(Broken::Violation)?;
                }
            }
        }
        Poll::Ready(Ok(match self.trailers.is_empty() {
            true => Piece::End,
            false => Piece::Trailers,
        }))
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.data
    }

    /// So many bytes are taken; their sender may send as many more.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.data.advance(bytes);
        // Fails only for more than was received.
        let _ = self.stream.flow_control().release_capacity(bytes);
    }

    pub(crate) fn trailers(&self) -> &Fields {
        &self.trailers
    }
}

/// A body on its way out. The last piece waits for the next, or for the end, which can be said with it.
#[derive(Debug)]
pub(crate) struct Outgoing {
    stream: SendStream<Bytes>,
    waiting: Bytes,
}

impl Outgoing {
    pub(crate) fn new(stream: SendStream<Bytes>) -> Self {
        Self {
            stream,
            waiting: Bytes::new(),
        }
    }

    /// Takes as much as there is room for; at least a byte.
    pub(crate) fn poll_payload(
        &mut self,
        context: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<Result<usize, h2::Error>> {
        self.flush()?;
        self.stream.reserve_capacity(payload.len());
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(context)) {
                Some(room) => room?,
                None => return Poll::Ready(Err(Reason::STREAM_CLOSED.into())),
            };
        }
        let taken = self.stream.capacity().min(payload.len());
        self.waiting = Bytes::copy_from_slice(&payload[..taken]);
        Poll::Ready(Ok(taken))
    }

    /// Hands over what waits.
    pub(crate) fn flush(&mut self) -> Result<(), h2::Error> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.stream
            .send_data(std::mem::take(&mut self.waiting), false)
    }

    /// The end, with trailers if there are some.
    pub(crate) fn end(&mut self, trailers: Option<&Fields>) -> Result<(), h2::Error> {
        match trailers.filter(|trailers| !trailers.is_empty()) {
            None => self
                .stream
                .send_data(std::mem::take(&mut self.waiting), true),
            Some(trailers) => {
                self.flush()?;
                self.stream.send_trailers(map_of(trailers))
            }
        }
    }

    /// The end, before everything was sent.
    pub(crate) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Ready when the other side wants no more.
    pub(crate) fn poll_reset(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Reason, h2::Error>> {
        self.stream.poll_reset(context)
    }
}

/// Fields as h2 takes them; a name or value that it does not take is left out.
pub(crate) fn map_of(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for field in fields.iter() {
        append(&mut map, field.name, field.value);
    }
    map
}

/// Adds a field, if h2 takes it.
pub(crate) fn append(map: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        map.append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http::Request;
    use tokio::io::duplex;
    use tokio::task::yield_now;

    use super::*;

    /// What h2 lets a sender send before the receiver has taken some, in bytes.
    const WINDOW: usize = 65_535;

    /// Both ends of a stream, and what must be kept for it.
    async fn stream() -> (SendStream<Bytes>, RecvStream, impl Sized) {
        let (near, far) = duplex(1 << 20);
        let shaking = tokio::join!(h2::client::handshake(near), h2::server::handshake(far));
        let ((mut client, connection), mut server) = (shaking.0.unwrap(), shaking.1.unwrap());
        tokio::spawn(connection);
        let request = Request::post("http://a/").body(()).unwrap();
        let (response, sending) = client.send_request(request, false).unwrap();
        let (request, respond) = server.accept().await.unwrap().unwrap();
        tokio::spawn(async move { while server.accept().await.is_some() {} });
        (sending, request.into_body(), (client, response, respond))
    }

    async fn next(incoming: &mut Incoming) -> Result<Piece, Broken> {
        poll_fn(|context| incoming.poll(context)).await
    }

    /// The names of what comes behind a body, if its sender ends it with these.
    async fn trailers(names: &[&'static str], from: Sender) -> Result<Vec<String>, Broken> {
        let (mut sending, receiving, _kept) = stream().await;
        let mut map = HeaderMap::new();
        for name in names {
            map.append(*name, HeaderValue::from_static("1"));
        }
        sending.send_trailers(map).unwrap();
        let mut incoming = Incoming::new(receiving, from);
        let piece = next(&mut incoming).await?;
        if piece == Piece::Trailers {
            assert_eq!(next(&mut incoming).await.unwrap(), Piece::End);
        }
        let came = incoming.trailers().iter();
        let came: Vec<_> = came
            .map(|it| String::from_utf8_lossy(it.name).into_owned())
            .collect();
        assert_eq!(piece == Piece::Trailers, !came.is_empty());
        Ok(came)
    }

    #[tokio::test]
    async fn a_body_comes_piece_by_piece_and_then_its_trailers() {
        let (sending, receiving, _kept) = stream().await;
        let mut outgoing = Outgoing::new(sending);
        let mut incoming = Incoming::new(receiving, Sender::Client);
        for text in ["first", "second"] {
            let taken = poll_fn(|context| outgoing.poll_payload(context, text.as_bytes())).await;
            assert_eq!(taken.unwrap(), text.len());
            outgoing.flush().unwrap();
            assert_eq!(next(&mut incoming).await.unwrap(), Piece::Data);
            incoming.consume(2);
            assert_eq!(next(&mut incoming).await.unwrap(), Piece::Data);
            assert_eq!(incoming.payload(), &text.as_bytes()[2..]);
            incoming.consume(text.len() - 2);
            assert!(!incoming.is_over());
        }
        let mut fields = Fields::default();
        fields.push(b"x-sum", b"7").unwrap();
        outgoing.end(Some(&fields)).unwrap();
        assert_eq!(next(&mut incoming).await.unwrap(), Piece::Trailers);
        assert_eq!(incoming.trailers().get("x-sum"), Some(&b"7"[..]));
        for _ in 0..2 {
            assert_eq!(next(&mut incoming).await.unwrap(), Piece::End);
            assert!(incoming.is_over());
        }
    }

    #[tokio::test]
    async fn what_waits_for_more_goes_out_with_the_end() {
        let (sending, receiving, _kept) = stream().await;
        let mut outgoing = Outgoing::new(sending);
        let mut incoming = Incoming::new(receiving, Sender::Client);
        let taken = poll_fn(|context| outgoing.poll_payload(context, b"all")).await;
        assert_eq!(taken.unwrap(), 3);
        outgoing.end(None).unwrap();
        assert_eq!(next(&mut incoming).await.unwrap(), Piece::Data);
        assert_eq!(incoming.payload(), b"all");
        incoming.consume(3);
        assert!(incoming.is_over());
        assert_eq!(next(&mut incoming).await.unwrap(), Piece::End);
    }

    #[tokio::test]
    async fn trailers_pass_or_not_as_by_http1() {
        for name in ["x-sum", "grpc-status", "server-timing"] {
            for from in [Sender::Client, Sender::Member] {
                assert_eq!(trailers(&[name], from).await.unwrap(), [name]);
            }
        }
        for name in [
            "set-cookie",
            "x-forwarded-for",
            "client-cert",
            "host",
            "via",
        ] {
            let refused = trailers(&["x-sum", name], Sender::Client).await;
            let refused = matches!(refused, Err(Broken::Violation(Violation::Trailer)));
            assert!(refused, "{name}");
            let left = trailers(&["x-sum", name], Sender::Member).await.unwrap();
            assert_eq!(left, ["x-sum"], "{name}");
            let left = trailers(&[name], Sender::Member).await.unwrap();
            assert!(left.is_empty(), "{name}");
        }
        for from in [Sender::Client, Sender::Member] {
            for name in ["content-length", "trailer"] {
                let refused = trailers(&[name], from).await;
                let refused = matches!(refused, Err(Broken::Violation(Violation::Trailer)));
                assert!(refused, "{name} {from:?}");
            }
        }
    }

    #[tokio::test]
    async fn no_more_is_taken_than_the_other_side_has_room_for() {
        let (sending, receiving, _kept) = stream().await;
        let mut outgoing = Outgoing::new(sending);
        let mut incoming = Incoming::new(receiving, Sender::Client);
        let body = vec![b'x'; 2 * WINDOW];
        let (mut sent, mut taken) = (0, 0);
        let mut hand_over = async |sent: &mut usize| {
            for _ in 0..100 {
                let poll = |context: &mut Context<'_>| {
                    Poll::Ready(outgoing.poll_payload(context, &body[*sent..]))
                };
                if let Poll::Ready(more) = poll_fn(poll).await {
                    *sent += more.unwrap();
                    outgoing.flush().unwrap();
                }
                yield_now().await;
            }
        };
        hand_over(&mut sent).await;
        assert_eq!(sent, WINDOW);
        while taken < WINDOW {
            assert_eq!(next(&mut incoming).await.unwrap(), Piece::Data);
            taken += incoming.payload().len();
            incoming.consume(incoming.payload().len());
        }
        hand_over(&mut sent).await;
        assert_eq!(sent, 2 * WINDOW);
    }

    #[tokio::test]
    async fn a_body_that_is_reset_breaks_off_with_the_reason() {
        let (sending, receiving, _kept) = stream().await;
        let mut incoming = Incoming::new(receiving, Sender::Client);
        Outgoing::new(sending).reset(Reason::CANCEL);
        match next(&mut incoming).await {
            Err(Broken::Http2(error)) => assert_eq!(error.reason(), Some(Reason::CANCEL)),
            other => panic!("{other:?}"),
        }
    }
}
