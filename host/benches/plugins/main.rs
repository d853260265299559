//! What a decision costs as a component: the SDK's examples, built as their authors would, each timed by
//! `equipoise plugin bench`.
//!
//! `nop` is the floor: a call that asks and decides nothing. The bars, among 8 candidates: least busy in 300 ns, the hash of a
//! header in 250 ns; machines differ, so read them beside `nop` of the same run. Needs the target wasm32-wasip2.
//!
//! With `--counted` these and the default plugins are counted in instructions, which do not depend on the machine, beside
//! the same policies linked into the program. Needs valgrind.

mod counted;
mod native;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};

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
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        [] | ["--bench"] => time(),
        ["--counted"] | ["--counted", "--bench"] => counted::run(),
        [native::FLAG, name, candidates, calls] => {
            native::decide(name, candidates.parse()?, calls.parse()?)
        }
        _ => bail!("the only argument is --counted"),
    }
}

fn time() -> Result<()> {
    let built = build_examples()?;
    for example in EXAMPLES {
        eprint(&format!("\n{example}"));
        let status = program(&["plugin", "bench", "--deadline", "1s"])
            .args(["--candidates", CANDIDATES])
            .arg(component(&built, example))
            .status()
            .context("starting the program")?;
        ensure!(status.success(), "{example} cannot be timed");
    }
    Ok(())
}

fn program(arguments: &[&str]) -> Command {
    let mut program = Command::new(equipoise_harness::program::path());
    program.args(arguments);
    program
}

fn component(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.wasm"))
}

/// Builds the examples; tells the folder they are in.
fn build_examples() -> Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
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
