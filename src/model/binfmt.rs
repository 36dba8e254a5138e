//! Handlers of binfmt_misc: which interpreter the kernel hands a file to that is neither a script nor a program.
#![forbid(unsafe_code)]

use super::rpm::unhex;

/// A handler that is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handler {
    /// The program that files are handed to.
    pub interpreter: Vec<u8>,
    /// The ids of the execution come from the file and not from the interpreter (flag `C`).
    pub ids_from_file: bool,
    enabled: bool,
    pattern: Pattern,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// What follows the last dot of the path.
    Extension(Vec<u8>),
    /// Bytes of the file's head, and which bits of them count.
    Magic { offset: usize, magic: Vec<u8>, mask: Option<Vec<u8>> },
}

impl Handler {
    /// Reads `/proc/sys/fs/binfmt_misc/NAME` (`fs/binfmt_misc.c: entry_status()`); `None` for another text.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut lines = text.split(|&byte| byte == b'\n');
        let enabled = match lines.next()? {
            b"enabled" => true,
            b"disabled" => false,
            _ => return None,
        };
        let interpreter = lines.next()?.strip_prefix(b"interpreter ")?.to_vec();
        let flags = lines.next()?.strip_prefix(b"flags: ")?;
        let pattern = lines.next()?;
        let pattern = if let Some(extension) = pattern.strip_prefix(b"extension .") {
            Pattern::Extension(extension.to_vec())
        } else {
            let offset = std::str::from_utf8(pattern.strip_prefix(b"offset ")?).ok()?.parse().ok()?;
            let magic = unhex(lines.next()?.strip_prefix(b"magic ")?)?;
            let mask = match lines.next().and_then(|line| line.strip_prefix(b"mask ")) {
                Some(mask) => Some(unhex(mask)?),
                None => None,
            };
            Pattern::Magic { offset, magic, mask }
        };
        Some(Self { interpreter, ids_from_file: flags.contains(&b'C'), enabled, pattern })
    }

    /// Whether it takes a file, by the path under which it is executed and its first [`HEAD`](super::program::HEAD) bytes
    /// (`fs/binfmt_misc.c: search_binfmt_handler()`).
    fn takes(&self, path: &[u8], head: &[u8]) -> bool {
        self.enabled
            && match &self.pattern {
                Pattern::Extension(extension) => path
                    .iter()
                    .rposition(|&byte| byte == b'.')
                    .is_some_and(|dot| path.get(dot + 1..) == Some(extension.as_slice())),
                Pattern::Magic { offset, magic, mask } => {
                    let head = head.get(*offset..).unwrap_or_default();
                    magic.iter().enumerate().all(|(at, byte)| {
                        // The kernel's buffer is filled up with zeros.
                        let found = head.get(at).unwrap_or(&0);
                        let mask = mask.as_ref().map_or(0xff, |mask| mask.get(at).copied().unwrap_or(0));
                        (found ^ byte) & mask == 0
                    })
                }
            }
    }
}

/// The handler that takes a file; they are asked in this order.
pub fn handler<'a>(handlers: &'a [Handler], path: &[u8], head: &[u8]) -> Option<&'a Handler> {
    handlers.iter().find(|handler| handler.takes(path, head))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JAVA: &[u8] = b"enabled\ninterpreter /usr/bin/jexec\nflags: \nextension .jar\n";
    const ARM: &[u8] = b"enabled\ninterpreter /usr/bin/qemu-arm\nflags: OCF\noffset 1\nmagic 454c46\nmask ffff0f\n";
    const PYTHON: &[u8] = b"enabled\ninterpreter /usr/bin/python3\nflags: P\noffset 0\nmagic cb0d0d0a\n";

    #[test]
    fn the_first_handler_that_fits_takes_the_file() {
        let handlers: Vec<Handler> = [JAVA, ARM, PYTHON].map(|text| Handler::parse(text).unwrap()).to_vec();
        let interpreter = |path: &str, head: &[u8]| {
            handler(&handlers, path.as_bytes(), head)
                .map(|handler| String::from_utf8_lossy(&handler.interpreter).into())
        };
        let found = |name: &str| Some(name.to_owned());
        assert_eq!(interpreter("/srv/a.jar", b"PK"), found("/usr/bin/jexec"));
        assert_eq!(interpreter("/srv.jar/a", b"PK"), None);
        assert_eq!(interpreter("/srv/a.jarx", b"PK"), None);
        assert_eq!(interpreter("/srv/a", b"\x7fEL\xa6"), found("/usr/bin/qemu-arm"));
        assert_eq!(interpreter("/srv/a", b"\x7fEL"), None);
        assert_eq!(interpreter("/srv/a.pyc", b"\xcb\x0d\x0d\x0a"), found("/usr/bin/python3"));
        assert!(handlers[1].ids_from_file && !handlers[0].ids_from_file);
    }

    #[test]
    fn a_handler_that_is_switched_off_takes_nothing() {
        let text = [b"disabled".as_slice(), &JAVA[7..]].concat();
        let off = Handler::parse(&text).unwrap();
        assert_eq!(handler(&[off], b"/a.jar", b""), None);
    }

    #[test]
    fn another_text_is_no_handler() {
        for text in
            [&b"enabled\n"[..], b"", b"enabled\ninterpreter /x\n", b"enabled\ninterpreter /x\nflags: \noffset x\n"]
        {
            assert_eq!(Handler::parse(text), None);
        }
        for length in 0..ARM.len() {
            let _ = Handler::parse(&ARM[..length]);
        }
    }
}
