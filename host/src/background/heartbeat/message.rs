//! The heartbeat message: `v=1&ready=75&busy=3`, as Apache's mod_heartbeat sends it, with `&port=8080` where it likes.

use std::borrow::Cow;
use std::num::NonZeroU16;
use std::str::FromStr;

use thiserror::Error;

/// The longest heartbeat that is read, in bytes.
pub(crate) const MAX_LENGTH: usize = 1000;

/// The content of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeartbeatMessage {
    /// Idle slots.
    pub(crate) ready: u32,
    /// Busy slots.
    pub(crate) busy: u32,
    /// The port it serves at; `None` where it speaks for its whole address.
    pub(crate) port: Option<NonZeroU16>,
}

/// Why a message is not a heartbeat. Does not quote its content, which is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Malformed {
    /// It has more than [`MAX_LENGTH`] bytes.
    #[error("it has more than {MAX_LENGTH} bytes")]
    TooLong,
    /// A key that has to be there is not.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// `v` is something else than `1`.
    #[error("its version `v` is not 1")]
    Version,
    /// A number is none, or does not fit.
    #[error("`{0}` must be a whole number from {1} to {2}")]
    Number(&'static str, u32, u32),
}

impl HeartbeatMessage {
    /// Reads a heartbeat: a query string, with or without white space around it. Unknown keys mean nothing; of a key that
    /// stands there twice the last counts, as in Apache.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(message: &[u8]) -> Result<Self, Malformed> {
        if message.len() > MAX_LENGTH {
            return Err(Malformed::TooLong);
        }
        let (mut version, mut ready, mut busy, mut port) = (None, None, None, None);
        for (key, value) in form_urlencoded::parse(message.trim_ascii()) {
            match &*key {
                "v" => version = Some(value),
                "ready" => ready = Some(value),
                "busy" => busy = Some(value),
                "port" => port = Some(value),
                _ => {}
            }
        }
        if version.ok_or(Malformed::Missing("v"))? != "1" {
            return Err(Malformed::Version);
        }
        let port_number = |value: Cow<'_, str>| {
            number(&value).ok_or_else(|| Malformed::Number("port", 1, u16::MAX.into()))
        };
        Ok(Self {
            ready: slots("ready", ready)?,
            busy: slots("busy", busy)?,
            port: port.map(port_number).transpose()?,
        })
    }
}

/// A number of slots, which has to be there.
fn slots(key: &'static str, value: Option<Cow<'_, str>>) -> Result<u32, Malformed> {
    let value = value.ok_or(Malformed::Missing(key))?;
    number(&value).ok_or(Malformed::Number(key, 0, u32::MAX))
}

/// A number written in digits and nothing else.
fn number<N: FromStr>(text: &str) -> Option<N> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn beat(ready: u32, busy: u32, port: Option<u16>) -> HeartbeatMessage {
        let port = port.and_then(NonZeroU16::new);
        HeartbeatMessage { ready, busy, port }
    }

    #[test]
    fn heartbeats_are_read_in_every_spelling() {
        let table = [
            ("v=1&ready=75&busy=3", beat(75, 3, None)),
            ("v=1&ready=75&busy=3&port=8080", beat(75, 3, Some(8080))),
            ("busy=0&port=1&ready=0&v=1", beat(0, 0, Some(1))),
            ("v=1&ready=4294967295&busy=007", beat(u32::MAX, 7, None)),
            ("v=1&ready=5&busy=1&lastseen=3&x&=&y=%zz", beat(5, 1, None)),
            ("%76=%31&rea%64y=%35&busy=1", beat(5, 1, None)),
            ("&&v=1&&ready=5&busy=1&", beat(5, 1, None)),
            (" v=1&ready=5&busy=1\r\n", beat(5, 1, None)),
            ("v=2&ready=9&ready=5&busy=1&v=1", beat(5, 1, None)),
        ];
        for (message, expected) in table {
            assert_eq!(
                HeartbeatMessage::parse(message.as_bytes()),
                Ok(expected),
                "{message}"
            );
        }
    }

    #[test]
    fn what_is_malformed_is_told() {
        let slots = |key| Malformed::Number(key, 0, u32::MAX);
        let port = Malformed::Number("port", 1, 65_535);
        let table = [
            ("", Malformed::Missing("v")),
            ("hello", Malformed::Missing("v")),
            ("\0\0\0\0", Malformed::Missing("v")),
            ("V=1&ready=1&busy=1", Malformed::Missing("v")),
            ("v=1", Malformed::Missing("ready")),
            ("v=1&ready=1", Malformed::Missing("busy")),
            ("v=1&busy=1", Malformed::Missing("ready")),
            ("v=1;ready=1;busy=1", Malformed::Version),
            ("v&ready=1&busy=1", Malformed::Version),
            ("v=2&ready=1&busy=1", Malformed::Version),
            ("v=1&ready=&busy=1", slots("ready")),
            ("v=1&ready=-1&busy=1", slots("ready")),
            ("v=1&ready=%2B1&busy=1", slots("ready")),
            ("v=1&ready=+1&busy=1", slots("ready")),
            ("v=1&ready=1.5&busy=1", slots("ready")),
            ("v=1&ready=4294967296&busy=1", slots("ready")),
            ("v=1&ready=1&busy=many", slots("busy")),
            ("v=1&ready=1&busy=1%00", slots("busy")),
            ("v=1&ready=1&busy=1&port=", port),
            ("v=1&ready=1&busy=1&port=0", port),
            ("v=1&ready=1&busy=1&port=65536", port),
        ];
        for (message, expected) in table {
            assert_eq!(
                HeartbeatMessage::parse(message.as_bytes()),
                Err(expected),
                "{message}"
            );
        }
        let told = Malformed::Number("port", 1, 65_535).to_string();
        assert_eq!(told, "`port` must be a whole number from 1 to 65535");
    }

    #[test]
    fn a_heartbeat_has_up_to_a_thousand_bytes() {
        let padded = |length: usize| format!("{:x<length$}", "v=1&ready=5&busy=1&pad=");
        assert!(HeartbeatMessage::parse(padded(MAX_LENGTH).as_bytes()).is_ok());
        assert_eq!(
            HeartbeatMessage::parse(padded(MAX_LENGTH + 1).as_bytes()),
            Err(Malformed::TooLong)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(message in proptest::collection::vec(any::<u8>(), 0..1100)) {
            let _ = HeartbeatMessage::parse(&message);
        }

        #[test]
        fn nearly_heartbeats_do_not_make_it_panic(
            parts in proptest::collection::vec("(v|ready|busy|port|%[0-9a-f]{0,2})=?[0-9+%-]{0,12}", 0..8),
        ) {
            let _ = HeartbeatMessage::parse(parts.join("&").as_bytes());
        }

        #[test]
        fn what_is_written_is_read(ready: u32, busy: u32, port in proptest::option::of(1u16..)) {
            let port_key = port.map_or_else(String::new, |port| format!("&port={port}"));
            let message = format!("v=1&ready={ready}&busy={busy}{port_key}");
            prop_assert_eq!(HeartbeatMessage::parse(message.as_bytes()), Ok(beat(ready, busy, port)));
        }
    }
}
