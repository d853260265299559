//! The built-in session reader: finds the route of a sticky session in the URL or in a cookie.
//!
//! # Idea
//!
//! The application names its sessions `id.route`, in a cookie or, where clients take none, in the URL
//! (`/shop;jsessionid=id.route` or `?jsessionid=id.route`). The route says which member has the session.
//!
//! # Rules
//!
//! 1. The URL comes first. The parameter's name stands behind `?`, `&`, `;` or `/` and before `=`. The value ends at `?`
//!    or `&`, and at `;` where [`semicolon_ends`](Session::semicolon_ends). An empty value counts as none, and the search
//!    goes on behind it.
//! 2. Otherwise the cookie: see [`equipoise_sdk::cookie::all`].
//! 3. The route is what follows the first separator in the value. Without a separator in it, or with nothing behind it,
//!    there is no route. Where no separator is configured the whole value is the route.
//! 4. What no member's route can be is none: with control characters, or longer than 4 096 bytes.
//! 5. Where the parameter or the cookie is there several times, the first that names a member's route counts; where none does,
//!    the first that names any.
//!
//! # Settings
//!
//! | setting | value | default |
//! |---|---|---|
//! | `cookie` | the cookie's name | none: it must be given |
//! | `parameter` | the URL parameter's name | the cookie's |
//! | `separator` | one character that a cookie's value may hold, or `Off` | `.` |
//! | `semicolon-ends` | `true` or `false` | `false` |
//!
//! # Worked table
//!
//! Cookie `SID`, parameter `sidp`, separator `.`:
//!
//! | request | route |
//! |---|---|
//! | `Cookie: SID=abc.r2` | `r2` |
//! | `Cookie: SID=abc.r9; SID=abc.r2`, and no member has `r9` | `r2` |
//! | `Cookie: SID=.r2` | `r2` |
//! | `Cookie: SID=r2`, `sid=abc.r2` or `XSID=abc.r2` | none |
//! | `/?sidp=abc.r3` with `Cookie: SID=abc.r1` | `r3` |
//! | `/x;sidp=abc.r3` | `r3` |
//! | `/?xsidp=abc.r3` | none |
//!
//! # Source
//!
//! Apache httpd's mod_proxy_balancer, which finds the parameter's name within longer names, too (`xsidp`): here only
//! whole names count.

use std::collections::BTreeSet;

use equipoise_sdk::{Affinity, Env, PolicyConfig, Request, SessionReader, cookie, export_session};

/// Maximum length of a route, in bytes.
const MAX_ROUTE: usize = 4096;

/// Reads the route of Apache's `stickysession` from URL and cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The cookie's name, case-sensitive.
    pub cookie: String,
    /// The URL parameter's name, case-sensitive.
    pub parameter: String,
    /// Separates the route from what precedes it in the value; `None`: the whole value is the route. Apache's default is `.`.
    pub separator: Option<char>,
    /// `scolonpathdelim`: whether `;` ends the URL parameter's value, too.
    pub semicolon_ends: bool,
    /// The routes that members carry; empty where they are not known.
    pub routes: BTreeSet<String>,
}

impl Default for Session {
    /// Reads nothing until names are given.
    fn default() -> Self {
        Self {
            cookie: String::new(),
            parameter: String::new(),
            separator: Some('.'),
            semicolon_ends: false,
            routes: BTreeSet::new(),
        }
    }
}

impl Session {
    /// From its settings.
    fn of(config: &PolicyConfig) -> Result<Self, String> {
        config.deny_unknown(&["cookie", "parameter", "separator", "semicolon-ends"])?;
        let cookie = config
            .setting("cookie")
            .ok_or("`cookie` is missing: set it to the cookie's name, such as `JSESSIONID`")?;
        let parameter = config.setting("parameter").unwrap_or(cookie);
        Ok(Self {
            cookie: cookie_name(cookie)?.to_owned(),
            parameter: parameter_name(parameter)?.to_owned(),
            separator: separator(config.setting("separator").unwrap_or("."))?,
            semicolon_ends: switch(config.setting("semicolon-ends").unwrap_or("false"))?,
            routes: config.routes(),
        })
    }

