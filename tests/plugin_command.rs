//! `equipoise plugin`: what it lists, what it writes, and what it will not overwrite.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::harness::component::Component;
use crate::harness::{fixtures, program};

/// What a component starts with: `\0asm`, then its version and that it is a component and no core module.
const PREAMBLE: [u8; 8] = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00];

const NAMES: [&str; 6] = [
    "byrequests",
    "bytraffic",
    "bybusyness",
    "heartbeat",
    "session",
    "health",
];

/// Runs `equipoise plugin` to its end; exit code, standard output and standard error.
#[track_caller]
fn plugin(arguments: &[&str]) -> (Option<i32>, Vec<u8>, String) {
    let arguments: Vec<_> = ["plugin"].iter().chain(arguments).copied().collect();
    let output = program(&arguments).output().expect("the program starts");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    (output.status.code(), output.stdout, stderr)
}

#[track_caller]
fn export(name: &str, file: &Path, options: &[&str]) -> (Option<i32>, String) {
    let file = file.to_str().expect("UTF-8");
    let (code, stdout, stderr) = plugin(&[&["export", name, file], options].concat());
    assert_eq!(stdout, b"");
    (code, stderr)
}

/// The rows below the heading: name, role, bytes and where the fourth column starts.
fn listed() -> Vec<(String, String, usize, usize)> {
    let (code, stdout, stderr) = plugin(&["list"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let stdout = String::from_utf8(stdout).expect("UTF-8");
    let row = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut word = || words.next().expect("four columns");
        let (name, role) = (word(), word());
        let bytes = word();
        let about = line.find(&format!(" {bytes}  ")).expect("the size") + bytes.len() + 3;
        assert!(line.len() > about, "{line}");
        (name, role, bytes.parse().expect("a number"), about)
    };
    assert!(stdout.starts_with("NAME"), "{stdout}");
    stdout.lines().skip(1).map(row).collect()
}

#[test]
fn list_names_the_default_plugins_in_columns() {
    let rows = listed();
    let names: Vec<_> = rows.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, NAMES);
    for (name, role, bytes, about) in &rows {
        let expected = match name.as_str() {
            "session" | "health" => name,
            _ => "selector",
        };
        assert_eq!(role, expected, "{name}");
        assert!((1_000..200_000).contains(bytes), "{name}: {bytes}");
        assert_eq!(*about, rows[0].3, "{name}");
    }
}

#[test]
fn export_writes_the_component() {
    let directory = TempDir::new().expect("a directory");
    for (name, _, bytes, _) in listed() {
        let file = directory.path().join(&name).with_extension("wasm");
        assert_eq!(export(&name, &file, &[]), (Some(0), String::new()));
        let component = fs::read(&file).expect("the file");
        assert_eq!(component.len(), bytes, "{name}");
        assert_eq!(component[..8], PREAMBLE, "{name}");
        let (code, stdout, stderr) = plugin(&["export", &name, "-"]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{name}");
        assert!(stdout == component, "{name}: standard output gets another");
    }
}

#[test]
fn export_replaces_a_file_only_when_told() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("mine.wasm");
    fs::write(&file, "precious").expect("a file");
    let (code, stderr) = export("byrequests", &file, &[]);
    assert_eq!(code, Some(1));
    for part in ["mine.wasm", "exists", "--force"] {
        assert!(stderr.contains(part), "{stderr}");
    }
    assert_eq!(fs::read(&file).expect("the file"), b"precious");
    assert_eq!(
        export("byrequests", &file, &["--force"]),
        (Some(0), String::new())
    );
    assert_eq!(fs::read(&file).expect("the file")[..8], PREAMBLE);
}

#[test]
fn export_of_an_unknown_name_says_the_known_ones() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("x.wasm");
    let (code, stderr) = export("byrequest", &file, &[]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("`byrequest`"), "{stderr}");
    for name in NAMES {
        assert!(stderr.contains(name), "{stderr}");
    }
    assert!(!file.exists());
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("nowhere").join("x.wasm");
    for options in [&[][..], &["--force"]] {
        let (code, stderr) = export("session", &file, options);
        assert_eq!(code, Some(1));
        assert!(stderr.contains("x.wasm"), "{stderr}");
    }
}

#[test]
fn wrong_arguments_are_explained() {
    for arguments in [&[][..], &["export"], &["export", "session"], &["show"]] {
        let (code, stdout, stderr) = plugin(arguments);
        assert_eq!((code, stdout.len()), (Some(2), 0), "{arguments:?}");
        assert!(stderr.contains("Usage"), "{arguments:?}: {stderr}");
    }
}

