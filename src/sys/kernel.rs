//! What the running kernel and firmware say of themselves.
#![forbid(unsafe_code)]

use std::io;

/// `uname -r`.
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The kernel's command line.
pub fn command_line_text() -> io::Result<String> {
    std::fs::read_to_string("/proc/cmdline")
}

/// The words of the kernel's command line; quotes keep blanks inside of a word.
pub fn command_line() -> io::Result<Vec<String>> {
    Ok(words(&command_line_text()?))
}

fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_ascii_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Whether UEFI Secure Boot is on; `None` where there is no such variable.
pub fn secure_boot() -> io::Result<Option<bool>> {
    // Four bytes of attributes, then the value (UEFI specification, 3.3 Globally Defined Variables).
    const VARIABLE: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    match std::fs::read(VARIABLE) {
        Ok(bytes) => Ok(bytes.get(4).map(|&value| value == 1)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_blanks() {
        assert_eq!(
            words("root=/dev/vda  dyndbg=\"file a +p\" quiet\n"),
            ["root=/dev/vda", "dyndbg=file a +p", "quiet"]
        );
    }
}
