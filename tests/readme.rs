//! The README shows what there is.

use std::fs;
use std::path::Path;

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
