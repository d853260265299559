//! Whole bodies over sockets and streams that take as much at once as a test says.

use std::cell::Cell;
use std::future::{Future as _, poll_fn};
use std::pin::pin;

use equipoise_http::Limits;
use equipoise_http::http1::{BodyEvent, RequestReader};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufWriter, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;

use super::buffer_pool::{LARGE_BUFFER, MAX_POOLED_SMALL, POOL};
use super::*;

#[derive(Default)]
struct Sums {
    received: Cell<usize>,
    sent: Cell<usize>,
}

impl ByteCounter for Sums {
    fn received(&self, bytes: usize) {
        self.received.update(|sum| sum + bytes);
    }

    fn sent(&self, bytes: usize) {
        self.sent.update(|sum| sum + bytes);
    }
}

impl Readiness for DuplexStream {
    fn poll_readable(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl<R, W> Readiness for tokio::io::Join<R, W> {
    fn poll_readable(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

fn wire<S: AsyncRead + AsyncWrite + Readiness + Unpin>(stream: S) -> Wire<S, Sums> {
    Wire::new(stream, Sums::default(), Vec::new())
}

/// A wire to another side that takes so many bytes at once.
fn pair(room: usize) -> (Wire<DuplexStream, Sums>, DuplexStream) {
    let (ours, theirs) = duplex(room);
    (wire(ours), theirs)
}

/// No two neighbouring bytes, nor neighbouring kilobytes, are the same.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// Hands all of a piece over; says how much memory waited at most.
async fn write<S: AsyncRead + AsyncWrite + Readiness + Unpin>(
    wire: &mut Wire<S, Sums>,
    mut piece: &[u8],
) -> usize {
    let mut most = 0;
    while !piece.is_empty() {
        let taken = poll_fn(|context| wire.poll_payload(context, piece)).await;
        let taken = taken.expect("room in the body");
        assert!(taken > 0);
        piece = &piece[taken..];
        most = most.max(wire.write_buffer.bytes.capacity());
    }
    most
}

/// Sends pieces as a body to another side that takes so many bytes at once: what arrives there, and how much memory
/// waited at most.
fn sent(pieces: &[&[u8]], framing: Framing, room: usize) -> (Vec<u8>, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        let (mut wire, mut theirs) = pair(room);
        let sending = async move {
            wire.write_buffer.vec().extend_from_slice(b"head;");
            wire.begin_body(framing);
            let mut most = 0;
            for piece in pieces {
                most = most.max(write(&mut wire, piece).await);
            }
            wire.end_body(None).expect("the length that was told");
            poll_fn(|context| wire.poll_flush(context)).await.unwrap();
            assert!(wire.is_body_over());
            let sums = wire.tally.sent.get();
            assert_eq!(wire.written, sums);
            (most, sums)
        };
        let mut arrived = Vec::new();
        let ((most, sums), read) = tokio::join!(sending, theirs.read_to_end(&mut arrived));
        read.unwrap();
        assert_eq!(arrived.len(), sums);
        assert_eq!(arrived.drain(..5).as_slice(), b"head;");
        (arrived, most)
    })
}

/// The payload of chunks, which have to be whole.
fn payload_of(chunks: &[u8]) -> Vec<u8> {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut reader = RequestReader::new(Limits::default());
    reader.head(head, &mut equipoise_http::Head::new());
    let (mut payload, mut at) = (Vec::new(), 0);
    loop {
        let (used, event) = reader.body(&chunks[at..], &mut Fields::default());
        match event {
            BodyEvent::Data(data) => payload.extend_from_slice(&chunks[at..][data]),
            BodyEvent::End => {
                assert_eq!(at + used, chunks.len(), "nothing is behind the last chunk");
                return payload;
            }
            event => panic!("{event:?} at {at}"),
        }
        at += used;
    }
}

/// Sizes of pieces around all bounds.
const SIZES: [usize; 8] = [
    1,
    2,
    100,
    SMALL_BUFFER - 1,
    SMALL_BUFFER,
    SMALL_BUFFER + 1,
    3 * SMALL_BUFFER,
    LARGE_BUFFER + 1,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_body_arrives_whole_however_it_is_cut_and_however_slowly_it_is_taken(
        sizes in proptest::collection::vec(proptest::sample::select(&SIZES[..]), 0..8),
        room in proptest::sample::select(&[7, 1000, SMALL_BUFFER, 1 << 20][..]),
    ) {
        let body = pattern(sizes.iter().sum());
        let (mut pieces, mut rest) = (Vec::new(), &body[..]);
        for size in sizes {
            let (piece, behind) = rest.split_at(size);
            pieces.push(piece);
            rest = behind;
        }
        for framing in [Framing::Length(body.len() as u64), Framing::Close] {
            let (arrived, most) = sent(&pieces, framing, room);
            prop_assert!(arrived == body);
            prop_assert!(most <= 4 * SMALL_BUFFER, "{} bytes wait", most);
        }
        let (arrived, most) = sent(&pieces, Framing::Chunked, room);
        prop_assert!(payload_of(&arrived) == body);
        prop_assert!(most <= 4 * SMALL_BUFFER, "{} bytes wait", most);
    }

    #[test]
    fn what_comes_is_read_whole_and_memory_is_bounded_by_what_is_not_used(
        length in 0..400_000_usize,
        room in 1..100_000_usize,
        used in 1..50_000_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            let (mut wire, mut theirs) = pair(room);
            let body = pattern(length);
            let reading = async {
                let (mut read, mut most) = (Vec::new(), 0);
                while poll_fn(|context| wire.poll_fill(context)).await.unwrap() > 0 {
                    // A buffer that has grown for what was there stays for what follows.
                    most = most.max(wire.read_buffer.len());
                    // Some of it waits, as the rest of a line does.
                    let used = used.min(wire.read_buffer.len());
                    read.extend_from_slice(&wire.read_buffer.unread()[..used]);
                    wire.read_buffer.consume(used);
                    assert!(wire.read_buffer.bytes.capacity() <= LARGE_BUFFER.max(4 * most));
                }
                read.extend_from_slice(wire.read_buffer.unread());
                assert_eq!(wire.tally.received.get(), length);
                read
            };
            let sending = async {
                theirs.write_all(&body).await.unwrap();
                theirs.shutdown().await.unwrap();
            };
            let (read, ()) = tokio::join!(reading, sending);
            assert!(read == body);
        });
    }
}

