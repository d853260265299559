//! The paths to watch for one file: every symlink on its way, and the file.

use std::fs;
use std::path::{self, Component, Path, PathBuf};

/// How many symlinks are followed. Linux itself gives up after 40.
const MAX_SYMLINKS: usize = 40;

/// Where `path` can be made to lead to something else: every symlink on the way, and the file at its end or the first
/// thing missing. Each is given in the folder it is really in, so that equal folders have equal paths.
///
/// For a plugin in a volume of Kubernetes, `/plugins/a.wasm`, these are:
///
/// | place                       | what is there                |
/// |-----------------------------|------------------------------|
/// | `/plugins/a.wasm`           | a symlink to `..data/a.wasm` |
/// | `/plugins/..data`           | a symlink to `..2026_10`     |
/// | `/plugins/..2026_10/a.wasm` | the file                     |
pub(super) fn watched_paths(path: &Path) -> Vec<PathBuf> {
    let mut places = Vec::new();
    let mut symlinks = 0;
    // Has no symlinks in it: what is above it is what its path says.
    let mut here = PathBuf::new();
    let mut ahead = path::absolute(path).unwrap_or_default();
    while symlinks <= MAX_SYMLINKS {
        let mut steps = ahead.components();
        let Some(step) = steps.next() else { break };
        let rest = steps.as_path().to_owned();
        let next = match step {
            Component::ParentDir => here.parent().unwrap_or(&here).to_owned(),
            step => here.join(step),
        };
        let (is_symlink, exists) = match fs::symlink_metadata(&next) {
            Ok(metadata) => (metadata.is_symlink(), true),
            Err(_) => (false, false),
        };
        if is_symlink || !exists || rest.as_os_str().is_empty() {
            places.push(next.clone());
        }
        if is_symlink {
            symlinks += 1;
            // Gone in this moment: then this is the place to wait at.
            let Ok(target) = fs::read_link(&next) else {
                break;
            };
            ahead = target.join(rest);
        } else if exists {
            here = next;
            ahead = rest;
        } else {
            break;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_symlink_on_the_way_is_a_place() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let at = |path: &str| root.join(path);
        fs::create_dir(at("plugins")).unwrap();
        fs::create_dir(at("plugins/..2026_10")).unwrap();
        fs::write(at("plugins/..2026_10/a.wasm"), "").unwrap();
        symlink("..2026_10", at("plugins/..data")).unwrap();
        symlink("../plugins/./..data/a.wasm", at("plugins/a.wasm")).unwrap();
        symlink(at("plugins"), at("current")).unwrap();
        symlink("loop", at("loop")).unwrap();

        let rows: &[(&str, &[&str])] = &[
            ("plugins/..2026_10/a.wasm", &["plugins/..2026_10/a.wasm"]),
            ("plugins/b.wasm", &["plugins/b.wasm"]),
            ("new/folder/b.wasm", &["new"]),
            ("plugins/../new/b.wasm", &["new"]),
            (
                "current/a.wasm",
                &[
                    "current",
                    "plugins/a.wasm",
                    "plugins/..data",
                    "plugins/..2026_10/a.wasm",
                ],
            ),
        ];
        for (path, expected) in rows {
            let expected: Vec<_> = expected.iter().map(|place| at(place)).collect();
            assert_eq!(watched_paths(&at(path)), expected, "{path}");
        }
        assert_eq!(watched_paths(&at("loop")).len(), MAX_SYMLINKS + 1);
        assert!(watched_paths(Path::new("")).is_empty());
        assert_eq!(watched_paths(Path::new("/")), [PathBuf::from("/")]);
    }
}
