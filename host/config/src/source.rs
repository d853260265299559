//! Where the configuration in force comes from: a file's text, with what was changed at run time laid over it.

mod changes;
mod document;
mod overlay;
mod sections;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use toml::de::DeTable;

use super::{Config, Diagnostics};
use changes::Presence;
pub use changes::{Changes, Edit, Settings};
use equipoise_file_watch::{self as file_watch, Hash};
use overlay::lay_over;
use sections::Sections;

/// The text of the configuration in force, and how it came about.
#[derive(Debug)]
pub struct Source {
    /// The configuration file; mistakes name it, and the files that it names are relative to its folder.
    pub path: PathBuf,
    /// What the file says.
    file: Arc<str>,
    file_hash: Hash,
    /// What was changed since.
    pub changes: Changes,
    /// The file's text with the changes laid over it.
    pub text: String,
    /// The balancers of `text` as JSON.
    document: Arc<Settings>,
    /// Those of `file`.
    written: Arc<Settings>,
    /// Where their members are written in `file`.
    sections: Arc<Sections>,
    /// When this came into force.
    pub since: SystemTime,
}

/// A key whose value is another than the file says.
#[derive(Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Where it is, such as `balancer.shop.member."http://a".loadfactor`.
    pub key: String,
    /// What the file says; `null` where it says nothing.
    file: Value,
    /// What is in force; `null` where that is the default, or nothing.
    running: Value,
}

/// Why a source cannot be in force.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The file has mistakes.
    #[error("{0}")]
    File(Diagnostics),
    /// With the changes laid over it, it has.
    #[error("{0}")]
    Changed(Diagnostics),
    /// The changes cannot be laid over it.
    #[error("{0}")]
    Unchangeable(String),
}

