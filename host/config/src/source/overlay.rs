//! Changes laid over the text of a configuration file: the outcome is such a text again, with the file's comments and order.

use std::collections::{HashMap, HashSet};

use serde::Serialize as _;
use serde_json::Value;
use toml_edit::ser::ValueSerializer;
use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, value};

use super::changes::{BalancerChanges, Changes, MemberChanges, Presence, Settings};
use super::sections::Sections;

/// The outcome of laying changes over a text.
pub(super) struct Overlaid {
    pub(super) text: String,
    /// The changes that apply.
    pub(super) changes: Changes,
    /// What the other changes were for, which is not in the text: a balancer, or a member of one.
    pub(super) dropped: Vec<String>,
}

/// Lays changes over a text whose members are written in these sections. Those that no change is about cost next to nothing.
///
/// # Errors
/// The text is not TOML, or what is changed is not written in the form that a configuration has it in.
pub(super) fn lay_over(
    text: &str,
    sections: &Sections,
    changes: &Changes,
) -> Result<Overlaid, String> {
    let cuts = sections.cut(text, changes);
    let overlaid = lay_over_all(&cuts.text, changes)?;
    match cuts.mend(&overlaid.text, text) {
        Some(text) => Ok(Overlaid { text, ..overlaid }),
        None => lay_over_all(text, changes),
    }
}

/// The same of a text as a whole.
fn lay_over_all(text: &str, changes: &Changes) -> Result<Overlaid, String> {
    let mut document: DocumentMut = text.parse().map_err(|error| format!("{error}"))?;
    let mut overlay = Overlay::default();
    let balancers = as_table(document.entry("balancer").or_insert_with(implicit_table))?;
    for (name, changes) in &changes.balancers {
        overlay.balancer(balancers, name, changes)?;
    }
    Ok(Overlaid {
        text: document.to_string(),
        changes: overlay.changes,
        dropped: overlay.dropped,
    })
}

#[derive(Default)]
struct Overlay {
    changes: Changes,
    dropped: Vec<String>,
}

impl Overlay {
    fn balancer(
        &mut self,
        balancers: &mut Table,
        name: &str,
        changes: &BalancerChanges,
    ) -> Result<(), String> {
        let exists = balancers.contains_key(name);
        let mut applied = changes.clone();
        match changes.presence {
            Presence::Removed if exists => {
                balancers.remove(name);
                self.changes.balancers.insert(name.to_owned(), applied);
                return Ok(());
            }
            Presence::Configured if exists => {}
            Presence::Added => {
                balancers.insert(name, Item::Table(Table::new()));
            }
            Presence::Removed => return Ok(()),
            Presence::Configured => {
                self.dropped.push(format!("balancer {name}"));
                return Ok(());
            }
        }
        let Some(item) = balancers.get_mut(name) else {
            return Ok(());
        };
        let table = as_table(item)?;
        lay_settings(table, &changes.settings)?;
        if !changes.members.is_empty() {
            let members = table.entry("member").or_insert_with(empty_list);
            applied.members = self.members(as_tables(members)?, name, &changes.members)?;
        }
        let has_changes = applied.presence == Presence::Added
            || !applied.settings.is_empty()
            || !applied.members.is_empty();
        if has_changes {
            self.changes.balancers.insert(name.to_owned(), applied);
        }
        Ok(())
    }

    /// Lays changes over a list of members; returns those that apply.
    fn members(
        &mut self,
        members: &mut ArrayOfTables,
        balancer: &str,
        changes: &[MemberChanges],
    ) -> Result<Vec<MemberChanges>, String> {
        let mut applied = Vec::new();
        let mut places = places(members);
        let mut removed = HashSet::new();
        for change in changes {
            let place = places.get(&change.url).copied();
            match (change.presence, place) {
                (Presence::Configured, Some(place)) => {
                    if let Some(table) = members.get_mut(place) {
                        lay_settings(table, &change.settings)?;
                    }
                }
                (Presence::Removed, Some(place)) => {
                    removed.insert(place);
                    places.remove(&change.url);
                }
                (Presence::Added, place) => {
                    removed.extend(place);
                    places.insert(change.url.clone(), members.len());
                    let mut table = Table::new();
                    table.insert("url", value(&change.url));
                    lay_settings(&mut table, &change.settings)?;
                    members.push(table);
                }
                (Presence::Removed, None) => continue,
                (Presence::Configured, None) => {
                    self.dropped
                        .push(format!("member {} of balancer {balancer}", change.url));
                    continue;
                }
            }
            applied.push(change.clone());
        }
        // All at once: every one would move those behind it.
        let mut place = 0..;
        members.retain(|_| place.next().is_none_or(|place| !removed.contains(&place)));
        Ok(applied)
    }
}

