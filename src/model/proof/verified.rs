//! Files whose label verified, by inode and the times that tell whether content or label changed.
#![forbid(unsafe_code)]

use super::super::journal::format::Reader;
use super::{Statement, Unusable, VERSION, seal, unseal};

const MAGIC: &[u8; 8] = b"imadvrfd";
/// Bytes of an entry in the file.
const ENTRY: usize = 50;
/// Devices that fit: the entries count them in two bytes.
const DEVICES: usize = u16::MAX as usize;

/// What stat(2) tells of a file, as far as it shows changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// Device number.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the content, nanoseconds since 1970.
    pub mtime: i64,
    /// Last change of content or attributes, nanoseconds since 1970.
    pub ctime: i64,
}

/// Fifty-six bytes a file.
#[derive(Debug, Clone, Copy)]
struct Entry {
    ino: u64,
    size: u64,
    mtime: i64,
    ctime: i64,
    /// That its label verified.
    statement: Statement,
    /// Place of its device.
    dev: u16,
    /// It was asked for, or noted, since the last [`VerifiedFiles::prune`].
    used: bool,
}

const _: () = assert!(size_of::<Entry>() <= 56);

/// The files that are remembered.
#[derive(Debug, Clone)]
pub struct VerifiedFiles {
    boot: [u8; 16],
    /// How far the wall clock is ahead of the time since boot, nanoseconds: it shrinks where the clock is set back.
    offset: i64,
    devices: Vec<u64>,
    /// Sorted by device (its place) and inode, up to `sorted`; behind that what was noted since.
    entries: Vec<Entry>,
    sorted: usize,
}

impl VerifiedFiles {
    /// How far the clock's offset may vary by the way that it is read, nanoseconds.
    pub const JITTER: i64 = 1_000_000;

    /// None yet.
    pub const fn new(boot: [u8; 16], offset: i64) -> Self {
        Self { boot, offset, devices: Vec::new(), entries: Vec::new(), sorted: 0 }
    }

    /// Remembers a file, until [`VerifiedFiles::sort`] only for the file that it is saved into.
    pub fn note(&mut self, facts: &FileFacts, statement: Statement) {
        let Some(dev) = self.place_for(facts.dev) else { return };
        let FileFacts { ino, size, mtime, ctime, .. } = *facts;
        self.entries.push(Entry { ino, size, mtime, ctime, statement, dev, used: true });
    }

    /// What was said of a file, if nothing changed it since.
    pub fn get(&mut self, facts: &FileFacts) -> Option<Statement> {
        let entry = self.entry(facts)?;
        entry.used = true;
        Some(entry.statement)
    }

    /// Forgets what was said of a file.
    pub fn forget(&mut self, facts: &FileFacts) {
        if let Some(entry) = self.entry(facts) {
            // No file was changed then: its entry is found no more, and pruned.
            (entry.ctime, entry.used) = (i64::MIN, false);
        }
    }

    fn entry(&mut self, facts: &FileFacts) -> Option<&mut Entry> {
        let dev = u16::try_from(self.devices.iter().position(|dev| *dev == facts.dev)?).ok()?;
        let sorted = self.entries.get_mut(..self.sorted)?;
        let place = sorted.binary_search_by_key(&(dev, facts.ino), |entry| (entry.dev, entry.ino)).ok()?;
        let entry = sorted.get_mut(place)?;
        ((entry.size, entry.mtime, entry.ctime) == (facts.size, facts.mtime, facts.ctime)).then_some(entry)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets what was not asked for and not noted since the last time: files that are gone, or have another inode.
    pub fn prune(&mut self) {
        self.sorted = self.entries.iter().take(self.sorted).filter(|entry| entry.used).count();
        self.entries.retain(|entry| entry.used);
        self.sort();
        self.entries.iter_mut().for_each(|entry| entry.used = false);
    }

    /// Sorts in what was noted; of several of one inode the last one holds.
    pub fn sort(&mut self) {
        self.entries.reverse();
        self.entries.sort_by_key(|entry| (entry.dev, entry.ino));
        self.entries.dedup_by_key(|entry| (entry.dev, entry.ino));
        self.sorted = self.entries.len();
    }

    fn place_for(&mut self, dev: u64) -> Option<u16> {
        let place = self.devices.iter().position(|known| *known == dev).unwrap_or_else(|| {
            self.devices.push(dev);
            self.devices.len() - 1
        });
        u16::try_from(place).ok().filter(|place| usize::from(*place) < DEVICES)
    }

    /// The bytes of the file; sorts first.
    pub fn bytes(&mut self) -> Vec<u8> {
        self.sort();
        let mut bytes = Vec::with_capacity(64 + self.entries.len() * ENTRY);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.boot);
        bytes.extend(self.offset.to_le_bytes());
        for count in [self.devices.len(), self.entries.len()] {
            bytes.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        }
        for dev in &self.devices {
            bytes.extend(dev.to_le_bytes());
        }
        for entry in &self.entries {
            bytes.extend(entry.ino.to_le_bytes());
            bytes.extend(entry.size.to_le_bytes());
            bytes.extend(entry.mtime.to_le_bytes());
            bytes.extend(entry.ctime.to_le_bytes());
            bytes.extend(entry.dev.to_le_bytes());
            bytes.extend(entry.statement.0);
        }
        seal(&mut bytes);
        bytes
    }

    /// Reads a file, of this boot and since which the clock was not set back.
    pub fn parse(bytes: &[u8], boot: [u8; 16], offset: i64) -> Result<Self, Unusable> {
        let read = Self::read(bytes).ok_or(Unusable::Damaged)?;
        if read.boot != boot {
            return Err(Unusable::OtherBoot);
        }
        if offset < read.offset.saturating_sub(Self::JITTER) {
            return Err(Unusable::ClockSetBack);
        }
        // Set forward is fine, and from then on that is what it must not fall behind.
        Ok(Self { offset: offset.max(read.offset), ..read })
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = unseal(bytes, *MAGIC)?;
        let boot = *reader.take(16)?.first_chunk()?;
        let offset = i64_of(&mut reader)?;
        let mut count = || Some(reader.u32()? as usize);
        let (devices, entries) = (count()?, count()?);
        // Before any memory is taken for them.
        if devices.checked_mul(8)?.checked_add(entries.checked_mul(ENTRY)?)? != reader.0.len() {
            return None;
        }
        let devices = (0..devices).map(|_| reader.u64()).collect::<Option<Vec<_>>>()?;
        let entry = |reader: &mut Reader<'_>| {
            Some(Entry {
                ino: reader.u64()?,
                size: reader.u64()?,
                mtime: i64_of(reader)?,
                ctime: i64_of(reader)?,
                dev: reader.u16()?,
                statement: Statement(*reader.take(16)?.first_chunk()?),
                used: false,
            })
        };
        let entries = (0..entries).map(|_| entry(&mut reader)).collect::<Option<Vec<_>>>()?;
        if !entries.is_sorted_by_key(|entry| (entry.dev, entry.ino)) {
            return None;
        }
        let sorted = entries.len();
        Some(Self { boot, offset, devices, entries, sorted })
    }
}

fn i64_of(reader: &mut Reader<'_>) -> Option<i64> {
    reader.take(8)?.first_chunk().copied().map(i64::from_le_bytes)
}