#[tokio::test]
async fn a_body_is_not_over_while_payload_of_it_is_awaited() {
    let (mut wire, mut theirs) = pair(100);
    let body = pattern(2 * SMALL_BUFFER);
    wire.begin_body(Framing::Length(body.len() as u64));
    let taken = poll_fn(|context| wire.poll_payload(context, &body)).await;
    assert_eq!(taken.unwrap(), 100);
    poll_fn(|context| wire.poll_flush(context)).await.unwrap();
    assert!(!wire.is_body_over());
    let mut arrived = vec![0; body.len()];
    let rest = &body[100..];
    let (_, read) = tokio::join!(write(&mut wire, rest), theirs.read_exact(&mut arrived));
    read.unwrap();
    assert!(wire.is_body_over());
}

#[tokio::test]
async fn more_or_less_payload_than_was_told_is_an_error_and_never_sent() {
    for size in [5, SMALL_BUFFER + 5] {
        let (mut wire, _theirs) = pair(1 << 20);
        let body = pattern(size);
        wire.begin_body(Framing::Length(size as u64 - 1));
        let taken = poll_fn(|context| wire.poll_payload(context, &body)).await;
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(wire.end_body(None), Err(WrongLength));
        assert_eq!((wire.written, wire.write_buffer.len()), (0, 0));
    }
}

#[tokio::test]
async fn the_write_buffer_is_bounded_if_the_peer_takes_nothing() {
    let (mut wire, _theirs) = pair(1);
    wire.begin_body(Framing::Chunked);
    let mut taken = 0;
    poll_fn(|context| {
        while wire.poll_payload(context, &[0; 1000]).is_ready() {
            taken += 1000;
        }
        Poll::Ready(())
    })
    .await;
    assert!(
        (SMALL_BUFFER / 2..2 * SMALL_BUFFER).contains(&taken),
        "{taken}"
    );
    assert!(wire.write_buffer.len() < 3 * SMALL_BUFFER);
}

#[tokio::test]
async fn a_stream_that_holds_back_what_is_written_is_flushed() {
    let (ours, mut theirs) = duplex(1000);
    let mut wire = wire(tokio::io::join(
        tokio::io::empty(),
        BufWriter::with_capacity(1000, ours),
    ));
    wire.begin_body(Framing::Length(4));
    write(&mut wire, b"body").await;
    poll_fn(|context| wire.poll_flush(context)).await.unwrap();
    let mut arrived = [0; 4];
    theirs.read_exact(&mut arrived).await.unwrap();
    assert_eq!(&arrived, b"body");
}

#[tokio::test]
async fn an_idle_wire_holds_no_memory_and_the_thread_has_it_for_the_next() {
    let pool = || POOL.with_borrow(|pool| pool.small.len());
    let (mut wire, mut theirs) = pair(1000);
    theirs.write_all(b"request").await.unwrap();
    poll_fn(|context| wire.poll_fill(context)).await.unwrap();
    wire.read_buffer.consume(6);
    wire.write_buffer.vec().extend_from_slice(b"response");
    let before = pool();
    wire.release();
    assert_eq!(pool(), before, "what is in use stays");
    assert_eq!(wire.read_buffer.unread(), b"t");
    wire.read_buffer.consume(1);
    poll_fn(|context| wire.poll_flush(context)).await.unwrap();
    wire.release();
    assert_eq!(pool(), before + 2);
    let held = |buffer: &Buffer| buffer.bytes.capacity();
    assert_eq!((held(&wire.read_buffer), held(&wire.write_buffer)), (0, 0));
    theirs.write_all(b"next").await.unwrap();
    poll_fn(|context| wire.poll_fill(context)).await.unwrap();
    assert_eq!(pool(), before + 1);
    drop(wire);
    assert_eq!(pool(), before + 2, "also where the connection ends within");
}

