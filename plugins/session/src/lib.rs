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
//! 2. Otherwise the cookie: see [`equipoise_sdk::cookie::find`].
//! 3. The route is what follows the first separator in the value. Without a separator in it, or with nothing behind it,
//!    there is no route. Where no separator is configured the whole value is the route.
//!
//! # Worked table
//!
//! Cookie `SID`, parameter `sidp`, separator `.`:
//!
//! | request | route |
//! |---|---|
//! | `Cookie: SID=abc.r2` | `r2` |
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

use equipoise_sdk::{Request, SessionReader};

/// Reads the route of Apache's `stickysession` from URL and cookie.
#[derive(Debug, Clone)]
pub struct Session {
    /// The cookie's name, case-sensitive.
    pub cookie: String,
    /// The URL parameter's name, case-sensitive.
    pub parameter: String,
    /// What stands before the route in the value; `None`: the whole value is the route. Apache's default is `.`.
    pub separator: Option<char>,
    /// `scolonpathdelim`: whether `;` ends the URL parameter's value, too.
    pub semicolon_ends: bool,
}

impl Session {
    /// Looks in `part` of the URL; `opens` says whether a name may stand right at its start.
    fn parameter_in<'url>(&self, part: &'url str, opens: bool) -> Option<&'url str> {
        if self.parameter.is_empty() {
            return None;
        }
        part.match_indices(&self.parameter)
            .filter(|&(start, _)| match part[..start].chars().next_back() {
                Some(before) => matches!(before, '?' | '&' | ';' | '/'),
                None => opens,
            })
            .find_map(|(start, name)| self.value(&part[start + name.len()..]))
    }

    /// The value at the start of `rest`, behind a name.
    fn value<'url>(&self, rest: &'url str) -> Option<&'url str> {
        let value = rest.strip_prefix('=')?;
        let end = value.find(|c| matches!(c, '?' | '&') || (c == ';' && self.semicolon_ends));
        let value = &value[..end.unwrap_or(value.len())];
        (!value.is_empty()).then_some(value)
    }

    /// The route in the value of a parameter or cookie.
    fn route_in(&self, value: &str) -> Option<String> {
        let route = match self.separator {
            Some(separator) => value.split_once(separator)?.1,
            None => value,
        };
        (!route.is_empty()).then(|| route.to_owned())
    }
}

impl SessionReader for Session {
    fn route(&self, request: &dyn Request) -> Option<String> {
        if let Some(value) = self.parameter_in(&request.path(), false) {
            return self.route_in(value);
        }
        if let Some(query) = request.query()
            && let Some(value) = self.parameter_in(&query, true)
        {
            return self.route_in(value);
        }
        self.route_in(&request.cookie(&self.cookie)?)
    }
}
