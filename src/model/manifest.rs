//! The boot-critical manifest: the files that this machine executes, maps and loads on its way to a login, each with the
//! label that it had when it was last verified. `/etc/imad/state/manifest`, read by imad-boot in the initramfs.
//!
//! A file of lines, so that a person can read and compare it:
//!
//! ```text
//! imad manifest 1
//! USES SIZE SECONDS.NANOSECONDS LABEL PATH
//! …
//! end COUNT SHA256
//! ```
//!
//! `USES` are letters of [`Use`], with `*` behind for a file of the core, `+` for another that a login needs; `SIZE` in bytes and the modification time are those
//! of the time when the label was verified; `LABEL` is security.ima in hexadecimal digits, or `-` where the file has none;
//! `PATH` is absolute, links resolved, with `\xHH` for control characters, blanks at its end, and `\`. The last line holds
//! the number of files and the SHA-256 of everything before that line: what is cut or damaged is not taken for a manifest.
#![forbid(unsafe_code)]

use std::fmt;

use super::algo::HashAlgo;
use super::hex;
use super::program::Role;
use super::verify::digest;

/// Where a root keeps it.
pub const PATH: &str = "/etc/imad/state/manifest";
/// No manifest is longer.
pub const LIMIT: u64 = 1 << 26;

const FIRST_LINE: &[u8] = b"imad manifest 1\n";

/// What the boot does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// It is executed: a program.
    Program,
    /// It is executed: a script.
    Script,
    /// It is executed's ELF interpreter.
    Loader,
    /// It is mapped for execution.
    Library,
    /// It is loaded into the kernel.
    Module,
    /// It is loaded into a device.
    Firmware,
    /// It is opened for reading, by root.
    Read,
}

impl Use {
    /// Every use.
    pub const ALL: [Self; 7] =
        [Self::Program, Self::Script, Self::Loader, Self::Library, Self::Module, Self::Firmware, Self::Read];

    const fn letter(self) -> u8 {
        match self {
            Self::Program => b'p',
            Self::Script => b's',
            Self::Loader => b'i',
            Self::Library => b'l',
            Self::Module => b'm',
            Self::Firmware => b'f',
            Self::Read => b'r',
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl From<Role> for Use {
    fn from(role: Role) -> Self {
        match role {
            Role::Script => Self::Script,
            Role::Program => Self::Program,
            Role::Loader => Self::Loader,
            Role::Library => Self::Library,
        }
    }
}

/// A set of uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uses(u8);

impl Uses {
    /// This one more.
    #[must_use]
    pub const fn with(self, one: Use) -> Self {
        Self(self.0 | one.bit())
    }

    /// All of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether this is among them.
    pub const fn has(self, one: Use) -> bool {
        self.0 & one.bit() != 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Use> {
        Use::ALL.into_iter().filter(move |&one| self.has(one))
    }
}

impl From<Use> for Uses {
    fn from(one: Use) -> Self {
        Self::default().with(one)
    }
}

/// A file that the boot needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path, links resolved.
    pub path: Vec<u8>,
    /// What is done with it.
    pub uses: Uses,
    /// Without it not even a rescue shell starts: the guard verifies its content too.
    pub core: bool,
    /// Without it nobody logs in: the guard loads no policy that denies it. What is denied of the others is told; the boot
    /// comes through, and to deny them is what the policy is for.
    pub needed: bool,
    /// Its size in bytes.
    pub size: u64,
    /// Its modification time: seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// `security.ima`, which verified when the manifest was made.
    pub label: Option<Vec<u8>>,
}

/// The files, sorted by path, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    entries: Vec<Entry>,
}

/// Why bytes are no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not the first line.
    #[error("it does not begin with \"imad manifest 1\"")]
    Foreign,
    /// The last line is missing, or another.
    #[error("it is cut off or damaged: its last line does not fit the rest")]
    Damaged,
    /// A line that is none.
    #[error("line {0} is not a manifest's")]
    Line(usize),
}

impl Manifest {
    /// Puts files in order; what is done with a file that is named twice is put together.
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries.dedup_by(|later, kept| {
            let same = later.path == kept.path;
            if same {
                kept.uses = kept.uses.and(later.uses);
                kept.core |= later.core;
                kept.needed |= later.needed;
            }
            same
        });
        Self { entries }
    }

