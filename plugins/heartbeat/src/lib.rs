//! The built-in policy `heartbeat`.
