//! `[compiler]`.

use std::env;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::table::Table;
use super::value::{DAY, Parsed, duration_within, size, text_as};
use super::{CacheFolder, Compiler, name};

pub(super) const KEYS: &[&str] = &["cache", "memory", "time"];

/// What `memory` may be, in bytes: less is not enough for the compiler itself.
const MEMORY: RangeInclusive<usize> = 256 << 20..=64 << 30;

/// The least that `time` may be.
const MIN_TIME: Duration = Duration::from_secs(1);

impl CacheFolder {
    /// The folder; `None` where compiled plugins are not kept, or there is no place for them.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Off => None,
            Self::At(folder) => Some(folder.clone()),
            Self::Default => default_folder(),
        }
    }
}

/// Systemd's `CacheDirectory=`, or `equipoise` in the user's folder of caches.
fn default_folder() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    // Systemd lists several between colons; the first is ours.
    let given = set("CACHE_DIRECTORY").and_then(|list| env::split_paths(&list).next());
    let caches = || set("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(set("HOME")?).join(".cache"));
    let of_user = || Some(caches().or_else(home)?.join("equipoise"));
    given.or_else(of_user).filter(|folder| folder.is_absolute())
}

/// Reads `[compiler]` out of the file at `path`, to whose folder the cache is relative.
pub(super) fn read_compiler(file: &Table<'_>, path: &Path) -> Compiler {
    let default = Compiler::default();
    let Some(table) = file.table("compiler", KEYS) else {
        return default;
    };
    let cache = table.read("cache", text_as(|text| cache(text, path)));
    let memory = table.read("memory", size(MEMORY));
    let time = table.read("time", duration_within(MIN_TIME..=DAY, "s"));
    Compiler {
        cache: cache.unwrap_or(default.cache),
        memory: memory.unwrap_or(default.memory),
        time: time.unwrap_or(default.time),
    }
}

fn cache(text: &str, path: &Path) -> Parsed<CacheFolder> {
    match text {
        "" => Err("must be a folder's name or \"off\"".to_owned()),
        "off" => Ok(CacheFolder::Off),
        folder => Ok(CacheFolder::At(name::beside(path, folder))),
    }
}
