//! A package of the database and its files, borrowed from its header.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use super::header::{Entry, HeaderError, Index, PATH_MAX, Strings, Tag};
use super::{FLAG_GHOST, MODE_REGULAR, MODE_TYPE, STATE_NORMAL};
use crate::model::algo::HashAlgo;
use crate::model::hex;

/// A package as its header describes it. Nothing of it is copied.
#[derive(Debug, Clone)]
pub struct Header<'a> {
    index: Index<'a>,
    name: &'a [u8],
    version: &'a [u8],
    release: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads the index of a header blob of the database.
    pub fn parse(blob: &'a [u8]) -> Result<Self, HeaderError> {
        let index = Index::parse(blob)?;
        let need = |tag: Tag| index.text(tag)?.ok_or(HeaderError::Missing(tag.number()));
        let (name, version, release) = (need(Tag::Name)?, need(Tag::Version)?, need(Tag::Release)?);
        Ok(Self { index, name, version, release })
    }

    /// The package's name.
    pub const fn name(&self) -> &'a [u8] {
        self.name
    }

    /// `NAME-[EPOCH:]VERSION-RELEASE.ARCH`.
    pub fn nevra(&self) -> Result<String, HeaderError> {
        let text = String::from_utf8_lossy;
        let epoch = self.index.number(Tag::Epoch)?.map_or_else(String::new, |epoch| format!("{epoch}:"));
        let arch = self.index.text(Tag::Arch)?.map_or_else(String::new, |arch| format!(".{}", text(arch)));
        Ok(format!("{}-{epoch}{}-{}{arch}", text(self.name), text(self.version), text(self.release)))
    }

    /// Seconds since 1970 at which it was installed.
    pub fn install_time(&self) -> Result<u32, HeaderError> {
        Ok(self.index.number(Tag::InstallTime)?.unwrap_or(0))
    }

    /// The transaction that installed it (`INSTALLTID`).
    pub fn install_tid(&self) -> Result<u32, HeaderError> {
        Ok(self.index.number(Tag::InstallTid)?.unwrap_or(0))
    }

    /// Its files.
    pub fn files(&self) -> Result<Files<'a>, HeaderError> {
        Files::new(&self.index)
    }
}

/// The files of a package: the header's parallel arrays.
#[derive(Debug, Clone, Default)]
pub struct Files<'a> {
    bases: Strings<'a>,
    dirs: Vec<&'a [u8]>,
    dir_indexes: &'a [[u8; 4]],
    dir_entry: Entry,
    modes: &'a [[u8; 2]],
    flags: &'a [[u8; 4]],
    /// One of the two is there: sizes are 64 bits wide where a file needs that, and in packages of version 6.
    sizes: &'a [[u8; 4]],
    long_sizes: &'a [[u8; 8]],
    states: &'a [[u8; 1]],
    colors: &'a [[u8; 4]],
    devices: &'a [[u8; 4]],
    inodes: &'a [[u8; 4]],
    algo: Option<HashAlgo>,
    digests: Strings<'a>,
    signatures: Strings<'a>,
}

