//! Which crate knows which: the table of ARCHITECTURE.md, held to what Cargo is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What a crate depends on, tests and benchmarks apart.
fn dependencies(folder: &str) -> BTreeSet<String> {
    let file = workspace().join(folder).join("Cargo.toml");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let manifest: DocumentMut = text.parse().expect("a manifest");
    let dependencies = manifest.get("dependencies").and_then(Item::as_table);
    dependencies
        .into_iter()
        .flatten()
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The names between backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// For each folder of the table, the crates that it may know.
fn layers() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(workspace().join("ARCHITECTURE.md")).expect("the document");
    let table = text
        .lines()
        .skip_while(|line| !line.starts_with("| crate |"));
    let rows = table.skip(2).take_while(|line| line.starts_with('|'));
    let rows = rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').collect();
        let folder = quoted(cells[0]).next().expect("a folder").to_owned();
        (folder, quoted(cells[2]).map(str::to_owned).collect())
    });
    rows.collect()
}

/// The crates in the folder `plugins`.
fn plugins() -> Vec<String> {
    let folders = fs::read_dir(workspace().join("plugins")).expect("the folder");
    let names = folders.map(|it| {
        it.expect("an entry")
            .file_name()
            .into_string()
            .expect("a name")
    });
    names.collect()
}

#[test]
fn crates_know_those_that_the_architecture_names_and_no_others() {
    let layers = layers();
    let plugins = plugins();
    for (folder, allowed) in &layers {
        // The contract is no crate, and the program knows all.
        if matches!(&**folder, "wit" | "host" | "plugins/NAME") {
            continue;
        }
        let mut expected: BTreeSet<String> = allowed.clone();
        if expected.remove("plugins") {
            expected.extend(plugins.iter().cloned());
        }
        let known = dependencies(folder);
        let known = known.iter().filter_map(|it| it.strip_prefix("equipoise-"));
        let known: BTreeSet<String> = known.map(str::to_owned).collect();
        assert_eq!(known, expected, "{folder}");
    }
    for plugin in plugins {
        let known = dependencies(&format!("plugins/{plugin}"));
        let ours = known.iter().filter(|it| it.starts_with("equipoise-"));
        assert_eq!(ours.collect::<Vec<_>>(), ["equipoise-sdk"], "{plugin}");
    }
}

#[test]
fn every_crate_has_a_row_in_the_architecture() {
    let layers = layers();
    for entry in fs::read_dir(workspace().join("host")).expect("the folder") {
        let entry = entry.expect("an entry");
        if entry.path().join("Cargo.toml").exists() {
            let folder = format!("host/{}", entry.file_name().display());
            assert!(layers.contains_key(&folder), "{folder}");
        }
    }
}

/// Libraries that would bring I/O, clocks or a runtime to where they do not belong.
#[test]
fn libraries_stay_out_of_crates_where_they_do_not_belong() {
    let io = [
        "tokio",
        "hyper",
        "hyper-util",
        "rustls",
        "wasmtime",
        "wasmtime-wasi",
        "notify",
    ];
    for folder in [
        "host/balancer",
        "host/http",
        "host/text",
        "host/metrics",
        "host/config",
        "host/apache-import",
        "sdk",
    ] {
        for library in io {
            assert!(
                !dependencies(folder).contains(library),
                "{folder}: {library}"
            );
        }
    }
    for folder in layers().keys().filter(|it| it.starts_with("host/")) {
        let known = dependencies(folder);
        let knows = |library: &str| known.contains(library);
        assert!(!knows("hyper") && !knows("hyper-util"), "{folder}: hyper");
        assert!(
            !knows("notify") || folder == "host/file-watch",
            "{folder}: notify"
        );
        assert!(
            !knows("wasmtime") || folder == "host/wasm",
            "{folder}: wasmtime"
        );
        assert!(
            !knows("hickory-resolver") || folder == "host/dns",
            "{folder}: DNS"
        );
    }
    let wasm = dependencies("host/wasm");
    for library in ["http", "tokio", "rustls", "equipoise-http"] {
        assert!(!wasm.contains(library), "host/wasm: {library}");
    }
}