#[tokio::test]
async fn a_thread_keeps_buffers_of_two_sizes_and_not_too_many() {
    let mut odd = Buffer::default();
    odd.vec().reserve(3 * SMALL_BUFFER);
    let before = POOL.with_borrow(|pool| pool.small.len());
    odd.release();
    assert_eq!(POOL.with_borrow(|pool| pool.small.len()), before);
    let mut many: Vec<_> = (0..MAX_POOLED_SMALL + 10)
        .map(|_| Buffer::default())
        .collect();
    for buffer in &mut many {
        buffer.vec();
    }
    drop(many);
    assert_eq!(POOL.with_borrow(|pool| pool.small.len()), MAX_POOLED_SMALL);
}

#[tokio::test]
async fn a_body_that_keeps_filling_a_buffer_gets_a_large_one() {
    let (mut wire, mut theirs) = pair(LARGE_BUFFER);
    theirs.write_all(&pattern(LARGE_BUFFER)).await.unwrap();
    let read = poll_fn(|context| wire.poll_fill(context)).await.unwrap();
    assert_eq!(read, SMALL_BUFFER);
    wire.read_buffer.consume(read);
    let read = poll_fn(|context| wire.poll_fill(context)).await.unwrap();
    assert_eq!(read, LARGE_BUFFER - SMALL_BUFFER);
}

/// The two ends of a connection.
async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap());
    let (ours, accepted) = tokio::join!(connecting, listener.accept());
    (ours.unwrap(), accepted.unwrap().0)
}

#[tokio::test]
async fn a_socket_is_read_without_a_poll_as_long_as_something_may_have_come() {
    let (ours, mut theirs) = sockets().await;
    let mut buffer = Vec::with_capacity(4);
    theirs.write_all(b"request").await.unwrap();
    poll_fn(|context| ours.poll_readable(context)).await;
    for expected in [&b"requ"[..], b"est"] {
        buffer.clear();
        assert!(ours.is_readable());
        assert_eq!(ours.read_now(&mut buffer).unwrap().unwrap(), expected.len());
        assert_eq!(buffer, expected);
    }
    // There was room for more.
    assert!(!ours.is_readable());
    assert!(ours.read_now(&mut buffer).is_none());
    drop(theirs);
    poll_fn(|context| ours.poll_readable(context)).await;
    assert_eq!(ours.read_now(&mut buffer).unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_task_that_had_used_up_its_budget_is_woken_by_what_comes_on_a_watched_connection() {
    let (ours, mut theirs) = sockets().await;
    let mut wire = wire(ours);
    let mut polls = 0;
    let filling = poll_fn(|context| {
        polls += 1;
        while polls == 1 && has_budget_remaining() {
            let _ = pin!(consume_budget()).poll(context);
        }
        // Looked at twice in a row, as behind a response.
        match wire.poll_fill_watched(context) {
            Poll::Pending => wire.poll_fill_watched(context),
            filled => filled,
        }
    });
    let sending = async {
        for _ in 0..10 {
            yield_now().await;
        }
        theirs.write_all(b"request").await.unwrap();
    };
    let (filled, ()) = tokio::join!(filling, sending);
    assert_eq!(filled.unwrap(), 7);
}

#[tokio::test]
async fn a_tunnel_begins_with_what_has_come_in_any_pieces() {
    let (ours, mut theirs) = duplex(1000);
    let mut wire = Wire::new(ours, Sums::default(), b"hello ".to_vec());
    wire.write_buffer.vec().extend_from_slice(b"101;");
    theirs.write_all(b"world").await.unwrap();
    let mut read = Vec::new();
    while read.len() < 11 {
        let mut space = [0; 4];
        let mut buffer = ReadBuf::new(&mut space);
        poll_fn(|context| wire.poll_read(context, &mut buffer))
            .await
            .unwrap();
        read.extend_from_slice(buffer.filled());
    }
    assert_eq!(read, b"hello world");
    assert_eq!(wire.tally.received.get(), 11);
    let written = poll_fn(|context| wire.poll_write_raw(context, b"raw")).await;
    assert_eq!(written.unwrap(), 3);
    let mut arrived = [0; 7];
    theirs.read_exact(&mut arrived).await.unwrap();
    assert_eq!(&arrived, b"101;raw");
}
