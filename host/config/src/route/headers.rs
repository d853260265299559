//! `request-headers` and `response-headers` of a route: fields that are set, added to and removed on their way through.

use toml::de::DeValue;

use super::template::{Scope, Template};
use crate::name;
use crate::table::Table;
use crate::value::{Parsed, text, text_as};

/// The keys of both.
pub(crate) const KEYS: &[&str] = &["set", "append", "unset"];

const FIELDS: &str = "{ \"X-Client\" = \"${client-address}\" }";

/// The most fields in each of the three.
const MOST: usize = 64;

/// The longest value, in bytes.
const LONGEST: usize = 4096;

/// What becomes of header fields: first some are removed, then some set, then some added to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderRules {
    /// `unset`: all fields of these names are removed.
    pub unset: Vec<String>,
    /// `set`: all fields of this name are replaced by one with this value.
    pub set: Vec<(String, Template)>,
    /// `append`: this is added to the list of this name, or as a field of its own where there is none.
    pub append: Vec<(String, Template)>,
}

/// On which way a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// A request to a member.
    Request,
    /// A response to a client.
    Response,
}

/// Reads the rules under `key`; `None` where there are none. `asks_member` says whether the route has a member asked.
pub(super) fn read_rules(
    route: &Table<'_>,
    key: &str,
    way: Way,
    asks_member: bool,
) -> Option<Box<HeaderRules>> {
    let table = route.table(key, KEYS)?;
    let scope = Scope {
        variables: true,
        member: asks_member,
        captures: None,
    };
    let unset = table.list("unset", "[\"X-Powered-By\"]", text_as(|it| field(it, way)));
    let set = read_values(&table, "set", way, &scope);
    let append = read_values(&table, "append", way, &scope);
    if let Some((name, _)) = append
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("cookie"))
    {
        let remedy =
            format!("has {name}, which is no list that commas separate: write it in `set`");
        table.refuse("append", remedy);
    }
    for (key, count) in [
        ("unset", unset.len()),
        ("set", set.len()),
        ("append", append.len()),
    ] {
        if count > MOST {
            table.refuse(key, format!("must have at most {MOST} fields, not {count}"));
        }
    }
    let rules = HeaderRules { unset, set, append };
    (rules != HeaderRules::default()).then(|| Box::new(rules))
}

/// Fields with their values, in the order of the file.
fn read_values(table: &Table<'_>, key: &str, way: Way, scope: &Scope) -> Vec<(String, Template)> {
    let mut names: Vec<String> = Vec::new();
    table.named_values(key, FIELDS, |name, value| {
        let name = field(name, way)?;
        let is_new = !names.iter().any(|it| it.eq_ignore_ascii_case(&name));
        names.push(name);
        match is_new {
            true => template(value, scope),
            false => {
                Err("is there already: names of fields are the same in either case".to_owned())
            }
        }
    })
}

/// A field's value.
fn template(value: &DeValue<'_>, scope: &Scope) -> Parsed<Template> {
    let text = text(value)?;
    if text.len() > LONGEST {
        return Err(format!(
            "must have at most {LONGEST} bytes, not {}",
            text.len()
        ));
    }
    if let Some(control) = text.chars().find(|it| it.is_control() && *it != '\t') {
        return Err(format!(
            "must not contain {control:?}: it would end the field"
        ));
    }
    Template::parse(text, scope)
}

/// The name of a field that rules may change.
fn field(text: &str, way: Way) -> Parsed<String> {
    if let Some(name) = text.strip_prefix(':') {
        return Err(format!(
            "must not begin with a colon: `:{name}` is part of the start line"
        ));
    }
    name::field(text)?;
    match reason_against(&text.to_ascii_lowercase(), way) {
        Some(reason) => Err(format!("must not be `{text}`, {reason}")),
        None => Ok(text.to_owned()),
    }
}

/// Why no rule may change a field of this name, in lower case.
fn reason_against(name: &str, way: Way) -> Option<&'static str> {
    const HOP: &str = "which is about one connection, and so the proxy's own";
    const FRAMING: &str = "which says where the body ends: the proxy says that";
    match (name, way) {
        (
            "connection" | "keep-alive" | "te" | "trailer" | "upgrade" | "http2-settings" | "proxy",
            _,
        ) => Some(HOP),
        ("content-length" | "transfer-encoding", _) => Some(FRAMING),
        (name, _) if name.starts_with("proxy-") => Some(HOP),
        ("host", Way::Request) => {
            Some("which the route's `preserve-host` and the member's url say")
        }
        ("expect", Way::Request) => Some("which the proxy answers, and the member's `ping` sends"),
        ("max-forwards", Way::Request) => Some("which the proxy counts down"),
        ("client-cert" | "client-cert-chain", Way::Request) => {
            Some("which says what TLS has proved of the client")
        }
        _ => None,
    }
}
