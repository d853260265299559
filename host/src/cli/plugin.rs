//! `equipoise plugin`: the default plugins, and what authors of others need.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Subcommand;

use super::author::{self, Subject};
use equipoise_wasm::builtin_components::{self, BuiltinComponent};

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// List the default plugins: the built-in policies as WebAssembly components.
    List,
    /// Write a default plugin to a file, to be configured as `file` of a [plugin.NAME].
    Export {
        /// Its name, as `equipoise plugin list` tells it.
        name: String,
        /// The file to write; `-` for standard output.
        file: PathBuf,
        /// Replace the file if it exists.
        #[arg(long)]
        force: bool,
    },
    /// Say what a component is fit for, or why it cannot serve.
    Check(Subject),
    /// Time a component's decisions beside the program's own.
    Bench {
        #[command(flatten)]
        subject: Subject,
        /// Among how many members to decide.
        #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_values_t = [4, 64, 1000])]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
        candidates: Vec<u32>,
        /// Make so many decisions and tell nothing, for tools that count instructions. It is compiled in this process.
        #[arg(long, value_name = "NUMBER")]
        calls: Option<u32>,
    },
}

/// Does it.
///
/// # Errors
/// There is no such plugin, it cannot be written, or the component could not serve.
pub(super) fn run(command: PluginCommand) -> Result<()> {
    match command {
        PluginCommand::List => {
            list(builtin_components::all(), super::stdout()).context("writing to standard output")
        }
        PluginCommand::Export { name, file, force } => export(&name, &file, force),
        PluginCommand::Check(subject) => author::check(subject),
        PluginCommand::Bench {
            subject,
            candidates,
            calls: None,
        } => author::bench(subject, &candidates),
        PluginCommand::Bench {
            subject,
            candidates,
            calls: Some(calls),
        } => author::decide(subject, &candidates, calls),
    }
}

/// A line for each, in columns.
fn list(plugins: &[BuiltinComponent], mut out: impl Write) -> io::Result<()> {
    let heading = ["NAME", "ROLE", "BYTES", "ABOUT"].map(str::to_owned);
    let row = |plugin: &BuiltinComponent| {
        let bytes = plugin.component.len().to_string();
        [plugin.name, plugin.role, &bytes, plugin.about].map(str::to_owned)
    };
    let rows: Vec<_> = [heading]
        .into_iter()
        .chain(plugins.iter().map(row))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let [names, roles, sizes] = [0, 1, 2].map(width);
    for [name, role, bytes, about] in &rows {
        writeln!(
            out,
            "{name:names$}  {role:roles$}  {bytes:>sizes$}  {about}"
        )?;
    }
    out.flush()
}

fn export(name: &str, file: &Path, force: bool) -> Result<()> {
    let plugin = builtin_components::find(name).ok_or_else(|| unknown(name))?;
    if file == Path::new("-") {
        let mut out = super::stdout();
        return out
            .write_all(plugin.component)
            .and_then(|()| out.flush())
            .context("writing to standard output");
    }
    if force {
        return fs::write(file, plugin.component).with_context(|| file.display().to_string());
    }
    match File::create_new(file) {
        Ok(mut created) => created
            .write_all(plugin.component)
            .with_context(|| file.display().to_string()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => bail!(
            "{} exists already; replace it with --force, or write to another file",
            file.display()
        ),
        Err(error) => Err(error).with_context(|| file.display().to_string()),
    }
}

fn unknown(name: &str) -> anyhow::Error {
    let known: Vec<_> = builtin_components::all()
        .iter()
        .map(|plugin| plugin.name)
        .collect();
    anyhow!(
        "there is no default plugin `{name}`; there are {}",
        known.join(", ")
    )
}
