//! What operators see and change, and the tag of what they have seen.

use serde_json::Value;

use equipoise_config::source::etag;
use equipoise_proxy::snapshot::Snapshot;
use equipoise_wasm::Version;

/// A thing that can be changed by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resource {
    Configuration,
    /// By name: its own keys, not its members.
    Balancer(String),
    /// By the balancer's name and the member's id.
    Member(String, u32),
    /// By name: which version serves.
    Plugin(String),
}

impl Resource {
    /// What changes whenever the resource does, and only then; `None` where there is no such resource. Counters and states
    /// are no part of it.
    pub(crate) fn etag(&self, snapshot: &Snapshot) -> Option<String> {
        let source = &snapshot.source;
        match self {
            Self::Configuration => Some(source.revision()),
            Self::Balancer(name) => {
                snapshot.cluster(name)?;
                Some(etag(&Value::from(source.balancer(name)).to_string()))
            }
            Self::Member(balancer, id) => {
                let (_, cluster) = snapshot.cluster(balancer)?;
                let (place, _) = cluster.member(*id)?;
                Some(etag(
                    &Value::from(source.member(balancer, place)).to_string(),
                ))
            }
            Self::Plugin(name) => {
                let plugins = &snapshot.config.plugins;
                let place = plugins.iter().position(|plugin| plugin.name == *name)?;
                let version = snapshot.versions.get(place)?.as_deref();
                let version = version.and_then(Version::of);
                Some(version.map_or_else(|| "none".to_owned(), |version| version.short_hash()))
            }
        }
    }
}
