//! The `equipoise` program.

use std::process::ExitCode;

/// Requests allocate and free a dozen times; this allocator does it with a thousand instructions less than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    equipoise::cli::run()
}