    /// The parameter's values in `part` of the URL; `opens` says whether a name may stand right at its start.
    fn parameters_in<'url>(&self, part: &'url str, opens: bool) -> impl Iterator<Item = &'url str> {
        let names = (!self.parameter.is_empty()).then(|| part.match_indices(&*self.parameter));
        names
            .into_iter()
            .flatten()
            .filter(move |&(start, _)| match part[..start].chars().next_back() {
                Some(before) => matches!(before, '?' | '&' | ';' | '/'),
                None => opens,
            })
            .filter_map(|(start, name)| self.value(&part[start + name.len()..]))
    }

    /// The value at the start of `rest`, behind a name.
    fn value<'url>(&self, rest: &'url str) -> Option<&'url str> {
        let value = rest.strip_prefix('=')?;
        let end = value.find(|c| matches!(c, '?' | '&') || (c == ';' && self.semicolon_ends));
        let value = &value[..end.unwrap_or(value.len())];
        (!value.is_empty()).then_some(value)
    }

    /// The route in the value of a parameter or cookie.
    fn route_in<'value>(&self, value: &'value str) -> Option<&'value str> {
        let route = match self.separator {
            Some(separator) => value.split_once(separator)?.1,
            None => value,
        };
        let fits = (1..=MAX_ROUTE).contains(&route.len()) && !route.contains(char::is_control);
        fits.then_some(route)
    }

    /// Whether a member carries the route, as far as that is known.
    fn is_carried(&self, route: &str) -> bool {
        self.routes.is_empty() || self.routes.contains(route)
    }

    /// The route in these values: the first that a member carries, or else the first. `None` without values.
    fn route_of<'value>(
        &self,
        values: impl Iterator<Item = &'value str>,
    ) -> Option<Option<&'value str>> {
        let mut first = None;
        for value in values {
            let route = self.route_in(value);
            if route.is_some_and(|route| self.is_carried(route)) {
                return Some(route);
            }
            first = Some(first.flatten().or(route));
        }
        first
    }

    /// The route that the request carries, if any.
    fn route(&self, request: &dyn Request) -> Option<String> {
        let (path, query) = (request.path(), request.query());
        let in_path = self.parameters_in(&path, false);
        let in_query = query.iter().flat_map(|it| self.parameters_in(it, true));
        match self.route_of(in_path.chain(in_query)) {
            Some(route) => route.map(str::to_owned),
            None => self.route_in_cookies(request),
        }
    }

    /// The route in the first cookie, or if no member carries that, in another of the same name.
    fn route_in_cookies(&self, request: &dyn Request) -> Option<String> {
        let first = request.cookie(&self.cookie)?;
        if let Some(route) = self.route_in(&first)
            && self.is_carried(route)
        {
            return Some(route.to_owned());
        }
        let header = request.header("cookie")?;
        let route = self.route_of(cookie::all(&header, &self.cookie)).flatten();
        route.map(str::to_owned)
    }
}

impl SessionReader for Session {
    /// A mistake leaves everything as it was.
    fn configure(&mut self, config: &PolicyConfig) -> Result<(), String> {
        *self = Self::of(config)?;
        Ok(())
    }

    fn read(&self, request: &dyn Request, _env: &dyn Env) -> Option<Affinity> {
        self.route(request).map(Affinity::Route)
    }
}

/// A token of RFC 9110.
fn cookie_name(name: &str) -> Result<&str, String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.is_empty() && name.bytes().all(legal) {
        Ok(name)
    } else {
        Err(format!(
            "`cookie` must be a name of letters, digits, `-`, `_` and dots, such as `JSESSIONID`, not {name:?}"
        ))
    }
}

/// What stands in a URL and does not end there.
fn parameter_name(name: &str) -> Result<&str, String> {
    let illegal = |part: char| !part.is_ascii_graphic() || "=&?;/#|".contains(part);
    if !name.is_empty() && !name.contains(illegal) {
        Ok(name)
    } else {
        Err(format!(
            "`parameter` must be a name as URLs have them, such as `jsessionid`, not {name:?}"
        ))
    }
}

/// One character, or `Off` for none.
fn separator(text: &str) -> Result<Option<char>, String> {
    let legal = |part: char| part.is_ascii_graphic() && !r#"",;\"#.contains(part);
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) if legal(character) => Ok(Some(character)),
        _ if text.eq_ignore_ascii_case("off") => Ok(None),
        _ => Err(format!(
            "`separator` must be one character that a cookie's value may hold, such as `.`, or `Off`, not {text:?}"
        )),
    }
}

