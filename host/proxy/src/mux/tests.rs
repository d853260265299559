//! A connection against itself in the other role, over sockets in memory that take as much at once as a test says.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Wake;
use std::time::Duration;

use equipoise_http::http2::{ConnectionError, ErrorCode};
use equipoise_http::{Edit, Fields, Version, Violation};
use proptest::prelude::*;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::timeout;

use super::receive_buffer::MAX_INTERIM_BYTES;
use super::*;
use crate::body_frame::BodyFrame;

/// What passes the socket of one side.
#[derive(Default)]
struct Sums {
    received: Cell<u64>,
    sent: Cell<u64>,
}

impl ByteCounter for Sums {
    fn received(&self, bytes: usize) {
        self.received.update(|sum| sum + bytes as u64);
    }

    fn sent(&self, bytes: usize) {
        self.sent.update(|sum| sum + bytes as u64);
    }
}

type Side = SharedMux<DuplexStream, Sums>;
type TestStream = Stream<DuplexStream, Sums>;

/// A connection, and what comes to the side that serves.
struct Pair {
    client: Side,
    server: Side,
    asked: UnboundedReceiver<(Head, TestStream)>,
}

/// Drives one side for as long as it lives.
async fn drive(side: Side, asked: UnboundedSender<(Head, TestStream)>) {
    let mut head = Box::<Head>::default();
    poll_fn(|context| {
        side.borrow_mut().register_owner(context);
        loop {
            let filled = side.borrow_mut().poll_fill(context);
            match filled {
                Poll::Pending => break,
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => {
                    side.borrow_mut().fail(StreamError::Closed);
                    return Poll::Ready(());
                }
            }
            if take(&side, &mut head, &asked).is_err() {
                return Poll::Ready(());
            }
        }
        let mut mux = side.borrow_mut();
        let flushed = mux.poll_flush(context);
        mux.wake_senders();
        match flushed {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    })
    .await;
}

/// Tells what has come.
fn take(
    side: &Side,
    head: &mut Box<Head>,
    asked: &UnboundedSender<(Head, TestStream)>,
) -> Result<(), ConnectionError> {
    loop {
        let event = side.borrow_mut().next(Instant::now(), head);
        match event {
            Event::More => return Ok(()),
            Event::Over(error) => return Err(error),
            Event::Request { stream, ends, .. } => {
                let code = ErrorCode::INTERNAL_ERROR;
                let key = side.borrow_mut().register(stream);
                let stream = Stream::new(side.clone(), key, ends, false, code);
                let _ = asked.send((std::mem::take(head), stream));
            }
            _ => {}
        }
    }
}

fn side(role: Role, socket: DuplexStream) -> Side {
    let options = Options {
        connection_window: 100 * 256 * 1024,
        ..Options::default()
    };
    let mux = Mux::new(role, options, socket, Sums::default(), Vec::new());
    Rc::new(RefCell::new(mux))
}

/// A connection whose sockets take so many bytes at once, both sides of which are driven.
async fn pair(room: usize) -> Pair {
    let (near, far) = duplex(room);
    let (client, server) = (side(Role::Client, near), side(Role::Server, far));
    let (told, asked) = unbounded_channel();
    spawn_local(drive(client.clone(), told.clone()));
    spawn_local(drive(server.clone(), told));
    while !client.borrow().engine.has_settings() {
        yield_now().await;
    }
    Pair {
        client,
        server,
        asked,
    }
}

/// Runs a test whose sides are tasks.
fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let bounded = async { timeout(Duration::from_secs(60), test).await };
    let done = LocalSet::new().block_on(&runtime.expect("a runtime"), bounded);
    done.expect("it comes to an end")
}

/// Asks for a path; `ends` says that there is no body.
fn ask(client: &Side, path: &str, ends: bool) -> TestStream {
    let mut head = Box::<Head>::default();
    head.begin_request(b"POST", path.as_bytes(), Version::Http2)
        .unwrap();
    head.push(b"host", b"a").unwrap();
    let mut mux = client.borrow_mut();
    let id = mux.engine.request(&head, &Edit::new(), false, None, ends);
    let id = id.expect("room for a request");
    let key = mux.register(id);
    mux.wake_owner();
    drop(mux);
    Stream::new(client.clone(), key, false, ends, ErrorCode::CANCEL)
}

