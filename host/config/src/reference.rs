//! Keys whose value is the name of a section elsewhere in the file.

use super::table::{Table, quoted_unless_bare};
use super::value::{nearest, text};

/// The index of the section that the required `key` names, out of the `[key.NAME]` of these `names`; `why` says what to
/// write where nothing is.
pub(super) fn read_reference<'n>(
    table: &Table<'_>,
    key: &str,
    why: &str,
    names: impl Iterator<Item = &'n str>,
) -> Option<usize> {
    let wanted = table.require(key, why, |value| text(value).map(str::to_owned))?;
    let names: Vec<_> = names.collect();
    let found = names.iter().position(|name| *name == wanted);
    if found.is_none() {
        table.refuse_dangling(key, unknown(key, &wanted, &names));
    }
    found
}

fn unknown(kind: &str, wanted: &str, names: &[&str]) -> String {
    let complaint = format!("there is no {kind} of this name");
    match (nearest(wanted, names), names) {
        (Some(near), _) => format!("{complaint}; did you mean \"{near}\"?"),
        (None, []) => format!("{complaint}: write [{kind}.{}]", quoted_unless_bare(wanted)),
        (None, names) => format!("{complaint}; there are {}", names.join(", ")),
    }
}
