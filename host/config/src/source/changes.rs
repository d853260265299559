//! What operators have changed while the program runs: edits of balancers and members, laid over the configuration file.
//!
//! An edit is a merge patch (RFC 7396) in the words of the file: `null` takes a key back to its default. Edits of the same
//! thing add up, so that as much is remembered as there are keys that differ from the file, however often they change.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Keys and values as a table of the configuration file has them; `null` for what is not to be there.
pub type Settings = Map<String, Value>;

/// All that was changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    #[serde(default)]
    pub(super) balancers: BTreeMap<String, BalancerChanges>,
}

/// What was changed of a balancer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BalancerChanges {
    #[serde(default)]
    pub(super) presence: Presence,
    #[serde(default)]
    pub(super) settings: Settings,
    /// Those that were added stand in the order of their coming.
    #[serde(default)]
    pub(super) members: Vec<MemberChanges>,
}

/// What was changed of a member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberChanges {
    pub(super) url: String,
    #[serde(default)]
    pub(super) presence: Presence,
    #[serde(default)]
    pub(super) settings: Settings,
}

/// Why something is there or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Presence {
    /// As in the file.
    #[default]
    Configured,
    /// Whatever the file says, it is there with these settings alone.
    Added,
    /// Whatever the file says, it is not there.
    Removed,
}

/// A change of the configuration. Balancers are known by name, members by balancer and URL.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Adds a balancer: its settings, with a list of members under `member`.
    AddBalancer {
        /// The balancer.
        name: String,
        /// Its keys.
        settings: Settings,
    },
    /// Changes keys of a balancer, but not its members.
    Balancer {
        /// The balancer.
        name: String,
        /// Keys with their new values; `null` is the default.
        patch: Settings,
    },
    /// Takes a balancer away, with its members.
    RemoveBalancer {
        /// The balancer.
        name: String,
    },
    /// Adds a member behind the others: its settings but for the URL.
    AddMember {
        /// The balancer.
        balancer: String,
        /// The member.
        url: String,
        /// Its keys.
        settings: Settings,
    },
    /// Changes keys of a member, but not its URL.
    Member {
        /// The balancer.
        balancer: String,
        /// The member.
        url: String,
        /// Keys with their new values; `null` is the default.
        patch: Settings,
    },
    /// Takes a member away.
    RemoveMember {
        /// The balancer.
        balancer: String,
        /// The member.
        url: String,
    },
}

impl fmt::Display for Edit {
    /// What is so when it is done, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddBalancer { name, .. } => write!(f, "balancer {} is added", shown(name)),
            Self::Balancer { name, patch } => {
                write!(
                    f,
                    "balancer {} has {} from now on",
                    shown(name),
                    keys(patch)
                )
            }
            Self::RemoveBalancer { name } => write!(f, "balancer {} is removed", shown(name)),
            Self::AddMember { balancer, url, .. } => {
                write!(
                    f,
                    "balancer {}: member {} is added",
                    shown(balancer),
                    shown(url)
                )
            }
            Self::Member {
                balancer,
                url,
                patch,
            } => {
                let (balancer, url) = (shown(balancer), shown(url));
                write!(
                    f,
                    "balancer {balancer}: member {url} has {} from now on",
                    keys(patch)
                )
            }
            Self::RemoveMember { balancer, url } => {
                write!(
                    f,
                    "balancer {}: member {} is removed",
                    shown(balancer),
                    shown(url)
                )
            }
        }
    }
}

/// A foreign text made fit for a log line.
fn shown(text: &str) -> String {
    let shown = text.chars().take(300);
    shown
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The keys of a patch with their values, as `status +N, lbset 2`.
fn keys(patch: &Settings) -> String {
    let pair = |(key, value): (&String, &Value)| match value {
        Value::Null => format!("no {key}"),
        Value::String(text) => format!("{key} {text}"),
        value => format!("{key} {value}"),
    };
    let pairs: Vec<_> = patch.iter().map(pair).collect();
    shown(&pairs.join(", "))
}

impl Changes {
    /// Whether nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.balancers.is_empty()
    }

    /// These and others, one after the other. Members that are added to one balancer in a row are added at once.
    #[must_use]
    pub(super) fn with_all(mut self, edits: impl IntoIterator<Item = Edit>) -> Self {
        let mut edits = edits.into_iter().peekable();
        while let Some(edit) = edits.next() {
            let Edit::AddMember {
                balancer,
                url,
                settings,
            } = edit
            else {
                self = self.with(edit);
                continue;
            };
            let mut added = vec![MemberChanges::added(url, settings)];
            let is_same = |edit: &Edit| matches!(edit, Edit::AddMember { balancer: it, .. } if *it == balancer);
            while let Some(Edit::AddMember { url, settings, .. }) = edits.next_if(is_same) {
                added.push(MemberChanges::added(url, settings));
            }
            self.balancer(balancer).add(added);
        }
        self
    }

    /// These and another one.
    #[must_use]
    pub fn with(mut self, edit: Edit) -> Self {
        let changes = &mut self;
        match edit {
            Edit::AddBalancer { name, settings } => {
                let added = BalancerChanges {
                    presence: Presence::Added,
                    settings,
                    members: Vec::new(),
                };
                changes.balancers.insert(name, added);
            }
            Edit::Balancer { name, patch } => {
                merge(&mut changes.balancer(name).settings, patch);
            }
            Edit::RemoveBalancer { name } => {
                let removed = BalancerChanges {
                    presence: Presence::Removed,
                    ..BalancerChanges::default()
                };
                changes.balancers.insert(name, removed);
            }
            Edit::AddMember {
                balancer,
                url,
                settings,
            } => {
                let added = MemberChanges::added(url, settings);
                changes.balancer(balancer).add(vec![added]);
            }
            Edit::Member {
                balancer,
                url,
                patch,
            } => {
                merge(&mut changes.balancer(balancer).member(url).settings, patch);
            }
            Edit::RemoveMember { balancer, url } => {
                let member = changes.balancer(balancer).member(url);
                member.presence = Presence::Removed;
                member.settings.clear();
            }
        }
        self
    }

    fn balancer(&mut self, name: String) -> &mut BalancerChanges {
        self.balancers.entry(name).or_default()
    }
}

