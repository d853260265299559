//! The built program.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use super::duration;

/// Where it is. Cargo says so to the tests and benchmarks that it runs. One that is run by itself finds the program in the
/// folder above its own, where cargo puts both.
static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
    let told = env::var_os("CARGO_BIN_EXE_equipoise").map(PathBuf::from);
    told.unwrap_or_else(|| {
        let ours = env::current_exe().expect("this program has a path");
        let above = ours
            .ancestors()
            .nth(2)
            .expect("it is in target/PROFILE/deps");
        above.join("equipoise")
    })
});

/// Where the built program is.
pub fn path() -> &'static Path {
    &PATH
}

/// The folder that cargo builds into, which is that of the profile's folder.
pub fn target() -> &'static Path {
    let target = PATH.ancestors().nth(2);
    target.expect("the program is in target/PROFILE")
}

/// The program with these arguments, not started yet. It keeps compiled plugins where all tests do: each is compiled once, not
/// by every test.
pub fn program(arguments: &[&str]) -> Command {
    duration::note();
    let mut command = Command::new(path());
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env("CACHE_DIRECTORY", target().join("tmp/plugin-cache"));
    command
}
