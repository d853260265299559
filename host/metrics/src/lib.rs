//! What metrics are made of: counters and histograms that any thread adds to without waiting; what the system tells of the
//! process; and the origin of its clock.

pub mod clock;
mod count;
mod histogram;
mod process;

pub use count::Count;
pub use histogram::{Bounds, CALLS, DURATIONS, Histogram};
pub use process::Process;