    /// The files.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The files without which nobody logs in, with their labels: what a boot on trial is about. What else runs on a
    /// machine changes with who uses it.
    pub fn essence(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.needed) {
            bytes.extend(escaped(&entry.path));
            bytes.push(b' ');
            bytes.extend(entry.label.as_deref().map(super::cert::hex).unwrap_or_default().into_bytes());
            bytes.push(b'\n');
        }
        bytes
    }

    /// Reads a manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let rest = bytes.strip_prefix(FIRST_LINE).ok_or(ManifestError::Foreign)?;
        let body = rest.strip_suffix(b"\n").ok_or(ManifestError::Damaged)?;
        let last = body.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        let (lines, end) = body.split_at_checked(last).ok_or(ManifestError::Damaged)?;
        let before_end = bytes.get(..FIRST_LINE.len() + last).ok_or(ManifestError::Damaged)?;
        let entries: Vec<Entry> = lines
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .enumerate()
            .map(|(number, line)| entry(line).ok_or(ManifestError::Line(number + 2)))
            .collect::<Result<_, _>>()?;
        if end != end_line(entries.len(), before_end).as_bytes() {
            return Err(ManifestError::Damaged);
        }
        if !entries.is_sorted_by(|a, b| a.path < b.path) {
            return Err(ManifestError::Damaged);
        }
        Ok(Self { entries })
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = FIRST_LINE.to_vec();
        for entry in &self.entries {
            bytes.extend(entry.to_string().into_bytes());
            bytes.push(b' ');
            bytes.extend(escaped(&entry.path));
            bytes.push(b'\n');
        }
        let end = end_line(self.entries.len(), &bytes);
        bytes.extend(end.into_bytes());
        bytes.push(b'\n');
        bytes
    }
}

/// All but the path.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in self.uses.iter() {
            write!(f, "{}", char::from(one.letter()))?;
        }
        let mark = match (self.core, self.needed) {
            (true, _) => "*",
            (false, true) => "+",
            (false, false) => "",
        };
        let (seconds, nanoseconds) = self.mtime;
        write!(f, "{mark} {} {seconds}.{nanoseconds:09} ", self.size)?;
        match &self.label {
            Some(label) => f.write_str(&super::cert::hex(label)),
            None => f.write_str("-"),
        }
    }
}

fn end_line(count: usize, before: &[u8]) -> String {
    // SHA-256 is one of the algorithms that every build of OpenSSL has, FIPS too.
    let sum = digest(HashAlgo::Sha256, before).map_or_else(|_| "-".to_owned(), |sum| super::cert::hex(&sum));
    format!("end {count} {sum}")
}

fn entry(line: &[u8]) -> Option<Entry> {
    let mut words = line.splitn(5, |&byte| byte == b' ');
    let uses = words.next()?;
    let (uses, core, needed) = match uses {
        [uses @ .., b'*'] => (uses, true, true),
        [uses @ .., b'+'] => (uses, false, true),
        uses => (uses, false, false),
    };
    let uses = uses.iter().try_fold(Uses::default(), |uses, &letter| {
        Some(uses.with(Use::ALL.into_iter().find(|one| one.letter() == letter)?))
    })?;
    let mut text = || std::str::from_utf8(words.next()?).ok();
    let size = text()?.parse().ok()?;
    let (seconds, nanoseconds) = text()?.split_once('.')?;
    let mtime = (seconds.parse().ok()?, nanoseconds.parse().ok().filter(|_| nanoseconds.len() == 9)?);
    let label = match words.next()? {
        b"-" => None,
        digits => Some(hex::decode(digits)?),
    };
    let path = unescaped(words.next()?)?;
    path.starts_with(b"/").then_some(Entry { path, uses, core, needed, size, mtime, label })
}

