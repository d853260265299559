//! Values: numbers, words, durations, sizes and texts, each with what would be right where one is wrong.
//!
//! The functions here either are a parser, `fn(&DeValue) -> Parsed<T>`, or make one from a range or a choice.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

/// A value, or what would be right instead: the predicate of a sentence whose subject is the key.
pub(crate) type Parsed<T> = Result<T, String>;

/// The upper bound of durations in general.
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest text to look for words near it, in bytes: the cost grows with its length.
const MAX_MISSPELT: usize = 100;

const MILLISECOND: Duration = Duration::from_millis(1);

/// The durations shown as examples of how to write one.
const EXAMPLES: &[(&str, Duration)] = &[
    ("250ms", Duration::from_millis(250)),
    ("1.5s", Duration::from_millis(1500)),
    ("2m", Duration::from_secs(120)),
];

/// The sizes shown as examples.
const SIZE_EXAMPLES: &[(&str, usize)] = &[("64KiB", 64 << 10), ("16MiB", 16 << 20)];

/// A text as it stands.
pub(super) fn text<'v>(value: &'v DeValue<'_>) -> Parsed<&'v str> {
    let text = value.as_str();
    text.ok_or_else(|| "must be a string in quotes".to_owned())
}

/// A text that `parse` understands.
pub(super) fn text_as<T>(parse: impl Fn(&str) -> Parsed<T>) -> impl Fn(&DeValue<'_>) -> Parsed<T> {
    move |value| parse(text(value)?)
}

/// A free text of up to `longest` bytes; what is written without quotes is suggested in them.
pub(super) fn free_text(longest: usize) -> impl Fn(&DeValue<'_>) -> Parsed<String> {
    move |value| {
        let quoted = |written: &dyn Display| format!("must be a string: write \"{written}\"");
        match value {
            DeValue::String(text) if text.len() <= longest => Ok(text.to_string()),
            DeValue::String(text) => Err(format!(
                "must have at most {longest} bytes, not {}",
                text.len()
            )),
            DeValue::Integer(number) => Err(quoted(number)),
            DeValue::Float(number) => Err(quoted(number)),
            DeValue::Boolean(switch) => Err(quoted(switch)),
            DeValue::Datetime(time) => Err(quoted(time)),
            DeValue::Array(_) | DeValue::Table(_) => Err("must be a string in quotes".to_owned()),
        }
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &DeValue<'_>) -> Parsed<bool> {
    let written = value.as_str().unwrap_or_default().to_ascii_lowercase();
    value.as_bool().ok_or_else(|| match written.as_str() {
        "on" | "true" | "yes" => "must be true or false: write `true`, without quotes".to_owned(),
        "off" | "false" | "no" => "must be true or false: write `false`, without quotes".to_owned(),
        _ => "must be true or false".to_owned(),
    })
}

/// A whole number within `range`.
pub(super) fn integer_in<N: TryFrom<i64> + PartialOrd + Display>(
    range: RangeInclusive<N>,
) -> impl Fn(&DeValue<'_>) -> Parsed<N> {
    move |value| {
        let (least, most) = (range.start(), range.end());
        integer(value)
            .and_then(|number| N::try_from(number).ok())
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("must be a whole number from {least} to {most}"))
    }
}

/// An integer of any of TOML's bases; `None` where it is none or does not fit.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// One of a few words.
pub(super) fn choice<T: Clone>(
    words: &'static [(&'static str, T)],
) -> impl Fn(&DeValue<'_>) -> Parsed<T> {
    move |value| {
        let written = value.as_str();
        let chosen = words.iter().find(|(word, _)| Some(*word) == written);
        chosen.map(|(_, meaning)| meaning.clone()).ok_or_else(|| {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let listed: Vec<_> = known.iter().map(|word| format!("{word:?}")).collect();
            let near = written.and_then(|written| nearest(written, &known));
            let near = near.map_or_else(String::new, |word| format!("; did you mean {word:?}?"));
            format!("must be one of {}{near}", listed.join(", "))
        })
    }
}

/// A duration of up to 24 hours, at least `least`.
pub(super) fn duration(least: Duration) -> impl Fn(&DeValue<'_>) -> Parsed<Duration> {
    duration_within(least..=DAY, "s")
}

