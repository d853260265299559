use std::future::poll_fn;
use std::task::Waker;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::either::Either;

use super::*;
use crate::upstream::{Endpoint, test_endpoint};

const PACKET: usize = 8192;
const CHUNK: usize = PACKET - 6;
const WANTED: &[u8] = b"AB\0\x03\x06\x1f\xfa";
const OK: &[u8] = b"AB\0\x08\x04\0\xc8\0\0\0\0\0";
const END: &[u8] = b"AB\0\x02\x05\x01";

struct Pair {
    near: Ajp,
    far: TcpStream,
    endpoint: Endpoint,
}

async fn pair() -> Pair {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await;
    let (far, _) = listener.accept().await.unwrap();
    let stream = Either::Left(Either::Left(near.unwrap()));
    Pair {
        near: Ajp::new(stream, Arc::default(), Limits::default(), PACKET),
        far,
        endpoint: test_endpoint("ajp://127.0.0.1:1", "secret = \"s\""),
    }
}

impl Pair {
    fn begin(&mut self, framing: Framing) {
        let mut head = Head::new();
        let version = equipoise_http::Version::Http11;
        head.begin_request(b"POST", b"/", version).unwrap();
        let origin = Origin {
            client: ([127, 0, 0, 1], 1).into(),
            listener: ([127, 0, 0, 1], 2).into(),
            tls: None,
            member: &self.endpoint.config,
        };
        let begun = self.near.begin(&head, &Edit::new(), framing, &origin);
        begun.unwrap();
    }

    /// The payload of the next packet at the container.
    async fn packet(&mut self) -> Vec<u8> {
        let mut start = [0; 4];
        self.far.read_exact(&mut start).await.unwrap();
        let length = u16::from_be_bytes([start[2], start[3]]);
        let mut payload = vec![0; length.into()];
        self.far.read_exact(&mut payload).await.unwrap();
        payload
    }

    async fn flush(&mut self) {
        poll_fn(|context| self.near.poll_flush(context))
            .await
            .unwrap();
    }

    async fn head(&mut self) -> u16 {
        let mut head = Box::default();
        poll_fn(|context| self.near.poll_head(context, &mut head))
            .await
            .unwrap();
        head.status()
    }