impl<'a> Files<'a> {
    fn new(index: &Index<'a>) -> Result<Self, HeaderError> {
        let Some(bases) = index.strings(Tag::BaseNames)? else { return Ok(Self::default()) };
        let count = bases.len();
        let missing = |tag: Tag| HeaderError::Missing(tag.number());
        let dirs = index.strings(Tag::DirNames)?.ok_or(missing(Tag::DirNames))?;
        // rpm takes no signature at all where they are not as many as files; those of a shorter array are sound.
        let signatures = index.strings(Tag::FileSignatures)?.unwrap_or_default();
        if signatures.len() > count {
            return Err(HeaderError::Count(signatures.entry, count));
        }
        let digests = index.strings(Tag::FileDigests)?.unwrap_or_default();
        if digests.entry.tag != 0 && digests.len() != count {
            return Err(HeaderError::Count(digests.entry, count));
        }
        let long_sizes = array(index, Tag::LongFileSizes, count)?;
        let sizes = array(index, Tag::FileSizes, count)?;
        if long_sizes.is_none() && sizes.is_none() {
            return Err(missing(Tag::FileSizes));
        }
        Ok(Self {
            bases,
            dirs: dirs.collect::<Result<_, _>>()?,
            dir_indexes: array(index, Tag::DirIndexes, count)?.ok_or(missing(Tag::DirIndexes))?,
            dir_entry: index.find(Tag::DirIndexes).unwrap_or_default(),
            modes: array(index, Tag::FileModes, count)?.ok_or(missing(Tag::FileModes))?,
            flags: array(index, Tag::FileFlags, count)?.ok_or(missing(Tag::FileFlags))?,
            sizes: sizes.unwrap_or_default(),
            long_sizes: long_sizes.unwrap_or_default(),
            states: array(index, Tag::FileStates, count)?.unwrap_or_default(),
            colors: array(index, Tag::FileColors, count)?.unwrap_or_default(),
            devices: array(index, Tag::FileDevices, count)?.unwrap_or_default(),
            inodes: array(index, Tag::FileInodes, count)?.unwrap_or_default(),
            // No tag means MD5 (rpm before 4.6).
            algo: HashAlgo::from_pgp_id(index.number(Tag::FileDigestAlgo)?.unwrap_or(1)),
            digests,
            signatures,
        })
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.bases.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each of them, in the header's order. An error is the last item.
    pub fn iter(&self) -> Iter<'a, '_> {
        Iter {
            files: self,
            at: 0,
            bases: self.bases.clone(),
            digests: self.digests.clone(),
            signatures: self.signatures.clone(),
        }
    }
}

impl<'a, 'f> IntoIterator for &'f Files<'a> {
    type Item = Result<File<'a>, HeaderError>;
    type IntoIter = Iter<'a, 'f>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A numeric array with a value for each file.
fn array<'a, const N: usize>(index: &Index<'a>, tag: Tag, files: usize) -> Result<Option<&'a [[u8; N]]>, HeaderError> {
    match index.find(tag) {
        Some(entry) if entry.count as usize != files => Err(HeaderError::Count(entry, files)),
        _ => index.numbers(tag),
    }
}

/// Walks over the files of a package.
#[derive(Debug, Clone)]
pub struct Iter<'a, 'f> {
    files: &'f Files<'a>,
    at: usize,
    bases: Strings<'a>,
    digests: Strings<'a>,
    signatures: Strings<'a>,
}

impl<'a> Iter<'a, '_> {
    fn file(&mut self, base: &'a [u8]) -> Result<File<'a>, HeaderError> {
        let (files, at) = (self.files, self.at);
        let number = |values: &[[u8; 4]]| values.get(at).copied().map_or(0, u32::from_be_bytes);
        let dir = files.dirs.get(number(files.dir_indexes) as usize);
        let dir = *dir.ok_or(HeaderError::Directory(files.dir_entry, at))?;
        if dir.len() + base.len() >= PATH_MAX {
            return Err(HeaderError::LongPath(self.bases.entry, at));
        }
        let size = files.long_sizes.get(at).copied().map(u64::from_be_bytes);
        Ok(File {
            dir,
            base,
            size: size.unwrap_or_else(|| u64::from(number(files.sizes))),
            mode: files.modes.get(at).copied().map_or(0, u16::from_be_bytes),
            flags: number(files.flags),
            state: files.states.get(at).map_or(STATE_NORMAL, |&[state]| state),
            color: number(files.colors),
            device: number(files.devices),
            inode: number(files.inodes),
            algo: files.algo,
            digest: Hex::next(&mut self.digests)?,
            signature: Hex::next(&mut self.signatures)?,
        })
    }
}

impl<'a> Iterator for Iter<'a, '_> {
    type Item = Result<File<'a>, HeaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        let file = self.bases.next()?.and_then(|base| self.file(base));
        self.at += 1;
        if file.is_err() {
            self.bases = Strings::default();
        }
        Some(file)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.bases.len()))
    }
}

/// Bytes as a header writes them: hexadecimal.
#[derive(Debug, Clone, Copy, Default)]
struct Hex<'a> {
    text: &'a [u8],
    tag: u32,
    offset: usize,
}

impl<'a> Hex<'a> {
    /// The next one; nothing where there is no further.
    fn next(strings: &mut Strings<'a>) -> Result<Self, HeaderError> {
        let (tag, offset) = (strings.entry.tag, strings.offset());
        let text = strings.next().transpose()?.unwrap_or_default();
        Ok(Self { text, tag, offset })
    }

