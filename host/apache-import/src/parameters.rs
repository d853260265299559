//! Parameters of members and balancers: `key=value` behind `BalancerMember`, `ProxySet` and `ProxyPass`.

use super::directive::Directive;

/// One parameter.
#[derive(Debug, Clone)]
pub(crate) struct Parameter<'d> {
    /// In lower case.
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) by: &'d Directive,
}

/// Several, of which the last of a name counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters<'d>(Vec<Parameter<'d>>);

impl<'d> Parameters<'d> {
    /// Reads words; those without `=` are answered.
    pub(crate) fn of(words: &[String], by: &'d Directive) -> (Self, Vec<String>) {
        let mut parameters = Vec::new();
        let mut others = Vec::new();
        for word in words {
            match word.split_once('=') {
                Some((key, value)) => parameters.push(Parameter {
                    key: key.to_ascii_lowercase(),
                    value: value.to_owned(),
                    by,
                }),
                None => others.push(word.clone()),
            }
        }
        (Self(parameters), others)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Parameter<'d>> {
        self.0.iter()
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// The last value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Parameter<'d>> {
        self.0.iter().rev().find(|it| it.key == key)
    }

    /// The last value of each key, in the order in which keys first stand.
    pub(crate) fn last_of_each(&self) -> Vec<&Parameter<'d>> {
        let mut keys: Vec<&str> = Vec::new();
        for parameter in &self.0 {
            if !keys.contains(&&*parameter.key) {
                keys.push(&parameter.key);
            }
        }
        keys.iter().filter_map(|key| self.get(key)).collect()
    }
}
