//! How long each test takes that uses the harness, for a list of the slowest.
//!
//! libtest tells of durations on nightly only. But it runs each test on a thread of its own that has the test's name, and what a
//! thread keeps for itself is dropped as it ends: so the time is that from the first use of the harness to the end of the test.

use std::cell::OnceCell;
use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::thread;
use std::time::Instant;

/// The file that durations are added to, a line each: seconds and the name. They are not noted without it.
const FILE: &str = "EQUIPOISE_DURATIONS";

thread_local! {
    static TEST: OnceCell<Test> = const { OnceCell::new() };
}

/// A test that runs.
struct Test {
    name: String,
    begun: Instant,
}

/// Begins to measure, if this is a test's thread and was not yet.
pub(crate) fn note() {
    let current = thread::current();
    // A test is in a module; other threads have no such names.
    let name = current.name().filter(|name| name.contains("::"));
    if let Some(name) = name {
        TEST.with(|test| {
            test.get_or_init(|| Test {
                name: name.to_owned(),
                begun: Instant::now(),
            });
        });
    }
}

impl Drop for Test {
    fn drop(&mut self) {
        let Some(file) = env::var_os(FILE) else {
            return;
        };
        let line = format!("{:.2} {}\n", self.begun.elapsed().as_secs_f64(), self.name);
        let file = OpenOptions::new().append(true).create(true).open(file);
        // A list that is missing is seen by its reader.
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}
