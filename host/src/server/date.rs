//! The time as answers tell it.

use std::cell::RefCell;
use std::time::SystemTime;

thread_local! {
    /// What was told last, and when that was, in seconds since 1970.
    static LAST: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Does something with the value of `Date` (RFC 9110, 5.6.7), which is written once a second.
pub(super) fn date<T>(tell: impl FnOnce(&[u8]) -> T) -> T {
    let now = SystemTime::now();
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = seconds.map_or(0, |since| since.as_secs());
    LAST.with_borrow_mut(|(at, value)| {
        if *at != seconds || value.is_empty() {
            (*at, *value) = (seconds, httpdate::fmt_http_date(now));
        }
        tell(value.as_bytes())
    })
}
