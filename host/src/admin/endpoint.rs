//! What is where below `/api/v1`: the only table of the API's paths and methods.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

/// Something that can be asked for or changed.
#[derive(Debug, PartialEq)]
pub(super) enum Endpoint<'path> {
    Configuration,
    Reload,
    Changes,
    Balancers,
    Balancer(Cow<'path, str>),
    Members(Cow<'path, str>),
    Member(Cow<'path, str>, u32),
    Plugins,
    Plugin(Cow<'path, str>),
    Rollback(Cow<'path, str>),
    Explain,
}

impl<'path> Endpoint<'path> {
    /// How many kinds there are.
    #[cfg(test)]
    pub(super) const KINDS: usize = 11;

    /// What is at a path; `None` where there is nothing.
    pub(super) fn at(path: &'path str) -> Option<Self> {
        let parts: Vec<_> = path.strip_prefix("/api/v1/")?.split('/').collect();
        Some(match *parts {
            ["configuration"] => Self::Configuration,
            ["configuration", "reload"] => Self::Reload,
            ["configuration", "changes"] => Self::Changes,
            ["balancers"] => Self::Balancers,
            ["balancers", name] => Self::Balancer(decoded(name)?),
            ["balancers", name, "members"] => Self::Members(decoded(name)?),
            ["balancers", name, "members", id] => Self::Member(decoded(name)?, id.parse().ok()?),
            ["explain"] => Self::Explain,
            ["plugins"] => Self::Plugins,
            ["plugins", name] => Self::Plugin(decoded(name)?),
            ["plugins", name, "rollback"] => Self::Rollback(decoded(name)?),
            _ => return None,
        })
    }

    /// The methods that it knows, as `Allow` has them.
    pub(super) fn allowed(&self) -> &'static str {
        match self {
            Self::Configuration | Self::Plugins | Self::Explain => "GET, HEAD",
            Self::Reload | Self::Rollback(_) => "POST",
            Self::Changes => "DELETE",
            Self::Balancers => "GET, HEAD, POST",
            Self::Balancer(_) | Self::Member(..) => "GET, HEAD, PATCH, DELETE",
            Self::Members(_) => "POST",
            Self::Plugin(_) => "GET, HEAD, PUT",
        }
    }

    /// Whether it knows the method.
    pub(super) fn allows(&self, method: &Method) -> bool {
        let mut allowed = self.allowed().split(", ");
        allowed.any(|allowed| allowed == method.as_str())
    }
}

fn decoded(name: &str) -> Option<Cow<'_, str>> {
    let name = percent_decode_str(name).decode_utf8().ok()?;
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_paths_are_decoded() {
        assert_eq!(
            Endpoint::at("/api/v1/balancers/a%2Fb%22/members/7"),
            Some(Endpoint::Member("a/b\"".into(), 7))
        );
    }

    #[test]
    fn other_paths_lead_nowhere() {
        for path in [
            "/api/v1",
            "/api/v1/",
            "/api/v1/balancers/",
            "/api/v1/balancers/b/members/x",
            "/api/v1/balancers/b/members/-1",
            "/api/v1/balancers/%ff",
            "/api/v2/balancers",
            "/api/v1/plugins/p/rollback/again",
        ] {
            assert_eq!(Endpoint::at(path), None, "{path}");
        }
    }
}
