//! Numbers and times as Apache writes them, and durations as we do.

/// A time in milliseconds: a number with `ms`, `s`, `mi`, `h` or `d` behind it, else in this unit.
pub(crate) fn time(word: &str, unit_in_ms: u64) -> Option<u64> {
    let end = word
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(word.len());
    let (number, unit) = word.split_at(end);
    let number: u64 = number.parse().ok()?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" => unit_in_ms,
        "ms" => 1,
        "s" => 1000,
        "mi" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// A whole number, as `atoi` reads it: what stands behind its digits does not count.
pub(crate) fn whole(word: &str) -> Option<u64> {
    let end = word
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(word.len());
    word[..end].parse().ok()
}

/// Milliseconds as a duration of ours.
pub(crate) fn shown(milliseconds: u64) -> String {
    match milliseconds {
        seconds if seconds.is_multiple_of(1000) => format!("{}s", seconds / 1000),
        milliseconds => format!("{milliseconds}ms"),
    }
}

/// Bytes as a size of ours.
pub(crate) fn size(bytes: u64) -> String {
    for (unit, factor) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes > 0 && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (word, unit, expected) in [
            ("5", 1000, Some(5000)),
            ("5", 1, Some(5)),
            ("250ms", 1000, Some(250)),
            ("2s", 1, Some(2000)),
            ("1mi", 1000, Some(60_000)),
            ("1h", 1000, Some(3_600_000)),
            ("1x", 1000, None),
            ("", 1000, None),
            ("99999999999999999999", 1, None),
            ("18446744073709551615", 1000, None),
        ] {
            assert_eq!(time(word, unit), expected, "{word}");
        }
        assert_eq!(whole("60s"), Some(60));
        assert_eq!(
            (shown(1500), shown(60_000)),
            ("1500ms".to_owned(), "60s".to_owned())
        );
        assert_eq!(
            (size(10 << 20), size(7)),
            ("10MiB".to_owned(), "7B".to_owned())
        );
    }
}
