//! Members and balancers, written.

use super::balancer::MemberDefinition;
use super::directive::{self, Directive};
use super::health::Checks;
use super::parameters::{Parameter, Parameters};
use super::report::Report;
use super::tls::MemberTls;
use super::units;
use super::writer::{Table, key_of, quoted};

/// What a member has from what is around it.
#[derive(Debug)]
pub(crate) struct Surroundings<'a, 'd> {
    /// `ProxyTimeout` or `Timeout`, in milliseconds.
    pub(crate) timeout: Option<(u64, &'d Directive)>,
    pub(crate) tls: &'a MemberTls<'d>,
    pub(crate) checks: &'a Checks<'d>,
    /// Whether connections may become WebSockets, as a rewrite rule says.
    pub(crate) websockets: Option<&'d Directive>,
}

/// The longest duration of ours, in milliseconds.
const DAY: u64 = 86_400_000;

/// Writes a member of the balancer with this name of ours; `None`: its protocol is not spoken.
pub(crate) fn write<'d>(
    balancer: &str,
    member: &MemberDefinition<'d>,
    around: &Surroundings<'_, 'd>,
    report: &mut Report,
) -> Option<Table> {
    let scheme = scheme(&member.url);
    if ["fcgi", "scgi", "uwsgi", "ftp", "fdpass", "fd"].contains(&&*scheme) {
        let text = format!("`{scheme}` is not spoken here");
        report.left_out(member.by, text);
        return None;
    }
    let mut table = Table::new(&format!("[[balancer.{}.member]]", key_of(balancer)));
    table.from(member.by);
    table.set_text("url", &url(&member.url));
    for parameter in member.parameters.last_of_each() {
        write_parameter(parameter, &mut table, report);
    }
    around.checks.write(&member.parameters, &mut table, report);
    if let Some((timeout, by)) = around.timeout
        && !table.has("timeout")
        && timeout != 60_000
    {
        table.set_by("timeout", quoted(&units::shown(timeout.clamp(1, DAY))), by);
        report.carried(by);
    }
    if ["https", "wss", "h2"].contains(&&*scheme) {
        around.tls.write(&mut table, member.by, report);
    }
    if let Some(by) = around.websockets
        && !table.has("upgrade")
        && !["ws", "wss"].contains(&&*scheme)
    {
        table.set_by("upgrade", quoted("websocket"), by);
    }
    Some(table)
}

/// The scheme of a member's URL, in lower case; that behind the socket file.
pub(crate) fn scheme(url: &str) -> String {
    let (before, _) = url.split_once("://").unwrap_or((url, ""));
    let scheme = before.rsplit('|').next().unwrap_or_default();
    scheme.to_ascii_lowercase()
}

/// A URL as we write it: `h2c` members and others as they are, without a slash at the end.
fn url(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}

fn write_parameter(parameter: &Parameter<'_>, table: &mut Table, report: &mut Report) {
    let Parameter { key, value, by } = parameter;
    let key = &**key;
    let mut lost = |text: String| report.left_out(by, text);
    match key {
        "loadfactor" => match value.parse::<f64>() {
            Ok(factor) if (1.0..=100.0).contains(&factor) => table.set(key, value.clone()),
            _ => lost(format!("`loadfactor={value}` is not from 1 to 100")),
        },
        "lbset" => match units::whole(value) {
            Some(set) if set <= 99 => table.set(key, set.to_string()),
            _ => lost(format!("`lbset={value}` is not from 0 to 99")),
        },
        "route" | "redirect" | "status" | "secret" => table.set_text(key, value),
        // Whole seconds: what stands behind the number does not count.
        "retry" | "timeout" | "ttl" => match units::whole(value) {
            Some(0) if key != "retry" => {}
            Some(seconds) => table.set_text(key, &seconds_of(seconds)),
            None => lost(format!("`{key}={value}` is no number of seconds")),
        },
        "connectiontimeout" | "ping" => set_time(key, value, 1000, table, &mut lost),
        "acquire" => set_time(key, value, 1, table, &mut lost),
        "max" | "hmax" => match units::whole(value) {
            Some(0) => {}
            Some(most) => {
                let text = "holds for all threads together, not for each process";
                table.set("max", most.min(1_000_000).to_string());
                report.differs_as(by, text, "docs/apache-differences.md#balancing");
            }
            None => lost(format!("`{key}={value}` is no number")),
        },
        "keepalive" | "disablereuse" | "enablereuse" => match directive::switch(value) {
            Some(is_on) if key == "enablereuse" => {
                if !is_on {
                    table.set("disablereuse", "true");
                }
            }
            Some(is_on) => table.set(key, is_on.to_string()),
            None => lost(format!("`{key}={value}` is neither On nor Off")),
        },
        "upgrade" => table.set_text(key, value),
        hc if hc.starts_with("hc") => {}
        // Sizes of buffers and pools, which are as large as they need to be.
        "min" | "smax" | "addressttl" | "flushpackets" | "flushwait" | "iobuffersize"
        | "receivebuffersize" | "responsefieldsize" | "flusher" | "mapping" => {}
        other => lost(format!("`{other}` is not known here")),
    }
}

fn seconds_of(seconds: u64) -> String {
    format!("{}s", seconds.min(DAY / 1000))
}

fn set_time(key: &str, value: &str, unit: u64, table: &mut Table, lost: &mut impl FnMut(String)) {
    match units::time(value, unit) {
        Some(time) if time > 0 => table.set_text(key, &units::shown(time.min(DAY))),
        _ => lost(format!("`{key}={value}` is no time")),
    }
}

/// Writes what a balancer says of itself.
pub(crate) fn write_balancer(said: &Parameters<'_>, table: &mut Table, report: &mut Report) {
    for Parameter { key, value, by } in said.last_of_each() {
        let mut lost = |text: String| report.left_out(by, text);
        match &**key {
            "lbmethod" => {
                let methods = ["byrequests", "bytraffic", "bybusyness", "heartbeat"];
                match methods.contains(&&*value.to_ascii_lowercase()) {
                    true => table.set_text(key, &value.to_ascii_lowercase()),
                    false => lost(format!("there is no method `{value}`: byrequests chooses")),
                }
            }
            "stickysession" | "stickysessionsep" => table.set_text(key, value),
            "scolonpathdelim" | "nofailover" | "failontimeout" | "forcerecovery" => {
                match directive::switch(value) {
                    Some(is_on) => table.set(key, is_on.to_string()),
                    None => lost(format!("`{key}={value}` is neither On nor Off")),
                }
            }
            "maxattempts" => match units::whole(value) {
                Some(attempts) => table.set(key, attempts.min(99).to_string()),
                None => lost(format!("`{key}={value}` is no number")),
            },
            "timeout" => match units::whole(value) {
                Some(seconds) => table.set_text(key, &seconds_of(seconds)),
                None => lost(format!("`{key}={value}` is no number of seconds")),
            },
            "failonstatus" => {
                let statuses: Vec<_> = value.split(',').map(str::trim).collect();
                let is_status = |text: &&str| {
                    text.parse::<u16>()
                        .is_ok_and(|it| (100..=599).contains(&it))
                };
                match statuses.iter().all(is_status) {
                    true => table.set(key, format!("[{}]", statuses.join(", "))),
                    false => lost(format!("`{key}={value}` is no list of statuses")),
                }
            }
            "growth" => {}
            "nonce" => {
                let text = "the manager has a token of its own";
                report.differs_as(by, text, "docs/apache-differences.md#the-balancer-manager");
            }
            // Of members, where the URL is that of one.
            other => lost(format!("`{other}` says nothing of a balancer")),
        }
    }
}