/// Answers with this status.
fn respond(stream: &mut TestStream, status: u16) {
    let mut head = Box::<Head>::default();
    head.begin_response(status, "", Version::Http2).unwrap();
    let interim = status < 200;
    let said = stream.with(|engine, id| match interim {
        true => engine.interim(id, &head, &Edit::new()),
        false => engine.respond(id, &head, &Edit::new(), false),
    });
    said.expect("an open stream");
}

/// The status of the next head.
async fn status(stream: &mut TestStream) -> Result<u16, StreamError> {
    let mut head = Box::<Head>::default();
    poll_fn(|context| stream.poll_response(context, &mut head)).await?;
    Ok(head.status())
}

/// Sends pieces; `ends` goes with the last byte.
async fn send(stream: &mut TestStream, pieces: &[Vec<u8>], ends: bool) -> Result<(), StreamError> {
    for (number, piece) in pieces.iter().enumerate() {
        let (mut rest, is_last) = (&piece[..], number + 1 == pieces.len());
        while !rest.is_empty() {
            let ends = ends && is_last;
            let taken = poll_fn(|context| stream.poll_payload(context, rest, ends)).await?;
            rest = &rest[taken..];
        }
    }
    Ok(())
}

/// Reads a body to its end, taking so many bytes at once.
async fn read(stream: &mut TestStream, step: usize) -> Result<Vec<u8>, StreamError> {
    let mut body = Vec::new();
    loop {
        match poll_fn(|context| stream.poll_body(context)).await? {
            BodyFrame::Data => {
                let piece = &stream.payload()[..step.min(stream.payload().len())];
                body.extend_from_slice(piece);
                let taken = piece.len();
                stream.consume(taken);
            }
            BodyFrame::Trailers => {}
            BodyFrame::End => return Ok(body),
        }
    }
}

/// Until everything that can be done is done.
async fn settle() {
    for _ in 0..1_000 {
        yield_now().await;
    }
}

fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|at| ((at + seed) % 251) as u8).collect()
}

fn trailers(value: &[u8]) -> Fields {
    let mut trailers = Fields::default();
    trailers.push(b"x-sum", value).unwrap();
    trailers
}

/// Sizes of pieces around all bounds.
const SIZES: [usize; 7] = [1, 9, MAX_COPIED, MAX_COPIED + 1, 16_384, 70_000, 300_000];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bodies_arrive_whole_both_ways_however_they_are_cut_and_however_slowly_they_are_taken(
        up in prop::collection::vec(prop::sample::select(&SIZES[..]), 1..5),
        down in prop::collection::vec(prop::sample::select(&SIZES[..]), 1..5),
        room in prop::sample::select(&[11, 1_000, 20_000, 1 << 20][..]),
        step in prop::sample::select(&[100, 10_000, 1 << 20][..]),
        has_trailers in any::<bool>(),
    ) {
        // Bytes by hundreds of thousands, a few at a time, are not worth the while.
        let small = |sizes: Vec<usize>| sizes.into_iter().filter(|size| room > 100 || *size < 20_000);
        let pieces = |sizes| small(sizes).map(|size| pattern(size, size)).collect::<Vec<_>>();
        let (up, down) = (pieces(up), pieces(down));
        run(async {
            let mut pair = pair(room).await;
            let mut stream = ask(&pair.client, "/", false);
            let (up, down) = (&up, &down);
            let serving = async {
                let (_, mut stream) = pair.asked.recv().await.expect("a request");
                let body = read(&mut stream, step).await.expect("a whole body");
                assert!(body == up.concat());
                respond(&mut stream, 200);
                send(&mut stream, down, false).await.expect("it listens");
                let sum = trailers(b"1");
                stream.end(has_trailers.then_some(&sum)).expect("it is open");
                stream
            };
            let asking = async {
                send(&mut stream, up, true).await.expect("it listens");
                stream.end(None).expect("it is open");
                assert_eq!(status(&mut stream).await, Ok(200));
                let body = read(&mut stream, step).await.expect("a whole body");
                assert!(body == down.concat());
                assert!(stream.is_over());
                let sum = stream.trailers().get("x-sum");
                assert_eq!(sum, has_trailers.then_some(&b"1"[..]));
            };
            let (served, ()) = tokio::join!(serving, asking);
            drop(served);
            assert_eq!(pair.client.borrow().engine.open_streams(), 0);
        });
    }

    /// Streams that begin and end in any order, with bodies that tell them apart.
    #[test]
    fn places_are_used_again_and_never_mixed_up(
        order in prop::collection::vec(any::<u8>(), 1..60),
    ) {
        run(async {
            let mut pair = pair(1_000).await;
            let (mut open, mut most) = (Vec::new(), 0);
            for (number, dice) in order.into_iter().enumerate() {
                if dice % 3 > 0 || open.is_empty() {
                    let path = format!("/{number}");
                    let stream = ask(&pair.client, &path, true);
                    let (head, mut far) = pair.asked.recv().await.expect("a request");
                    assert_eq!(head.target(), path.as_bytes());
                    respond(&mut far, 200);
                    let body = [pattern(5_000, number)];
                    send(&mut far, &body, dice % 2 == 0).await.expect("it listens");
                    open.push((number, stream, far));
                    most = most.max(open.len());
                } else {
                    let index = usize::from(dice) % open.len();
                    let (number, mut stream, mut far) = open.swap_remove(index);
                    if dice % 2 == 0 {
                        // Given up in the middle.
                        continue;
                    }
                    far.end(None).expect("it is open");
                    assert_eq!(status(&mut stream).await, Ok(200));
                    assert!(read(&mut stream, 1_000).await == Ok(pattern(5_000, number)));
                }
            }
            drop(open);
            settle().await;
            for side in [&pair.client, &pair.server] {
                let mut mux = side.borrow_mut();
                assert_eq!(mux.engine.open_streams(), 0);
                assert!(mux.streams.size().0 <= most, "{:?} for {most}", mux.streams.size());
                mux.shrink();
                assert_eq!(mux.streams.size(), (0, 0));
            }
        });
    }
}

