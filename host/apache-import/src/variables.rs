//! What `Define` says, and `${NAME}` with it.

use std::collections::{BTreeMap, HashMap};

/// The longest text that variables make, in bytes: one may hold others.
const LONGEST: usize = 1 << 20;

/// Variables that are defined, and those of the environment.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    defined: HashMap<String, String>,
    environment: BTreeMap<String, String>,
}

impl Variables {
    pub(crate) fn new(
        defined: impl IntoIterator<Item = (String, String)>,
        environment: BTreeMap<String, String>,
    ) -> Self {
        Self {
            defined: defined.into_iter().collect(),
            environment,
        }
    }

    pub(crate) fn define(&mut self, name: &str, value: &str) {
        self.defined.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn undefine(&mut self, name: &str) {
        self.defined.remove(name);
    }

    /// What `<IfDefine>` asks.
    pub(crate) fn is_defined(&self, name: &str) -> bool {
        self.defined.contains_key(name)
    }

    fn value(&self, name: &str) -> Option<&str> {
        let value = self
            .defined
            .get(name)
            .or_else(|| self.environment.get(name));
        value.map(|value| &**value)
    }

    /// The text with variables replaced. One that is not defined stays as it is written, and its name is added to `missing`. A
    /// name with a colon is none: it is a map of RewriteRule.
    pub(crate) fn replace(&self, text: &str, missing: &mut Vec<String>) -> String {
        let mut made = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, variable) = rest.split_at(at);
            made.push_str(before);
            let Some(end) = variable.find('}') else {
                rest = variable;
                break;
            };
            let name = &variable[2..end];
            match self.value(name) {
                Some(value) if made.len() + value.len() <= LONGEST => made.push_str(value),
                _ => {
                    if !name.contains(':') && !name.is_empty() {
                        missing.push(name.to_owned());
                    }
                    made.push_str(&variable[..=end]);
                }
            }
            rest = &variable[end + 1..];
        }
        made + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_where_they_are_defined() {
        let environment = [("LOGS".to_owned(), "/var/log".to_owned())];
        let mut variables = Variables::new([], environment.into());
        variables.define("port", "80");
        let mut missing = Vec::new();
        let made = variables.replace("${LOGS}/a:${port}${NO}${lc:x}${ $", &mut missing);
        assert_eq!(made, "/var/log/a:80${NO}${lc:x}${ $");
        assert_eq!(missing, ["NO"]);
        variables.undefine("port");
        assert!(!variables.is_defined("port") && !variables.is_defined("LOGS"));
    }
}
