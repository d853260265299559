//! A program that chooses the member: a script as it stands, a crate to be compiled to WebAssembly, or a default plugin.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::program::EQUIPOISE;

/// What a proxy is programmed with.
#[derive(Debug)]
pub(crate) enum Policy {
    /// The text of a script.
    Script(&'static str),
    /// A crate.
    Crate(Crate),
    /// A built-in method of ours as a component, by its name.
    Default(&'static str),
}

/// A crate that compiles to one WebAssembly file.
#[derive(Debug)]
pub(crate) struct Crate {
    /// Its folder, seen from this package.
    pub(crate) folder: &'static str,
    /// What cargo is told besides `build`.
    pub(crate) arguments: &'static [&'static str],
    /// The file that comes out, seen from cargo's target directory.
    pub(crate) file: &'static str,
}

impl Crate {
    /// Compiles it, below this package's own target directory; the file.
    ///
    /// # Errors
    /// When the folder is not there, or cargo cannot compile it: mostly for want of the target.
    pub(crate) fn build(&self) -> Result<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.folder);
        ensure!(
            folder.join("Cargo.toml").is_file(),
            "{} is not there",
            self.folder
        );
        let directory = folder_of_policies();
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--target-dir"])
            .arg(&directory)
            .args(self.arguments)
            .current_dir(folder)
            .status()
            .context("starting cargo")?;
        ensure!(
            status.success(),
            "{} could not be compiled; it needs `rustup target add wasm32-wasip1 wasm32-wasip2`",
            self.folder
        );
        let file = directory.join(self.file);
        ensure!(file.is_file(), "{} makes no {}", self.folder, self.file);
        Ok(file)
    }
}

/// Lets our program write a default plugin; the file.
///
/// # Errors
/// The program has none of that name, or cannot write.
pub(crate) fn export(program: &Path, name: &str) -> Result<PathBuf> {
    let directory = folder_of_policies();
    std::fs::create_dir_all(&directory)?;
    let file = directory.join(format!("{name}.wasm"));
    let status = Command::new(program)
        .args(["plugin", "export", "--force", name])
        .arg(&file)
        .status()
        .context("starting our program")?;
    ensure!(status.success(), "{name} could not be exported");
    Ok(file)
}

/// Compiles a component for the processor that valgrind simulates, on which our program cannot start itself to do so: it finds
/// the code in [`cache`].
///
/// # Errors
/// It cannot be compiled.
pub(crate) fn compile_for_valgrind(component: &Path) -> Result<()> {
    let program = EQUIPOISE.locate().context("our program is not there")?;
    let status = Command::new("valgrind")
        .args(["--tool=none", "--quiet"])
        .arg(program)
        .arg("compile-into")
        .arg(cache())
        .stdin(File::open(component)?)
        .status()
        .context("starting valgrind")?;
    ensure!(
        status.success(),
        "{} could not be compiled under valgrind",
        component.display()
    );
    Ok(())
}

/// Where our program keeps compiled components.
pub(crate) fn cache() -> PathBuf {
    folder_of_policies().join("cache")
}

/// Where what was made is kept.
fn folder_of_policies() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("policies")
}
