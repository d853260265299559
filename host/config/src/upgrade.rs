//! `upgrade` of a member: what a client's connection may become there.

use toml::de::DeValue;

use super::Upgrade;
use super::name;
use super::table::Table;
use super::value::Parsed;

const FORM: &str =
    "must name protocols, such as \"websocket\" or [\"websocket\"], or be \"ANY\" or \"NONE\"";

/// Reads `upgrade`: a text of protocols with commas or blanks between them, as in Apache, or a list.
pub(super) fn read_upgrade(member: &Table<'_>) -> Option<Upgrade> {
    let written = member.read("upgrade", |value| match value {
        DeValue::String(text) => of_text(text).map(Some),
        DeValue::Array(list) if !list.is_empty() => Ok(None),
        _ => Err(FORM.to_owned()),
    })?;
    Some(match written {
        Some(upgrade) => upgrade,
        None => Upgrade::To(member.list("upgrade", "[\"websocket\"]", |value| {
            protocol(value.as_str().unwrap_or_default())
        })),
    })
}

fn of_text(text: &str) -> Parsed<Upgrade> {
    match text.trim() {
        any if any.eq_ignore_ascii_case("any") => return Ok(Upgrade::Any),
        none if none.eq_ignore_ascii_case("none") => return Ok(Upgrade::Never),
        _ => {}
    }
    let words = text.split(|part: char| part == ',' || part.is_ascii_whitespace());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return Err(FORM.to_owned());
    }
    let protocols = words.into_iter().map(protocol);
    protocols.collect::<Parsed<_>>().map(Upgrade::To)
}

/// A protocol as `Upgrade` names it (RFC 9110, 7.8), in lower case.
fn protocol(text: &str) -> Parsed<String> {
    let name = text.to_ascii_lowercase();
    match &*name {
        "any" | "none" => return Err(format!("`{text}` stands alone: write upgrade = \"{text}\"")),
        // Whatever a connection carried then would pass by routes, limits and logs.
        "h2c" | "http/2" | "http/2.0" | "http/1.1" | "http/1.0" => {
            return Err(format!(
                "must not name `{text}`: requests would pass by the balancer; members that speak HTTP/2 have a url with h2 or h2c"
            ));
        }
        _ => {}
    }
    let mut parts = name.split('/');
    if parts.clone().count() <= 2 && parts.all(name::is_token) {
        Ok(name)
    } else {
        Err(FORM.to_owned())
    }
}
