//! Active checks: `hcmethod` and its kin, `ProxyHCTemplate`, `ProxyHCExpr`.

use std::collections::HashMap;

use super::directive::Directive;
use super::parameters::{Parameter, Parameters};
use super::report::Report;
use super::units;
use super::writer::{Table, inline, quoted};

/// Templates and expressions that members may name.
#[derive(Debug, Default)]
pub(crate) struct Checks<'d> {
    templates: HashMap<String, Parameters<'d>>,
    expressions: HashMap<String, &'d str>,
}

/// The keys of checks, but for the template.
const KEYS: &[&str] = &[
    "hcmethod",
    "hcuri",
    "hcinterval",
    "hcpasses",
    "hcfails",
    "hcexpr",
];

impl<'d> Checks<'d> {
    /// Reads `ProxyHCTemplate` or `ProxyHCExpr`.
    pub(crate) fn read(&mut self, directive: &'d Directive, report: &mut Report) {
        report.carried(directive);
        let name = directive.word(0).to_owned();
        if directive.key == "proxyhctemplate" {
            let words = directive.words.get(1..).unwrap_or_default();
            let (parameters, _) = Parameters::of(words, directive);
            self.templates.insert(name, parameters);
        } else {
            self.expressions.insert(name, directive.text_behind(1));
        }
    }

    /// Writes a member's keys: a template counts where it is named, what stands behind it wins.
    pub(crate) fn write(&self, said: &Parameters<'d>, table: &mut Table, report: &mut Report) {
        let mut own: Vec<&Parameter<'d>> = Vec::new();
        for parameter in said.iter() {
            match self.templates.get(&parameter.value) {
                Some(template) if parameter.key == "hctemplate" => own.extend(template.iter()),
                None if parameter.key == "hctemplate" => {
                    let text = format!("there is no ProxyHCTemplate {}", parameter.value);
                    report.left_out(parameter.by, text);
                }
                _ if KEYS.contains(&&*parameter.key) => own.push(parameter),
                _ => {}
            }
        }
        let last = |key: &str| own.iter().rev().find(|it| it.key == key);
        let method = last("hcmethod").map(|it| it.value.to_ascii_uppercase());
        let Some(method) = method.filter(|it| it != "NONE") else {
            if let Some(useless) = own.iter().find(|it| it.key != "hcmethod") {
                report.left_out(
                    useless.by,
                    format!("`{}` does nothing without hcmethod", useless.key),
                );
            }
            return;
        };
        table.set_text("hcmethod", &method);
        let has_request = method != "TCP" && method != "CPING";
        for key in KEYS {
            if let Some(parameter) = last(key) {
                write_key(parameter, has_request, table, report);
            }
        }
        if let Some(parameter) = last("hcexpr") {
            let written = self.expressions.get(&parameter.value);
            self.write_expression(
                parameter,
                written.copied().unwrap_or_default(),
                has_request,
                table,
                report,
            );
        }
    }

    fn write_expression(
        &self,
        parameter: &Parameter<'d>,
        written: &str,
        has_request: bool,
        table: &mut Table,
        report: &mut Report,
    ) {
        match expectation(written) {
            Some(expected) if has_request => table.set("hcexpect", expected),
            _ => {
                let text = format!(
                    "the expression `{}` has no key here: a status from 200 to 399 passes; write hcexpect",
                    parameter.value
                );
                report.left_out(parameter.by, text);
            }
        }
    }
}

fn write_key(parameter: &Parameter<'_>, has_request: bool, table: &mut Table, report: &mut Report) {
    let value = &parameter.value;
    match &*parameter.key {
        "hcuri" if has_request => {
            let slash = if value.starts_with('/') { "" } else { "/" };
            table.set_text("hcuri", &format!("{slash}{value}"));
        }
        "hcuri" => report.left_out(parameter.by, "`hcuri` does nothing with this hcmethod"),
        "hcinterval" => match units::time(value, 1000) {
            Some(time) => table.set_text("hcinterval", &units::shown(time.clamp(100, 86_400_000))),
            None => report.left_out(parameter.by, "`hcinterval` is no time"),
        },
        key @ ("hcpasses" | "hcfails") => match units::whole(value) {
            Some(count) => table.set(key, count.clamp(1, 100).to_string()),
            None => report.left_out(parameter.by, format!("`{key}` is no number")),
        },
        _ => {}
    }
}

