//! Remembered digests and proven signatures of the running system, and when one may be remembered.
//!
//! A digest is remembered only where a later look at the inode's times shows every change. `docs/proofs.md` says why
//! each step is there.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{OFlags, Stat};

use super::clock;
use super::file::OpenFile;
use super::lease::{Lease, no_writer};
use super::root::{Root, read_limited};
use super::state_dir::{FOLDER, StateDir};
use crate::model::algo::HashAlgo;
use crate::model::label::{KeyId, Label};
use crate::model::proof::{FileFacts, Proven, Statement, Unusable, VerifiedFiles, spki};
use crate::model::report::Problem;
use crate::model::verify::{Hasher, Known, Trust};

/// Files whose label verified, in `/var/lib/imad`.
pub const VERIFIED: &str = "verified-files";
/// Proven signatures, there too.
pub const PROVEN: &str = "proven-signatures";
/// Neither file is longer: more than two million files.
const LIMIT: u64 = 256 << 20;
/// Ticks of the kernel's clock that must lie between a file's last change and the look at it.
const TICKS: i64 = 2;
/// File systems whose times show every change: local ones that set them for each write and each first store into a
/// mapped page (`file_update_time()`). ext2 to ext4, xfs, btrfs, f2fs (`include/uapi/linux/magic.h`).
const FILE_SYSTEMS: [i64; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010];

/// What is remembered. Shared by the threads of a run.
#[derive(Debug)]
pub struct Proofs {
    inner: Mutex<Inner>,
    dir: Option<StateDir>,
    /// How far the wall clock was ahead when this was opened.
    offset: i64,
    tick: i64,
}

#[derive(Debug)]
struct Inner {
    verified: VerifiedFiles,
    proven: Proven,
    /// Of SHA-256; `None` where OpenSSL has none: then nothing is remembered.
    hasher: Option<Hasher>,
    /// SHA-256 of the keys of certificates that were asked for (DER).
    keys: Vec<(Vec<u8>, [u8; 32])>,
    changed: bool,
}

impl Proofs {
    /// What the running system remembers. Of another root nothing is believed and nothing is left there: who made it may
    /// have written anything into such a file.
    pub fn open(root: &Root) -> (Self, Vec<Problem>) {
        // Nobody but root may read or write it.
        if !root.is_running() || !rustix::process::geteuid().is_root() {
            return Self::open_at(None);
        }
        match StateDir::create(root) {
            Ok(dir) => Self::open_at(Some(dir)),
            Err(error) => {
                let problem = Problem::new(format!("{FOLDER}: {error}"), format!("ls -ld {FOLDER}"));
                (Self::open_at(None).0, vec![problem])
            }
        }
    }

    /// Nothing is remembered.
    pub fn none() -> (Self, Vec<Problem>) {
        Self::open_at(None)
    }

    /// What this folder remembers; without one, nothing, and nothing is kept.
    pub fn open_at(dir: Option<StateDir>) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let offset = clock::wall_offset_ns();
        // Without a boot id nothing is saved under a name that every boot without one has.
        let boot = clock::boot_id();
        let dir = dir.filter(|_| boot.is_some());
        let boot = boot.unwrap_or_default();
        let mut read = |name: &str| {
            let dir = dir.as_ref()?;
            private(dir, name).unwrap_or_else(|error| {
                let what = format!("{}: {error}; what it held is found out again", dir.shown(name));
                problems.push(Problem::new(what, format!("ls -l {}", dir.shown(name))));
                None
            })
        };
        let (verified, proven) = (read(VERIFIED), read(PROVEN));
        let dropped = |name: &str, why: Unusable| {
            let shown = dir.as_ref().map(|dir| dir.shown(name)).unwrap_or_default();
            Problem::new(format!("{shown}: {why}; what it held is found out again"), "nothing is to be done")
        };
        let verified = verified.map_or_else(
            || VerifiedFiles::new(boot, offset),
            |bytes| {
                VerifiedFiles::parse(&bytes, boot, offset).unwrap_or_else(|why| {
                    // Another boot, or another time, is as it should be.
                    if why == Unusable::Damaged {
                        problems.push(dropped(VERIFIED, why));
                    }
                    VerifiedFiles::new(boot, offset)
                })
            },
        );
        let proven = proven.map_or_else(Proven::default, |bytes| {
            Proven::parse(&bytes).unwrap_or_else(|| {
                problems.push(dropped(PROVEN, Unusable::Damaged));
                Proven::default()
            })
        });
        let hasher = Hasher::new(HashAlgo::Sha256).ok();
        let inner = Mutex::new(Inner { verified, proven, hasher, keys: Vec::new(), changed: false });
        (Self { inner, dir, offset, tick: clock::tick_ns() }, problems)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something is remembered of a file with these facts.
    pub fn knows(&self, facts: &FileFacts) -> bool {
        facts.ctime <= clock::coarse_ns() && self.lock().verified.get(facts).is_some()
    }

