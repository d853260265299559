//! The status flags an operator sets on a member: Apache's letters D S I R H N.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A member's status flags. All are off by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// `D`: takes nothing, not even its own sticky sessions.
    pub disabled: bool,
    /// `S`: as disabled, and its error state is never retried nor its health checked.
    pub stopped: bool,
    /// `I`: failures never put the member into the error state.
    pub ignore_errors: bool,
    /// `R`: hot spare, stands in for one unusable member of its set.
    pub spare: bool,
    /// `H`: hot standby, used when its set has no other candidate.
    pub standby: bool,
    /// `N`: draining, takes only its own sticky sessions.
    pub draining: bool,
}

/// A status text that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseStatusError {
    /// A letter that is no status flag.
    #[error(
        "`{0}` is no status flag; the flags are D S I R H N, each with an optional + or - before it"
    )]
    UnknownFlag(char),
    /// A sign with no letter behind it.
    #[error("a sign needs a flag behind it: D S I R H or N")]
    DanglingSign,
}

impl Status {
    /// Whether the operator lets the member take requests at all: neither disabled nor stopped.
    pub fn is_enabled(self) -> bool {
        !(self.disabled || self.stopped)
    }

    /// The same flags with changes in Apache's form, as [`from_str`](Self::from_str) reads it: `+N` drains, `-N` ends that.
    ///
    /// # Errors
    /// A letter that is no flag, or a sign without one.
    pub fn changed(mut self, text: &str) -> Result<Self, ParseStatusError> {
        let mut sign = None;
        for letter in text.chars().filter(|letter| !letter.is_whitespace()) {
            if matches!(letter, '+' | '-') {
                if sign.is_some() {
                    return Err(ParseStatusError::DanglingSign);
                }
                sign = Some(letter == '+');
                continue;
            }
            let flag = match letter.to_ascii_uppercase() {
                'D' => &mut self.disabled,
                'S' => &mut self.stopped,
                'I' => &mut self.ignore_errors,
                'R' => &mut self.spare,
                'H' => &mut self.standby,
                'N' => &mut self.draining,
                _ => return Err(ParseStatusError::UnknownFlag(letter)),
            };
            *flag = sign.take().unwrap_or(true);
        }
        if sign.is_some() {
            return Err(ParseStatusError::DanglingSign);
        }
        Ok(self)
    }
}

impl FromStr for Status {
    type Err = ParseStatusError;

    /// Reads Apache's form: letters in either case, each with an optional sign, such as `+H`, `S-I` or `dn`.
    ///
    /// A sign holds for the letter behind it alone; a letter without one sets its flag. White space is skipped.
    fn from_str(text: &str) -> Result<Self, ParseStatusError> {
        Self::default().changed(text)
    }
}

impl fmt::Display for Status {
    /// The letters of the flags that are set, in the order D S I R H N; `-` when none is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [
            (self.disabled, 'D'),
            (self.stopped, 'S'),
            (self.ignore_errors, 'I'),
            (self.spare, 'R'),
            (self.standby, 'H'),
            (self.draining, 'N'),
        ];
        let letters: String = flags
            .iter()
            .filter(|(set, _)| *set)
            .map(|(_, letter)| *letter)
            .collect();
        f.pad(if letters.is_empty() { "-" } else { &letters })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_set_and_clear_flags_in_either_case() {
        let table = [
            ("", "-"),
            ("+H", "H"),
            ("h", "H"),
            ("DN", "DN"),
            ("+d +r", "DR"),
            ("S-S", "-"),
            ("SI-S", "I"),
            ("+D-D+N", "N"),
        ];
        for (text, flags) in table {
            assert_eq!(
                text.parse::<Status>().unwrap().to_string(),
                flags,
                "status = {text:?}"
            );
        }
    }

    #[test]
    fn changes_leave_other_flags_as_they_are() {
        let table = [
            ("H", "+N", "HN"),
            ("HN", "-N", "H"),
            ("DN", "-D+S", "SN"),
            ("I", "", "I"),
        ];
        for (before, change, after) in table {
            let status: Status = before.parse().unwrap();
            let changed = status.changed(change).unwrap();
            assert_eq!(changed.to_string(), after, "{before} {change}");
        }
    }

    #[test]
    fn unknown_flag_is_refused() {
        assert_eq!(
            "+X".parse::<Status>(),
            Err(ParseStatusError::UnknownFlag('X'))
        );
        assert_eq!(
            "E".parse::<Status>(),
            Err(ParseStatusError::UnknownFlag('E'))
        );
        assert_eq!("D+".parse::<Status>(), Err(ParseStatusError::DanglingSign));
        assert_eq!("+-D".parse::<Status>(), Err(ParseStatusError::DanglingSign));
    }
}
