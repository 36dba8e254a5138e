//! cpio archives of an initramfs: the kernel's `newc` format (Documentation/driver-api/early-userspace/buffer-format.rst;
//! `init/initramfs.c`).
//!
//! ```text
//! initramfs = ( archive | zeros | compressed archives )*
//! archive   = member* , member "TRAILER!!!"
//! member    = "070701" | "070702", 13 numbers of 8 hexadecimal digits, name with NUL, zeros to 4 bytes, content, zeros
//!             to 4 bytes
//! ```
//!
//! The bytes come in pieces of any size, so that an initramfs is never in memory whole.
#![forbid(unsafe_code)]

/// Bytes of a header: the magic number and 13 fields.
const HEADER: usize = 110;
/// No name is longer, its NUL included (`PATH_MAX`).
const NAME_LIMIT: u32 = 4096;
const TRAILER: &[u8] = b"TRAILER!!!";

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name as it stands in the archive, but for `./` and `/` at its beginning.
    pub name: Vec<u8>,
    /// `st_mode`.
    pub mode: u32,
    /// Bytes of content. Of a file's hard links only the last has any.
    pub size: u32,
}

impl Member {
    /// Whether it is a regular file.
    pub const fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }
}

/// Who is told what an archive holds.
pub trait Visitor {
    /// A member begins.
    fn member(&mut self, member: &Member);
    /// More of the content of the member that began last.
    fn content(&mut self, bytes: &[u8]);
}

/// Why bytes are no archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CpioError {
    /// No header where a member should begin; or one with a field that is no number, or no possible one.
    #[error("at its byte {0} a cpio member should begin and does not")]
    Header(u64),
    /// The archive ends amid a member, or without its last one.
    #[error("its cpio archive is cut off")]
    Cut,
}

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// All of it was read.
    All,
    /// Not between archives' zeros but where an archive could begin, something else begins at this byte of the piece:
    /// compressed archives.
    Foreign(usize),
}

#[derive(Debug, Default)]
enum State {
    /// Before an archive, or behind one.
    #[default]
    Between,
    /// In a header.
    Header,
    /// In a name, its NUL included.
    Name { length: usize, member: Member },
    /// In content.
    Content { left: usize, padding: usize },
}

/// Reads archives piece by piece.
#[derive(Debug, Default)]
pub struct Reader {
    state: State,
    /// Zeros that come first.
    padding: usize,
    /// What of a header or name has come.
    held: Vec<u8>,
    /// Bytes that were read.
    at: u64,
}

impl Reader {
    /// Reads the next piece.
    pub fn feed(&mut self, piece: &[u8], visitor: &mut impl Visitor) -> Result<Fed, CpioError> {
        let mut rest = piece;
        loop {
            self.padding -= self.pass(&mut rest, self.padding).len();
            if rest.is_empty() {
                return Ok(Fed::All);
            }
            match std::mem::take(&mut self.state) {
                State::Between => {
                    let zeros = rest.iter().take_while(|&&byte| byte == 0).count();
                    self.pass(&mut rest, zeros);
                    match rest.first() {
                        None => {}
                        // An archive begins on a multiple of four bytes (`unpack_to_rootfs()`).
                        Some(b'0') if self.at.is_multiple_of(4) => self.state = State::Header,
                        Some(_) => return Ok(Fed::Foreign(piece.len() - rest.len())),
                    }
                }
                State::Header => {
                    let more = self.pass(&mut rest, HEADER - self.held.len());
                    self.held.extend_from_slice(more);
                    self.state = if self.held.len() < HEADER {
                        State::Header
                    } else {
                        let (member, length) = header(&self.held).ok_or(CpioError::Header(self.at - HEADER as u64))?;
                        self.held.clear();
                        State::Name { length, member }
                    };
                }
                State::Name { length, mut member } => {
                    let more = self.pass(&mut rest, length - self.held.len());
                    self.held.extend_from_slice(more);
                    if self.held.len() < length {
                        self.state = State::Name { length, member };
                        continue;
                    }
                    let held = std::mem::take(&mut self.held);
                    let name = held.split(|&byte| byte == 0).next().unwrap_or_default();
                    self.padding = padding(HEADER + length);
                    if name == TRAILER {
                        continue;
                    }
                    member.name = bare(name).to_vec();
                    visitor.member(&member);
                    self.state = in_content(member.size);
                }
                State::Content { left, padding } => {
                    let content = self.pass(&mut rest, left);
                    visitor.content(content);
                    self.state = if content.len() == left {
                        self.padding = padding;
                        State::Header
                    } else {
                        State::Content { left: left - content.len(), padding }
                    };
                }
            }
        }
    }

    /// Says that no more comes.
    pub const fn finish(&self) -> Result<(), CpioError> {
        if matches!(self.state, State::Between) { Ok(()) } else { Err(CpioError::Cut) }
    }

    /// The next bytes, at most so many.
    fn pass<'p>(&mut self, rest: &mut &'p [u8], wanted: usize) -> &'p [u8] {
        let (passed, left) = rest.split_at(wanted.min(rest.len()));
        *rest = left;
        self.at += passed.len() as u64;
        passed
    }
}

