//! Scripts in Python, where the libraries are that a test is about.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use equipoise_harness::installed::located;
use equipoise_harness::process::STOPPING;
use equipoise_harness::{Process, WAIT_TIMEOUT};

use crate::tool::Tool;

/// A script that runs, and the lines that it has printed and were not read.
#[derive(Debug)]
pub(crate) struct Script {
    lines: Receiver<String>,
    input: Option<ChildStdin>,
    process: Process,
}

/// Python with this script of `tests/outside/scripts`, after a look whether it can import `module`.
///
/// # Panics
/// It cannot; the message says what to install.
#[track_caller]
fn python(module: &str, package: &str) -> Tool {
    let program = located("python3", "python3");
    let look = Tool::at(&program).with(["-c", &format!("import {module}")]);
    let said = look.run();
    assert!(
        said.is_success,
        "this test needs the module {module} of Python 3 (pip install {package}): {}",
        said.errors
    );
    Tool::at(&program)
}

/// Python with a module that is a program.
#[track_caller]
pub(crate) fn module(module: &str, package: &str) -> Tool {
    python(module, package).with(["-m", module])
}

/// A script, by its name, which needs this module of this package.
#[track_caller]
pub(crate) fn script(name: &str, module: &str, package: &str) -> Tool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/outside/scripts");
    python(module, package).with(["-u".into(), path.join(name)])
}

impl Script {
    /// Starts it, with nothing to read.
    pub(crate) fn start(tool: Tool) -> Self {
        Self::start_with(tool, Stdio::null())
    }

    /// Starts it, to be told things.
    pub(crate) fn start_talked_to(tool: Tool) -> Self {
        Self::start_with(tool, Stdio::piped())
    }

    fn start_with(tool: Tool, input: Stdio) -> Self {
        let mut command = tool.command();
        let command = command.stdin(input).stdout(Stdio::piped());
        let process = Process::start_to_stop(command, STOPPING);
        let mut process = process.expect("timeout is in every Debian");
        let child = process.child();
        let input = child.stdin.take();
        let output = child.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            // It ends when its reader is gone.
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.map(|line| sender.send(line)).find(Result::is_err)
        });
        Self {
            lines,
            input,
            process,
        }
    }

    /// Tells it a line.
    ///
    /// # Panics
    /// It was not started to be told things, or does not listen.
    #[track_caller]
    pub(crate) fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().expect("it is to be talked to");
        writeln!(input, "{line}").expect("it listens");
    }

    /// Waits for the next line that begins with this; the rest of it.
    ///
    /// # Panics
    /// None comes in time.
    #[track_caller]
    pub(crate) fn await_line(&self, beginning: &str) -> String {
        let deadline = Instant::now() + WAIT_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("the script does not say {beginning}"));
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.trim().to_owned();
            }
        }
    }

    /// Ends it now.
    pub(crate) fn stop(self) {
        drop(self.process);
    }
}