#[test]
fn a_stream_that_is_not_read_costs_itself_alone_and_its_window() {
    run(async {
        let mut pair = pair(1 << 16).await;
        let stalled = ask(&pair.client, "/stalled", true);
        let (_, mut endless) = pair.asked.recv().await.expect("a request");
        respond(&mut endless, 200);
        let sending = spawn_local(async move {
            let _ = send(&mut endless, &[pattern(10 << 20, 0)], true).await;
        });
        settle().await;
        for number in 0..20 {
            let mut stream = ask(&pair.client, "/", true);
            let (_, mut far) = pair.asked.recv().await.expect("a request");
            respond(&mut far, 200);
            let body = [pattern(100_000, number)];
            let sending = async { send(&mut far, &body, true).await };
            let (sent, read) = tokio::join!(sending, read(&mut stream, 1 << 20));
            assert_eq!((sent, read.map(|it| it.len())), (Ok(()), Ok(100_000)));
        }
        let waiting = pair
            .client
            .borrow()
            .streams
            .at(stalled.index)
            .unwrap()
            .data
            .len();
        assert_eq!(waiting, 256 * 1024, "the window, and nothing beyond it");
        assert!(!sending.is_finished());
        let queued = pair.server.borrow().engine.output().len();
        assert!(queued <= 64 * 1024, "{queued} bytes wait to be written");
        drop(stalled);
        sending.await.unwrap();
    });
}

#[test]
fn either_side_ends_a_stream_early_and_says_why() {
    run(async {
        let mut pair = pair(1_000).await;
        // Dropped by the client.
        drop(ask(&pair.client, "/", false));
        let (_, mut far) = pair.asked.recv().await.expect("a request");
        let error = poll_fn(|context| far.poll_error(context)).await;
        assert_eq!(error, StreamError::Reset(ErrorCode::CANCEL));
        // Reset by the client, for a reason of its own.
        let mut stream = ask(&pair.client, "/", false);
        let (_, mut far) = pair.asked.recv().await.expect("a request");
        stream.reset(ErrorCode::NO_ERROR);
        let body = read(&mut far, 100).await;
        assert_eq!(body, Err(StreamError::Reset(ErrorCode::NO_ERROR)));
        // Reset by the server behind a part of its answer, which stays.
        let mut stream = ask(&pair.client, "/", false);
        let (_, mut far) = pair.asked.recv().await.expect("a request");
        respond(&mut far, 200);
        send(&mut far, &[pattern(10, 0)], false).await.unwrap();
        far.reset(ErrorCode::ENHANCE_YOUR_CALM);
        settle().await;
        assert_eq!(status(&mut stream).await, Ok(200));
        let piece = poll_fn(|context| stream.poll_body(context)).await;
        assert_eq!((piece, stream.payload().len()), (Ok(BodyFrame::Data), 10));
        stream.consume(10);
        let calm = Err(StreamError::Reset(ErrorCode::ENHANCE_YOUR_CALM));
        assert_eq!(read(&mut stream, 100).await, calm);
        let sent = send(&mut stream, &[pattern(10, 0)], true).await;
        assert_eq!(sent, calm.map(|_| ()));
        // Dropped by the server, which tells what it was told to tell.
        let mut stream = ask(&pair.client, "/", false);
        let (_, mut far) = pair.asked.recv().await.expect("a request");
        far.set_reset_code(ErrorCode::REFUSED_STREAM);
        drop(far);
        let refused = Err(StreamError::Reset(ErrorCode::REFUSED_STREAM));
        assert_eq!(status(&mut stream).await, refused);
    });
}