impl Source {
    /// The text of the file at `path` with changes laid over it, and what that configures. Returns also what changes were
    /// about that is no longer there: those are dropped.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn new(
        path: &Path,
        file: &str,
        changes: &Changes,
    ) -> Result<(Self, Config, Vec<String>), SourceError> {
        let (source, config) = Self::from_file(path, file).map_err(SourceError::File)?;
        match changes.is_empty() {
            true => Ok((source, config, Vec::new())),
            false => source.with(changes),
        }
    }

    /// The same file with these changes in place of those that are laid over it, and the same result as of [`new`](Self::new). The
    /// file was read before, and is not read again.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn with(&self, changes: &Changes) -> Result<(Self, Config, Vec<String>), SourceError> {
        if changes.is_empty() {
            let (source, config) =
                Self::from_file(&self.path, &self.file).map_err(SourceError::File)?;
            return Ok((source, config, Vec::new()));
        }
        let overlaid = lay_over(&self.file, &self.sections, changes);
        let overlaid = overlaid.map_err(SourceError::Unchangeable)?;
        let (config, document) = Config::parse_with(&overlaid.text, &self.path, balancers)
            .map_err(SourceError::Changed)?;
        let source = Self {
            path: self.path.clone(),
            file: self.file.clone(),
            file_hash: self.file_hash,
            changes: overlaid.changes,
            document: Arc::new(document),
            written: self.written.clone(),
            sections: self.sections.clone(),
            text: overlaid.text,
            since: SystemTime::now(),
        };
        Ok((source, config, overlaid.dropped))
    }

    /// The text of the file at `path` without run-time changes, and what that configures.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn from_file(path: &Path, file: &str) -> Result<(Self, Config), Diagnostics> {
        let (config, (written, sections)) = Config::parse_with(file, path, |document| {
            (balancers(document), Sections::of(file, document))
        })?;
        let written = Arc::new(written);
        let source = Self {
            path: path.to_owned(),
            file: file.into(),
            file_hash: file_watch::hash(file.as_bytes()),
            changes: Changes::default(),
            text: file.to_owned(),
            document: written.clone(),
            written,
            sections: Arc::new(sections),
            since: SystemTime::now(),
        };
        Ok((source, config))
    }

    /// What the file says.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The hash of what the file says.
    pub fn file_hash(&self) -> Hash {
        self.file_hash
    }

    /// The revision: the first 12 hexadecimal digits of the hash of its text.
    pub fn revision(&self) -> String {
        etag(&self.text)
    }

    /// The keys of a balancer but for its members, as they are in force.
    pub fn balancer(&self, name: &str) -> Settings {
        let balancer = balancer(&self.document, name);
        let mut settings = balancer.cloned().unwrap_or_default();
        settings.remove("member");
        settings
    }

    /// The keys of the member of a balancer at this place, as they are in force.
    pub fn member(&self, balancer_name: &str, place: usize) -> Settings {
        let balancer = balancer(&self.document, balancer_name);
        let members = balancer.and_then(|balancer| balancer.get("member")?.as_array());
        let member = members.and_then(|members| members.get(place)?.as_object());
        member.cloned().unwrap_or_default()
    }

    /// Every key whose value is another than the file says.
    pub fn differences(&self) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (name, changes) in &self.changes.balancers {
            let key = format!("balancer.{}", key_of(name));
            let before = balancer(&self.written, name);
            let now = balancer(&self.document, name);
            if changes.presence != Presence::Configured {
                differences.push(Difference::of(key, before, now));
                continue;
            }
            compare(&mut differences, &key, &changes.settings, before, now);
            let [before, now] = [before, now].map(members_by_url);
            for member in &changes.members {
                let key = format!("{key}.member.{}", key_of(&member.url));
                let before = before.get(&*member.url).copied();
                let now = now.get(&*member.url).copied();
                match member.presence {
                    Presence::Configured => {
                        compare(&mut differences, &key, &member.settings, before, now);
                    }
                    _ => differences.push(Difference::of(key, before, now)),
                }
            }
        }
        differences
    }

    /// The changes with others, as seen from what is in force.
    pub fn changes_with_all(&self, edits: Vec<Edit>) -> Changes {
        let edits = edits.into_iter().map(|edit| self.completed(edit));
        self.changes.clone().with_all(edits)
    }

    /// An edit as it is to be remembered, seen from what is in force.
    ///
    /// A table in place of what is no table, or of nothing, is all there is: what the file has in its table does not come back.
    fn completed(&self, mut edit: Edit) -> Edit {
        if let Some((patch, changed, written)) = self.patched(&mut edit) {
            for (key, value) in patch.iter_mut() {
                let is_replaced = changed.get(key).is_some_and(|value| !value.is_object());
                let before = written.and_then(|written| written.get(key)?.as_object());
                if let (true, Some(before), Value::Object(table)) = (is_replaced, before, value) {
                    for name in before.keys() {
                        table.entry(name).or_insert(Value::Null);
                    }
                }
            }
        }
        edit
    }

    /// The patch of an edit, what was changed before of what it is about, and what the file says of that.
    fn patched<'edit>(
        &self,
        edit: &'edit mut Edit,
    ) -> Option<(&'edit mut Settings, &Settings, Option<&Settings>)> {
        match edit {
            Edit::Balancer { name, patch } => {
                let changed = self.changes.balancers.get(name)?;
                let written = balancer(&self.written, name);
                Some((patch, &changed.settings, written))
            }
            Edit::Member {
                balancer: name,
                url,
                patch,
            } => {
                let mut changed = self.changes.balancers.get(name)?.members.iter();
                let changed = changed.find(|member| member.url == *url)?;
                let written = balancer(&self.written, name);
                let written = written.and_then(|balancer| member_at(balancer, url));
                Some((patch, &changed.settings, written))
            }
            _ => None,
        }
    }

    /// The changes without the one that [`differences`](Self::differences) calls so; `None` where there is none.
    pub fn changes_without(&self, key: &str) -> Option<Changes> {
        let mut changes = self.changes.clone();
        let mut found = false;
        changes.balancers.retain(|name, changes| {
            let path = format!("balancer.{}", key_of(name));
            if changes.presence != Presence::Configured {
                found |= path == key;
                return path != key;
            }
            found |= remove_leaf(&mut changes.settings, &path, key);
            changes.members.retain_mut(|member| {
                let path = format!("{path}.member.{}", key_of(&member.url));
                if member.presence != Presence::Configured {
                    found |= path == key;
                    return path != key;
                }
                found |= remove_leaf(&mut member.settings, &path, key);
                !member.settings.is_empty()
            });
            !(changes.settings.is_empty() && changes.members.is_empty())
        });
        found.then_some(changes)
    }
}