/// What an expression asks of an answer, as the value of `hcexpect`; `None`: it is not one of the usual ones.
fn expectation(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
    let mut parts = Vec::new();
    for term in text?.split("&&") {
        let term = term.trim();
        if let Some(rest) = term.strip_prefix("%{REQUEST_STATUS}") {
            parts.push(("status", quoted(&statuses(rest.trim())?)));
        } else {
            let rest = term.strip_prefix("hc('body')")?.trim().strip_prefix("=~")?;
            parts.push(("body", quoted(&expression(rest.trim())?)));
        }
    }
    (!parts.is_empty() && parts.len() <= 2).then(|| inline(parts))
}

/// What stands between slashes, with its flag.
fn expression(text: &str) -> Option<String> {
    let text = text.strip_prefix('/')?;
    match (text.strip_suffix('/'), text.strip_suffix("/i")) {
        (Some(expression), _) => Some(expression.to_owned()),
        (None, Some(expression)) => Some(format!("(?i){expression}")),
        _ => None,
    }
}

/// `=~ /^[234]/`, `== 200`, `-lt 400`: as statuses of ours.
fn statuses(text: &str) -> Option<String> {
    let (operator, operand) = text.split_once(char::is_whitespace)?;
    let operand = operand.trim().trim_matches(['\'', '"']);
    let number = || {
        operand
            .parse::<u16>()
            .ok()
            .filter(|it| (100..=599).contains(it))
    };
    match operator {
        "=~" => classes(operand),
        "==" | "-eq" | "=" | "eq" => number().map(|status| status.to_string()),
        "-lt" | "<" => number()
            .filter(|it| *it > 100)
            .map(|it| format!("100-{}", it - 1)),
        "-le" | "<=" => number().map(|it| format!("100-{it}")),
        _ => None,
    }
}

/// `/^[234]/`, `/^2/`, `/^200$/`, `/200/`.
fn classes(text: &str) -> Option<String> {
    let inside = text.strip_prefix('/')?.strip_suffix('/')?;
    let anchored = inside.strip_prefix('^');
    let digits = anchored.unwrap_or(inside);
    let whole = digits.strip_suffix('$').unwrap_or(digits);
    if whole.len() == 3 && whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(whole.to_owned());
    }
    let first = anchored?;
    let first = first
        .strip_prefix('[')
        .and_then(|it| it.strip_suffix(']'))
        .unwrap_or(first);
    let first = match first.split_once('-') {
        Some((from, to)) => {
            let (from, to): (u8, u8) = (from.parse().ok()?, to.parse().ok()?);
            (from..=to).map(|digit| digit.to_string()).collect()
        }
        None => first.to_owned(),
    };
    let is_class = |digit: char| ('1'..='5').contains(&digit);
    if first.is_empty() || first.len() > 5 || !first.chars().all(is_class) {
        return None;
    }
    let ranges: Vec<_> = first.chars().map(|it| format!("{it}00-{it}99")).collect();
    Some(ranges.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_expressions_are_read() {
        for (text, expected) in [
            (
                "{%{REQUEST_STATUS} =~ /^[234]/}",
                Some("{ status = \"200-299,300-399,400-499\" }"),
            ),
            (
                "{%{REQUEST_STATUS} =~ /^[2-3]/}",
                Some("{ status = \"200-299,300-399\" }"),
            ),
            (
                "{%{REQUEST_STATUS} =~ /^2/}",
                Some("{ status = \"200-299\" }"),
            ),
            (
                "{%{REQUEST_STATUS} =~ /^200$/}",
                Some("{ status = \"200\" }"),
            ),
            ("{%{REQUEST_STATUS} == 204}", Some("{ status = \"204\" }")),
            (
                "{%{REQUEST_STATUS} -lt 400}",
                Some("{ status = \"100-399\" }"),
            ),
            ("{hc('body') =~ /up/}", Some("{ body = \"up\" }")),
            (
                "{%{REQUEST_STATUS} =~ /^2/ && hc('body') =~ /OK/i}",
                Some("{ status = \"200-299\", body = \"(?i)OK\" }"),
            ),
            ("{hc('body') !~ /Under maintenance/}", None),
            ("{%{REQUEST_STATUS} =~ /^[6]/}", None),
            ("{%{REQUEST_STATUS}}", None),
            ("{}", None),
            ("", None),
        ] {
            assert_eq!(expectation(text).as_deref(), expected, "{text}");
        }
    }
}
