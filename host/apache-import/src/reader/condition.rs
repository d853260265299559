//! Conditions that decide while files are read.

use super::Reader;
use crate::directive::Directive;
use crate::modules;
use crate::version;

/// What a section says about what stands in it.
pub(super) enum Answer {
    /// It is no condition.
    NoCondition,
    Holds,
    DoesNotHold,
}

impl Reader<'_> {
    /// Asks a section whether it is a condition that holds.
    pub(super) fn ask(&mut self, directive: &Directive) -> Answer {
        let word = directive.word(0);
        let (is_negated, word) = match word.strip_prefix('!') {
            Some(word) => (true, word),
            None => (false, word),
        };
        let holds = match &*directive.key {
            "<ifmodule" => self.has_module(word, is_negated, directive),
            "<ifdefine" => self.variables.is_defined(word),
            "<ifversion" => match version::holds(&directive.words) {
                // The sign belongs to the operator.
                Some(holds) => holds != is_negated,
                None => {
                    self.report
                        .refused(directive, "compares nothing that is a version");
                    is_negated
                }
            },
            "<iffile" => {
                let path = self.server_root.join(word);
                self.files.kind(&path).is_some()
            }
            "<ifdirective" | "<ifsection" => crate::names::is_known(word),
            _ => return Answer::NoCondition,
        };
        match holds != is_negated {
            true => Answer::Holds,
            false => Answer::DoesNotHold,
        }
    }

    fn has_module(&mut self, name: &str, is_negated: bool, directive: &Directive) -> bool {
        let has = self.modules.has(name);
        if !has && !is_negated && modules::is_ours(name) && self.absent.len() < 100 {
            let place = || directive.place.clone();
            self.absent.entry(name.to_owned()).or_insert_with(place);
        }
        has
    }
}
