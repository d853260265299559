//! User instructions of a decision, by `valgrind --tool=callgrind`: what many decisions take more than few, so that start and
//! warm-up are out.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::{EXAMPLES, build_examples, component, eprint, native, program};

/// Of the default plugins, those that choose members.
const DEFAULTS: [&str; 4] = ["byrequests", "bytraffic", "bybusyness", "heartbeat"];

/// Among how many members decisions are counted.
const CANDIDATES: [u32; 3] = [2, 10, 100];

/// How many decisions warm up, and how many more are counted.
const CALLS: [u32; 2] = [1_000, 4_000];

/// Counts every policy as a component and linked into the program, and prints a table of both.
pub(crate) fn run() -> Result<()> {
    let folder = build_examples()?;
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("counted");
    fs::create_dir_all(&directory)?;
    eprint("| members | 2 | native | more | 10 | native | more | 100 | native | more |");
    eprint("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for name in EXAMPLES {
        count(name, &component(&folder, name), &directory)?;
    }
    for name in DEFAULTS {
        count(name, &export(name, &directory)?, &directory)?;
    }
    Ok(())
}

/// Writes a default plugin to a file.
fn export(name: &str, directory: &Path) -> Result<PathBuf> {
    let file = component(directory, name);
    let status = program(&["plugin", "export", "--force", name])
        .arg(&file)
        .status();
    ensure!(
        status.context("starting the program")?.success(),
        "{name} cannot be exported"
    );
    Ok(file)
}

/// Prints the row of a policy.
fn count(name: &str, file: &Path, directory: &Path) -> Result<()> {
    let itself = env::current_exe()?;
    let mut row = format!("| {name} |");
    for candidates in CANDIDATES.map(|candidates| candidates.to_string()) {
        let plugged = difference(directory, |calls| {
            let mut command = program(&["plugin", "bench", "--deadline", "1s"]);
            command.args(["--candidates", &candidates, "--calls", calls]);
            command.arg(file);
            command
        })?;
        let linked = difference(directory, |calls| {
            let mut command = Command::new(&itself);
            command.args([native::FLAG, name, &candidates, calls]);
            command
        })?;
        row += &format!(" {plugged} | {linked} | {} |", plugged - linked);
    }
    eprint(&row);
    Ok(())
}

/// Instructions of one decision of those that the command makes.
fn difference(directory: &Path, command: impl Fn(&str) -> Command) -> Result<i64> {
    let [few, more] = CALLS;
    let life = |calls: u32| instructions(&command(&calls.to_string()), directory);
    Ok((life(few + more)? - life(few)?) / i64::from(more))
}

/// Instructions of a command from its start to its end.
fn instructions(command: &Command, directory: &Path) -> Result<i64> {
    let report = directory.join("callgrind");
    let mut out = std::ffi::OsString::from("--callgrind-out-file=");
    out.push(&report);
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--vgdb=no", "--quiet"])
        .arg(out)
        .arg(command.get_program())
        .args(command.get_args())
        .stdout(Stdio::null())
        .status()
        .context("starting valgrind")?;
    ensure!(status.success(), "{command:?} fails under callgrind");
    let report = fs::read_to_string(report)?;
    let total = report.lines().find_map(|line| {
        let total = line.strip_prefix("totals: ")?;
        total.trim().parse().ok()
    });
    total.context("callgrind wrote no total")
}
