//! The `Date` of responses.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use equipoise_http::{Edit, FieldLine, Known};
use rustix::time::{ClockId, clock_gettime};

thread_local! {
    /// The line last written, and its time in seconds since 1970.
    static LAST: RefCell<Option<(u64, FieldLine)>> = const { RefCell::new(None) };
}

/// Adds `Date` (RFC 9110, 5.6.7), which is formatted once a second.
#[inline]
pub(super) fn add_date(edit: &mut Edit) {
    let seconds = clock_gettime(ClockId::Realtime).tv_sec;
    let seconds = u64::try_from(seconds).unwrap_or(0);
    LAST.with_borrow_mut(|last| match last {
        Some((at, line)) if *at == seconds => edit.add_line(line),
        last => {
            let line = date_at(seconds);
            edit.add_line(&line);
            *last = Some((seconds, line));
        }
    });
}

#[cold]
fn date_at(seconds: u64) -> FieldLine {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    FieldLine::new(Known::Date, httpdate::fmt_http_date(time).as_bytes())
}