/// Where the member of each URL stands, the first of equals.
fn places(members: &ArrayOfTables) -> HashMap<String, usize> {
    let mut places = HashMap::new();
    for (place, member) in members.iter().enumerate() {
        if let Some(url) = member.get("url").and_then(Item::as_str) {
            places.entry(url.to_owned()).or_insert(place);
        }
    }
    places
}

/// Lays a merge patch over a table.
fn lay_settings(table: &mut dyn TableLike, settings: &Settings) -> Result<(), String> {
    for (key, value) in settings {
        match (table.get_mut(key), value) {
            (_, Value::Null) => {
                table.remove(key);
            }
            (Some(item), Value::Object(patch)) if item.is_table_like() => {
                let inner = item.as_table_like_mut().ok_or("is no table")?;
                lay_settings(inner, patch)?;
            }
            (_, value) => {
                let item = item(value).map_err(|error| format!("{key}: {error}"))?;
                table.insert(key, item);
            }
        }
    }
    Ok(())
}

/// A value as TOML has it. What is `null` within a table is left out.
fn item(json: &Value) -> Result<Item, String> {
    match json {
        Value::Object(settings) => {
            let mut table = InlineTable::new();
            lay_settings(&mut table, settings)?;
            Ok(Item::Value(table.into()))
        }
        Value::Array(elements) if !elements.is_empty() && elements.iter().all(Value::is_object) => {
            let mut tables = ArrayOfTables::new();
            for element in elements {
                let mut table = Table::new();
                if let Value::Object(settings) = element {
                    lay_settings(&mut table, settings)?;
                }
                tables.push(table);
            }
            Ok(Item::ArrayOfTables(tables))
        }
        json => {
            let written = json.serialize(ValueSerializer::new());
            let written = written.map(Item::Value);
            written.map_err(|error| format!("no configuration file can have {json}: {error}"))
        }
    }
}

/// The item as a table that may have sections of its own.
fn as_table(item: &mut Item) -> Result<&mut Table, String> {
    if !item.is_table() {
        let table = std::mem::take(item).into_table();
        *item = Item::Table(table.map_err(|_| "is no table")?);
    }
    item.as_table_mut().ok_or_else(|| "is no table".to_owned())
}

/// The item as a list of tables.
fn as_tables(item: &mut Item) -> Result<&mut ArrayOfTables, String> {
    if !item.is_array_of_tables() {
        let tables = std::mem::take(item).into_array_of_tables();
        *item = Item::ArrayOfTables(tables.map_err(|_| "is no list of tables")?);
    }
    let tables = item.as_array_of_tables_mut();
    tables.ok_or_else(|| "is no list of tables".to_owned())
}

