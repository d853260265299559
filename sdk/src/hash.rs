//! The hash of `header_hash` and `client_hash`.

/// FNV-1a in 32 bits over the bytes, then MurmurHash3's 32-bit finalizer: FNV alone leaves patterns in its low bits, which
/// decide a remainder. Not collision-resistant: a client that chooses the bytes chooses the hash.
pub fn bytes(bytes: &[u8]) -> u32 {
    let fold = |hash: u32, &byte: &u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    mix(bytes.iter().fold(0x811c_9dc5, fold))
}

/// MurmurHash3's `fmix32`.
fn mix(mut hash: u32) -> u32 {
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_remainder_is_as_likely_for_names_that_differ_in_one_digit() {
        for members in [2, 3, 8] {
            let mut shares = vec![0_u32; members as usize];
            for user in 0..10_000 {
                let hash = bytes(format!("user{user}").as_bytes());
                shares[(hash % members) as usize] += 1;
            }
            let fair = 10_000 / members;
            assert!(
                shares.iter().all(|share| share.abs_diff(fair) < fair / 10),
                "{shares:?}"
            );
        }
    }
}