fn escaped(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for (at, &byte) in path.iter().enumerate() {
        let is_last = at + 1 == path.len();
        if byte < b' ' || byte == 0x7f || byte == b'\\' || byte == b' ' && is_last {
            out.extend(format!("\\x{byte:02x}").into_bytes());
        } else {
            out.push(byte);
        }
    }
    out
}

fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        if first == b'\\' {
            let digits = after.strip_prefix(b"x")?.get(..2)?;
            out.extend(hex::decode(digits)?);
            rest = after.get(3..)?;
        } else {
            out.push(first);
            rest = after;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry_of(path: &[u8], uses: Uses, label: Option<Vec<u8>>) -> Entry {
        Entry { path: path.to_vec(), uses, core: false, needed: false, size: 7, mtime: (1, 5), label }
    }

    #[test]
    fn is_text_that_a_person_can_read() {
        let init = Entry {
            core: true,
            needed: true,
            ..entry_of(b"/usr/lib/systemd/systemd", Use::Program.into(), Some(vec![3, 2, 4]))
        };
        let odd = entry_of(b"/a \\b\n ", Uses::from(Use::Library).with(Use::Read), None);
        let bytes = Manifest::new(vec![init, odd]).to_bytes();
        let text = String::from_utf8(bytes).unwrap();
        let (lines, end) = text.split_once("end ").unwrap();
        assert_eq!(
            lines,
            "imad manifest 1\nlr 7 1.000000005 - /a \\x5cb\\x0a\\x20\np* 7 1.000000005 030204 /usr/lib/systemd/systemd\n"
        );
        assert!(end.starts_with("2 ") && end.len() == 2 + 64 + 1, "{end}");
    }

    #[test]
    fn a_file_that_is_named_twice_is_one() {
        let two = [Use::Library, Use::Program].map(|one| entry_of(b"/x", one.into(), None));
        let manifest = Manifest::new(two.to_vec());
        assert_eq!(manifest.entries().len(), 1);
        assert_eq!(manifest.entries()[0].uses, Uses::from(Use::Program).with(Use::Library));
    }

    #[test]
    fn what_is_cut_or_changed_anywhere_is_no_manifest() {
        let bytes = Manifest::new(vec![
            entry_of(b"/x", Use::Program.into(), Some(vec![1])),
            entry_of(b"/y", Use::Read.into(), None),
        ])
        .to_bytes();
        assert!(Manifest::parse(&bytes).is_ok());
        for length in 0..bytes.len() {
            assert!(Manifest::parse(&bytes[..length]).is_err(), "{length}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Manifest::parse(&changed).is_err(), "{at}");
        }
        assert_eq!(Manifest::parse(b""), Err(ManifestError::Foreign));
    }

    proptest! {
        #[test]
        fn is_read_as_it_was_written(
            files in prop::collection::vec((prop::collection::vec(1_u8.., 0..9), 1_u8..128, any::<(bool, bool, u64, i64)>(),
                                            0_i64..1_000_000_000, prop::option::of(prop::collection::vec(any::<u8>(), 1..9))), 0..9),
        ) {
            let entries = files.into_iter().map(|(mut path, uses, (core, needed, size, seconds), nanoseconds, label)| {
                path.insert(0, b'/');
                Entry { path, uses: Uses(uses), core, needed: core || needed, size, mtime: (seconds, nanoseconds), label }
            });
            let manifest = Manifest::new(entries.collect());
            prop_assert_eq!(Manifest::parse(&manifest.to_bytes()), Ok(manifest));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::parse(&bytes);
            let _ = Manifest::parse(&[FIRST_LINE, &bytes].concat());
        }
    }
}