    fn decode(self, bytes: &mut Vec<u8>) -> Result<(), HeaderError> {
        let decoded = hex::decode_into(self.text, bytes);
        if decoded { Ok(()) } else { Err(HeaderError::Hex { tag: self.tag, offset: self.offset }) }
    }
}

/// A file as its package describes it, borrowed from the header.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// Its directory, with a slash at the end.
    pub dir: &'a [u8],
    /// Its name there.
    pub base: &'a [u8],
    /// Size in bytes.
    pub size: u64,
    /// `st_mode`.
    pub mode: u16,
    /// `RPMFILE_*` flags.
    pub flags: u32,
    /// [`STATE_NORMAL`] or why the file is not there as the package brought it.
    pub state: u8,
    /// 1 for a 32-bit program or library, 2 for a 64-bit one, 0 for others (`FILECOLORS`).
    pub color: u32,
    device: u32,
    inode: u32,
    algo: Option<HashAlgo>,
    digest: Hex<'a>,
    signature: Hex<'a>,
}

/// Bytes of a label before the signature proper. rpm's `ima` plugin takes a label in which they are all zero for none
/// (`check_zero_hdr()`): rpm once filled the array so for files without a signature.
const LABEL_HEAD: usize = 9;

impl<'a> File<'a> {
    /// Whether it is a regular file.
    pub const fn is_regular(&self) -> bool {
        self.mode & MODE_TYPE == MODE_REGULAR
    }

    /// Whether it is a file that the package brought and no other replaced.
    pub const fn is_installed(&self) -> bool {
        self.state == STATE_NORMAL && self.flags & FLAG_GHOST == 0
    }

    /// Its path, into a buffer that is used again.
    pub fn path_into(&self, path: &mut Vec<u8>) {
        path.clear();
        path.extend_from_slice(self.dir);
        path.extend_from_slice(self.base);
    }

    /// Its path.
    pub fn path(&self) -> Vec<u8> {
        [self.dir, self.base].concat()
    }

    /// What the package's files have in common that are hard links of one another; `None` for what rpm links to nothing
    /// (`rpmfilesBuildNLink()`). The numbers mean nothing outside of the package.
    pub const fn link(&self) -> Option<(u32, u32)> {
        if self.is_regular() && self.flags & FLAG_GHOST == 0 && self.inode != 0 {
            Some((self.device, self.inode))
        } else {
            None
        }
    }

    /// Digest of the content, as hexadecimal digits; empty where the package has none.
    pub const fn digest_hex(&self) -> &'a [u8] {
        self.digest.text
    }

    /// The label that the package brings, as hexadecimal digits; empty where it is not signed.
    pub const fn signature_hex(&self) -> &'a [u8] {
        self.signature.text
    }

    /// Decodes the digest into a buffer that is used again. `None`: the package has none, or one whose algorithm imad
    /// cannot compute.
    pub fn digest_into(&self, digest: &mut Vec<u8>) -> Result<Option<HashAlgo>, HeaderError> {
        self.digest.decode(digest)?;
        Ok(self.algo.filter(|algo| digest.len() == algo.digest_size()))
    }

    /// Decodes the label that the package brings into a buffer that is used again; false where it is not signed.
    pub fn signature_into(&self, signature: &mut Vec<u8>) -> Result<bool, HeaderError> {
        self.signature.decode(signature)?;
        let is_filling = signature.len() >= LABEL_HEAD && signature.iter().take(LABEL_HEAD).all(|&byte| byte == 0);
        if is_filling {
            signature.clear();
        }
        Ok(!signature.is_empty())
    }
}

/// The sets of hard links among files with these [links](File::link), by their places in the list.
pub fn hard_links(links: impl IntoIterator<Item = Option<(u32, u32)>>) -> Vec<Vec<usize>> {
    let mut sets = BTreeMap::<_, Vec<usize>>::new();
    for (at, link) in links.into_iter().enumerate() {
        if let Some(link) = link {
            sets.entry(link).or_default().push(at);
        }
    }
    let mut sets: Vec<_> = sets.into_values().filter(|files| files.len() > 1).collect();
    sets.sort_unstable();
    sets
}