/// What `parse` reads, or `"off"` for none.
pub(super) fn or_off<T>(
    parse: impl Fn(&DeValue<'_>) -> Parsed<T>,
) -> impl Fn(&DeValue<'_>) -> Parsed<Option<T>> {
    move |value| match value.as_str() {
        Some("off") => Ok(None),
        _ => match parse(value) {
            Ok(read) => Ok(Some(read)),
            Err(remedy) => Err(format!("{remedy}, or be \"off\"")),
        },
    }
}

/// A duration longer than nothing, up to 24 hours.
pub(super) fn positive_duration(value: &DeValue<'_>) -> Parsed<Duration> {
    duration(MILLISECOND)(value)
}

/// A duration within `range`; a number without a unit is suggested with `usual_unit`, the one Apache takes it in.
pub(super) fn duration_within(
    range: RangeInclusive<Duration>,
    usual_unit: &'static str,
) -> impl Fn(&DeValue<'_>) -> Parsed<Duration> {
    move |value| {
        let bare = without_unit(value);
        if let Some(number) = bare {
            return Err(format!(
                "must have a unit, ms, s, m, h or d: write \"{number}{usual_unit}\""
            ));
        }
        let parsed = value.as_str().and_then(parse_duration);
        parsed.filter(|time| range.contains(time)).ok_or_else(|| {
            let (least, most) = (show(*range.start()), show(*range.end()));
            let examples = fitting(EXAMPLES, |(_, time)| range.contains(time));
            format!("must be a duration from {least} to {most}{examples}")
        })
    }
}

/// A part of a whole, such as `"50%"`, in percent.
pub(super) fn percent(value: &DeValue<'_>) -> Parsed<u8> {
    percent_within(0..=100)(value)
}

/// The same within a range.
pub(super) fn percent_within(range: RangeInclusive<u8>) -> impl Fn(&DeValue<'_>) -> Parsed<u8> {
    move |value| {
        let written = value.as_str().and_then(|text| text.strip_suffix('%'));
        let number = written.and_then(|number| number.trim().parse().ok());
        let bare = integer(value).and_then(|number| u8::try_from(number).ok());
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| match bare.filter(|number| range.contains(number)) {
                Some(number) => format!("must be a percentage: write \"{number}%\""),
                None => {
                    let (least, most) = (range.start(), range.end());
                    format!("must be a percentage from \"{least}%\" to \"{most}%\"")
                }
            })
    }
}

/// What would be right instead of what is no regular expression, or one that is too large.
pub(super) fn no_regex(error: &regex::Error, example: &str) -> String {
    if let regex::Error::CompiledTooBig(_) = error {
        return "would take too much memory as a regular expression: write a shorter one, with smaller numbers of repetitions"
            .to_owned();
    }
    let message = error.to_string();
    // What is above it shows the place.
    let line = message.lines().next_back().unwrap_or_default();
    let line = line.trim_start_matches("error: ");
    format!("must be a regular expression, such as {example:?}: {line}")
}

/// A number of bytes within `range`.
pub(super) fn size(range: RangeInclusive<usize>) -> impl Fn(&DeValue<'_>) -> Parsed<usize> {
    move |value| {
        if let Some(number) = without_unit(value) {
            return Err(format!(
                "must have a unit: write \"{number}B\" for bytes, or KiB, MiB"
            ));
        }
        let parsed = value.as_str().and_then(parse_size);
        parsed.filter(|size| range.contains(size)).ok_or_else(|| {
            let (least, most) = (show_size(*range.start()), show_size(*range.end()));
            let examples = fitting(SIZE_EXAMPLES, |(_, size)| range.contains(size));
            format!("must be a size from {least} to {most}{examples}")
        })
    }
}

/// Texts to show as examples, with their meanings: `, such as "250ms", "1.5s" or "2m"`, without those that do not fit.
fn fitting<T>(examples: &[(&str, T)], fits: impl Fn(&(&str, T)) -> bool) -> String {
    let fitting = examples.iter().filter(|example| fits(example));
    let quoted: Vec<_> = fitting.map(|(text, _)| format!("{text:?}")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => format!(", such as {only}"),
        [first @ .., last] => format!(", such as {} or {last}", first.join(", ")),
    }
}

/// The one of `words` that `written` may have meant.
pub(super) fn nearest<'w>(written: &str, words: &[&'w str]) -> Option<&'w str> {
    if written.len() > MAX_MISSPELT {
        return None;
    }
    let written = written.to_lowercase().replace('_', "-");
    let distance = |word: &str| strsim::damerau_levenshtein(&written, &word.to_lowercase());
    let near = words.iter().map(|word| (distance(word), *word)).min()?;
    let tolerated = (near.1.len() / 3).max(1);
    (near.0 <= tolerated).then_some(near.1)
}

/// The number in `60` or `"60"`.
fn without_unit(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::Integer(_) => integer(value).map(|number| number.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::String(text) if is_decimal(text) => Some(text.to_string()),
        _ => None,
    }
}

/// Whether the text is digits with at most one point between them.
fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    digits(whole) && digits(fraction)
}

/// `"64KiB"` to 64.0 and `KiB`.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let unit = text.find(|character: char| character.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let number = is_decimal(number).then(|| number.parse().ok());
    Some((number??, unit))
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        "d" => number * 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

/// Units of sizes, the ones a size is shown in first.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("kB", 1000),
];

fn parse_size(text: &str) -> Option<usize> {
    let (number, unit) = number_and_unit(text)?;
    let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    let bytes = number * (*factor as f64);
    // Numbers of bytes beyond this are not exact; no range here comes near it.
    (bytes <= 2f64.powi(52) && bytes.fract() == 0.0).then_some(bytes as usize)
}

/// A duration in the largest unit that keeps it whole; days are shown as hours.
fn show(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let fits = |size: u128| milliseconds >= size && milliseconds.is_multiple_of(size);
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    match units.iter().find(|(_, size)| fits(*size)) {
        Some((unit, size)) => format!("{}{unit}", milliseconds / size),
        None => format!("{milliseconds}ms"),
    }
}

/// A size in the largest unit that keeps it whole.
fn show_size(bytes: usize) -> String {
    let bytes = bytes as u64;
    let fits = |size: u64| bytes >= size && bytes.is_multiple_of(size);
    match SIZE_UNITS.iter().find(|(_, size)| fits(*size)) {
        Some((unit, size)) => format!("{}{unit}", bytes / size),
        None => format!("{bytes}B"),
    }
}
