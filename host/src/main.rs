//! The `equipoise` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    equipoise::cli::run()
}