fn switch(text: &str) -> Result<bool, String> {
    text.parse()
        .map_err(|_| format!("`semicolon-ends` must be `true` or `false`, not {text:?}"))
}

export_session!(Session);

#[cfg(test)]
mod tests {
    use equipoise_sdk::MemberConfig;
    use equipoise_sdk::testing::FakeRequest;

    use super::*;

    fn session() -> Session {
        Session {
            cookie: "SID".to_owned(),
            parameter: "sidp".to_owned(),
            ..Session::default()
        }
    }

    fn route(session: &Session, target: &str, cookie: &str) -> Option<String> {
        let request = FakeRequest::get(target).with_header("Cookie", cookie);
        session.route(&request)
    }

    #[test]
    fn cookie_names_the_route() {
        let table = [
            ("SID=abc.r2", Some("r2")),
            ("SID=.r2", Some("r2")),
            ("a=b; SID=abc.r2; c=d", Some("r2")),
            ("a=b,SID = abc.r2,c=d", Some("r2")),
            ("SID=abc.r2.x", Some("r2.x")),
            ("SID=r2", None),
            ("SID=abc.", None),
            ("SID=", None),
            ("SID=; XSID=a.r1; SID=abc.r2", Some("r2")),
            ("SID=abc.r\t2", None),
            ("sid=abc.r2", None),
            ("XSID=abc.r2", None),
            ("", None),
        ];
        for (cookie, expected) in table {
            assert_eq!(
                route(&session(), "/", cookie).as_deref(),
                expected,
                "{cookie:?}"
            );
        }
    }

    #[test]
    fn url_names_the_route_before_the_cookie_does() {
        let table = [
            ("/?sidp=abc.r3", Some("r3")),
            ("/?a=b&sidp=abc.r3&c=d", Some("r3")),
            ("/?a=b?sidp=abc.r3?c=d", Some("r3")),
            ("/x;sidp=abc.r3", Some("r3")),
            ("/x;sidp=abc.r3?a=b", Some("r3")),
            ("/sidp=abc.r3", Some("r3")),
            ("/x;sidp=abc.r3/y", Some("r3/y")),
            ("/x;sidp=abc.r2?sidp=abc.r3", Some("r2")),
            ("/?sidp=&sidp=abc.r3", Some("r3")),
            ("/x;sidp=?sidp=abc.r3", Some("r3")),
            // The parameter is there, and names no route.
            ("/?sidp=abc", None),
            ("/?sidp=abc.", None),
            // The parameter is not there: the cookie counts.
            ("/?sidp=", Some("r1")),
            ("/?sidp", Some("r1")),
            ("/?xsidp=abc.r3", Some("r1")),
            ("/?sidpx=abc.r3", Some("r1")),
            ("/?SIDP=abc.r3", Some("r1")),
            ("/sidp.r3", Some("r1")),
        ];
        for (target, expected) in table {
            assert_eq!(
                route(&session(), target, "SID=abc.r1").as_deref(),
                expected,
                "{target:?}"
            );
        }
    }

    /// Members carry r1, r2 and r3.
    #[test]
    fn the_first_of_several_that_a_member_carries_counts() {
        let session = Session {
            routes: ["r1", "r2", "r3"].map(str::to_owned).into(),
            ..session()
        };
        let table = [
            ("/", "SID=.zz; SID=.r2", Some("r2")),
            ("/", "SID=.r1; SID=.r2", Some("r1")),
            ("/", "SID=r1; SID=.r2", Some("r2")),
            (
                "/",
                "SID=.yy; XSID=.r1; SID=.zz; SID=.r3; SID=.r2",
                Some("r3"),
            ),
            ("/", "SID=.zz; SID=; SID=.yy", Some("zz")),
            ("/", "SID=.zz", Some("zz")),
            ("/", "SID=zz; SID=.yy", Some("yy")),
            ("/?sidp=.zz&sidp=.r2", "", Some("r2")),
            ("/?sidp=zz&sidp=.r2", "", Some("r2")),
            ("/x;sidp=.zz?sidp=.r2", "", Some("r2")),
            ("/x;sidp=.zz;sidp=.r2", "", Some("r2")),
            ("/x;sidp=.r1?sidp=.r2", "", Some("r1")),
            // The URL comes first, whatever it says.
            ("/?sidp=.zz", "SID=.r1", Some("zz")),
            ("/?sidp=zz", "SID=.r1", None),
        ];
        for (target, cookie, expected) in table {
            let found = route(&session, target, cookie);
            assert_eq!(found.as_deref(), expected, "{target} {cookie}");
        }
    }

