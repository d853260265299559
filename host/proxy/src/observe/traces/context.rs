//! `traceparent`, as W3C Trace Context (level 1) has it: version, trace, parent and flags, in lower-case hexadecimal digits.

use equipoise_http::{Fields, Known};

/// The flag that whoever called tells of this trace.
const SAMPLED: u8 = 1;

/// Where a request stands in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Context {
    /// The trace; not 0.
    pub(super) trace: u128,
    /// The span that called; not 0.
    pub(super) span: u64,
    pub(super) is_sampled: bool,
}

impl Context {
    /// What a request says; `None` where it says nothing, nonsense or two things.
    pub(super) fn of(fields: &Fields) -> Option<Self> {
        let mut values = fields.all(Known::Traceparent);
        let (only, None) = (values.next()?, values.next()) else {
            return None;
        };
        parse(std::str::from_utf8(only).ok()?)
    }

    /// As a header field's value.
    pub(super) fn value(self) -> String {
        let flags = if self.is_sampled { SAMPLED } else { 0 };
        format!("00-{:032x}-{:016x}-{flags:02x}", self.trace, self.span)
    }
}

fn parse(text: &str) -> Option<Context> {
    let mut parts = text.split('-');
    let version = digits(parts.next()?, 2)?;
    let trace = digits(parts.next()?, 32)?;
    let span = digits(parts.next()?, 16)?;
    let flags = digits(parts.next()?, 2)?;
    // What later versions add behind is passed over.
    let is_understood = version == 0 && parts.next().is_none() || (1..0xff).contains(&version);
    (is_understood && trace != 0 && span != 0).then_some(Context {
        trace,
        // Of 16 digits.
        span: span as u64,
        is_sampled: flags & u128::from(SAMPLED) != 0,
    })
}

/// A number of so many digits.
fn digits(text: &str, count: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let are_digits = text.len() == count && text.bytes().all(is_digit);
    are_digits.then(|| u128::from_str_radix(text, 16).ok())?
}

/// The number of a new trace.
pub(super) fn new_trace() -> u128 {
    fastrand::u128(1..)
}

/// The number of a new span.
pub(super) fn new_span() -> u64 {
    fastrand::u64(1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn traceparents_are_read_and_written() {
        for (flags, is_sampled, written) in
            [("01", true, "01"), ("00", false, "00"), ("ff", true, "01")]
        {
            let context = parse(&format!("00-{TRACE}-{SPAN}-{flags}")).unwrap();
            assert_eq!(context.is_sampled, is_sampled);
            assert_eq!(context.value(), format!("00-{TRACE}-{SPAN}-{written}"));
        }
        assert!(parse(&format!("01-{TRACE}-{SPAN}-01")).is_some());
        assert!(parse(&format!("01-{TRACE}-{SPAN}-01-later")).is_some());
    }

    #[test]
    fn nonsense_is_no_traceparent() {
        let (upper, zeros) = (TRACE.to_uppercase(), "0".repeat(32));
        for text in [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{upper}-{SPAN}-01"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}0-{SPAN}-01"),
            format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            format!(" 00-{TRACE}-{SPAN}-01"),
        ] {
            assert_eq!(parse(&text), None, "{text:?}");
        }
    }

    #[test]
    fn two_traceparents_are_none() {
        let value = format!("00-{TRACE}-{SPAN}-01");
        let mut fields = Fields::default();
        fields.push(b"traceparent", value.as_bytes()).unwrap();
        assert!(Context::of(&fields).is_some());
        fields.push(b"Traceparent", value.as_bytes()).unwrap();
        assert!(Context::of(&fields).is_none());
    }
}
