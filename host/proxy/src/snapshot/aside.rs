//! Plugins that are set aside because they refuse a configuration.

/// What happens to a configuration that a plugin refuses.
#[derive(Debug, Clone, Copy, Default)]
pub enum OnRefusal<'terms> {
    /// It is refused.
    #[default]
    Refuse,
    /// Plugins of these names are set aside for the balancer that they refuse, and those are that were before.
    SetAside(&'terms [String]),
}

impl OnRefusal<'_> {
    /// Whether a plugin is set aside where it refuses.
    pub(crate) fn sets_aside(self, plugin: &str, was_aside: bool) -> bool {
        match self {
            Self::Refuse => false,
            Self::SetAside(names) => was_aside || names.iter().any(|name| name == plugin),
        }
    }
}

/// A plugin that is set aside for a balancer, whose fallback decides.
#[derive(Debug, Clone, Copy)]
pub struct Aside<'snapshot> {
    /// The balancer.
    pub balancer: &'snapshot str,
    /// The plugin.
    pub plugin: &'snapshot str,
    /// What it refused, and why.
    pub reason: &'snapshot str,
}
