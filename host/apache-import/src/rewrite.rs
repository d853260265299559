//! `RewriteRule`: the idioms that mean something here.

use super::directive::Directive;
use super::pass;
use super::report::Report;

mod condition;
mod substitution;

use condition::{Condition, Test};
pub(crate) use substitution::beginnings;

/// The rules of a server.
#[derive(Debug, Default)]
pub(crate) struct Rules<'d> {
    is_on: bool,
    /// Conditions of the next rule.
    conditions: Vec<&'d Directive>,
    rules: Vec<(Vec<&'d Directive>, &'d Directive)>,
}

/// What a rule comes to.
#[derive(Debug)]
pub(crate) struct Rule<'d> {
    pub(crate) by: &'d Directive,
    /// Hosts that it holds for; empty: for all.
    pub(crate) hosts: Vec<String>,
    /// Paths that it does not hold for.
    pub(crate) except: Vec<String>,
    /// The expression, or nothing where it matches every path.
    pub(crate) expression: Option<String>,
    pub(crate) effect: Effect,
}

/// What it does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The same URL at `https`.
    Https {
        status: u16,
    },
    /// Another URL, in our words.
    Redirect {
        to: String,
        status: u16,
    },
    Answer {
        status: u16,
    },
    /// A member or balancer. `path` has captures; none where the request's own is behind what the URL has.
    Pass {
        url: String,
        path: Path,
    },
    /// The same for connections that become WebSockets.
    WebSocket {
        url: String,
        path: Path,
    },
}

/// The path at the member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Path {
    /// This, and the path of the request behind it.
    Before(String),
    /// This, with captures.
    Template(String),
}

impl<'d> Rules<'d> {
    pub(crate) fn read(&mut self, directive: &'d Directive, report: &mut Report) {
        match &*directive.key {
            "rewriteengine" => {
                self.is_on = directive.switch() == Some(true);
                report.carried(directive);
            }
            "rewritecond" => self.conditions.push(directive),
            _ => {
                let conditions = std::mem::take(&mut self.conditions);
                self.rules.push((conditions, directive));
            }
        }
    }

    /// The rules that hold for clients that come by TLS, or not; what is lost is told.
    pub(crate) fn rules(
        &self,
        is_tls: bool,
        name: Option<&str>,
        report: &mut Report,
    ) -> Vec<Rule<'d>> {
        let mut rules = Vec::new();
        for (conditions, by) in &self.rules {
            if !self.is_on {
                report.meaningless(by);
                conditions.iter().for_each(|it| report.meaningless(it));
                continue;
            }
            match interpret(conditions, by, is_tls, name) {
                Ok(Some(rule)) => {
                    conditions.iter().for_each(|it| report.carried(it));
                    rules.push(rule);
                }
                Ok(None) => {
                    conditions.iter().for_each(|it| report.carried(it));
                    report.carried(by);
                }
                Err(reason) => {
                    conditions.iter().for_each(|it| report.meaningless(it));
                    match Flags::of(by.word(2)).answer {
                        Some(_) => {
                            report.refused(
                                by,
                                format!("{reason}: until it is said in our words, all get 403"),
                            );
                            rules.push(closed(by));
                        }
                        None => report.left_out(by, reason),
                    }
                }
            }
        }
        rules
    }
}

/// A rule that shuts out, without the conditions that it has.
fn closed(by: &Directive) -> Rule<'_> {
    let pattern = by.word(0);
    let is_known = regex::Regex::new(pattern).is_ok() && !substitution::is_whole(pattern);
    Rule {
        by,
        hosts: Vec::new(),
        except: Vec::new(),
        expression: is_known.then(|| pattern.to_owned()),
        effect: Effect::Answer { status: 403 },
    }
}

/// The flags of a rule.
struct Flags {
    redirect: Option<u16>,
    answer: Option<u16>,
    is_proxied: bool,
    drops_query: bool,
}

impl Flags {
    fn of(text: &str) -> Self {
        let mut flags = Self {
            redirect: None,
            answer: None,
            is_proxied: false,
            drops_query: false,
        };
        for flag in text.trim_matches(['[', ']']).split(',') {
            let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
            match &*name.trim().to_ascii_lowercase() {
                "r" | "redirect" => {
                    flags.redirect = Some(match &*value.to_ascii_lowercase() {
                        "permanent" => 301,
                        "seeother" => 303,
                        status => status.parse().unwrap_or(302),
                    });
                }
                "f" | "forbidden" => flags.answer = Some(403),
                "g" | "gone" => flags.answer = Some(410),
                "p" | "proxy" => flags.is_proxied = true,
                "qsd" | "qsdiscard" => flags.drops_query = true,
                _ => {}
            }
        }
        flags
    }
}

