//! Another implementation as the peer: the engine as its server and as its client, over pipes in memory.

mod driver;
mod engine_as_client;
mod engine_as_server;
mod peer;
mod script;
mod scripted;

/// Bodies of these lengths are met: nothing, little, frames, windows and a byte more or less.
const LENGTHS: [usize; 10] = [
    0, 1, 100, 16_383, 16_384, 16_385, 65_535, 65_536, 200_000, 1_000_000,
];