/// It is complete, and its sender wants no more of the request (RFC 9113, 8.1).
#[test]
fn an_answer_that_is_followed_by_a_reset_is_whole() {
    run(async {
        let mut pair = pair(1_000).await;
        let mut stream = ask(&pair.client, "/", false);
        let (_, mut far) = pair.asked.recv().await.expect("a request");
        respond(&mut far, 413);
        send(&mut far, &[pattern(10, 0)], true).await.unwrap();
        far.set_reset_code(ErrorCode::NO_ERROR);
        drop(far);
        settle().await;
        assert_eq!(status(&mut stream).await, Ok(413));
        assert_eq!(read(&mut stream, 100).await, Ok(pattern(10, 0)));
    });
}

#[test]
fn a_malformed_message_is_a_fault_of_its_stream_alone() {
    run(async {
        let mut pair = pair(1_000).await;
        let mut stream = ask(&pair.client, "/", true);
        let (_, mut far) = pair.asked.recv().await.expect("a request");
        let mut other = ask(&pair.client, "/", true);
        let (_, mut far_other) = pair.asked.recv().await.expect("a request");
        let mut head = Box::<Head>::default();
        head.begin_response(200, "", Version::Http2).unwrap();
        head.push(b"content-length", b"5").unwrap();
        far.with(|engine, id| engine.respond(id, &head, &Edit::new(), true))
            .unwrap();
        let wrong = Err(StreamError::Violation(Violation::BodyLength));
        assert_eq!(status(&mut stream).await, wrong);
        respond(&mut far_other, 204);
        far_other.end(None).unwrap();
        assert_eq!(status(&mut other).await, Ok(204));
        assert_eq!(pair.client.borrow().error(), None);
    });
}

#[test]
fn an_end_of_the_connection_is_told_to_all_and_also_to_those_who_come_late() {
    run(async {
        let mut pair = pair(1_000).await;
        let mut first = ask(&pair.client, "/", false);
        let mut whole = ask(&pair.client, "/", true);
        let (_, _far) = pair.asked.recv().await.expect("a request");
        let (_, mut far) = pair.asked.recv().await.expect("a request");
        respond(&mut far, 200);
        send(&mut far, &[pattern(10, 0)], true).await.unwrap();
        settle().await;
        pair.client.borrow_mut().fail(StreamError::Closed);
        let mut late = ask(&pair.client, "/", false);
        for stream in [&mut first, &mut late] {
            assert_eq!(status(stream).await, Err(StreamError::Closed));
            let sent = send(stream, &[pattern(10, 0)], true).await;
            assert_eq!(sent, Err(StreamError::Closed));
            let error = poll_fn(|context| stream.poll_error(context)).await;
            assert_eq!(error, StreamError::Closed);
        }
        // What had come before is there.
        assert_eq!(status(&mut whole).await, Ok(200));
        assert_eq!(read(&mut whole, 100).await, Ok(pattern(10, 0)));
    });
}

#[test]
fn a_large_piece_is_written_from_where_it_is() {
    run(async {
        let mut pair = pair(1 << 20).await;
        let mut stream = ask(&pair.client, "/", false);
        let (_, _far) = pair.asked.recv().await.expect("a request");
        let before = pair.client.borrow().tally.sent.get();
        let piece = pattern(48 * 1024, 0);
        let taken = poll_fn(|context| stream.poll_payload(context, &piece, false)).await;
        assert_eq!(taken, Ok(piece.len()));
        let mux = pair.client.borrow();
        assert_eq!(mux.engine.output().len(), 0, "nothing waits");
        let written = mux.tally.sent.get() - before;
        assert_eq!(written, 48 * 1024 + 3 * 9, "with a header for each frame");
        assert!(mux.engine.capacity() < 48 * 1024);
    });
}

