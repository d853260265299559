//! What metrics are made of: counters and histograms that any thread adds to without waiting; what the system tells of the
//! process; and the origin of its clock.

pub mod clock;
mod counter;
mod histogram;
mod process;

pub use counter::Counter;
pub use histogram::{Bounds, CALLS, DURATIONS, Histogram};
pub use process::Process;
