//! Programs from outside that do one thing and end: curl, openssl and their like.

use std::path::Path;
use std::process::{Command, Stdio};

use equipoise_harness::installed::located;

/// How long one may take. `timeout` ends it then.
const SECONDS: &str = "120";

/// A program to be run, with what it needs to be here.
#[derive(Debug)]
pub(crate) struct Tool(Command);

/// What became of it.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) is_success: bool,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Tool {
    /// The program of this name.
    ///
    /// # Panics
    /// It is not here; the message says which package of Debian has it.
    #[track_caller]
    pub(crate) fn named(name: &str, package: &str) -> Self {
        Self::at(&located(name, package))
    }

    /// curl, which says nothing but what it got.
    #[track_caller]
    pub(crate) fn curl() -> Self {
        Self::named("curl", "curl").with(["--silent", "--show-error", "--max-time", "30"])
    }

    /// A command of openssl.
    #[track_caller]
    pub(crate) fn openssl(command: &str) -> Self {
        Self::named("openssl", "openssl").with([command])
    }

    pub(crate) fn at(path: &Path) -> Self {
        let mut command = Command::new("timeout");
        command.arg(SECONDS).arg(path);
        Self(command)
    }

    /// The same with more arguments.
    pub(crate) fn with<I: AsRef<std::ffi::OsStr>>(
        mut self,
        arguments: impl IntoIterator<Item = I>,
    ) -> Self {
        self.0.args(arguments);
        self
    }

    /// Runs it with nothing to read.
    pub(crate) fn run(mut self) -> Said {
        let output = self.0.stdin(Stdio::null()).output();
        let output = output.expect("timeout is in every Debian");
        Said {
            is_success: output.status.success(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What it says when it succeeds.
    ///
    /// # Panics
    /// It fails.
    #[track_caller]
    pub(crate) fn says(self) -> String {
        let command = format!("{:?}", self.0);
        let said = self.run();
        assert!(said.is_success, "{command}: {}{}", said.output, said.errors);
        said.output
    }

    /// The command, for those who talk to it while it runs.
    pub(crate) fn command(self) -> Command {
        self.0
    }
}
