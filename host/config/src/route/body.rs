//! Bodies of responses that the proxy gives itself: texts of the configuration, or files.

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use crate::name;
use crate::table::Table;
use crate::value::{Parsed, free_text, text, text_as};

/// The keys of a body.
pub(super) const CONTENT_KEYS: &[&str] = &["body", "body-file", "content-type"];

/// The largest body of `respond`, in bytes.
pub(super) const LARGEST_RESPONSE: usize = 64 * 1024;

/// The largest body of an error page, in bytes.
pub(super) const LARGEST_PAGE: usize = 1024 * 1024;

/// The longest `content-type`, in bytes.
const LONGEST_TYPE: usize = 256;

/// A body with its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// `body` or `body-file`.
    pub body: Body,
    /// `content-type`. Default `text/plain; charset=utf-8`.
    pub content_type: String,
}

/// What a body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// `body`: a text.
    Text(String),
    /// `body-file`: what a file has in it; relative to the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The most that it may have in it, in bytes.
        most: usize,
    },
}

/// A file that the configuration names for a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyFile<'config> {
    /// Where it is named, such as `route[0].respond.body-file`.
    pub key: String,
    /// The file.
    pub path: &'config Path,
    /// The most that it may have in it, in bytes.
    pub most: usize,
}

impl Content {
    /// The file that the body is in, named below this key.
    pub(crate) fn file(&self, key: impl FnOnce() -> String) -> Option<BodyFile<'_>> {
        match &self.body {
            Body::Text(_) => None,
            Body::File { path, most } => Some(BodyFile {
                key: format!("{}.body-file", key()),
                path,
                most: *most,
            }),
        }
    }
}

/// Reads a body of up to `most` bytes, with its type; `None` where none is written.
pub(super) fn read_content(table: &Table<'_>, path: &Path, most: usize) -> Option<Content> {
    if table.has("body") && table.has("body-file") {
        table.refuse("body-file", "contradicts body: write one of the two");
    }
    let text = table.read("body", free_text(most)).map(Body::Text);
    let file = text_as(|text: &str| name::file(path, text, "\"sorry.html\""));
    let file = table.read("body-file", file);
    let file = file.map(|path| Body::File { path, most });
    let content_type = table.read("content-type", media_type);
    if table.has("content-type") && !table.has("body") && !table.has("body-file") {
        table.refuse(
            "content-type",
            "is of no body: write body or body-file, too",
        );
    }
    let default = || "text/plain; charset=utf-8".to_owned();
    Some(Content {
        body: text.or(file)?,
        content_type: content_type.unwrap_or_else(default),
    })
}

fn media_type(value: &DeValue<'_>) -> Parsed<String> {
    let text = text(value)?;
    let is_legal = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    let (kind, rest) = text.split_once('/').unwrap_or_default();
    let subkind = rest.split(';').next().unwrap_or_default().trim_end();
    let is_type = name::is_token(kind) && name::is_token(subkind) && text.bytes().all(is_legal);
    match is_type && text.len() <= LONGEST_TYPE {
        true => Ok(text.to_owned()),
        false => Err("must be a media type, such as \"text/html; charset=utf-8\"".to_owned()),
    }
}
