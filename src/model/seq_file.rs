//! Paths as the kernel's lists show them (`/proc/PID/maps`, `/proc/PID/mountinfo`).
#![forbid(unsafe_code)]

/// Three octal digits behind a backslash are a byte (`fs/seq_file.c: mangle_path()`).
pub fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let byte = (first == b'\\').then(|| octal(after.get(..3)?)).flatten();
        out.push(byte.unwrap_or(first));
        rest = if byte.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    out
}

fn octal(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0_u8, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|&digit| digit < 8)?;
        value.checked_mul(8)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(unescaped(b"/a\\040b\\012\\134c"), b"/a b\n\\c");
        assert_eq!(unescaped(b"\\7\\777\\08x\\"), b"\\7\\777\\08x\\");
    }
}
