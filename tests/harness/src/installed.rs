//! Programs from outside that tests and benchmarks start.

use std::env;
use std::path::PathBuf;

/// Where the program is: in `PATH`, or where Debian keeps servers.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// Where the program is.
///
/// # Panics
/// It is not here; the message says which package of Debian has it.
#[track_caller]
pub fn located(name: &str, package: &str) -> PathBuf {
    find(name).unwrap_or_else(|| {
        panic!("this test needs the program {name} (Debian: apt-get install {package})")
    })
}
