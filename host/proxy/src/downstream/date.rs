//! The time as answers tell it.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use equipoise_http::{Edit, Fields, Known};
use rustix::time::{ClockId, clock_gettime};

thread_local! {
    /// What was told last, and when that was, in seconds since 1970.
    static LAST: RefCell<(u64, Fields)> = RefCell::default();
}

/// Adds `Date` (RFC 9110, 5.6.7), which is written once a second.
pub(super) fn add_date(edit: &mut Edit) {
    let seconds = clock_gettime(ClockId::Realtime).tv_sec;
    let seconds = u64::try_from(seconds).unwrap_or(0);
    LAST.with_borrow_mut(|(at, field)| {
        if *at != seconds || field.is_empty() {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            field.clear();
            // A name that is known, and text.
            let _ = field.push(
                Known::Date.name().as_bytes(),
                httpdate::fmt_http_date(now).as_bytes(),
            );
            *at = seconds;
        }
        edit.add_all(field);
    });
}
