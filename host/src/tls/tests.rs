//! TLS with real handshakes, in memory.
