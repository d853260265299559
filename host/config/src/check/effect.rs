//! Refuses keys of checks that would do nothing.

use super::method::Way;
use super::{KEYS, Said};
use crate::CheckMethod;
use crate::table::Table;

/// Keys about requests and their answers.
const ABOUT_HTTP: [&str; 5] = ["hcuri", "hchost", "hcheaders", "hcexpect", "hcreport"];

/// Those that a call of gRPC has not.
const NOT_OF_GRPC: [&str; 3] = ["hcuri", "hcexpect", "hcreport"];

const NO_BODY: &str = "an answer to HEAD has no body, which hcexpect asks for: use \"GET\", or an hcexpect without body";

/// Refuses what a template says against its own `hcmethod`; the rest is for those who name it.
pub(super) fn check_template(table: &Table<'_>, said: &Said) {
    if said.way.is_some() {
        check_member(table, said);
    }
}

/// Refuses keys of a member's own that do nothing with the method in force there.
pub(super) fn check_member(table: &Table<'_>, said: &Said) {
    for key in keys(table) {
        if let Some(remedy) = complaint(key, said.way) {
            table.refuse_dangling(key, remedy);
        }
    }
    let to_blame = ["hcexpect", "hcmethod", "hctemplate"];
    let to_blame = to_blame.into_iter().find(|key| table.has(key));
    if let Some(key) = to_blame.filter(|_| lacks_body(said)) {
        table.refuse(key, NO_BODY);
    }
}

/// Refuses keys of a balancer that do nothing for any of its members.
pub(super) fn check_balancer(table: &Table<'_>, defaults: &Said, members: &[Said]) {
    for key in keys(table) {
        let useless = |said: &Said| complaint(key, said.way).is_some();
        let remedy = complaint(key, defaults.way);
        if let Some(remedy) = remedy.filter(|_| members.iter().all(useless)) {
            table.refuse_dangling(key, remedy);
        }
    }
    if lacks_body(defaults) {
        table.refuse("hcexpect", NO_BODY);
    }
}

/// The keys of checks that a table has, but for `hcmethod`.
fn keys(table: &Table<'_>) -> impl Iterator<Item = &'static str> {
    let keys = KEYS.into_iter().skip(1).chain(["hctemplate"]);
    keys.filter(|key| table.has(key))
}

/// Why the key does nothing; `None` where it does something.
fn complaint(key: &str, way: Option<Way>) -> Option<String> {
    let about_http = ABOUT_HTTP.contains(&key);
    match way {
        None => Some(
            "does nothing without hcmethod: write hcmethod = \"GET\" beside it, or leave it out"
                .to_owned(),
        ),
        // A template may well say "none".
        Some(Way::Off) if key != "hctemplate" => Some(
            "does nothing with hcmethod = \"none\": leave it out, or name a method such as \"GET\""
                .to_owned(),
        ),
        Some(Way::Grpc) if NOT_OF_GRPC.contains(&key) => Some(
            "does nothing with hcmethod = \"GRPC\", which asks for a service: leave it out, or use \"GET\""
                .to_owned(),
        ),
        Some(Way::Tcp | Way::Http(..)) if key == "hcservice" => Some(
            "does nothing without hcmethod = \"GRPC\": leave it out, or use that".to_owned(),
        ),
        Some(Way::Tcp) if about_http => Some(
            "does nothing with hcmethod = \"TCP\", which only connects: leave it out, or use \"GET\""
                .to_owned(),
        ),
        _ => None,
    }
}

/// Whether a body is expected of an answer that has none.
fn lacks_body(said: &Said) -> bool {
    let is_head = matches!(said.way, Some(Way::Http(CheckMethod::Head, _)));
    let expect = said.expect.as_ref();
    is_head && expect.is_some_and(|expect| expect.body.is_some())
}
