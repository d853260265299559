//! The time as answers tell it.

use std::cell::RefCell;
use std::time::SystemTime;

use http::HeaderValue;

thread_local! {
    /// What was told last, and when that was, in seconds since 1970.
    static LAST: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
}

/// The value of `Date` (RFC 9110, 5.6.7), written once a second.
pub(super) fn date() -> HeaderValue {
    let now = SystemTime::now();
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = seconds.map_or(0, |since| since.as_secs());
    LAST.with_borrow_mut(|(at, value)| {
        if *at != seconds
            && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(now))
        {
            (*at, *value) = (seconds, date);
        }
        value.clone()
    })
}