impl Difference {
    fn of(key: String, before: Option<&Settings>, now: Option<&Settings>) -> Self {
        let whole =
            |settings: Option<&Settings>| settings.cloned().map_or(Value::Null, Value::from);
        Self {
            key,
            file: whole(before),
            running: whole(now),
        }
    }
}

/// The entity tag of a text: changes whenever it does.
pub fn etag(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash[..6].iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// Compares the keys that a patch has, down to its innermost ones.
fn compare(
    differences: &mut Vec<Difference>,
    path: &str,
    patch: &Settings,
    before: Option<&Settings>,
    now: Option<&Settings>,
) {
    for (key, value) in patch {
        let path = format!("{path}.{}", key_of(key));
        let before = before.and_then(|before| before.get(key));
        let now = now.and_then(|now| now.get(key));
        match value {
            Value::Object(patch) => {
                let (before, now) = (
                    before.and_then(Value::as_object),
                    now.and_then(Value::as_object),
                );
                compare(differences, &path, patch, before, now);
            }
            _ if before == now => {}
            _ => differences.push(Difference {
                key: path,
                file: before.cloned().unwrap_or_default(),
                running: now.cloned().unwrap_or_default(),
            }),
        }
    }
}

/// Takes the innermost key of this name out of a patch; tells whether it was there.
fn remove_leaf(patch: &mut Settings, path: &str, wanted: &str) -> bool {
    let mut found = false;
    patch.retain(|key, value| {
        let path = format!("{path}.{}", key_of(key));
        match value {
            Value::Object(inner) => {
                found |= remove_leaf(inner, &path, wanted);
                !inner.is_empty()
            }
            _ => {
                found |= path == wanted;
                path != wanted
            }
        }
    });
    found
}

/// The balancers of a document.
fn balancers(document: &DeTable<'_>) -> Settings {
    let balancers = document.get("balancer");
    let balancers = balancers.and_then(|it| it.get_ref().as_table());
    balancers.map(document::table).unwrap_or_default()
}

fn balancer<'document>(document: &'document Settings, name: &str) -> Option<&'document Settings> {
    document.get(name)?.as_object()
}

fn member_at<'document>(balancer: &'document Settings, url: &str) -> Option<&'document Settings> {
    let members = balancer.get("member")?.as_array()?;
    let mut members = members.iter().filter_map(Value::as_object);
    members.find(|member| member.get("url").and_then(Value::as_str) == Some(url))
}

/// The members of a balancer by URL, the first of equals.
fn members_by_url(balancer: Option<&Settings>) -> HashMap<&str, &Settings> {
    let members = balancer.and_then(|balancer| balancer.get("member")?.as_array());
    let members = members.into_iter().flatten().filter_map(Value::as_object);
    let mut by_url = HashMap::new();
    for member in members {
        if let Some(url) = member.get("url").and_then(Value::as_str) {
            by_url.entry(url).or_insert(member);
        }
    }
    by_url
}

