//! Refuses keys of health checks that have no effect.

use super::method::HcMethod;
use super::{KEYS, PartialCheck};
use crate::CheckMethod;
use crate::table::Table;

/// Keys about requests and their responses.
const HTTP_KEYS: [&str; 5] = ["hcuri", "hchost", "hcheaders", "hcexpect", "hcreport"];

/// Those that do not apply to gRPC.
const NON_GRPC_KEYS: [&str; 3] = ["hcuri", "hcexpect", "hcreport"];

const NO_BODY: &str = "a response to HEAD has no body, but hcexpect expects one: use \"GET\", or an hcexpect without body";

/// Refuses what a template says against its own `hcmethod`; the rest is for those who name it.
pub(super) fn check_template(table: &Table<'_>, partial: &PartialCheck) {
    if partial.way.is_some() {
        check_member(table, partial);
    }
}

/// Refuses keys of a member's own that do nothing with the method in force there.
pub(super) fn check_member(table: &Table<'_>, partial: &PartialCheck) {
    for key in keys(table) {
        if let Some(remedy) = ineffective_reason(key, partial.way) {
            table.refuse_dangling(key, remedy);
        }
    }
    let key_at_fault = ["hcexpect", "hcmethod", "hctemplate"];
    let key_at_fault = key_at_fault.into_iter().find(|key| table.has(key));
    if let Some(key) = key_at_fault.filter(|_| lacks_body(partial)) {
        table.refuse(key, NO_BODY);
    }
}

/// Refuses keys of a balancer that do nothing for any of its members.
pub(super) fn check_balancer(table: &Table<'_>, defaults: &PartialCheck, members: &[PartialCheck]) {
    for key in keys(table) {
        let useless = |partial: &PartialCheck| ineffective_reason(key, partial.way).is_some();
        let remedy = ineffective_reason(key, defaults.way);
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
fn ineffective_reason(key: &str, way: Option<HcMethod>) -> Option<String> {
    let is_http_key = HTTP_KEYS.contains(&key);
    match way {
        None => Some(
            "does nothing without hcmethod: write hcmethod = \"GET\" beside it, or leave it out"
                .to_owned(),
        ),
        // A template may well say "none".
        Some(HcMethod::Off) if key != "hctemplate" => Some(
            "does nothing with hcmethod = \"none\": leave it out, or name a method such as \"GET\""
                .to_owned(),
        ),
        Some(HcMethod::Grpc) if NON_GRPC_KEYS.contains(&key) => Some(
            "does nothing with hcmethod = \"GRPC\", which calls a service: leave it out, or use \"GET\""
                .to_owned(),
        ),
        Some(HcMethod::Tcp | HcMethod::Http(..) | HcMethod::Cping) if key == "hcservice" => Some(
            "does nothing without hcmethod = \"GRPC\": leave it out, or use that".to_owned(),
        ),
        Some(HcMethod::Tcp) if is_http_key => Some(
            "does nothing with hcmethod = \"TCP\", which only connects: leave it out, or use \"GET\""
                .to_owned(),
        ),
        Some(HcMethod::Cping) if is_http_key => Some(
            "does nothing with hcmethod = \"CPING\", which only pings: leave it out".to_owned(),
        ),
        _ => None,
    }
}

/// Whether a body is expected of a response that has none.
fn lacks_body(partial: &PartialCheck) -> bool {
    let is_head = matches!(partial.way, Some(HcMethod::Http(CheckMethod::Head, _)));
    let expect = partial.expect.as_ref();
    is_head && expect.is_some_and(|expect| expect.body.is_some())
}
