//! One row of a comparison: a program with a configuration, and what it takes to start it on this machine.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::options::Options;
use crate::policy::Policy;
use crate::program::{EQUIPOISE, Program};

/// A contender as it is known before looking at this machine.
#[derive(Debug)]
pub(crate) struct Known {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// What is started.
    pub(crate) program: &'static Program,
    /// Its configuration. `@NAME@` stands for what is known only when it starts.
    pub(crate) configuration: &'static str,
    /// What it is programmed with; the configuration knows the file as `@POLICY@`.
    pub(crate) policy: Option<Policy>,
    /// Whether the configuration has a listener with TLS, too, that speaks HTTP/2.
    pub(crate) speaks_tls: bool,
}

/// A contender that can be started here.
#[derive(Debug)]
pub(crate) struct Contender {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// The version of its program, as it says itself.
    pub(crate) version: String,
    known: &'static Known,
    executable: PathBuf,
    /// The compiled policy, where there is one.
    compiled: Option<PathBuf>,
}

/// The contenders that can be started, and a sentence about each of those that cannot.
pub(crate) fn installed(options: &Options) -> (Vec<Contender>, Vec<String>) {
    let (mut contenders, mut left_out) = (Vec::new(), Vec::new());
    let known = options.comparison.contenders.iter();
    for known in known.filter(|known| options.includes(known.name)) {
        match Contender::find(known) {
            Ok(contender) => contenders.push(contender),
            Err(error) => left_out.push(format!("{} was left out: {error:#}.", known.name)),
        }
    }
    (contenders, left_out)
}

impl Contender {
    fn find(known: &'static Known) -> Result<Self> {
        let executable = known.program.locate();
        let executable =
            executable.with_context(|| format!("{} is not installed here", known.program.name))?;
        let compiled = match &known.policy {
            Some(Policy::Crate(policy)) => Some(policy.build()?),
            Some(Policy::Script(_)) | None => None,
        };
        Ok(Self {
            name: known.name,
            version: known.program.version(&executable),
            known,
            executable,
            compiled,
        })
    }

    /// The name of its program.
    pub(crate) fn program(&self) -> &'static str {
        self.known.program.name
    }

    /// Whether a program of the user's chooses its members.
    pub(crate) fn has_policy(&self) -> bool {
        self.known.policy.is_some()
    }

    /// Whether this is the proxy that the bench is about.
    pub(crate) fn is_ours(&self) -> bool {
        self.program() == EQUIPOISE.name
    }

    /// Whether it has a listener with TLS.
    pub(crate) fn speaks_tls(&self) -> bool {
        self.known.speaks_tls
    }

    /// Writes the configuration into `directory`; the command that starts the proxy at `address`, and at `secure` with TLS, before
    /// `members`.
    pub(crate) fn prepare(
        &self,
        directory: &Path,
        [address, secure]: [SocketAddr; 2],
        members: &[SocketAddr; 2],
    ) -> std::io::Result<Vec<OsString>> {
        // Envoy goes by the extension; the others take any.
        let path = directory.join("configuration.yaml");
        let policy = self.place_policy(directory)?;
        let fill = |text: &str| {
            text.replace("@CONFIGURATION@", &path.to_string_lossy())
                .replace("@DIRECTORY@", &directory.to_string_lossy())
                .replace("@MODULES@", self.known.program.modules)
                .replace("@POLICY@", &policy.to_string_lossy())
                .replace("@TLS_PORT@", &secure.port().to_string())
                .replace("@PORT@", &address.port().to_string())
                .replace("@MEMBER_1@", &members[0].to_string())
                .replace("@MEMBER_2@", &members[1].to_string())
                .replace("@MEMBER_1_PORT@", &members[0].port().to_string())
                .replace("@MEMBER_2_PORT@", &members[1].port().to_string())
        };
        std::fs::write(&path, fill(self.known.configuration))?;
        let arguments = self.known.program.arguments.iter();
        let arguments = arguments.map(|argument| fill(argument).into());
        Ok(std::iter::once(self.executable.clone().into())
            .chain(arguments)
            .collect())
    }

    /// Where the policy is: a script is written into `directory`, a compiled one stays where it was made.
    fn place_policy(&self, directory: &Path) -> std::io::Result<PathBuf> {
        if let Some(Policy::Script(text)) = self.known.policy {
            let path = directory.join("policy.lua");
            std::fs::write(&path, text)?;
            return Ok(path);
        }
        Ok(self.compiled.clone().unwrap_or_default())
    }
}
