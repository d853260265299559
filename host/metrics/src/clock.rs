//! The origin of the clock that decisions go by. Plugins are told it in every call, so there is one for all of the program.

use std::sync::LazyLock;
use std::time::Instant;

/// When that clock began: about when the program started.
pub fn origin() -> Instant {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    *ORIGIN
}
