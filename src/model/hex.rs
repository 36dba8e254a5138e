//! Hexadecimal digits as bytes.
#![forbid(unsafe_code)]

/// Stands in [`DIGITS`] for characters that are no digit.
const NONE: u8 = 0xff;

/// The value of each character. A package database holds some 500 digits for every file.
const DIGITS: [u8; 256] = {
    let mut digits = [NONE; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        digits[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

/// The bytes that these digits mean; `None` where their number is odd or a character is none.
pub fn decode(hex: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    decode_into(hex, &mut bytes).then_some(bytes)
}

/// Replaces `bytes` by what these digits mean; false, with `bytes` left empty, where [`decode`] says `None`.
pub fn decode_into(hex: &[u8], bytes: &mut Vec<u8>) -> bool {
    bytes.clear();
    let (pairs, rest) = hex.as_chunks::<2>();
    if !rest.is_empty() {
        return false;
    }
    bytes.reserve_exact(pairs.len());
    let mut wrong = 0;
    bytes.extend(pairs.iter().map(|&[high, low]| {
        let (high, low) = (DIGITS[usize::from(high)], DIGITS[usize::from(low)]);
        // A digit has no bit of the upper four, NONE has all.
        wrong |= high | low;
        high << 4 | low
    }));
    if wrong > 0xf {
        bytes.clear();
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::cert::hex;

    #[test]
    fn odd_lengths_and_other_characters_are_nothing() {
        assert_eq!(decode(b""), Some(Vec::new()));
        assert_eq!(decode(b"00fFAa9"), None);
        assert_eq!(decode(b"00fFAa90"), Some(vec![0, 0xff, 0xaa, 0x90]));
        for bad in [b"0g", b"g0", b"/0", b":0", b"@0", b"G0", b"`0", b"\x000", b"\xff0"] {
            let mut bytes = vec![1];
            assert!(!decode_into(bad, &mut bytes) && bytes.is_empty(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes: Vec<u8>) {
            prop_assert_eq!(decode(hex(&bytes).as_bytes()), Some(bytes.clone()));
            prop_assert_eq!(decode(hex(&bytes).to_uppercase().as_bytes()), Some(bytes));
        }
    }
}
