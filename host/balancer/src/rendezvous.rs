//! The member of a key: weighted rendezvous hashing.
//!
//! Every member is scored by a hash of the key and its name, and the highest score wins. So a key stays at its member for as
//! long as that is eligible, without a table, over restarts and in every process; and when a member is added or removed, only
//! the keys that it wins move.
//!
//! A uniform draw `u` in (0, 1) is scored as −w / ln u for a member of weight w, which makes each member win in
//! proportion to its weight.
//!
//! Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998); for the weights, Schindelhauer
//! and Schomaker, "Weighted distributed hash tables" (2005).

use std::sync::Arc;

use crate::Member;

/// The position, of these, of the member that has the key.
pub(crate) fn pick(key: &str, members: &[Arc<Member>], positions: &[usize]) -> Option<usize> {
    let key = fold(FNV_OFFSET, key.as_bytes());
    let score = |position: usize| {
        let settings = &members[position].settings;
        let draw = mix(fold(key, settings.name.as_bytes()));
        // 53 bits, as a double holds them, moved off 0.
        let uniform = ((draw >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -f64::from(settings.lbfactor) / uniform.ln()
    };
    let scores = positions
        .iter()
        .map(|&position| (position, score(position)));
    let pick = scores.reduce(|best, next| if next.1 > best.1 { next } else { best });
    pick.map(|(position, _)| position)
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a in 64 bits, from `hash` on.
fn fold(hash: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(hash, step)
}

/// The finalizer of SplitMix64, which spreads every bit of the hash over all of them.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