#[test]
fn interim_responses_that_are_not_taken_are_bounded_by_what_they_hold() {
    run(async {
        let mut pair = pair(1 << 20).await;
        let mut stream = ask(&pair.client, "/", true);
        let (_, mut far) = pair.asked.recv().await.expect("a request");
        let mut head = Box::<Head>::default();
        head.begin_response(103, "", Version::Http2).unwrap();
        head.push(b"link", &[b'l'; 30_000]).unwrap();
        for _ in 0..40 {
            far.with(|engine, id| engine.interim(id, &head, &Edit::new()))
                .unwrap();
        }
        respond(&mut far, 200);
        settle().await;
        let held: usize = {
            let mux = pair.client.borrow();
            let waiting = mux.streams.at(stream.index).unwrap().heads.iter();
            waiting.map(|head| head.head.capacity()).sum()
        };
        assert!(held <= MAX_INTERIM_BYTES, "{held} bytes");
        // Small ones are all there.
        while status(&mut stream).await != Ok(200) {}
        let mut stream = ask(&pair.client, "/", true);
        let (_, mut far) = pair.asked.recv().await.expect("a request");
        for _ in 0..60 {
            respond(&mut far, 103);
        }
        respond(&mut far, 200);
        settle().await;
        for _ in 0..60 {
            assert_eq!(status(&mut stream).await, Ok(103));
        }
        assert_eq!(status(&mut stream).await, Ok(200));
    });
}

#[test]
fn bytes_are_counted_by_stream() {
    run(async {
        let mut pair = pair(5_000).await;
        let handshake = pair.client.borrow().tally.received.get();
        let sizes = [10, 3_000, 60_000];
        let mut streams = Vec::new();
        for size in sizes {
            let mut stream = ask(&pair.client, "/", false);
            let (_, mut far) = pair.asked.recv().await.expect("a request");
            let body = [pattern(size, 0)];
            let serving = async {
                read(&mut far, 1 << 20).await.unwrap();
                respond(&mut far, 200);
                send(&mut far, &body, true).await.unwrap();
            };
            let asking = async {
                send(&mut stream, &body, true).await.unwrap();
                status(&mut stream).await.unwrap();
                read(&mut stream, 1 << 20).await.unwrap();
            };
            tokio::join!(serving, asking);
            streams.push((size, stream));
        }
        let mux = pair.client.borrow().tally.received.get() - handshake;
        let mut sum = 0;
        for (size, stream) in &streams {
            let (sent, read) = stream.byte_counts();
            let least = *size as u64 + 9;
            assert!((least..least + 200).contains(&sent), "{size}: {sent} sent");
            assert!((least..least + 200).contains(&read), "{size}: {read} read");
            sum += read;
        }
        // But for the header of a frame, if what it was read with ends there.
        assert!((mux - 100..=mux).contains(&sum), "{sum} of {mux}");
    });
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn a_stream_is_woken_only_if_it_waits_for_something() {
    run(async {
        let mut pair = pair(100_000).await;
        let mut stream = ask(&pair.client, "/", true);
        let (_, mut far) = pair.asked.recv().await.expect("a request");
        let wakes = Arc::<Wakes>::default();
        let waker = Waker::from(wakes.clone());
        let context = &mut Context::from_waker(&waker);
        let mut head = Box::<Head>::default();
        assert!(stream.poll_response(context, &mut head).is_pending());
        respond(&mut far, 200);
        for _ in 0..5 {
            send(&mut far, &[pattern(10, 0)], false).await.unwrap();
            settle().await;
        }
        assert_eq!(wakes.0.load(Relaxed), 1, "for the head");
        assert!(stream.poll_response(context, &mut head).is_ready());
        assert!(stream.poll_body(context).is_ready());
        stream.consume(50);
        assert!(stream.poll_body(context).is_pending());
        far.end(None).unwrap();
        settle().await;
        assert_eq!(wakes.0.load(Relaxed), 2, "for the end");
    });
}
