//! The README, and the page about security, tell of what there is.

use std::fs;
use std::path::{Path, PathBuf};

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The indented block of the README that contains this line.
fn block(with: &str) -> String {
    let readme = file("README.md");
    // A blank line within a block is followed by more of it.
    let mut joined: Vec<String> = Vec::new();
    for part in readme.split("\n\n") {
        match joined.last_mut() {
            Some(last) if part.starts_with("    ") && last.starts_with("    ") => {
                *last += "\n\n";
                *last += part;
            }
            _ => joined.push(part.to_owned()),
        }
    }
    let block = joined.into_iter().find(|block| block.contains(with));
    let block = block.unwrap_or_else(|| panic!("no block with {with}"));
    let lines = block
        .lines()
        .map(|line| line.strip_prefix("    ").unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_plugin_in_the_readme_is_the_example_of_the_sdk() {
    let example = file("sdk/examples/least_busy.rs");
    let start = example.find("use ").expect("it uses the SDK");
    let end = example
        .find("export_selector!(LeastBusy);")
        .expect("it is exported");
    let example = format!("{}export_selector!(LeastBusy);", &example[start..end]);
    assert_eq!(block("struct LeastBusy;"), example);
}

#[test]
fn the_configuration_in_the_readme_is_the_example_but_for_comments() {
    let keys = |text: &str| {
        let lines = text
            .lines()
            .map(|line| line.split(" #").next().unwrap_or_default());
        let lines = lines.filter(|line| !line.starts_with('#')).map(str::trim);
        let lines: Vec<String> = lines
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        lines
    };
    assert_eq!(
        keys(&block(
            "[balancer.mycluster]\n    lbmethod = \"byrequests\""
        )),
        keys(&file("examples/mycluster.toml"))
    );
}

/// The names of tests on a line of a page, each with the file it is said to be in.
fn tests_on(line: &str) -> Vec<(&str, &str)> {
    let is_name = |code: &str| {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        code.contains('_') && code.bytes().all(letter)
    };
    let (mut within, mut found) = (None, Vec::new());
    for code in line.split('`').skip(1).step_by(2) {
        if code.contains('/') && code.ends_with(".rs") {
            within = Some(code);
        } else if let Some(file) = within.filter(|_| is_name(code)) {
            found.push((file, code));
        }
    }
    found
}

/// A promise whose test has gone, or has another name, is none.
#[test]
fn every_test_that_the_page_about_security_names_is_there() {
    let page = file("docs/security.md");
    let named: Vec<_> = page.lines().flat_map(tests_on).collect();
    assert!(named.len() > 40, "{named:?}");
    for (place, name) in named {
        let head = format!("fn {name}(");
        assert!(file(place).contains(&head), "{place} has no test {name}");
    }
}

/// Files of Rust below a folder, as paths from the root.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_source_file_that_a_page_names_is_there() {
    let mut all = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    sources(&root, &mut all);
    let docs = fs::read_dir(root.join("docs")).expect("a folder");
    let docs = docs.map(|entry| format!("docs/{}", entry.expect("an entry").file_name().display()));
    let pages = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "wit/README.md",
    ];
    let pages = pages
        .map(str::to_owned)
        .into_iter()
        .chain(docs.filter(|it| it.ends_with(".md")));
    let mut named = 0;
    for page in pages {
        for code in file(&page).split('`').filter(|it| it.ends_with(".rs")) {
            let is_there = all.iter().any(|path| path.ends_with(code));
            assert!(is_there, "{page} names {code}, which is not there");
            named += 1;
        }
    }
    assert!(named > 40, "{named}");
}
