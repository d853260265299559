//! The configuration of a policy: its settings and the balancer's members.

use std::collections::{BTreeMap, BTreeSet};

/// The parameters of `configure`, which is called before anything else and again when they change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyConfig {
    /// `settings` of the plugin, as configured; empty for the built-in methods.
    pub settings: BTreeMap<String, String>,
    /// The members of the balancer in configuration order, whatever their state.
    pub members: Vec<MemberConfig>,
}

/// A member of the balancer, as configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberConfig {
    /// The id in [`Candidates::ids`](crate::Candidates::ids): small, unique within the balancer, stable for as long as the member
    /// exists.
    pub id: u32,
    /// Its URL, such as `http://127.0.0.1:9001`.
    pub url: String,
    /// `loadfactor` in hundredths, 100..=10 000.
    pub weight: u32,
    /// `lbset`, 0..=99: lower sets are tried first.
    pub lbset: u32,
    /// `route`: what its sticky sessions carry.
    pub route: Option<String>,
    /// `hcpasses`: passed checks in a row that make it healthy again; at least 1.
    pub passes: u32,
    /// `hcfails`: failed checks in a row that make it unhealthy; at least 1.
    pub fails: u32,
    /// `metadata` of the member.
    pub metadata: BTreeMap<String, String>,
}

impl PolicyConfig {
    /// Only these settings and no members: for tests.
    pub fn from_settings<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let settings = settings.into_iter();
        Self {
            settings: settings
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            members: Vec::new(),
        }
    }

    /// The value of a setting.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(String::as_str)
    }

    /// The routes that members carry.
    pub fn routes(&self) -> BTreeSet<String> {
        let routes = self
            .members
            .iter()
            .filter_map(|member| member.route.clone());
        routes.collect()
    }

    /// Refuses settings other than these: most often typing errors.
    ///
    /// # Errors
    /// Names the first unknown setting, and the known ones.
    pub fn deny_unknown(&self, keys: &[&str]) -> Result<(), String> {
        match self.settings.keys().find(|key| !keys.contains(&&***key)) {
            None => Ok(()),
            Some(key) if keys.is_empty() => {
                Err(format!("unknown setting `{key}`; there are no settings"))
            }
            Some(key) => Err(format!(
                "unknown setting `{key}`; the settings are {}",
                keys.join(", ")
            )),
        }
    }
}