fn implicit_table() -> Item {
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

fn empty_list() -> Item {
    Item::ArrayOfTables(ArrayOfTables::new())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use toml::de::DeTable;

    use super::super::changes::Edit;
    use super::*;

    const FILE: &str = "# The shop.
listen = [{ address = \"127.0.0.1:8080\" }]

[[route]] # all of it
path = \"/\"
balancer = \"shop\"

[balancer.shop]
lbmethod = \"byrequests\"

[[balancer.shop.member]]
url = \"http://a\" # the first
loadfactor = 2

[[balancer.shop.member]]
url = \"http://b\"
";

    fn settings(value: Value) -> Settings {
        value.as_object().expect("an object").clone()
    }

    fn member(url: &str, patch: Value) -> Edit {
        Edit::Member {
            balancer: "shop".into(),
            url: url.into(),
            patch: settings(patch),
        }
    }

    #[track_caller]
    fn overlaid(text: &str, edits: impl IntoIterator<Item = Edit>) -> Overlaid {
        let edits = edits.into_iter();
        let changes = edits.fold(Changes::default(), |changes, edit| changes.with(edit));
        let document = DeTable::parse(text).unwrap();
        let sections = Sections::of(text, document.get_ref());
        let overlaid = lay_over(text, &sections, &changes).unwrap();
        let all = lay_over_all(text, &changes).unwrap();
        let read = |text| toml_edit::de::from_str::<Value>(text).unwrap();
        assert_eq!(read(&overlaid.text), read(&all.text));
        // What is looked at has its lines end as the library has them.
        if !text.contains('\r') {
            assert_eq!(overlaid.text, all.text);
        }
        assert_eq!(overlaid.changes, all.changes);
        assert_eq!(overlaid.dropped, all.dropped);
        overlaid
    }

    /// Texts that write members in every way, with what stands between them.
    const TEXTS: [&str; 7] = [
        "[[balancer.a.member]]\nurl = \"u0\"\n[[balancer.a.member]]\nurl = \"u1\"\n",
        "# first\nworkers = 2 # two\n# of u0\n\n[[balancer.a.member]] # it\nurl = \"u0\" # here\n# below\n\n# of u1\n[[balancer.a.member]]\nurl = \"u1\"\nlbset = 2\n[balancer.a.member.tls]\nverify = false\n\n# of u2\n[[balancer.a.member]]\nurl = \"u2\"\n# the end",
        "[balancer.a]\nlbmethod = \"byrequests\"\n[[balancer.a.member]]\nurl = \"u0\"\n[x]\n[balancer.a.member.tls]\nverify = false\n[[balancer.a.member]]\nurl = \"u1\"",
        "[[balancer.a.member]]\nurl = \"u0\"\n[[balancer.b.member]]\nurl = \"u0\"\n[[balancer.a.member]]\nurl = \"u1\"\n[[balancer.a.member]]\nurl = \"u2\"\n[[balancer.b.member]]\nurl = \"u1\"\n",
        "balancer.a = { member = [{ url = \"u0\" }, { url = \"u1\" }] }\n[[balancer.b.member]]\nurl = \"u0\"\nmetadata.zone = \"a\"\nmetadata.rack = \"\"\"\n[[balancer.b.member]]\n\"\"\"\n",
        "[balancer]\na.member = [\n  { url = \"u0\" },\n  # x\n  { url = \"u1\" },\n]\n[[balancer.\"b\".member]]\r\nurl = \"u0\"\r\n\r\n# u1\r\n[[ balancer . b . member ]]\r\nurl = 'u1'\r\n",
        "[[balancer.a.member]]\nurl = \"u0\"\nx = \"equipoise-stretch0\"\n[[balancer.a.member]]\nurl = \"u1\"\n[[balancer.a.member]]\nlbset = 1\n[[balancer.a.member]]\nurl = \"u1\"\n[balancer.a.more]\nx = [[1], [2]]\n",
    ];

    fn edit() -> impl Strategy<Value = Edit> {
        let (name, url) = (prop::sample::select(vec!["a", "b", "c"]), 0..4);
        (name, url, 0..6, 0..5).prop_map(|(name, url, kind, value)| {
            let (balancer, url) = (name.to_owned(), format!("u{url}"));
            let patch = settings(match value {
                0 => json!({ "lbset": null }),
                1 => json!({ "metadata": { "zone": "z" } }),
                2 => json!({}),
                _ => json!({ "lbset": value, "route": "r" }),
            });
            match kind {
                0 => Edit::AddBalancer {
                    name: balancer,
                    settings: settings(json!({ "member": [{ "url": "u0" }] })),
                },
                1 => Edit::RemoveBalancer { name: balancer },
                2 => Edit::Balancer {
                    name: balancer,
                    patch,
                },
                3 => Edit::AddMember {
                    balancer,
                    url,
                    settings: patch,
                },
                4 => Edit::RemoveMember { balancer, url },
                _ => Edit::Member {
                    balancer,
                    url,
                    patch,
                },
            }
        })
    }

    proptest! {
        /// Members that no change is about stay out of the way, and nothing else is different by that.
        #[test]
        fn changes_of_some_members_are_laid_over_as_over_the_whole(
            text in prop::sample::select(TEXTS.to_vec()),
            edits in prop::collection::vec(edit(), 0..6),
        ) {
            overlaid(text, edits);
        }
    }

    #[test]
    fn members_that_no_change_is_about_are_not_looked_at() {
        let section = |number| {
            format!("# Number {number}.\n[[balancer.shop.member]]\nurl = \"http://m{number}\"\n")
        };
        let text: String = FILE.to_owned() + &(0..1_000).map(section).collect::<String>();
        let change = member("http://m500", json!({ "lbset": 2 }));
        let changes = Changes::default().with(change);
        let document = DeTable::parse(&text).unwrap();
        let cuts = Sections::of(&text, document.get_ref()).cut(&text, &changes);
        assert!(cuts.text.len() < 2 * FILE.len(), "{}", cuts.text);
        assert!(cuts.text.contains("# Number 500.\n"), "{}", cuts.text);
        assert_eq!(cuts.mend(&cuts.text, &text).as_deref(), Some(&*text));
    }

    #[test]
    fn what_is_not_changed_stays_as_it_is_written() {
        let edits = [
            member("http://a", json!({ "loadfactor": 3.5, "status": "N" })),
            Edit::Balancer {
                name: "shop".into(),
                patch: settings(json!({ "lbmethod": "bybusyness" })),
            },
        ];
        let expected = FILE
            .replace("loadfactor = 2\n", "loadfactor = 3.5\nstatus = \"N\"\n")
            .replace("byrequests", "bybusyness");
        assert_eq!(overlaid(FILE, edits).text, expected);
        assert_eq!(overlaid(FILE, []).text, FILE);
    }

    #[test]
    fn members_come_and_go() {
        let added = Edit::AddMember {
            balancer: "shop".into(),
            url: "http://c".into(),
            settings: settings(json!({ "route": "r3", "metadata": { "zone": "a" } })),
        };
        let removed = Edit::RemoveMember {
            balancer: "shop".into(),
            url: "http://a".into(),
        };
        let text = overlaid(FILE, [added, removed]).text;
        let read: Value = toml_edit::de::from_str(&text).unwrap();
        assert_eq!(
            read["balancer"]["shop"]["member"],
            json!([{ "url": "http://b" }, { "url": "http://c", "route": "r3", "metadata": { "zone": "a" } }]),
            "{text}"
        );
    }

    #[test]
    fn many_changes_at_once_are_each_of_their_member() {
        let mut text = FILE.to_owned();
        for member in 0..20 {
            text.push_str(&format!(
                "[[balancer.shop.member]]\nurl = \"http://m{member}\"\n"
            ));
        }
        let removed = |url: &str| Edit::RemoveMember {
            balancer: "shop".into(),
            url: url.into(),
        };
        let added = |url: &str, set: u8| Edit::AddMember {
            balancer: "shop".into(),
            url: url.into(),
            settings: settings(json!({ "lbset": set })),
        };
        let mut edits = vec![
            removed("http://a"),
            member("http://b", json!({ "lbset": 1 })),
            // There already: it stands behind the others from now on.
            added("http://m3", 2),
            added("http://new", 3),
            removed("http://m0"),
            member("http://m19", json!({ "lbset": 4 })),
            removed("http://new"),
        ];
        edits.extend((5..19).map(|member| removed(&format!("http://m{member}"))));
        let read: Value = toml_edit::de::from_str(&overlaid(&text, edits).text).unwrap();
        assert_eq!(
            read["balancer"]["shop"]["member"],
            json!([
                { "url": "http://b", "lbset": 1 },
                { "url": "http://m1" },
                { "url": "http://m2" },
                { "url": "http://m4" },
                { "url": "http://m19", "lbset": 4 },
                { "url": "http://m3", "lbset": 2 },
            ])
        );
    }

    #[test]
    fn lists_in_brackets_are_changed_like_sections() {
        let text = "balancer.shop = { member = [{ url = \"http://a\" }] }\n";
        let text = overlaid(text, [member("http://a", json!({ "lbset": 2 }))]).text;
        let read: Value = toml_edit::de::from_str(&text).unwrap();
        assert_eq!(
            read["balancer"]["shop"]["member"],
            json!([{ "url": "http://a", "lbset": 2 }])
        );
    }

    #[test]
    fn balancers_come_and_go() {
        let settings = settings(json!({ "member": [{ "url": "http://x" }], "maxattempts": 0 }));
        let added = Edit::AddBalancer {
            name: "new".into(),
            settings,
        };
        let removed = Edit::RemoveBalancer {
            name: "shop".into(),
        };
        let text = overlaid(FILE, [added, removed]).text;
        let read: Value = toml_edit::de::from_str(&text).unwrap();
        let expected = json!({ "new": { "member": [{ "url": "http://x" }], "maxattempts": 0 } });
        assert_eq!(read["balancer"], expected, "{text}");
    }

    #[test]
    fn null_takes_a_key_back_to_its_default() {
        let text = overlaid(FILE, [member("http://a", json!({ "loadfactor": null }))]).text;
        assert!(!text.contains("loadfactor"), "{text}");
    }

    #[test]
    fn changes_of_what_is_gone_are_told_and_left_out() {
        let edits = [
            member("http://gone", json!({ "lbset": 2 })),
            Edit::Balancer {
                name: "gone".into(),
                patch: settings(json!({ "maxattempts": 1 })),
            },
            Edit::RemoveBalancer {
                name: "other".into(),
            },
        ];
        let Overlaid {
            dropped,
            changes,
            text,
        } = overlaid(FILE, edits);
        assert_eq!(
            dropped,
            ["balancer gone", "member http://gone of balancer shop"]
        );
        assert!(changes.is_empty());
        assert_eq!(text, FILE);
    }
}
