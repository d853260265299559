//! `[limits]`.

use std::time::Duration;

use super::Limits;
use super::table::Table;
use super::value::{duration, integer_in, positive_duration, size};

pub(super) const KEYS: &[&str] = &[
    "connections",
    "header-size",
    "headers",
    "header-timeout",
    "keepalive-timeout",
    "client-timeout",
    "client-rate",
    "half-close",
    "handshake-timeout",
    "streams",
];

/// The largest `client-rate`, in bytes a second.
const MAX_CLIENT_RATE: usize = 1 << 20;

/// Reads `[limits]` out of the file.
pub(super) fn read_limits(file: &Table<'_>) -> Limits {
    let default = Limits::default();
    let Some(table) = file.table("limits", KEYS) else {
        return default;
    };
    let connections = table.read("connections", integer_in(1..=1_000_000));
    let header_size = table.read("header-size", size(8 * 1024..=1024 * 1024));
    let headers = table.read("headers", integer_in(1..=1000));
    let header_timeout = table.read("header-timeout", positive_duration);
    let keepalive_timeout = table.read("keepalive-timeout", positive_duration);
    let client_timeout = table.read("client-timeout", positive_duration);
    let client_rate = table.read("client-rate", size(0..=MAX_CLIENT_RATE));
    let half_close = table.read("half-close", duration(Duration::ZERO));
    let handshake_timeout = table.read("handshake-timeout", positive_duration);
    let streams = table.read("streams", integer_in(1..=10_000));
    Limits {
        connections: connections.unwrap_or(default.connections),
        header_size: header_size.unwrap_or(default.header_size),
        headers: headers.unwrap_or(default.headers),
        header_timeout: header_timeout.unwrap_or(default.header_timeout),
        keepalive_timeout: keepalive_timeout.unwrap_or(default.keepalive_timeout),
        client_timeout: client_timeout.unwrap_or(default.client_timeout),
        client_rate: client_rate.unwrap_or(default.client_rate),
        half_close: half_close.unwrap_or(default.half_close),
        handshake_timeout: handshake_timeout.unwrap_or(default.handshake_timeout),
        streams: streams.unwrap_or(default.streams),
    }
}
