//! Instructions by callgrind, which simulates the processor from the start and says in between how many it has carried out.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::contender::Contender;
use crate::counted::Counter;
use crate::kind::Kind;
use crate::policy::compile_for_valgrind;
use crate::proxy::Proxy;

/// Profiles that one life may write.
const MAX_PROFILES: u32 = 100;

/// Counts by callgrind.
#[derive(Debug)]
pub(crate) struct Callgrind<'a> {
    /// The directory that profiles are kept in, if they are wanted.
    pub(crate) profiles: Option<&'a Path>,
}

impl Counter for Callgrind<'_> {
    fn name(&self) -> &'static str {
        "callgrind"
    }

    fn prepare(&self, contender: &Contender) -> Result<()> {
        contender.component().map_or(Ok(()), compile_for_valgrind)
    }

    fn wrapper(&self, contender: &Contender) -> Vec<OsString> {
        let file = match self.profiles {
            Some(directory) => directory.join(contender.name),
            None => PathBuf::from("/dev/null"),
        };
        let mut out = OsString::from("--callgrind-out-file=");
        out.push(file);
        ["valgrind".into(), "--tool=callgrind".into(), out].into()
    }

    fn during(&self, proxy: &Proxy, work: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
        if self.profiles.is_some() {
            ask_callgrind(proxy, &["zero"])?;
        }
        let before = instructions(proxy)?;
        work()?;
        let after = instructions(proxy)?;
        if self.profiles.is_some() {
            ask_callgrind(proxy, &["dump"])?;
        }
        Ok(after - before)
    }

    /// A profile is written as NAME.1, NAME.2 and so on; the last one becomes NAME-KIND.
    fn keep(&self, contender: &str, kind: &Kind) -> Result<()> {
        let Some(directory) = self.profiles else {
            return Ok(());
        };
        let mut written =
            (1..=MAX_PROFILES).map(|number| directory.join(format!("{contender}.{number}")));
        let written = written.rfind(|path| path.exists());
        let written = written.context("callgrind wrote no profile")?;
        Ok(fs::rename(
            written,
            directory.join(format!("{contender}-{}", kind.name)),
        )?)
    }
}

/// What all threads have carried out so far, under callgrind.
fn instructions(proxy: &Proxy) -> Result<f64> {
    let said = ask_callgrind(proxy, &["status", "internal"])?;
    // A line for each thread, and others for each function that it is in.
    let threads = said.lines().filter_map(|line| {
        let (thread, count) = line.strip_prefix("events-")?.split_once(": ")?;
        thread.parse::<u32>().ok()?;
        count.trim().parse::<f64>().ok()
    });
    let total = threads.reduce(|one, other| one + other);
    total.with_context(|| format!("vgdb tells no count: {said}"))
}

fn ask_callgrind(proxy: &Proxy, words: &[&str]) -> Result<String> {
    let output = Command::new("vgdb")
        .arg(format!("--pid={}", proxy.process()))
        .args(words)
        .output()
        .context("starting vgdb")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
