//! SETTINGS (RFC 9113, 6.5; RFC 8441, 3; RFC 9218, 2.1): what we tell the peer, and what it tells us.

use crate::http2::error::ConnectionError;
use crate::http2::frame::{self, kind};
use crate::http2::{Options, Role, flow};

/// The identifiers of settings.
mod id {
    pub(super) const HEADER_TABLE_SIZE: u16 = 0x1;
    pub(super) const ENABLE_PUSH: u16 = 0x2;
    pub(super) const MAX_CONCURRENT_STREAMS: u16 = 0x3;
    pub(super) const INITIAL_WINDOW_SIZE: u16 = 0x4;
    pub(super) const MAX_FRAME_SIZE: u16 = 0x5;
    pub(super) const MAX_HEADER_LIST_SIZE: u16 = 0x6;
    pub(super) const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
    pub(super) const NO_RFC7540_PRIORITIES: u16 = 0x9;
}

/// Writes our SETTINGS. What is left out has its initial value: frames of 16 KiB, and a table of HPACK of 4 KiB.
pub(crate) fn write(out: &mut Vec<u8>, role: Role, options: &Options) {
    let start = out.len();
    frame::write_header(out, 0, kind::SETTINGS, 0, 0);
    let mut say = |id: u16, value: u32| {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    };
    match role {
        Role::Server => {
            say(id::MAX_CONCURRENT_STREAMS, options.streams);
            say(id::NO_RFC7540_PRIORITIES, 1);
            if options.takes_connect {
                say(id::ENABLE_CONNECT_PROTOCOL, 1);
            }
        }
        Role::Client => say(id::ENABLE_PUSH, 0),
    }
    say(id::INITIAL_WINDOW_SIZE, options.stream_window());
    say(id::MAX_HEADER_LIST_SIZE, options.limits.head.bytes);
    let length = out.len() - start - frame::HEADER;
    out[start + 2] = length as u8;
}

/// What the peer has told us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerSettings {
    /// Streams that it takes at once.
    pub(crate) streams: u32,
    /// What a stream's window begins with, in bytes.
    pub(crate) window: u32,
    /// Whether it takes extended CONNECT.
    pub(crate) takes_connect: bool,
    /// Bytes of a head that it takes, counted as RFC 9113, 10.5.1 does; no more than advice.
    pub(crate) header_list: u32,
    /// What it said first of NO_RFC7540_PRIORITIES, which may not change.
    has_priorities: Option<u32>,
}

impl PeerSettings {
    /// What holds before it has told anything.
    pub(crate) const INITIAL: Self = Self {
        streams: u32::MAX,
        window: flow::INITIAL,
        takes_connect: false,
        header_list: u32::MAX,
        has_priorities: None,
    };

    /// Takes what a frame says. `resize` is told each size of the table of HPACK, in their order. Says by how much the windows
    /// of all streams change.
    ///
    /// # Errors
    /// A setting has a value that it cannot have.
    pub(crate) fn apply(
        &mut self,
        payload: &[u8],
        sender: Role,
        mut resize: impl FnMut(u32),
    ) -> Result<i64, ConnectionError> {
        let window = self.window;
        for setting in payload.as_chunks::<6>().0 {
            let [high, low, value @ ..] = *setting;
            let value = u32::from_be_bytes(value);
            match u16::from_be_bytes([high, low]) {
                id::HEADER_TABLE_SIZE => resize(value),
                // A server cannot be pushed to, so that it has nothing to say.
                id::ENABLE_PUSH if value > u32::from(sender == Role::Client) => return WRONG,
                id::MAX_CONCURRENT_STREAMS => self.streams = value,
                id::INITIAL_WINDOW_SIZE if value > flow::MAX_WINDOW => {
                    return Err(ConnectionError::WindowOverflow);
                }
                id::INITIAL_WINDOW_SIZE => self.window = value,
                // Ours are as large as the least that it may say.
                id::MAX_FRAME_SIZE if !(1 << 14..1 << 24).contains(&value) => return WRONG,
                id::MAX_HEADER_LIST_SIZE => self.header_list = value,
                id::ENABLE_CONNECT_PROTOCOL => match (self.takes_connect, value) {
                    (_, 1) => self.takes_connect = true,
                    (false, 0) => {}
                    _ => return WRONG,
                },
                id::NO_RFC7540_PRIORITIES if value > 1 => return WRONG,
                id::NO_RFC7540_PRIORITIES => match self.has_priorities {
                    Some(before) if before != value => return WRONG,
                    _ => self.has_priorities = Some(value),
                },
                _ => {}
            }
        }
        Ok(i64::from(self.window) - i64::from(window))
    }
}