    #[test]
    fn semicolon_ends_the_value_only_when_configured() {
        let mut session = session();
        let target = "/x;sidp=abc.r3;v=1";
        assert_eq!(route(&session, target, "").as_deref(), Some("r3;v=1"));
        session.semicolon_ends = true;
        assert_eq!(route(&session, target, "").as_deref(), Some("r3"));
    }

    #[test]
    fn without_separator_the_whole_value_is_the_route() {
        let session = Session {
            separator: None,
            ..session()
        };
        assert_eq!(route(&session, "/", "SID=r2").as_deref(), Some("r2"));
        assert_eq!(route(&session, "/", "SID=a.r2").as_deref(), Some("a.r2"));
    }

    #[test]
    fn separator_may_be_any_character() {
        let session = Session {
            separator: Some('→'),
            ..session()
        };
        assert_eq!(route(&session, "/", "SID=ä→ö→ü").as_deref(), Some("ö→ü"));
    }

    #[test]
    fn empty_names_find_nothing() {
        let session = Session {
            cookie: String::new(),
            parameter: String::new(),
            ..session()
        };
        assert_eq!(route(&session, "/?=abc.r3", "=abc.r1"), None);
    }

    fn configured(settings: &[(&str, &str)]) -> Result<Session, String> {
        let mut session = Session::default();
        session.configure(&PolicyConfig::from_settings(settings.iter().copied()))?;
        Ok(session)
    }

    #[test]
    fn settings_say_what_is_read() {
        let plain = Session {
            cookie: "SID".to_owned(),
            parameter: "SID".to_owned(),
            ..Session::default()
        };
        assert_eq!(configured(&[("cookie", "SID")]), Ok(plain));
        let all = [
            ("cookie", "SID"),
            ("parameter", "sidp"),
            ("separator", "!"),
            ("semicolon-ends", "true"),
        ];
        let expected = Session {
            separator: Some('!'),
            semicolon_ends: true,
            ..session()
        };
        assert_eq!(configured(&all), Ok(expected));
        for off in ["Off", "off"] {
            let session = configured(&[("cookie", "SID"), ("separator", off)]);
            assert_eq!(session.map(|session| session.separator), Ok(None));
        }
    }

    #[test]
    fn routes_are_those_of_the_members() {
        let member = |route: Option<&str>| MemberConfig {
            route: route.map(str::to_owned),
            ..MemberConfig::default()
        };
        let config = PolicyConfig {
            members: [Some("r2"), None, Some("r1"), Some("r2")]
                .map(member)
                .into(),
            ..PolicyConfig::from_settings([("cookie", "SID")])
        };
        let mut session = Session::default();
        assert_eq!(session.configure(&config), Ok(()));
        assert_eq!(session.routes, ["r1", "r2"].map(str::to_owned).into());
    }

    #[test]
    fn mistakes_in_settings_are_explained() {
        let table: &[(&[(&str, &str)], &str)] = &[
            (&[], "`cookie` is missing"),
            (&[("cookie", "")], "`cookie` must be"),
            (&[("cookie", "S ID")], "not \"S ID\""),
            (
                &[("cookie", "SID"), ("parameter", "")],
                "`parameter` must be",
            ),
            (&[("cookie", "SID"), ("parameter", "a=b")], "not \"a=b\""),
            (&[("cookie", "S#")], "`parameter` must be"),
            (
                &[("cookie", "SID"), ("separator", "")],
                "`separator` must be",
            ),
            (&[("cookie", "SID"), ("separator", "..")], "not \"..\""),
            (
                &[("cookie", "SID"), ("separator", "\\")],
                "`separator` must be",
            ),
            (&[("cookie", "SID"), ("semicolon-ends", "On")], "not \"On\""),
            (
                &[("cookie", "SID"), ("name", "x")],
                "unknown setting `name`",
            ),
        ];
        for (settings, expected) in table {
            let error = configured(settings).expect_err("a mistake");
            assert!(error.contains(expected), "{settings:?}: {error}");
        }
    }

    #[test]
    fn a_mistake_leaves_the_settings_before() {
        let mut session = session();
        let before = session.clone();
        assert!(session.configure(&PolicyConfig::default()).is_err());
        assert_eq!(session, before);
    }
}