impl MemberChanges {
    fn added(url: String, settings: Settings) -> Self {
        Self {
            url,
            presence: Presence::Added,
            settings,
        }
    }
}

impl BalancerChanges {
    /// Adds members behind the others, in place of what was changed of those with their URLs; the last of equals.
    fn add(&mut self, mut added: Vec<MemberChanges>) {
        let mut urls = HashSet::new();
        added.reverse();
        added.retain(|member| urls.insert(member.url.clone()));
        added.reverse();
        self.members.retain(|member| !urls.contains(&member.url));
        self.members.append(&mut added);
    }

    fn member(&mut self, url: String) -> &mut MemberChanges {
        let known = self.members.iter().position(|member| member.url == url);
        let place = known.unwrap_or_else(|| {
            self.members.push(MemberChanges {
                url,
                presence: Presence::Configured,
                settings: Settings::new(),
            });
            self.members.len() - 1
        });
        &mut self.members[place]
    }
}

/// Lays a patch over what was patched before; what it takes away stays known as taken away.
fn merge(settings: &mut Settings, patch: Settings) {
    for (key, value) in patch {
        match (settings.get_mut(&key), value) {
            (Some(Value::Object(before)), Value::Object(patch)) => merge(before, patch),
            (_, value) => {
                settings.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(value: Value) -> Settings {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn edits_of_the_same_key_are_remembered_once() {
        let edit = |loadfactor: u32| Edit::Member {
            balancer: "b".into(),
            url: "http://a".into(),
            patch: settings(json!({ "loadfactor": loadfactor })),
        };
        let changes = (1..50).fold(Changes::default(), |changes, it| changes.with(edit(it)));
        assert_eq!(changes, Changes::default().with(edit(49)));
    }

    #[test]
    fn patches_of_inner_tables_add_up() {
        let edit = |patch| Edit::Balancer {
            name: "b".into(),
            patch: settings(patch),
        };
        let changes = Changes::default()
            .with(edit(
                json!({ "outlier": { "window": "5s", "eject": "1s" }, "timeout": "1s" }),
            ))
            .with(edit(
                json!({ "outlier": { "eject": null }, "timeout": null }),
            ));
        assert_eq!(
            Value::from(changes.balancers["b"].settings.clone()),
            json!({ "outlier": { "window": "5s", "eject": null }, "timeout": null })
        );
    }

    #[test]
    fn what_is_removed_and_added_again_has_only_its_new_settings() {
        let (balancer, url) = ("b".to_owned(), "http://a".to_owned());
        let changes = Changes::default()
            .with(Edit::Member {
                balancer: balancer.clone(),
                url: url.clone(),
                patch: settings(json!({ "lbset": 3 })),
            })
            .with(Edit::RemoveMember {
                balancer: balancer.clone(),
                url: url.clone(),
            })
            .with(Edit::AddMember {
                balancer,
                url,
                settings: settings(json!({ "route": "r1" })),
            });
        let members = &changes.balancers["b"].members;
        assert_eq!(members.len(), 1);
        assert_eq!(members[0].presence, Presence::Added);
        assert_eq!(
            Value::from(members[0].settings.clone()),
            json!({ "route": "r1" })
        );
    }

    /// All at once as one after the other, also where one comes twice or was changed before.
    #[test]
    fn members_that_are_added_in_a_row_are_added_as_one_after_the_other() {
        let edit = |(balancer, url, lbset): (&str, &str, u32)| Edit::AddMember {
            balancer: balancer.into(),
            url: url.into(),
            settings: settings(json!({ "lbset": lbset })),
        };
        let removed = Edit::RemoveMember {
            balancer: "a".into(),
            url: "u1".into(),
        };
        let added = [
            ("a", "u0", 1),
            ("a", "u1", 2),
            ("a", "u0", 3),
            ("b", "u0", 4),
            ("a", "u2", 5),
            ("a", "u1", 6),
        ];
        let edits: Vec<_> = [removed].into_iter().chain(added.map(edit)).collect();
        let one_by_one = edits
            .iter()
            .cloned()
            .fold(Changes::default(), Changes::with);
        assert_eq!(Changes::default().with_all(edits), one_by_one);
    }

    #[test]
    fn changes_are_kept_as_json_and_read_back() {
        let changes = Changes::default().with(Edit::RemoveBalancer { name: "b".into() });
        let text = serde_json::to_string(&changes).unwrap();
        assert_eq!(serde_json::from_str::<Changes>(&text).unwrap(), changes);
        assert!(serde_json::from_str::<Changes>("{\"balancer\": {}}").is_err());
    }
}
