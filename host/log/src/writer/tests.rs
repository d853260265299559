use std::collections::VecDeque;

use super::*;

const CAPACITY: usize = 1000;
const PATIENCE: Duration = Duration::from_secs(20);

/// What a write comes to: so many bytes, or an error.
type Attempt = Result<usize, ErrorKind>;

/// A sink that does as it is told.
#[derive(Debug, Clone, Default)]
struct Sink(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    /// No write returns while this is so.
    is_stalled: bool,
    /// What the next writes come to. Then they take everything.
    next: VecDeque<Attempt>,
    written: Vec<u8>,
    longest: usize,
    calls: usize,
}

impl Sink {
    fn that(change: impl FnOnce(&mut State)) -> Self {
        let sink = Self::default();
        sink.change(change);
        sink
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    /// Waits until this is so.
    fn wait(&self, is_so: impl Fn(&State) -> bool) {
        let state = self.0.0.lock().unwrap();
        let waited = self
            .0
            .1
            .wait_timeout_while(state, PATIENCE, |state| !is_so(state));
        assert!(!waited.unwrap().1.timed_out());
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().unwrap().written.clone()).unwrap()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.change(|state| state.calls += 1);
        let state = self.0.0.lock().unwrap();
        let mut state = self
            .0
            .1
            .wait_while(state, |state| state.is_stalled)
            .unwrap();
        let count = state.next.pop_front().unwrap_or(Ok(bytes.len()))?;
        state.written.extend_from_slice(&bytes[..count]);
        state.longest = state.longest.max(bytes.len());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer to this sink, and what it loses.
fn writer(sink: &Sink, capacity: usize) -> (Writer, &'static Losses) {
    let losses = Box::leak(Box::new(Losses::of("test")));
    let writer = Writer::start("test", sink.clone(), capacity, losses).unwrap();
    (writer, losses)
}

fn flush(writer: &Writer) {
    writer.flush(Instant::now() + PATIENCE);
}

fn lost(losses: &Losses) -> (u64, u64) {
    (losses.full.get(), losses.failed.get())
}

#[test]
fn lines_are_written_in_order_and_whole() {
    let sink = Sink::that(|state| state.is_stalled = true);
    let (writer, losses) = writer(&sink, 1024 * 1024);
    let lines: Vec<_> = (0..5_000).map(|number| format!("line {number}")).collect();
    for line in &lines {
        writer.write(line);
    }
    sink.change(|state| state.is_stalled = false);
    flush(&writer);
    assert_eq!(sink.text(), lines.join("\n") + "\n");
    assert!(sink.0.0.lock().unwrap().longest <= MAX_WRITE);
    assert_eq!(lost(losses), (0, 0));
}

/// Goal: who writes never waits, whatever becomes of the sink, and what waits is bounded in bytes. Method: a sink that takes
/// nothing, lines of different lengths, and more of them than fit.
#[test]
fn a_stalled_sink_costs_lines_but_neither_time_nor_memory() {
    for length in [1, 100, 999] {
        let sink = Sink::that(|state| state.is_stalled = true);
        let (writer, losses) = writer(&sink, CAPACITY);
        let line = "x".repeat(length);
        writer.write("first");
        // The thread has it in hand, so that the queue is empty.
        sink.wait(|state| state.calls > 0);
        for _ in 0..5_000 {
            writer.write(&line);
        }
        let fitting = CAPACITY / (length + 1);
        {
            let queue = writer.0.lock();
            assert_eq!(queue.lines.len(), fitting * (length + 1));
            assert!(queue.lines.capacity() <= 2 * CAPACITY);
        }
        assert_eq!(lost(losses), (5_000 - fitting as u64, 0));
        sink.change(|state| state.is_stalled = false);
        flush(&writer);
        let written = format!("first\n{}", format!("{line}\n").repeat(fitting));
        assert_eq!(sink.text(), written);
    }
}

#[test]
fn a_line_that_can_never_fit_is_dropped() {
    let sink = Sink::default();
    let (writer, losses) = writer(&sink, CAPACITY);
    writer.write(&"x\n".repeat(CAPACITY));
    writer.write("fits");
    flush(&writer);
    assert_eq!(sink.text(), "fits\n");
    assert_eq!(lost(losses), (CAPACITY as u64 + 1, 0));
}

#[test]
fn what_was_lost_is_told_once_the_sink_can_be_written() {
    let sink = Sink::that(|state| state.is_stalled = true);
    let (writer, losses) = writer(&sink, CAPACITY);
    writer.write("first");
    sink.wait(|state| state.calls > 0);
    for _ in 0..3 {
        writer.write(&"x".repeat(600));
    }
    assert_eq!(lost(losses), (2, 0));
    assert_eq!(writer.0.lock().reported, 0);
    sink.change(|state| state.is_stalled = false);
    // The thread has told it before it takes what comes now.
    flush(&writer);
    writer.write("last");
    flush(&writer);
    assert_eq!(writer.0.lock().reported, 2);
}

/// As a disk that is full, and then is not.
#[test]
fn failed_writes_are_counted_and_later_ones_succeed() {
    for error in [
        ErrorKind::StorageFull,
        ErrorKind::BrokenPipe,
        ErrorKind::Other,
    ] {
        let sink = Sink::that(|state| state.next = [Err(error), Err(error)].into());
        let (writer, losses) = writer(&sink, CAPACITY);
        for line in ["one", "two\nthree", "four"] {
            writer.write(line);
            flush(&writer);
        }
        assert_eq!(lost(losses), (0, 3));
        assert_eq!(sink.text(), "four\n");
    }
}

#[test]
fn a_line_that_is_torn_by_a_failure_does_not_swallow_the_next() {
    let full = Err(ErrorKind::StorageFull);
    // Lines are written one by one: as many bytes as there are results for, or the rest.
    let table: [(&[Attempt], &str, u64); 5] = [
        (&[Ok(2), full], "on\ntwo\n", 1),
        (&[Ok(2), full, full], "on\nthree\n", 2),
        (&[Ok(2), Ok(2), Ok(1)], "one\ntwo\n", 0),
        (&[Ok(0)], "two\n", 1),
        (
            &[Err(ErrorKind::Interrupted), Err(ErrorKind::WouldBlock)],
            "one\ntwo\n",
            0,
        ),
    ];
    for (results, text, failed) in table {
        let sink = Sink::that(|state| state.next = results.iter().copied().collect());
        let (writer, losses) = writer(&sink, CAPACITY);
        writer.write("one");
        flush(&writer);
        writer.write("two");
        flush(&writer);
        if failed == 2 {
            writer.write("three");
            flush(&writer);
        }
        assert_eq!(sink.text(), text, "{results:?}");
        assert_eq!(lost(losses), (0, failed), "{results:?}");
    }
}

#[test]
fn the_end_does_not_wait_for_a_stalled_sink_and_counts_what_it_leaves() {
    let sink = Sink::that(|state| state.is_stalled = true);
    let (writer, losses) = writer(&sink, CAPACITY);
    writer.write("one\ntwo");
    writer.write("three");
    writer.flush(Instant::now() + Duration::from_millis(10));
    assert_eq!(lost(losses), (3, 0));
    writer.report_at_end();
    assert_eq!(writer.0.lock().reported, 3);
}

#[test]
fn as_many_whole_lines_as_fit_are_written_at_once() {
    let long = "x".repeat(MAX_WRITE + 10) + "\n";
    let exact = "x".repeat(MAX_WRITE - 1) + "\n";
    for (lines, length) in [
        ("a\nb\n".to_owned(), 4),
        (format!("{exact}a\n"), MAX_WRITE),
        (format!("a\n{exact}"), 2),
        (format!("{long}a\n"), long.len()),
        (format!("a\nb\n{long}"), 4),
    ] {
        assert_eq!(length_of_write(lines.as_bytes()), length);
    }
}
