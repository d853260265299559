//! 64-bit columns out of 32-bit halves, the lower one first: as the host passes them.

use std::borrow::Cow;

use zerocopy::{FromBytes as _, IntoBytes as _};

/// The joined numbers: borrowed where alignment and byte order allow it.
pub(crate) fn joined(halves: &[u32]) -> Cow<'_, [u64]> {
    if cfg!(target_endian = "little")
        && let Ok(numbers) = <[u64]>::ref_from_bytes(halves.as_bytes())
    {
        return Cow::Borrowed(numbers);
    }
    let (halves, _) = halves.as_chunks();
    let join = |[low, high]: [u32; 2]| u64::from(high) << 32 | u64::from(low);
    Cow::Owned(halves.iter().copied().map(join).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_joined_wherever_they_are_in_memory() {
        let memory = [0, 7, 1, 8, 2, 9, 3, 10];
        // One of the two is at an address that is no number's of 64 bits.
        assert_eq!(*joined(&memory[..6]), [7 << 32, 8 << 32 | 1, 9 << 32 | 2]);
        assert_eq!(
            *joined(&memory[1..7]),
            [1 << 32 | 7, 2 << 32 | 8, 3 << 32 | 9]
        );
        let is_borrowed = |from: usize| matches!(joined(&memory[from..from + 6]), Cow::Borrowed(_));
        assert_ne!(is_borrowed(0), is_borrowed(1));
        assert_eq!(*joined(&[]), []);
    }
}
