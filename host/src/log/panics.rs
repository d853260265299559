//! Panics in the log: a line each, like anything else that is logged, and no more than a few a second.

use std::panic::{self, PanicHookInfo};
use std::thread;
use std::time::Instant;

use super::RateLimit;
use crate::shown;

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
    let message = shown::text(message, MAX_MESSAGE);
    format!("the thread {name} panicked at {place}: {message}")
}
