//! Constant-time comparison of secrets.

use subtle::ConstantTimeEq as _;

/// Checks whether two texts are equal, in a time that depends only on their lengths.
///
/// Compares eight bytes at a time; [`subtle`] alone compares one.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (words, rest) = one.as_chunks::<8>();
    let (other_words, other_rest) = other.as_chunks::<8>();
    let differing = words
        .iter()
        .zip(other_words)
        .fold(0, |all, (one, other)| all | (u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other)));
    let differing = rest
        .iter()
        .zip(other_rest)
        .fold(differing, |all, (one, other)| all | u64::from(one ^ other));
    differing.ct_eq(&0).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_never_cancel_each_other() {
        let text = [0x5a; 24];
        for (one, two) in [(0, 8), (3, 19), (8, 16), (0, 23)] {
            for length in [19, 20, 23, 24] {
                let mut other = text;
                other[one] ^= 1;
                other[two.min(length - 1)] ^= 1;
                assert!(!same(&text[..length], &other[..length]), "{one} {two} {length}");
            }
        }
        // The bytes after the last word are folded into its lowest byte.
        let mut other = text;
        (other[0], other[16], other[17]) = (0x5b, 0x5b, 0x5b);
        assert!(!same(&text[..18], &other[..18]));
        (other[0], other[17]) = (0x5a, 0x5a);
        other[8] = 0x5b;
        assert!(!same(&text[..17], &other[..17]));
    }

    #[test]
    fn texts_that_differ_in_any_bit_are_unequal() {
        for length in 0..40 {
            let text = vec![0x5a; length];
            assert!(same(&text, &text));
            assert!(!same(&text, &[&text[..], &[0]].concat()));
            for at in 0..length {
                for bit in 0..8 {
                    let mut other = text.clone();
                    other[at] ^= 1 << bit;
                    assert!(!same(&text, &other) && !same(&other, &text), "{length} {at} {bit}");
                }
            }
        }
    }
}