/// Writes a component into `directory` and tells where.
fn written(directory: &TempDir, component: &[u8]) -> String {
    let file = directory.path().join("policy.wasm");
    fs::write(&file, component).expect("a file");
    file.to_str().expect("UTF-8").to_owned()
}

#[test]
fn check_tells_what_a_component_is_fit_for() {
    let directory = TempDir::new().expect("a directory");
    let file = written(&directory, &fixtures::answering(0).build());
    let (code, stdout, stderr) = plugin(&["check", &file]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let stdout = String::from_utf8(stdout).expect("UTF-8");
    for part in ["policy.wasm", "fit to serve", "as selector", "compiled in"] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
}

#[test]
fn check_tells_why_a_component_cannot_serve() {
    let table = [
        (fixtures::answering(7).build(), "position 7 of 3 candidates"),
        (fixtures::configure_refuses().build(), "configure refuses"),
        (fixtures::configure_loops().build(), "deadline"),
        (fixtures::without_role().build(), "none of selector"),
        (fixtures::importing_unknown().build(), "it imports `"),
        (fixtures::answering(0).core_module(), "core module"),
        (b"#!/bin/sh".to_vec(), "no WebAssembly"),
        (Vec::new(), "empty"),
    ];
    for (component, reason) in table {
        let directory = TempDir::new().expect("a directory");
        let file = written(&directory, &component);
        let (code, stdout, stderr) = plugin(&["check", &file]);
        assert_eq!((code, stdout.len()), (Some(1), 0), "{reason}");
        assert!(
            stderr.contains(reason) && stderr.contains("policy.wasm"),
            "{reason}: {stderr}"
        );
    }
}

#[test]
fn check_gives_settings_memory_and_deadline() {
    let directory = TempDir::new().expect("a directory");
    let session = directory.path().join("session.wasm");
    export("session", &session, &[]);
    let session = session.to_str().expect("UTF-8");
    // The default plugins are large for a debug build's compiler, but not for its clock.
    let generous = ["--deadline", "1s"];
    let (code, _, stderr) =
        plugin(&[&["check", session, "--setting", "cooky=SID"], &generous[..]].concat());
    assert_eq!(code, Some(1));
    assert!(stderr.contains("unknown setting `cooky`"), "{stderr}");
    let (code, ..) = plugin(
        &[
            &["check", session, "--setting", "cookie=SID"],
            &generous[..],
        ]
        .concat(),
    );
    assert_eq!(code, Some(0));
    for (option, value) in [
        ("--memory", "16"),
        ("--deadline", "5"),
        ("--setting", "cookie"),
    ] {
        let (code, _, stderr) = plugin(&["check", session, option, value]);
        assert_eq!(code, Some(2), "{option}");
        assert!(
            stderr.contains(option) && stderr.contains("must"),
            "{stderr}"
        );
    }
}

#[test]
fn bench_times_decisions_beside_the_native_method() {
    let directory = TempDir::new().expect("a directory");
    let file = written(&directory, &fixtures::answering(0).build());
    let (code, stdout, stderr) = plugin(&["bench", &file, "--candidates", "4,64"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let stdout = String::from_utf8(stdout).expect("UTF-8");
    let timed = |line: &str| {
        let numbers = line.strip_prefix("selector")?.split_whitespace();
        numbers
            .map(|number| number.parse().ok())
            .collect::<Option<Vec<u64>>>()
    };
    let rows: Vec<_> = stdout.lines().filter_map(timed).collect();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), [4, 64]);
    assert!(rows.iter().all(|row| row.len() == 3), "{stdout}");
}

/// The fifth call of an instance is a fault, which the log tells of.
#[test]
fn bench_makes_as_many_decisions_as_it_is_told_and_times_none() {
    let directory = TempDir::new().expect("a directory");
    let select = "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (if (i32.eq (global.get $calls) (i32.const 5)) (then unreachable))
        call $none";
    let component =
        Component::selector(select).declaring("(global $calls (mut i32) (i32.const 0))");
    let file = written(&directory, &component.build());
    for (calls, faults) in [("4", 0), ("9", 1), ("10", 2)] {
        let arguments = ["bench", &file, "--candidates", "4", "--calls", calls];
        let (code, stdout, stderr) = plugin(&arguments);
        assert_eq!((code, stdout), (Some(0), Vec::new()), "{stderr}");
        let told = stderr.matches("fault as selector: trap").count();
        assert_eq!(told, faults, "{calls}: {stderr}");
    }
}
