//! A program of the user's that chooses the member: a script as it stands, or a crate to be compiled to WebAssembly.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// What a proxy is programmed with.
#[derive(Debug)]
pub(crate) enum Policy {
    /// The text of a script.
    Script(&'static str),
    /// A crate.
    Crate(Crate),
}

/// A crate that compiles to one WebAssembly file.
#[derive(Debug)]
pub(crate) struct Crate {
    /// Its folder, seen from this package.
    pub(crate) folder: &'static str,
    /// What it is compiled for.
    pub(crate) target: &'static str,
    /// The name of the file that comes out.
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
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("policies");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--release", "--quiet", "--target", self.target])
            .arg("--target-dir")
            .arg(&directory)
            .current_dir(folder)
            .status()
            .context("starting cargo")?;
        ensure!(
            status.success(),
            "{} could not be compiled; it needs `rustup target add {}`",
            self.folder,
            self.target
        );
        let file = directory.join(self.target).join("release").join(self.file);
        ensure!(file.is_file(), "{} makes no {}", self.folder, self.file);
        Ok(file)
    }
}