/// A key as TOML writes it.
fn key_of(name: &str) -> String {
    toml_edit::Key::new(name).to_string().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::changes::Edit;
    use super::*;

    const FILE: &str = "listen = [{ address = \"127.0.0.1:0\" }]
route = [{ path = \"/\", balancer = \"shop\" }]
[balancer.shop]
lbmethod = \"byrequests\"
[[balancer.shop.member]]
url = \"http://a\"
[[balancer.shop.member]]
url = \"http://b\"
";

    fn changed(edits: impl IntoIterator<Item = Edit>) -> Result<Source, SourceError> {
        let edits = edits.into_iter();
        let changes = edits.fold(Changes::default(), |changes, edit| changes.with(edit));
        Source::new(Path::new("shop.toml"), FILE, &changes).map(|(source, ..)| source)
    }

    fn member(url: &str, patch: Value) -> Edit {
        Edit::Member {
            balancer: "shop".into(),
            url: url.into(),
            patch: patch.as_object().expect("an object").clone(),
        }
    }

    fn told(source: &Source) -> Vec<String> {
        let told = source.differences().into_iter();
        told.map(|it| format!("{}: {} -> {}", it.key, it.file, it.running))
            .collect()
    }

    #[test]
    fn differences_from_the_file_are_told_key_by_key() {
        let source = changed([
            member(
                "http://a",
                json!({ "loadfactor": 2, "metadata": { "zone": "x" } }),
            ),
            member("http://b", json!({ "lbset": null })),
            Edit::RemoveMember {
                balancer: "shop".into(),
                url: "http://b".into(),
            },
            Edit::Balancer {
                name: "shop".into(),
                patch: json!({ "lbmethod": "byrequests", "timeout": "1s" })
                    .as_object()
                    .unwrap()
                    .clone(),
            },
        ])
        .unwrap();
        assert_eq!(
            told(&source),
            [
                "balancer.shop.timeout: null -> \"1s\"",
                "balancer.shop.member.\"http://a\".loadfactor: null -> 2",
                "balancer.shop.member.\"http://a\".metadata.zone: null -> \"x\"",
                "balancer.shop.member.\"http://b\": {\"url\":\"http://b\"} -> null",
            ]
        );
        assert_eq!(source.member("shop", 0)["loadfactor"], 2);
        assert_eq!(source.balancer("shop")["timeout"], "1s");
    }

    #[test]
    fn changes_are_taken_back_one_by_one() {
        let source = changed([
            member(
                "http://a",
                json!({ "loadfactor": 2, "metadata": { "zone": "x" } }),
            ),
            Edit::RemoveMember {
                balancer: "shop".into(),
                url: "http://b".into(),
            },
        ])
        .unwrap();
        let mut source = source;
        for key in [
            "balancer.shop.member.\"http://a\".metadata.zone",
            "balancer.shop.member.\"http://b\"",
            "balancer.shop.member.\"http://a\".loadfactor",
        ] {
            assert!(
                told(&source).iter().any(|line| line.starts_with(key)),
                "{key}"
            );
            let changes = source.changes_without(key).expect(key);
            source = Source::new(Path::new("shop.toml"), FILE, &changes)
                .unwrap()
                .0;
        }
        assert!(source.changes.is_empty());
        assert_eq!(
            source.changes_without("balancer.shop.member.\"http://b\""),
            None
        );
    }

    #[test]
    fn values_that_toml_has_not_are_unfit_and_told_with_their_key() {
        for (value, shown) in [
            (json!(u64::MAX), "18446744073709551615"),
            (json!([null]), "[null]"),
        ] {
            let edit = member("http://a", json!({ "metadata": { "zone": value } }));
            let refusal = changed([edit]).expect_err("no TOML");
            assert!(
                matches!(refusal, SourceError::Unchangeable(_)),
                "{refusal:?}"
            );
            let expected = format!("metadata: zone: no configuration file can have {shown}: ");
            assert!(refusal.to_string().starts_with(&expected), "{refusal}");
        }
    }

    #[test]
    fn a_table_in_place_of_something_else_is_all_there_is() {
        let file = FILE.replace(
            "lbmethod = \"byrequests\"",
            "outlier = { window = \"5s\", eject = \"1s\" }",
        );
        let mut changes = Changes::default();
        for patch in [
            json!({ "outlier": null }),
            json!({ "outlier": { "window": "9s" } }),
        ] {
            let source = Source::new(Path::new("shop.toml"), &file, &changes)
                .unwrap()
                .0;
            changes = source.changes_with_all(vec![Edit::Balancer {
                name: "shop".into(),
                patch: patch.as_object().unwrap().clone(),
            }]);
        }
        let source = Source::new(Path::new("shop.toml"), &file, &changes)
            .unwrap()
            .0;
        assert_eq!(
            source.balancer("shop")["outlier"],
            json!({ "window": "9s" })
        );
    }

    #[test]
    fn mistakes_in_changes_are_found_as_in_the_file() {
        let unusable = changed([member("http://a", json!({ "loadfactor": 700 }))]).unwrap_err();
        let SourceError::Changed(mistakes) = unusable else {
            panic!("{unusable:?}");
        };
        let mistake = mistakes.iter().next().expect("a mistake");
        assert_eq!(
            mistake.key.as_deref(),
            Some("balancer.shop.member[0].loadfactor")
        );
        assert_eq!(
            mistake.remedy,
            "must be a number from 1 to 100, such as 2 or 1.5"
        );
    }
}
