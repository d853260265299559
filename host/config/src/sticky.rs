//! Sticky sessions: `stickysession` and `sticky-cookie`.

use std::time::Duration;

use toml::de::DeValue;

use super::name;
use super::plugin::read_plugin_name;
use super::table::Table;
use super::value::{Parsed, boolean, choice, duration_within, text_as};
use super::{Plugin, SameSite, Secure, SessionSource, Sticky, StickyCookie};

/// The keys of the table that names a plugin.
pub(super) const PLUGIN_KEYS: &[&str] = &["plugin"];

pub(super) const COOKIE_KEYS: &[&str] = &[
    "name",
    "path",
    "domain",
    "http-only",
    "same-site",
    "secure",
    "max-age",
];

const SAME_SITE: &[(&str, SameSite)] = &[
    ("lax", SameSite::Lax),
    ("strict", SameSite::Strict),
    ("none", SameSite::None),
];

/// The longest `max-age` that browsers keep to: 400 days (RFC 6265bis, 5.5).
const MAX_AGE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Reads how sessions are found in requests: as `stickysession` says, or by `sticky-cookie`.
pub(super) fn read_sticky(
    balancer: &Table<'_>,
    issued: Option<&StickyCookie>,
    plugins: &[Plugin],
) -> Option<Sticky> {
    let separator = balancer.read("stickysessionsep", text_as(separator));
    let semicolon_ends = balancer.read("scolonpathdelim", boolean).unwrap_or(false);
    let source = if balancer.has_table("stickysession") {
        let table = balancer.table("stickysession", PLUGIN_KEYS)?;
        SessionSource::Plugin(read_plugin_name(&table, plugins)?)
    } else {
        let (cookie, parameter) = read_names(balancer, issued)?;
        SessionSource::Names {
            cookie,
            parameter,
            semicolon_ends,
        }
    };
    Some(Sticky {
        source,
        separator: separator.unwrap_or(Some('.')),
    })
}

/// The names of the cookie and the URL parameter that hold sessions.
fn read_names(balancer: &Table<'_>, issued: Option<&StickyCookie>) -> Option<(String, String)> {
    let written = balancer.read("stickysession", session_names);
    let Some(issued) = issued else {
        return written;
    };
    let names = written.unwrap_or_else(|| (issued.name.clone(), issued.name.clone()));
    if issued.name != names.0 {
        let remedy = format!(
            "reads another cookie than sticky-cookie sets: write \"{}\"",
            issued.name
        );
        balancer.refuse("stickysession", remedy);
    }
    Some(names)
}

/// Reads `sticky-cookie`.
pub(super) fn read_sticky_cookie(balancer: &Table<'_>) -> Option<StickyCookie> {
    let table = balancer.table("sticky-cookie", COOKIE_KEYS)?;
    let cookie = read_cookie(&table)?;
    check_browsers_accept(&table, &cookie);
    Some(cookie)
}

fn read_cookie(table: &Table<'_>) -> Option<StickyCookie> {
    let name = table.require(
        "name",
        "write the cookie's name, such as name = \"ROUTEID\"",
        text_as(name::cookie_name),
    );
    let path = table.read("path", text_as(cookie_path));
    let same_site = table.read("same-site", choice(SAME_SITE));
    Some(StickyCookie {
        path: path.unwrap_or_else(|| "/".to_owned()),
        domain: table.read("domain", text_as(name::domain)),
        http_only: table.read("http-only", boolean).unwrap_or(true),
        same_site: same_site.unwrap_or(SameSite::Lax),
        secure: table.read("secure", secure).unwrap_or(Secure::Auto),
        max_age: table.read("max-age", max_age),
        name: name?,
    })
}

/// What browsers silently ignore would look like sessions that do not stick.
fn check_browsers_accept(table: &Table<'_>, cookie: &StickyCookie) {
    let secure = cookie.secure == Secure::Always;
    if cookie.same_site == SameSite::None && cookie.secure == Secure::Never {
        table.refuse("secure", "must be true or \"auto\" with same-site = \"none\": browsers drop the cookie otherwise");
    }
    if cookie.name.starts_with("__Secure-") && !secure {
        table.refuse(
            "name",
            "needs secure = true: browsers drop a __Secure- cookie otherwise",
        );
    }
    if cookie.name.starts_with("__Host-")
        && !(secure && cookie.domain.is_none() && cookie.path == "/")
    {
        table.refuse("name", "needs secure = true, path \"/\" and no domain: browsers drop a __Host- cookie otherwise");
    }
}

/// `COOKIE` or `COOKIE|parameter`.
fn session_names(value: &DeValue<'_>) -> Parsed<(String, String)> {
    let remedy = "must be a cookie's name, or the names of cookie and URL parameter, such as \"JSESSIONID|jsessionid\"";
    let text = value
        .as_str()
        .ok_or_else(|| format!("{remedy}, or a plugin such as {{ plugin = \"canary\" }}"))?;
    let (cookie, parameter) = text.split_once('|').unwrap_or((text, text));
    let illegal = |part: char| !part.is_ascii_graphic() || "=&?;/#|".contains(part);
    if parameter.is_empty() || parameter.contains(illegal) {
        return Err(remedy.to_owned());
    }
    Ok((name::cookie_name(cookie)?, parameter.to_owned()))
}

/// One character, or `Off` for none.
fn separator(text: &str) -> Parsed<Option<char>> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) if name::is_cookie_character(character) => Ok(Some(character)),
        _ if text.eq_ignore_ascii_case("off") => Ok(None),
        _ => Err(
            "must be one character that a cookie's value may hold, such as \".\", or \"Off\""
                .to_owned(),
        ),
    }
}

fn cookie_path(text: &str) -> Parsed<String> {
    if text.contains(';') {
        return Err("must not contain `;`: it ends the attribute".to_owned());
    }
    // Not normalized as routes' paths are: to a browser `/shop/` and `/shop` differ.
    name::path(text).map(|_| text.to_owned())
}

fn secure(value: &DeValue<'_>) -> Parsed<Secure> {
    match (value.as_bool(), value.as_str()) {
        (Some(true), _) => Ok(Secure::Always),
        (Some(false), _) => Ok(Secure::Never),
        (None, Some("auto")) => Ok(Secure::Auto),
        _ => Err("must be \"auto\", true or false".to_owned()),
    }
}

fn max_age(value: &DeValue<'_>) -> Parsed<Duration> {
    let age = duration_within(Duration::from_secs(1)..=MAX_AGE, "s")(value)?;
    if age.subsec_nanos() == 0 {
        Ok(age)
    } else {
        Err(format!(
            "must be whole seconds: write \"{}s\"",
            age.as_secs()
        ))
    }
}