    fn is_waiting(&mut self, payload: &[u8]) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.near.poll_payload(&mut context, payload).is_pending()
    }

    async fn send(&mut self, payload: &[u8]) -> usize {
        poll_fn(|context| self.near.poll_payload(context, payload))
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn the_first_chunk_of_a_known_length_goes_by_itself_and_others_when_asked_for() {
    let mut pair = pair().await;
    let body = vec![b'x'; 2 * CHUNK];
    pair.begin(Framing::Length(body.len() as u64));
    assert_eq!(pair.send(&body).await, CHUNK);
    assert!(pair.is_waiting(&body[CHUNK..]));
    assert_eq!(pair.packet().await[0], 2);
    assert_eq!(pair.packet().await.len(), CHUNK + 2);
    pair.far.write_all(WANTED).await.unwrap();
    assert_eq!(pair.send(&body[CHUNK..]).await, CHUNK);
    pair.near.end().unwrap();
    pair.flush().await;
    assert_eq!(pair.packet().await.len(), CHUNK + 2);
    pair.far.write_all(&[OK, END].concat()).await.unwrap();
    assert_eq!(pair.head().await, 200);
    assert!(!pair.near.is_reusable());
    let piece = poll_fn(|context| pair.near.poll_body(context)).await;
    assert_eq!(piece.unwrap(), BodyFrame::End);
    assert!(pair.near.is_reusable());
}

#[tokio::test]
async fn a_body_of_unknown_length_waits_to_be_asked_for_and_ends_with_an_empty_chunk() {
    let mut pair = pair().await;
    pair.begin(Framing::Chunked);
    assert!(pair.is_waiting(b"body"));
    assert_eq!(pair.packet().await[0], 2);
    pair.far.write_all(WANTED).await.unwrap();
    assert_eq!(pair.send(b"body").await, 4);
    pair.near.end().unwrap();
    pair.flush().await;
    assert_eq!(pair.packet().await, b"\0\x04body");
    pair.far.write_all(WANTED).await.unwrap();
    let asking = async {
        let mut head = Box::default();
        poll_fn(|context| pair.near.poll_head(context, &mut head))
            .await
            .unwrap();
    };
    let answering = async {
        let mut start = [0; 4];
        pair.far.read_exact(&mut start).await.unwrap();
        assert_eq!(start, [0x12, 0x34, 0, 0]);
        pair.far.write_all(&[OK, END].concat()).await.unwrap();
    };
    tokio::join!(asking, answering);
}

#[tokio::test]
async fn a_head_that_comes_first_ends_the_wait_and_is_kept() {
    let mut pair = pair().await;
    pair.begin(Framing::Chunked);
    let response = [OK, b"AB\0\x06\x03\0\x02hi\0", WANTED].concat();
    pair.far.write_all(&response).await.unwrap();
    let waiting = poll_fn(|context| {
        // Until it was woken by what came.
        let polled = pair.near.poll_payload(context, b"body");
        assert!(polled.is_pending());
        match pair.near.next {
            Some(Next::Head) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    });
    waiting.await;
    assert!(pair.is_waiting(b"body"));
    assert_eq!(pair.head().await, 200);
    let piece = poll_fn(|context| pair.near.poll_body(context)).await;
    assert_eq!(
        (piece.unwrap(), pair.near.payload()),
        (BodyFrame::Data, &b"hi"[..])
    );
    assert!(pair.is_waiting(b"body"), "payload is taken before");
    pair.near.consume(2);
    assert_eq!(pair.send(b"body").await, 4, "the container has asked");
}

#[tokio::test]
async fn a_connection_on_which_a_chunk_is_owed_is_not_used_again() {
    let mut pair = pair().await;
    pair.begin(Framing::Length(10));
    pair.flush().await;
    pair.far.write_all(&[OK, END].concat()).await.unwrap();
    assert_eq!(pair.head().await, 200);
    let piece = poll_fn(|context| pair.near.poll_body(context)).await;
    assert_eq!(piece.unwrap(), BodyFrame::End);
    assert!(!pair.near.is_reusable());
}

#[tokio::test]
async fn what_is_asked_for_out_of_turn_is_refused() {
    for (framing, asks) in [
        (Framing::None, 2),
        (Framing::Chunked, 2),
        (Framing::Length(9), 1),
    ] {
        let mut pair = pair().await;
        pair.begin(framing);
        pair.far.write_all(&WANTED.repeat(asks)).await.unwrap();
        let mut head = Box::default();
        let polled = poll_fn(|context| pair.near.poll_head(context, &mut head)).await;
        assert!(
            matches!(polled, Err(MemberError::Invalid(_))),
            "{framing:?}"
        );
    }
}

#[tokio::test]
async fn more_or_less_than_the_length_is_refused() {
    let mut pair = pair().await;
    pair.begin(Framing::Length(3));
    let sent = poll_fn(|context| pair.near.poll_payload(context, b"four")).await;
    assert!(matches!(sent, Err(MemberError::Io(_))));
    assert_eq!(pair.send(b"to").await, 2);
    assert!(pair.near.end().is_err());
}

#[tokio::test]
async fn a_ping_is_answered_or_the_connection_is_over() {
    for (answer, is_well) in [(&b"AB\0\x01\x09"[..], true), (OK, false), (b"", false)] {
        let Pair {
            mut near, mut far, ..
        } = pair().await;
        let answering = async move {
            let mut ping = [0; 5];
            far.read_exact(&mut ping).await.unwrap();
            assert_eq!(ping, PING);
            far.write_all(answer).await.unwrap();
            (!answer.is_empty()).then_some(far)
        };
        let (ponged, _far) = tokio::join!(near.ping(), answering);
        assert_eq!((ponged.is_ok(), near.is_reusable()), (is_well, is_well));
    }
}
