//! `<Macro>` and `Use`.

use std::collections::HashMap;

use super::lexer::Line;

/// What `<Macro NAME $parameter…>` holds.
#[derive(Debug, Clone)]
pub(crate) struct Macro {
    pub(crate) parameters: Vec<String>,
    pub(crate) lines: Vec<Line>,
    pub(crate) file: std::sync::Arc<str>,
}

/// The macros by their names in lower case.
pub(crate) type Macros = HashMap<String, Macro>;

/// The longest line that a macro makes, in bytes.
const LONGEST: usize = 1 << 16;

impl Macro {
    /// A line with arguments in the place of parameters: where several begin at one place, of the longest. `None`: it would be
    /// too long.
    pub(crate) fn line(&self, text: &str, arguments: &[String]) -> Option<String> {
        let mut made = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let here = self.parameters.iter().zip(arguments);
            let here = here.filter(|(name, _)| !name.is_empty() && rest.starts_with(&***name));
            match here.max_by_key(|(name, _)| name.len()) {
                Some((name, argument)) => {
                    made.push_str(argument);
                    rest = &rest[name.len()..];
                }
                None => {
                    made.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
            if made.len() > LONGEST {
                return None;
            }
        }
        Some(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_parameter_is_replaced() {
        let one = Macro {
            parameters: ["$name", "$n", "%p"].map(str::to_owned).into(),
            lines: Vec::new(),
            file: "a".into(),
        };
        let arguments = ["shop", "2", "80"].map(str::to_owned);
        let made = one.line("$name $n.$na ${x}:%p", &arguments);
        assert_eq!(made.as_deref(), Some("shop 2.2a ${x}:80"));
        assert_eq!(one.line(&"$name".repeat(20_000), &arguments), None);
    }
}