const WRONG: Result<i64, ConnectionError> = Err(ConnectionError::Setting);

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(
        settings: &mut PeerSettings,
        sender: Role,
        pairs: &[(u16, u32)],
    ) -> Result<i64, ConnectionError> {
        let pairs = pairs.iter();
        let payload: Vec<u8> = pairs
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        settings.apply(&payload, sender, |_| {})
    }

    #[test]
    fn settings_have_values_that_they_cannot_have() {
        use ConnectionError::{Setting, WindowOverflow};
        let table = [
            (Role::Client, id::ENABLE_PUSH, 0, Ok(())),
            (Role::Client, id::ENABLE_PUSH, 1, Ok(())),
            (Role::Client, id::ENABLE_PUSH, 2, Err(Setting)),
            (Role::Server, id::ENABLE_PUSH, 0, Ok(())),
            (Role::Server, id::ENABLE_PUSH, 1, Err(Setting)),
            (
                Role::Client,
                id::INITIAL_WINDOW_SIZE,
                flow::MAX_WINDOW,
                Ok(()),
            ),
            (
                Role::Client,
                id::INITIAL_WINDOW_SIZE,
                flow::MAX_WINDOW + 1,
                Err(WindowOverflow),
            ),
            (Role::Client, id::MAX_FRAME_SIZE, 16_383, Err(Setting)),
            (Role::Client, id::MAX_FRAME_SIZE, 16_384, Ok(())),
            (Role::Client, id::MAX_FRAME_SIZE, (1 << 24) - 1, Ok(())),
            (Role::Client, id::MAX_FRAME_SIZE, 1 << 24, Err(Setting)),
            (Role::Server, id::ENABLE_CONNECT_PROTOCOL, 1, Ok(())),
            (Role::Server, id::ENABLE_CONNECT_PROTOCOL, 2, Err(Setting)),
            (Role::Client, id::NO_RFC7540_PRIORITIES, 2, Err(Setting)),
            (Role::Client, 0x7777, u32::MAX, Ok(())),
        ];
        for (sender, id, value, expected) in table {
            let mut settings = PeerSettings::INITIAL;
            let applied = apply(&mut settings, sender, &[(id, value)]);
            assert_eq!(applied.map(|_| ()), expected, "{id} {value}");
        }
    }

    #[test]
    fn what_was_allowed_cannot_be_taken_back() {
        let mut settings = PeerSettings::INITIAL;
        let mut says = |id, value| apply(&mut settings, Role::Server, &[(id, value)]).is_ok();
        assert!(says(id::ENABLE_CONNECT_PROTOCOL, 1));
        assert!(says(id::ENABLE_CONNECT_PROTOCOL, 1));
        assert!(!says(id::ENABLE_CONNECT_PROTOCOL, 0));
        assert!(says(id::NO_RFC7540_PRIORITIES, 1));
        assert!(!says(id::NO_RFC7540_PRIORITIES, 0));
    }

    #[test]
    fn the_last_of_many_windows_counts() {
        let mut settings = PeerSettings::INITIAL;
        let windows = [(id::INITIAL_WINDOW_SIZE, 0), (id::INITIAL_WINDOW_SIZE, 100)];
        assert_eq!(
            apply(&mut settings, Role::Client, &windows),
            Ok(100 - i64::from(flow::INITIAL))
        );
        assert_eq!(apply(&mut settings, Role::Client, &[]), Ok(0));
    }

    #[test]
    fn each_role_says_its_own() {
        let options = Options {
            takes_connect: true,
            ..Options::default()
        };
        for role in [Role::Server, Role::Client] {
            let mut out = Vec::new();
            write(&mut out, role, &options);
            let (header, payload) = out.split_at(frame::HEADER);
            assert_eq!(usize::from(header[2]), payload.len());
            let mut settings = PeerSettings::INITIAL;
            settings.apply(payload, role, |_| {}).unwrap();
            assert_eq!(settings.window, options.stream_window);
            assert_eq!(settings.header_list, options.limits.head.bytes);
            assert_eq!(settings.takes_connect, role == Role::Server);
            let is_limited = settings.streams == options.streams;
            assert_eq!(is_limited, role == Role::Server);
        }
    }
}
