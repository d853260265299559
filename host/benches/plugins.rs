//! What a decision costs as a component: the SDK's examples, built as their authors would, each timed by
//! `equipoise plugin bench`.
//!
//! `nop` is the floor: a call that asks and decides nothing. The bars, among 8 candidates: least busy in 300 ns, the hash of a
//! header in 250 ns; machines differ, so read them beside `nop` of the same run. Needs the target wasm32-wasip2.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};

/// The examples, the floor first.
const EXAMPLES: [&str; 3] = ["nop", "header_hash", "least_busy"];

const CANDIDATES: &str = "8,64,1000";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a benchmark's only way to speak")]
fn eprint(line: &str) {
    eprintln!("{line}");
}

fn run() -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = build(&workspace)?;
    for example in EXAMPLES {
        eprint(&format!("\n{example}"));
        let component = built.join(format!("{example}.wasm"));
        let status = Command::new(env!("CARGO_BIN_EXE_equipoise"))
            .args([
                "plugin",
                "bench",
                "--candidates",
                CANDIDATES,
                "--deadline",
                "1s",
            ])
            .arg(component)
            .status()
            .context("starting the program")?;
        ensure!(status.success(), "{example} cannot be timed");
    }
    Ok(())
}

/// Builds the examples; tells the folder they are in.
fn build(workspace: &Path) -> Result<PathBuf> {
    let target = workspace.join("target/plugins");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--package", "equipoise-sdk", "--examples"])
        .args(["--target", "wasm32-wasip2", "--profile", "plugin"])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(workspace)
        .status()
        .context("starting cargo")?;
    ensure!(status.success(), "the SDK's examples do not build");
    Ok(target.join("wasm32-wasip2/plugin/examples"))
}