    /// Whether a file with these facts has this label, which verified by a key that is still trusted: it need not be
    /// opened.
    pub fn holds(&self, facts: &FileFacts, label: &[u8], trust: &Trust) -> bool {
        if facts.ctime > clock::coarse_ns() {
            return false;
        }
        let mut inner = self.lock();
        let Some(known) = inner.verified.get(facts) else { return false };
        inner.statements(label, trust, &[]).contains(&known)
    }

    /// Remembers a file whose label verified by one of the trusted keys; by which one is known where only one has the id
    /// that the label names. The facts are those of [`Sighting::confirm`] or [`Ripening`].
    pub fn note(&self, facts: &FileFacts, label: &[u8], trust: &Trust) {
        let mut inner = self.lock();
        if let [statement] = inner.statements(label, trust, &[])[..] {
            inner.verified.note(facts, statement);
            inner.changed = true;
        }
    }

    /// Forgets a file: what was remembered of it is not so.
    pub fn forget(&self, facts: &FileFacts) {
        let mut inner = self.lock();
        inner.verified.forget(facts);
        inner.changed = true;
    }

    /// Remembers that this label's signature over this digest verified. Where several trusted keys have the id that it
    /// names it is not known which one it was, and nothing is remembered.
    pub fn prove(&self, label: &[u8], trust: &Trust, digest: &[u8]) {
        let mut inner = self.lock();
        if let [statement] = inner.statements(label, trust, digest)[..]
            && !inner.proven.has(&statement)
        {
            inner.proven.note(statement);
            inner.changed = true;
        }
    }

    /// Writes what is remembered, if it changed. After a run over every file `all` forgets what that run did not meet.
    /// Where the clock was set back meanwhile, no file is.
    pub fn save(&self, all: bool) -> io::Result<()> {
        let mut inner = self.lock();
        if clock::wall_offset_ns() < self.offset.saturating_sub(VerifiedFiles::JITTER) {
            let boot = clock::boot_id().unwrap_or_default();
            inner.verified = VerifiedFiles::new(boot, clock::wall_offset_ns());
            inner.changed = true;
        }
        if all {
            let before = (inner.verified.len(), inner.proven.len());
            inner.verified.prune();
            inner.proven.prune();
            inner.changed |= before != (inner.verified.len(), inner.proven.len());
        }
        if !inner.changed {
            return Ok(());
        }
        let (verified, proven) = (inner.verified.bytes(), inner.proven.bytes());
        let Some(dir) = &self.dir else { return Ok(()) };
        for (name, bytes) in [(VERIFIED, verified), (PROVEN, proven)] {
            let write = || {
                let mut file = dir.begin(name)?;
                file.write_all(&bytes)?;
                dir.commit(name, &file)
            };
            write().inspect_err(|_: &io::Error| {
                // What failed is reported; that its left-over cannot be removed either adds nothing.
                dir.abandon(name).unwrap_or_default();
            })?;
        }
        inner.changed = false;
        Ok(())
    }

    /// Whether what is noted here is saved.
    pub const fn is_kept(&self) -> bool {
        self.dir.is_some()
    }

    /// How many files and signatures are remembered.
    pub fn len(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.verified.len(), inner.proven.len())
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// Whether a change now would get another time than this.
    fn is_past(&self, ctime: i64) -> bool {
        ctime.saturating_add(TICKS * self.tick) <= clock::coarse_ns()
    }
}

impl Known for Proofs {
    fn is_proven(&self, label: &[u8], trust: &Trust, digest: &[u8]) -> bool {
        let mut inner = self.lock();
        let statements = inner.statements(label, trust, digest);
        statements.iter().any(|statement| inner.proven.has(statement))
    }
}

impl Inner {
    /// A statement for each trusted key with the id that the label names.
    fn statements(&mut self, label: &[u8], trust: &Trust, digest: &[u8]) -> Vec<Statement> {
        let Ok(Label::Signature(signature)) = Label::parse(label) else { return Vec::new() };
        let KeyId(id) = signature.key_id;
        let mut statements = Vec::new();
        for certificate in trust.with_id(KeyId(id)) {
            let known = self.keys.iter().find(|(der, _)| der == certificate.der()).map(|(_, key)| *key);
            let Some(key) = known.or_else(|| spki(certificate)) else { continue };
            if known.is_none() {
                self.keys.push((certificate.der().to_vec(), key));
            }
            let hasher = self.hasher.as_mut();
            statements.extend(hasher.and_then(|hasher| Statement::new(hasher, label, &key, digest)));
        }
        statements
    }
}

/// Reads a file that nobody else may read or write.
fn private(dir: &StateDir, name: &str) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = dir.file(name, OFlags::RDONLY)? else { return Ok(None) };
    let metadata = file.metadata()?;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !ours || metadata.mode() & 0o077 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others than root may read or write it"));
    }
    read_limited(file, LIMIT).map(Some)
}

/// The facts of what is at a path of the running system; `None` where nothing is there, or its times are out of what can
/// be compared. Links on the way are followed, the last one is not.
pub fn facts_at(path: &[u8]) -> Option<FileFacts> {
    of_stat(&rustix::fs::lstat(path).ok()?)
}