/// What a rule comes to; nothing where it never holds here.
fn interpret<'d>(
    conditions: &[&'d Directive],
    by: &'d Directive,
    is_tls: bool,
    name: Option<&str>,
) -> Result<Option<Rule<'d>>, String> {
    let mut rule = Rule {
        by,
        hosts: Vec::new(),
        except: Vec::new(),
        expression: None,
        effect: Effect::Answer { status: 404 },
    };
    let mut is_websocket = false;
    for (place, directive) in conditions.iter().enumerate() {
        let Condition { test, is_or } = condition::read(directive)?;
        if is_or && !matches!(test, Test::Host(_))
            || place == 0 && conditions.len() > 1 && mixes(conditions)
        {
            return Err("has conditions of which one is enough, which has no key here".to_owned());
        }
        match test {
            Test::Plain if is_tls => return Ok(None),
            Test::Tls if !is_tls => return Ok(None),
            Test::Plain | Test::Tls | Test::NoWebSocket | Test::Connection => {}
            Test::WebSocket => is_websocket = true,
            Test::Host(host) => rule.hosts.push(host),
            Test::Except(path) => rule.except.push(path),
        }
    }
    let pattern = by.word(0);
    let target = by.word(1);
    let flags = Flags::of(by.word(2));
    let is_whole = substitution::is_whole(pattern);
    if !is_whole {
        if pattern.starts_with('!') || regex::Regex::new(pattern).is_err() {
            return Err(format!(
                "`{pattern}` cannot be matched in time that is linear"
            ));
        }
        rule.expression = Some(pattern.to_owned());
    }
    if let Some(status) = flags.answer {
        rule.effect = Effect::Answer { status };
        return Ok(Some(rule));
    }
    if target == "-" {
        return Err("changes nothing that there is a key for".to_owned());
    }
    if flags.is_proxied {
        let (url, path) = pass::split(target);
        if url.contains(['%', '$']) {
            return Err("has variables in its host, which has no key here".to_owned());
        }
        let path = substitution::member_path(pattern, is_whole, path)?;
        let url = url.to_owned();
        rule.effect = match is_websocket {
            true => Effect::WebSocket { url, path },
            false => Effect::Pass { url, path },
        };
        return Ok(Some(rule));
    }
    let is_url = target.contains("://");
    if is_websocket || (flags.redirect.is_none() && !is_url) {
        return Err("rewrites within the server, which has no key here".to_owned());
    }
    let status = flags.redirect.unwrap_or(302);
    if !(300..400).contains(&status) {
        rule.effect = Effect::Answer { status };
        return Ok(Some(rule));
    }
    let to = substitution::url(pattern, is_whole, target, name)?;
    let is_https =
        to == "https://${authority}${path}" && rule.hosts.is_empty() && rule.except.is_empty();
    rule.effect = match is_https && is_whole && !is_tls && !flags.drops_query {
        true => Effect::Https { status },
        false => {
            let query = if to.contains('?') || flags.drops_query {
                ""
            } else {
                "${?query}"
            };
            Effect::Redirect {
                to: to + query,
                status,
            }
        }
    };
    Ok(Some(rule))
}

/// Whether hosts of which one is enough stand beside such that all have to hold for.
fn mixes(conditions: &[&Directive]) -> bool {
    let read = conditions.iter().filter_map(|it| condition::read(it).ok());
    let hosts: Vec<bool> = read
        .filter(|it| matches!(it.test, Test::Host(_)))
        .map(|it| it.is_or)
        .collect();
    // All but the last say `[OR]`, so that they are a list.
    hosts.len() > 1 && !hosts[..hosts.len() - 1].iter().all(|is_or| *is_or)
}

/// The path at a member of a `ProxyPassMatch`, and whether its expression matches every path.
pub(crate) fn whole(expression: &str, template: &str) -> (bool, Result<Path, String>) {
    let is_whole = substitution::is_whole(expression);
    (
        is_whole,
        substitution::member_path(expression, is_whole, template),
    )
}
