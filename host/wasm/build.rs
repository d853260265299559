//! Builds the components that are embedded in the program: the policies in `plugins/`, and
//! that of the demo; and lists the files of the SDK, for the demo to write out.
//!
//! A cargo of its own builds them into a target directory of its own, since the outer cargo holds the lock of its one.
//! The components end up in `OUT_DIR`, from where `src/builtin_components.rs` embeds them; the list in `sdk.rs` beside them.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

const TARGET: &str = "wasm32-wasip2";

/// Defined in the `Cargo.toml` of the workspace.
const PROFILE: &str = "plugin";

/// Crates of the workspace that are components.
const PLUGINS: [&str; 7] = [
    "equipoise-byrequests",
    "equipoise-bytraffic",
    "equipoise-bybusyness",
    "equipoise-heartbeat",
    "equipoise-session",
    "equipoise-health",
    "demo-plugin",
];

/// What a plugin is built with, below the workspace.
const SDK: [&str; 4] = ["sdk/Cargo.toml", "sdk/src", "sdk/wit", "wit/v0.1"];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("cargo::error={message}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let workspace = directory("CARGO_MANIFEST_DIR")?.join("../..");
    let workspace = fs::canonicalize(&workspace)
        .map_err(|error| format!("{}: {error}", workspace.display()))?;
    // Those of Cargo.toml that matter are the profile and the features of dependencies.
    for source in [
        "plugins",
        "examples/plugins/demo",
        "sdk",
        "wit",
        "Cargo.lock",
        "Cargo.toml",
    ] {
        println!("cargo::rerun-if-changed=../../{source}");
    }
    let out = directory("OUT_DIR")?;
    // target/PROFILE/build/equipoise-wasm-HASH/out: debug and release builds share what is built here.
    let outer = out.ancestors().nth(4).unwrap_or(&out);
    let target = outer.join("plugins");
    require_target()?;
    run_cargo(&workspace, &target)?;
    let built = target.join(TARGET).join(PROFILE);
    for name in PLUGINS {
        let file = format!("{}.wasm", name.replace('-', "_"));
        let from = built.join(&file);
        fs::copy(&from, out.join(file))
            .map_err(|error| format!("copying {}: {error}", from.display()))?;
    }
    let list = list_sdk(&workspace).map_err(|error| format!("listing the SDK: {error}"))?;
    fs::write(out.join("sdk.rs"), list).map_err(|error| format!("writing sdk.rs: {error}"))
}

/// Rust for a slice of the SDK's files: each its path below the workspace, and its content.
fn list_sdk(workspace: &Path) -> io::Result<String> {
    let mut list = String::from("&[\n");
    let mut pending: Vec<PathBuf> = SDK.iter().rev().map(PathBuf::from).collect();
    while let Some(path) = pending.pop() {
        let full = workspace.join(&path);
        if full.is_dir() {
            for entry in fs::read_dir(full)? {
                pending.push(path.join(entry?.file_name()));
            }
        } else {
            let _ = writeln!(list, "    ({path:?}, include_str!({full:?})),");
        }
    }
    list.push(']');
    Ok(list)
}

/// Builds all of them at once.
fn run_cargo(workspace: &Path, target: &Path) -> Result<(), String> {
    let mut cargo = Command::new(tool("CARGO"));
    cargo
        .args([
            "build",
            "--locked",
            "--target",
            TARGET,
            "--profile",
            PROFILE,
        ])
        .arg("--target-dir")
        .arg(target)
        .current_dir(workspace)
        .stdin(Stdio::null())
        // What is printed here would be read as instructions to the outer cargo.
        .stdout(Stdio::null());
    for name in PLUGINS {
        cargo.args(["--package", name]);
    }
    for (name, _) in env::vars_os().filter(|(name, _)| !is_passed_on(name)) {
        cargo.env_remove(name);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(workspace));
    match cargo.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("the plugins that come with the program do not build; see above".to_owned()),
        Err(error) => Err(format!("cargo does not start: {error}")),
    }
}

/// Whether a variable reaches the inner cargo: not what is meant for the outer build, its target, profile, flags or lints;
/// but where crates come from, how much may run at once, and all that is not about building.
fn is_passed_on(name: &OsStr) -> bool {
    const OF_THE_BUILD: [&str; 4] = ["CARGO", "RUSTC_", "RUSTDOC", "RUSTFLAGS"];
    const OF_THE_MACHINE: [&str; 7] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_MAKEFLAGS",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
    ];
    let name = name.to_string_lossy();
    let starts_with = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    !starts_with(&OF_THE_BUILD) || starts_with(&OF_THE_MACHINE)
}

/// Panic messages name a source location: relative to the sources, without paths of this machine.
fn flags(workspace: &Path) -> OsString {
    let crates = match env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => env::home_dir().unwrap_or_default().join(".cargo"),
    };
    let mut flags = OsString::from("--remap-path-prefix=");
    flags.push(crates);
    // Cargo tells one flag from the next by this character, so that paths may hold spaces.
    flags.push("=/cargo\u{1f}--remap-path-prefix=");
    flags.push(workspace);
    flags.push("=/equipoise");
    flags
}

/// Makes sure that the standard library for the target is here; rustup may fetch it, once.
fn require_target() -> Result<(), String> {
    if has_target()? || (add_target() && has_target()?) {
        return Ok(());
    }
    Err(format!(
        "the default plugins need Rust's standard library for {TARGET}; run: rustup target add {TARGET}"
    ))
}

fn has_target() -> Result<bool, String> {
    let output = Command::new(tool("RUSTC"))
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| format!("rustc does not start: {error}"))?;
    let path = String::from_utf8_lossy(&output.stdout);
    Ok(output.status.success() && Path::new(path.trim()).is_dir())
}

fn add_target() -> bool {
    Command::new("rustup")
        .args(["target", "add", TARGET])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The program that the outer cargo uses.
fn tool(name: &str) -> OsString {
    env::var_os(name).unwrap_or_else(|| name.to_lowercase().into())
}

fn directory(variable: &str) -> Result<PathBuf, String> {
    let path =
        env::var_os(variable).ok_or_else(|| format!("{variable} is not set: run by cargo"))?;
    Ok(PathBuf::from(path))
}