/// The facts of an open file; `None` where its times are out of what can be compared.
pub fn facts(file: impl AsFd) -> io::Result<Option<FileFacts>> {
    Ok(of_stat(&rustix::fs::fstat(file)?))
}

fn of_stat(stat: &Stat) -> Option<FileFacts> {
    let time = |seconds: i64, nanoseconds: u64| {
        seconds.checked_mul(1_000_000_000)?.checked_add(i64::try_from(nanoseconds).ok()?)
    };
    let size = u64::try_from(stat.st_size).ok();
    Some(FileFacts {
        dev: stat.st_dev,
        ino: stat.st_ino,
        size: size?,
        mtime: time(stat.st_mtime, stat.st_mtime_nsec)?,
        ctime: time(stat.st_ctime, stat.st_ctime_nsec)?,
    })
}

/// A file before its label is read and it is hashed: nobody could write to it, and its last change is so long ago that the
/// next one shows.
#[derive(Debug, Clone, Copy)]
pub struct Sighting {
    facts: FileFacts,
}

impl Sighting {
    /// Looks at a file whose label is going to be verified. `None`: it cannot be remembered.
    pub fn begin(proofs: &Proofs, file: &OpenFile) -> Option<Self> {
        if !FILE_SYSTEMS.contains(&file.fs_magic().ok()?) {
            return None;
        }
        // First that nobody writes, then the times: in between there may be a writer, whose writes show.
        no_writer(file).ok()?;
        let facts = facts(file).ok()??;
        proofs.is_past(facts.ctime).then_some(Self { facts })
    }

    /// What the file was.
    pub const fn facts(&self) -> &FileFacts {
        &self.facts
    }

    /// Looks again, after it was judged and where nothing is written: the facts that its label and content belong to.
    pub fn confirm(self, file: &OpenFile) -> Option<FileFacts> {
        no_writer(file).ok()?;
        (facts(file).ok()?? == self.facts).then_some(self.facts)
    }

    /// Looks again, right before its label is written, and keeps writers out from here on. Without that the file comes
    /// back: its label may be written, its digest is not remembered.
    pub fn seal(self, file: OpenFile) -> Result<Sealed, OpenFile> {
        let lease = Lease::take(file).map_err(|(file, _)| file)?;
        let before = facts(lease.file()).ok().flatten().filter(|now| *now == self.facts);
        Ok(Sealed { lease, before })
    }
}

/// A file whose label is being written, and whose content nobody changes unnoticed.
#[derive(Debug)]
pub struct Sealed {
    lease: Lease<OpenFile>,
    /// `None`: it changed since it was hashed.
    before: Option<FileFacts>,
}

impl Sealed {
    /// The file.
    pub const fn file(&self) -> &OpenFile {
        self.lease.file()
    }
}

/// A file whose label was written, what it was then, and the label.
type Ripe = (Sealed, FileFacts, Vec<u8>);

/// Files whose label was just written: their last change is ours, and another one within the same tick of the clock
/// would not show. They are kept from writers, some milliseconds each, until it would. Each thread has its own.
#[derive(Debug)]
pub struct Ripening {
    /// Files that are held open at most.
    most: usize,
    files: VecDeque<Ripe>,
}

impl Ripening {
    /// Holds so many files open at most.
    pub const fn holding(most: usize) -> Self {
        Self { most, files: VecDeque::new() }
    }

    /// Takes a file over after its label was written, and notes those whose time has come.
    pub fn push(&mut self, proofs: &Proofs, trust: &Trust, sealed: Sealed, label: &[u8]) {
        if let Ok(Some(after)) = facts(sealed.file())
            && let Some(before) = sealed.before
            && (FileFacts { ctime: before.ctime, ..after }) == before
        {
            self.files.push_back((sealed, after, label.to_vec()));
        }
        self.note(proofs, trust, self.most);
    }

    /// Waits for all, and notes them.
    pub fn finish(&mut self, proofs: &Proofs, trust: &Trust) {
        self.note(proofs, trust, 0);
    }

    /// Notes those whose time has come, and waits for it where more than `keep` are held.
    fn note(&mut self, proofs: &Proofs, trust: &Trust, keep: usize) {
        while let Some((_, after, ..)) = self.files.front() {
            if !proofs.is_past(after.ctime) {
                if self.files.len() <= keep {
                    return;
                }
                std::thread::sleep(Duration::from_nanos(u64::try_from(proofs.tick).unwrap_or(0)));
                if after.ctime > clock::coarse_ns().saturating_add(TICKS * proofs.tick) {
                    // The clock was set back: its time does not come.
                    self.files.pop_front();
                }
                continue;
            }
            let Some((sealed, after, label)) = self.files.pop_front() else { return };
            if sealed.lease.is_intact() && matches!(facts(sealed.file()), Ok(Some(now)) if now == after) {
                proofs.note(&after, &label, trust);
            }
        }
    }
}

#[cfg(test)]
#[path = "proofs_tests.rs"]
mod tests;