/// A length as the archive holds it.
fn size(length: u32) -> usize {
    // Linux has no pointers of 16 bits.
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// Zeros behind so many bytes.
const fn padding(length: usize) -> usize {
    length.wrapping_neg() & 3
}

fn in_content(length: u32) -> State {
    match size(length) {
        0 => State::Header,
        left => State::Content { left, padding: padding(left) },
    }
}

/// A member without its name, and the name's length.
fn header(bytes: &[u8]) -> Option<(Member, usize)> {
    let (magic, fields) = bytes.split_at_checked(6)?;
    if magic != b"070701" && magic != b"070702" {
        return None;
    }
    let field = |number: usize| {
        let digits = fields.get(number * 8..number * 8 + 8)?;
        let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    // c_ino, c_mode, c_uid, c_gid, c_nlink, c_mtime, c_filesize, c_maj, c_min, c_rmaj, c_rmin, c_namesize, c_chksum
    let (mode, content, name) = (field(1)?, field(6)?, field(11)?);
    (1..=NAME_LIMIT).contains(&name).then(|| (Member { name: Vec::new(), mode, size: content }, size(name)))
}

/// A name without what archives write before it or do not.
fn bare(name: &[u8]) -> &[u8] {
    let mut name = name;
    while let Some(rest) = name.strip_prefix(b"./").or_else(|| name.strip_prefix(b"/")) {
        name = rest;
    }
    name
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a reader told.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Told(Vec<(String, u32, Vec<u8>)>);

    impl Visitor for Told {
        fn member(&mut self, member: &Member) {
            self.0.push((String::from_utf8_lossy(&member.name).into_owned(), member.mode, Vec::new()));
        }
        fn content(&mut self, bytes: &[u8]) {
            self.0.last_mut().unwrap().2.extend_from_slice(bytes);
        }
    }

    fn add(archive: &mut Vec<u8>, name: &str, mode: u32, content: &[u8]) {
        let (size, length) = (content.len(), name.len() + 1);
        let fields = [1, mode as usize, 0, 0, 1, 0, size, 0, 0, 0, 0, length, 0];
        archive.extend(b"070701");
        archive.extend(fields.iter().flat_map(|field| format!("{field:08X}").into_bytes()));
        archive.extend(name.as_bytes());
        archive.push(0);
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(content);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }

    /// An archive of regular files.
    pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = Vec::new();
        for (name, content) in files {
            add(&mut archive, name, 0o100_755, content);
        }
        add(&mut archive, "TRAILER!!!", 0, b"");
        archive
    }

    fn read(bytes: &[u8], piece: usize) -> (Result<Fed, CpioError>, Told, Reader) {
        let (mut reader, mut told, mut at) = (Reader::default(), Told::default(), 0);
        for piece in bytes.chunks(piece) {
            match reader.feed(piece, &mut told) {
                Ok(Fed::All) => at += piece.len(),
                Ok(Fed::Foreign(foreign)) => return (Ok(Fed::Foreign(at + foreign)), told, reader),
                Err(error) => return (Err(error), told, reader),
            }
        }
        (Ok(Fed::All), told, reader)
    }

    #[test]
    fn microcode_comes_first_and_compressed_archives_last() {
        let mut image = archive(&[("kernel/x86/microcode/GenuineIntel.bin", b"12345")]);
        image.resize(image.len().next_multiple_of(512), 0);
        let second = image.len();
        image.extend(archive(&[("./init", b"#!/bin/sh\n"), ("/usr/lib/x", b"")]));
        image.resize(image.len().next_multiple_of(512), 0);
        let third = image.len();
        image.extend(b"\x28\xb5\x2f\xfd...");
        for piece in [1, 3, 7, 512, image.len()] {
            let (end, told, reader) = read(&image, piece);
            assert_eq!(end, Ok(Fed::Foreign(third)), "{piece}");
            assert_eq!(reader.finish(), Ok(()));
            let names: Vec<_> = told.0.iter().map(|(name, ..)| name.as_str()).collect();
            assert_eq!(names, ["kernel/x86/microcode/GenuineIntel.bin", "init", "usr/lib/x"]);
            assert_eq!(told.0[1].2, b"#!/bin/sh\n");
        }
        let (_, _, reader) = read(&image[..second - 512 + 120], 64);
        assert_eq!(reader.finish(), Err(CpioError::Cut));
        // A compressed archive right behind an archive, on no multiple of four bytes.
        let (end, ..) = read(&[&image[..second], &[0, 0, 0], b"0707"].concat(), 9);
        assert_eq!(end, Ok(Fed::Foreign(second + 3)));
    }

    #[test]
    fn what_is_no_member_is_named_by_its_place() {
        let good = archive(&[("a", b"1")]);
        let second = 112 + 4;
        for (at, byte) in [(second, b'1'), (second + 5, b'7'), (second + 14, b'+'), (second + 94 + 4, b'f')] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(read(&bad, 50).0, Err(CpioError::Header(second as u64)), "{at}");
        }
        assert_eq!(read(b"", 1).0, Ok(Fed::All));
    }

    proptest! {
        #[test]
        fn members_are_read_in_pieces_of_any_size(
            files in prop::collection::vec(("[a-z]{1,9}", prop::collection::vec(any::<u8>(), 0..40)), 0..6),
            piece in 1_usize..200,
        ) {
            let files: Vec<(&str, &[u8])> = files.iter().map(|(name, content)| (&name[..], &content[..])).collect();
            let (end, told, reader) = read(&archive(&files), piece);
            prop_assert_eq!(end, Ok(Fed::All));
            prop_assert_eq!(reader.finish(), Ok(()));
            let expected: Vec<_> =
                files.iter().map(|(name, content)| ((*name).to_owned(), 0o100_755, content.to_vec())).collect();
            prop_assert_eq!(told.0, expected);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1_usize..300) {
            let _ = read(&bytes, piece);
            let mut begun = archive(&[("a", b"")]);
            begun.truncate(begun.len() - 124);
            begun.extend(b"070701");
            begun.extend(bytes.iter().map(|byte| b"0123456789abcdefX"[usize::from(*byte) % 17]));
            let _ = read(&begun, piece);
        }
    }
}
