//! Whatever reads foreign bytes, given any bytes for a minute each.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// How many seconds each target runs, if not a minute.
const SECONDS: &str = "EQUIPOISE_FUZZ_SECONDS";

/// Goal: no bytes break what reads them. Method: `fuzz/run`, which says what it needs, and by which input something broke.
#[test]
fn no_bytes_break_what_reads_them() {
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/run");
    let run = Command::new(run)
        .arg(env::var(SECONDS).unwrap_or_else(|_| "60".to_owned()))
        .stdin(Stdio::null())
        .output()
        .expect("fuzz/run is a program");
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "fuzz/run: {told}");
    let ran = String::from_utf8_lossy(&run.stdout);
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
    let targets = fs::read_dir(targets).expect("the targets").count();
    assert!(targets >= 13, "{targets} targets");
    assert_eq!(ran.matches(": Done ").count(), targets, "{ran}");
}
