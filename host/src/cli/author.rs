//! `equipoise plugin check` and `bench`: what the author of a plugin wants to know before it serves.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use equipoise_config::Plugin;
use equipoise_wasm::{Inspection, bench};

/// A component, and what it is given as by a configuration file.
#[derive(Debug, Args)]
pub(super) struct Subject {
    /// The component.
    file: PathBuf,
    /// A setting for `configure`; may be given more than once.
    #[arg(long = "setting", value_name = "KEY=VALUE", value_parser = parse_setting)]
    settings: Vec<(String, String)>,
    /// The memory an instance may have, up to 256MiB.
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = Plugin::parse_memory)]
    memory: usize,
    /// Lets it have up to 1GiB.
    #[arg(long)]
    memory_unlimited: bool,
    /// The processor time a call may take.
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = Plugin::parse_deadline)]
    deadline: Duration,
}

impl Subject {
    fn examine(self, how: fn(&Plugin) -> Result<Inspection>) -> Result<Inspection> {
        let name = self
            .file
            .file_stem()
            .unwrap_or(self.file.as_os_str())
            .to_string_lossy()
            .into_owned();
        let shown = self.file.display().to_string();
        let memory = self.memory;
        ensure!(
            self.memory_unlimited || memory <= Plugin::MAX_MEMORY,
            "--memory may be up to 256MiB, or up to 1GiB with --memory-unlimited"
        );
        let plugin = Plugin {
            settings: self.settings.into_iter().collect(),
            memory,
            deadline: self.deadline,
            ..Plugin::new(name, self.file)
        };
        how(&plugin).with_context(|| format!("{shown} cannot serve"))
    }
}

/// Tells what a component is fit for, or why it is not.
///
/// # Errors
/// It could not serve.
pub(super) fn check(subject: Subject) -> Result<()> {
    equipoise_log::to_stderr("info");
    let file = subject.file.display().to_string();
    let found = subject.examine(Inspection::of_file)?;
    describe(&mut super::stdout(), &file, &found).context("writing to standard output")
}

fn describe(out: &mut impl Write, file: &str, found: &Inspection) -> io::Result<()> {
    let version = found.version.short_hash();
    writeln!(
        out,
        "{file}: version {version}, {} bytes, fit to serve",
        found.version.size
    )?;
    writeln!(out, "  compiled in  {}", milliseconds(found.compile_time))?;
    for (role, memory) in &found.smoke_tests {
        let kilobytes = memory / 1024;
        writeln!(
            out,
            "  as {:<10}called with sample members; {kilobytes} KiB of memory",
            role.name()
        )?;
    }
    for (index, import) in found.imports.iter().enumerate() {
        let title = if index == 0 { "imports" } else { "" };
        writeln!(out, "  {title:<13}{import}")?;
    }
    Ok(())
}

/// Times a component's decisions beside the program's own.
///
/// # Errors
/// It could not serve.
pub(super) fn bench(subject: Subject, candidates: &[u32]) -> Result<()> {
    equipoise_log::to_stderr("warn");
    let found = subject.examine(Inspection::of_file)?;
    let timings = bench::time(&found.version, candidates)?;
    let mut out = super::stdout();
    write_timings(&mut out, &timings).context("writing to standard output")
}

/// Makes so many of a component's decisions, and tells nothing.
///
/// # Errors
/// It could not serve.
pub(super) fn decide(subject: Subject, candidates: &[u32], calls: u32) -> Result<()> {
    equipoise_log::to_stderr("warn");
    let found = subject.examine(Inspection::of_file_here)?;
    bench::decide(&found.version, candidates, calls)
}

fn write_timings(out: &mut impl Write, timings: &[bench::Timing]) -> io::Result<()> {
    writeln!(
        out,
        "Median time of a decision, in ns; native is the built-in bybusyness or session reader."
    )?;
    writeln!(
        out,
        "{:<10}{:>12}{:>10}{:>10}",
        "role", "candidates", "plugin", "native"
    )?;
    for timing in timings {
        let (plugin, native) = (timing.plugin.as_nanos(), timing.native.as_nanos());
        let (role, candidates) = (timing.role.name(), timing.candidates);
        writeln!(out, "{role:<10}{candidates:>12}{plugin:>10}{native:>10}")?;
    }
    Ok(())
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("must be a name and a value with `=` between them")?;
    Ok((key.to_owned(), value.to_owned()))
}
