//! The cookie of ours that keeps a session at its member.

use std::fmt::Write as _;

use equipoise_config::{SameSite, Secure, StickyCookie};

/// The `Set-Cookie` that keeps a session at the member with this route.
pub(crate) fn issue(
    cookie: &StickyCookie,
    separator: Option<char>,
    route: &str,
    is_tls: bool,
) -> String {
    let mut text = format!("{}=", cookie.name);
    text.extend(separator);
    let _ = write!(text, "{route}; Path={}", cookie.path);
    if let Some(domain) = &cookie.domain {
        let _ = write!(text, "; Domain={domain}");
    }
    if let Some(max_age) = cookie.max_age {
        let _ = write!(text, "; Max-Age={}", max_age.as_secs());
    }
    if cookie.http_only {
        text.push_str("; HttpOnly");
    }
    text.push_str(match cookie.same_site {
        SameSite::Lax => "; SameSite=Lax",
        SameSite::Strict => "; SameSite=Strict",
        SameSite::None => "; SameSite=None",
    });
    if cookie.secure == Secure::Always || (cookie.secure == Secure::Auto && is_tls) {
        text.push_str("; Secure");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PLAIN: StickyCookie = StickyCookie {
        name: String::new(),
        path: String::new(),
        domain: None,
        http_only: false,
        same_site: SameSite::Lax,
        secure: Secure::Auto,
        max_age: None,
    };

    #[test]
    fn every_attribute_is_said_and_secure_only_by_tls() {
        let plain = StickyCookie {
            name: "ROUTEID".to_owned(),
            path: "/".to_owned(),
            ..PLAIN
        };
        let full = StickyCookie {
            domain: Some("example.com".to_owned()),
            http_only: true,
            same_site: SameSite::None,
            secure: Secure::Always,
            max_age: Some(Duration::from_secs(60)),
            ..plain.clone()
        };
        let table = [
            (
                &plain,
                Some('.'),
                false,
                "ROUTEID=.r1; Path=/; SameSite=Lax",
            ),
            (
                &plain,
                None,
                true,
                "ROUTEID=r1; Path=/; SameSite=Lax; Secure",
            ),
            (
                &full,
                Some('-'),
                false,
                "ROUTEID=-r1; Path=/; Domain=example.com; Max-Age=60; HttpOnly; SameSite=None; Secure",
            ),
        ];
        for (cookie, separator, is_tls, expected) in table {
            assert_eq!(issue(cookie, separator, "r1", is_tls), expected);
        }
    }
}
