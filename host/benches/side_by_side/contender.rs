//! One row of a comparison: a program with a configuration, and what it takes to start it on this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::comparison::Comparison;
use crate::kind::Kind;
use crate::options::Options;
use crate::origin::Origin;
use crate::policy::{self, Policy};
use crate::program::{EQUIPOISE, Program};
use crate::proxy::Addresses;

/// A contender as it is known before looking at this machine.
#[derive(Debug)]
pub(crate) struct Known {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// What is started.
    pub(crate) program: &'static Program,
    /// Its configuration. `@NAME@` stands for what is known only when it starts.
    pub(crate) configuration: &'static str,
    /// The built-in method that chooses the member, where the configuration has `@METHOD@`.
    pub(crate) method: &'static str,
    /// What it is programmed with; the configuration knows the file as `@POLICY@`.
    pub(crate) policy: Option<Policy>,
    /// The kinds of load that its configuration is not made for.
    pub(crate) lacks: &'static [&'static str],
}

impl Known {
    /// This program, which a name and a configuration are to be given.
    pub(crate) const fn of(program: &'static Program) -> Self {
        Self {
            name: "",
            program,
            configuration: "",
            method: "",
            policy: None,
            lacks: &[],
        }
    }
}

/// A contender that can be started here.
#[derive(Debug)]
pub(crate) struct Contender {
    /// Its name in the table.
    pub(crate) name: &'static str,
    version: String,
    known: &'static Known,
    executable: PathBuf,
    /// The compiled policy, where there is one.
    compiled: Option<PathBuf>,
}

/// The contenders that can be started; a sentence about each of those that cannot is added to `left_out`.
pub(crate) fn installed(
    comparison: &Comparison,
    options: &Options,
    left_out: &mut Vec<String>,
) -> Vec<Contender> {
    let mut contenders = Vec::new();
    let known = comparison.contenders.iter();
    for known in known.filter(|known| options.includes(known.name, known.program.name)) {
        match Contender::find(known) {
            Ok(contender) => contenders.push(contender),
            Err(error) => left_out.push(format!("{} was left out: {error:#}.", known.name)),
        }
    }
    contenders
}

impl Contender {
    fn find(known: &'static Known) -> Result<Self> {
        let executable = known.program.locate();
        let executable =
            executable.with_context(|| format!("{} is not installed here", known.program.name))?;
        let compiled = match &known.policy {
            Some(Policy::Crate(policy)) => Some(policy.build()?),
            Some(Policy::Default(name)) => Some(policy::export(&executable, name)?),
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

    /// The name of its program, and the version, as it says itself.
    pub(crate) fn version(&self) -> String {
        format!("{} {}", self.known.program.name, self.version)
    }

    /// What was measured of it. What could not be measured is added to `left_out`, unless it is ours, which the benchmark is about.
    pub(crate) fn unless_left_out<T>(
        &self,
        measured: Result<T>,
        left_out: &mut Vec<String>,
    ) -> Result<Option<T>> {
        match measured {
            Ok(measured) => Ok(Some(measured)),
            Err(error) if self.is_ours() => Err(error.context(self.name)),
            Err(error) => {
                left_out.push(format!("{} was left out: {error:#}.", self.name));
                Ok(None)
            }
        }
    }

    /// Whether this is the proxy that the bench is about.
    fn is_ours(&self) -> bool {
        self.known.program.name == EQUIPOISE.name
    }

    /// The component that chooses its members, if it is ours and one does.
    pub(crate) fn component(&self) -> Option<&Path> {
        self.compiled.as_deref().filter(|_| self.is_ours())
    }

    /// Whether it can be asked by this kind of load.
    pub(crate) fn suits(&self, kind: &Kind) -> bool {
        !self.known.lacks.contains(&kind.name)
    }

    /// Writes the configuration into `directory`; the command that starts the proxy at `addresses` before the members of `origin`.
    pub(crate) fn prepare(
        &self,
        directory: &Path,
        addresses: Addresses,
        origin: &Origin,
    ) -> std::io::Result<Vec<OsString>> {
        // Envoy goes by the extension; the others take any.
        let path = directory.join("configuration.yaml");
        let policy = self.place_policy(directory)?;
        let (members, called) = (&origin.members, &origin.called);
        let fill = |text: &str| {
            text.replace("@CONFIGURATION@", &path.to_string_lossy())
                .replace("@DIRECTORY@", &directory.to_string_lossy())
                .replace("@MODULES@", self.known.program.modules)
                .replace("@METHOD@", self.known.method)
                .replace("@POLICY@", &policy.to_string_lossy())
                .replace("@TLS_PORT@", &addresses.tls.port().to_string())
                .replace("@H2C_PORT@", &addresses.h2c.port().to_string())
                .replace("@PORT@", &addresses.plain.port().to_string())
                .replace("@MEMBER_1@", &members[0].to_string())
                .replace("@MEMBER_2@", &members[1].to_string())
                .replace("@MEMBER_1_PORT@", &members[0].port().to_string())
                .replace("@MEMBER_2_PORT@", &members[1].port().to_string())
                .replace("@CALLED_1@", &called[0].to_string())
                .replace("@CALLED_2@", &called[1].to_string())
                .replace("@CALLED_1_PORT@", &called[0].port().to_string())
                .replace("@CALLED_2_PORT@", &called[1].port().to_string())
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
