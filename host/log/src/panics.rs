//! Panics in the log: a line each, like anything else that is logged, and no more than a few a second.

use std::panic::{self, PanicHookInfo};
use std::thread;
use std::time::Instant;

use super::RateLimit;
use equipoise_text::sanitize;

/// The most that is logged of a panic's message, in characters.
const MAX_MESSAGE: usize = 512;

/// Has panics logged from now on, instead of being written to standard error by the thread that panics: it may serve, and
/// must not wait, nor panic again where the write fails.
pub(super) fn log() {
    let (started, limit) = (Instant::now(), RateLimit::default());
    panic::set_hook(Box::new(move |panic| {
        let Some(dropped) = limit.take(started.elapsed()) else {
            return;
        };
        if dropped > 0 {
            tracing::error!("{dropped} more panics were not logged");
        }
        tracing::error!("{}", describe(panic));
    }));
}

fn describe(panic: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let name = thread.name().unwrap_or("without a name");
    let place = match panic.location() {
        Some(place) => place.to_string(),
        None => "an unknown place".to_owned(),
    };
    let message = panic.payload_as_str().unwrap_or("no message");
    let message = sanitize::text(message, MAX_MESSAGE);
    format!("the thread {name} panicked at {place}: {message}")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What would be logged of a panic with this message in this thread. Other threads' are told as before.
    fn described(message: &str) -> String {
        let (this, before) = (thread::current().id(), panic::take_hook());
        let described = Arc::new(Mutex::new(String::new()));
        let heard = described.clone();
        panic::set_hook(Box::new(move |panic| {
            match thread::current().id() == this {
                true => *heard.lock().unwrap() = describe(panic),
                false => before(panic),
            }
        }));
        let panicked = panic::catch_unwind(|| panic!("{message}"));
        assert!(panicked.is_err());
        described.lock().unwrap().clone()
    }

    #[test]
    fn a_panic_is_one_bounded_line_that_names_thread_and_place() {
        let work = || described(&format!("a\nb{}", "x".repeat(10_000)));
        let thread = thread::Builder::new().name("worker-7".to_owned());
        let line = thread.spawn(work).unwrap().join().unwrap();
        let start = "the thread worker-7 panicked at host/log/src/panics.rs:";
        assert!(line.starts_with(start), "{line}");
        assert!(
            line.contains(": a\\u{a}bxxx") && line.ends_with("x…"),
            "{line}"
        );
        assert!(line.len() < 700 && !line.contains('\n'), "{line}");
    }
}
