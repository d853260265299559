//! What a policy is configured with.

use std::collections::{BTreeMap, BTreeSet};

/// Settings and members, handed over before the first question and again when they change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setup {
    /// `settings` of the plugin, as configured; empty for the built-in methods.
    pub settings: BTreeMap<String, String>,
    /// The members of the balancer in configuration order, whatever their state.
    pub members: Vec<Peer>,
}

/// A member of the balancer, as configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its identity in the balancer: what [`Candidates::ids`](crate::Candidates::ids) speaks of.
    pub id: u32,
    /// Its URL, such as `http://127.0.0.1:9001`.
    pub url: String,
    /// `loadfactor` in hundredths, 100..=10 000.
    pub weight: u32,
    /// `lbset`, 0..=99: a lower set is asked first.
    pub set: u32,
    /// What its sticky sessions carry.
    pub route: Option<String>,
    /// `hcpasses`: checks in a row that it must pass to be well again; at least 1.
    pub passes: u32,
    /// `hcfails`: checks in a row that it must fail to be ill; at least 1.
    pub fails: u32,
    /// `metadata` of the member.
    pub metadata: BTreeMap<String, String>,
}

impl Setup {
    /// Only these settings and no members: for tests.
    pub fn of<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
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

    /// Refuses settings other than these, which are mistakes more often than not.
    ///
    /// # Errors
    /// Names the first setting that is not known, and those that are.
    pub fn allow(&self, keys: &[&str]) -> Result<(), String> {
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
