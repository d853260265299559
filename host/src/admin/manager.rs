//! The balancer-manager: a page that shows what the API tells, and changes what the API changes.
//!
//! The page has no secret in it, so it is served to every client that this listener allows, without the admin token. Every URL
//! in it is relative, so that it works wherever it is mounted and behind whatever prefix.
//!
//! Browsers send what other sites' pages have them send. A request that changes something and comes from a browser
//! therefore has to carry a token that is in this page only, where no page of another site can read it.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response};
use subtle::ConstantTimeEq as _;

/// Where the page is on the admin listener.
pub(super) const PATH: &str = "/balancer-manager";

/// Where the API is on the admin listener, seen from there.
pub(super) const API: &str = "api/v1";

/// The field that the page sends its token in.
pub(super) const CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");

/// Bytes of chance in a token.
const CHANCE: usize = 32;

/// What the page may load and where it may send to: its own files and API, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const PAGE: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Names a file of the page, its kind, and its content.
macro_rules! file {
    ($name:literal, $kind:expr) => {
        ($name, $kind, include_str!(concat!("manager/", $name)))
    };
}

/// What the page consists of besides itself: names, kinds and contents.
const FILES: &[(&str, &str, &str)] = &[
    file!("api.js", SCRIPT),
    file!("balancers.js", SCRIPT),
    file!("cell.js", SCRIPT),
    file!("charts.js", SCRIPT),
    file!("configuration.js", SCRIPT),
    file!("decisions.js", SCRIPT),
    file!("dialog.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("fields.js", SCRIPT),
    file!("format.js", SCRIPT),
    file!("forms.js", SCRIPT),
    file!("manager.js", SCRIPT),
    file!("members.js", SCRIPT),
    file!("notices.js", SCRIPT),
    file!("plugins.js", SCRIPT),
    file!("poll.js", SCRIPT),
    file!("style.css", STYLE),
    file!("token.js", SCRIPT),
];

/// The page, and the token that it sends with what it changes: another one each time the program starts.
pub(super) struct Manager {
    /// Hexadecimal digits.
    token: String,
}

impl Manager {
    /// A page with a token that cannot be guessed.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut chance = [0; CHANCE];
        getrandom::fill(&mut chance)?;
        let token = chance.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { token })
    }

    /// Whether this is the token of the page, compared in a time that does not depend on where it differs.
    pub(super) fn is_known(&self, given: &HeaderValue) -> bool {
        given.as_bytes().ct_eq(self.token.as_bytes()).into()
    }

    /// The page or a file of it, where it is mounted at `mount` (a path with a segment at least, such as [`PATH`]) and finds
    /// the API at `api`, seen from there. None where the path is neither.
    pub(super) fn respond(&self, mount: &str, api: &str, path: &str) -> Option<Response<String>> {
        let rest = path.strip_prefix(mount)?;
        if rest.is_empty() {
            return Some(response(PAGE, self.page(mount, api)));
        }
        let name = rest.strip_prefix('/')?;
        let (_, kind, content) = FILES.iter().find(|(file, ..)| *file == name)?;
        Some(response(kind, (*content).to_owned()))
    }

    fn page(&self, mount: &str, api: &str) -> String {
        let folder = mount.rsplit('/').next().unwrap_or_default();
        include_str!("manager/index.html")
            .replace("{{csrf-token}}", &self.token)
            .replace("{{version}}", env!("CARGO_PKG_VERSION"))
            .replace("{{files}}", &escaped(folder))
            .replace("{{api}}", &escaped(api))
    }
}

/// A text as it stands in an attribute of HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
}

fn response(kind: &'static str, content: String) -> Response<String> {
    let mut response = Response::new(content);
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager() -> Manager {
        Manager::new().expect("the system has random bytes")
    }

    fn body(manager: &Manager, path: &str) -> String {
        manager
            .respond(PATH, API, path)
            .expect("the page has this file")
            .into_body()
    }

    #[test]
    fn every_start_has_a_token_of_its_own_and_knows_only_it() {
        let (one, other) = (manager(), manager());
        let token = |manager: &Manager| {
            HeaderValue::from_str(&manager.token).expect("hexadecimal digits fit in a field")
        };
        assert!(one.is_known(&token(&one)));
        assert!(!one.is_known(&token(&other)));
        assert!(!one.is_known(&HeaderValue::from_static("")));
    }

    #[test]
    fn page_carries_its_token_and_names_only_files_that_are_there() {
        let manager = manager();
        let page = body(&manager, PATH);
        let token = format!("name=\"csrf-token\" content=\"{}\"", manager.token);
        assert!(page.contains(&token), "{page}");
        assert!(!page.contains("{{"), "{page}");
        for name in ["balancer-manager/style.css", "balancer-manager/manager.js"] {
            assert!(page.contains(&format!("\"{name}\"")), "{name}");
            body(&manager, &format!("/{name}"));
        }
    }

    #[test]
    fn every_import_of_a_script_is_a_file_of_the_page() {
        let manager = manager();
        for (name, _, content) in FILES {
            for import in content.lines().filter(|line| line.contains(" from \"")) {
                let file = import
                    .split('"')
                    .nth(1)
                    .and_then(|path| path.strip_prefix("./"));
                let file = file.unwrap_or_else(|| panic!("{name} has an odd import: {import}"));
                body(&manager, &format!("{PATH}/{file}"));
            }
        }
    }

    #[test]
    fn mounted_elsewhere_the_page_finds_its_files_and_api_there() {
        let manager = manager();
        let page = manager.respond("/ops/lb", "lb/api/v1", "/ops/lb");
        let page = page.expect("the page is there").into_body();
        assert!(page.contains("src=\"lb/manager.js\""), "{page}");
        assert!(page.contains("content=\"lb/api/v1\""), "{page}");
        assert!(manager.respond("/ops/lb", API, "/ops/lb/dom.js").is_some());
        assert!(manager.respond("/ops/lb", API, "/ops/lbx").is_none());
        assert!(
            manager
                .respond("/ops/lb", API, "/ops/lb/../token.js")
                .is_none()
        );
    }

    #[test]
    fn nothing_of_the_page_is_inline_or_from_elsewhere() {
        let page = include_str!("manager/index.html");
        for forbidden in ["style=", "<style", "onclick=", "<script>", "http-equiv"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        for (name, _, content) in FILES {
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacent",
                "document.write",
                "eval(",
            ] {
                assert!(!content.contains(forbidden), "{name}: {forbidden}");
            }
        }
    }
}
