//! `access-log`.

use std::path::Path;

use super::name;
use super::table::Table;
use super::value::{choice, text};
use super::{AccessLog, LogFormat, Sink};

pub(super) const KEYS: &[&str] = &["file", "format"];

const FORMATS: &[(&str, LogFormat)] =
    &[("combined", LogFormat::Combined), ("json", LogFormat::Json)];

/// Reads `access-log` out of the file at `path`, to whose folder log files are relative.
pub(super) fn read_access_log(file: &Table<'_>, path: &Path) -> Option<AccessLog> {
    let table = file.table("access-log", KEYS)?;
    let format = table.read("format", choice(FORMATS)).unwrap_or_default();
    let sink = table.require(
        "file",
        "write a file's name or \"stdout\"",
        |value| match text(value)? {
            "" => Err("must be a file's name or \"stdout\"".to_owned()),
            "stdout" => Ok(Sink::Stdout),
            file => Ok(Sink::File(name::beside(path, file))),
        },
    )?;
    Some(AccessLog { sink, format })
}
