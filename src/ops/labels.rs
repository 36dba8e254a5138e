//! Labelling and checking: every packaged file, judged and written through one descriptor.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::config::Labels;
use crate::model::explain::next_step;
use crate::model::label::KeyId;
use crate::model::plan::{self, Facts, Judged, Packaged, State};
use crate::model::report::{FileReport, LabelReport, Problem, VERSION};
use crate::model::rpm::{Package, PackagedFile};
use crate::model::verify::Trust;
use crate::sys::clock;
use crate::sys::file::{Identity, OpenError, OpenFile};
use crate::sys::root::Root;
use crate::sys::rpmdb::{Database, DbError, Index};

/// Which files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every packaged file.
    All,
    /// The files of the packages with these names.
    Packages(Vec<String>),
    /// The files of the packages with these header numbers.
    Numbers(Vec<i64>),
    /// These files, and the packaged files below these folders.
    Paths(Vec<Vec<u8>>),
}

/// A run over labels.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The root.
    pub root: &'a Root,
    /// Which labels are ours to write.
    pub rules: &'a Labels,
    /// The certificates that count.
    pub trust: &'a Trust,
    /// Which files.
    pub selection: &'a Selection,
    /// Write what is missing, stale or a mere hash; else only look.
    pub write: bool,
}

/// How far a run is, shared with those who watch or cancel it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Files to do, as far as known.
    pub total: AtomicU64,
    /// Files done.
    pub done: AtomicU64,
    /// Bytes hashed, in the middle of a file too.
    pub bytes: Arc<AtomicU64>,
    /// Set it to stop the run between two files.
    pub cancel: AtomicBool,
}

/// Why a run could not be made at all.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The package database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// A package that is asked for is not installed.
    #[error("package {0} is not installed")]
    NoSuchPackage(String),
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl RunError {
    /// The step that mends it.
    pub fn next_step(&self) -> String {
        match self {
            Self::Database(error) => error.next_step(),
            Self::NoSuchPackage(name) => format!("rpm -q {name}"),
            Self::Cancelled => String::new(),
        }
    }
}

/// Files that a report lists at most.
pub const LISTED: usize = 1000;
/// Files handed to a worker at a time: small enough to spread one large package over all cores.
const BATCH: usize = 32;
/// A file that keeps changing is given up after so many tries.
const TRIES: usize = 3;

/// One package's part of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageLabels {
    /// Its header's number in the database.
    pub number: i64,
    /// `NAME-[EPOCH:]VERSION-RELEASE.ARCH`
    pub nevra: String,
    /// Its name.
    pub name: String,
    /// Its files by the state of their label, after writing.
    pub by_state: BTreeMap<State, u64>,
    /// Labels written.
    pub written: u64,
    /// Programs and libraries that are [unsigned](State::Unsigned).
    pub unsigned_programs: u64,
    /// Programs and libraries that are [signed by an unknown key](State::UntrustedKey), and one such key.
    pub foreign_programs: (u64, Option<KeyId>),
}

/// What a run brings to light.
#[derive(Debug, Default)]
struct Collected {
    report: LabelReport,
    packages: Vec<PackageLabels>,
}

struct Batch {
    /// Place among the collected packages.
    place: usize,
    package: Arc<str>,
    name: Arc<str>,
    files: Vec<PackagedFile>,
}

/// Makes a run. Files that no package owns are reported only where `Selection::Paths` names them.
pub fn run(request: &Request<'_>, progress: &Progress) -> Result<LabelReport, RunError> {
    run_by_package(request, progress).map(|(report, _)| report)
}

/// Makes a run, and says what it found in each package of which files were looked at.
pub fn run_by_package(
    request: &Request<'_>,
    progress: &Progress,
) -> Result<(LabelReport, Vec<PackageLabels>), RunError> {
    let begin = clock::since_boot_us();
    let database = Database::open(request.root)?;
    let numbers = numbers(&database, request)?;
    let collected = Mutex::new(Collected::default());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let (sender, receiver) = sync_channel::<Batch>(2 * workers);
    let receiver = Mutex::new(receiver);

    let read = std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| work(request, &receiver, &collected, progress));
        }
        let read = feed(&database, request, &numbers, sender, &collected, progress);
        if read.is_err() {
            progress.cancel.store(true, Ordering::Relaxed);
        }
        read
    });
    read?;
    if progress.cancel.load(Ordering::Relaxed) {
        return Err(RunError::Cancelled);
    }
    let Collected { mut report, packages } = collected.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.version = VERSION;
    report.files.sort_by(|a, b| a.path.cmp(&b.path));
    report.counts.packages = numbers.len() as u64;
    report.counts.counted_time_us = clock::wall_us();
    report.counts.duration_us = clock::since_boot_us() - begin;
    Ok((report, packages))
}

/// The header numbers of the packages that a request is about.
fn numbers(database: &Database, request: &Request<'_>) -> Result<Vec<i64>, RunError> {
    match request.selection {
        Selection::All => Ok(database.numbers()?),
        Selection::Numbers(numbers) => Ok(numbers.clone()),
        Selection::Packages(names) => {
            let mut found = BTreeSet::new();
            for name in names {
                let numbers = database.numbers_by(Index::Name, name.as_bytes())?;
                if numbers.is_empty() {
                    return Err(RunError::NoSuchPackage(name.clone()));
                }
                found.extend(numbers);
            }
            Ok(found.into_iter().collect())
        }
        Selection::Paths(paths) => {
            let mut found = BTreeSet::new();
            for path in paths {
                if is_folder(request.root, path) {
                    return Ok(database.numbers()?);
                }
                let base = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
                found.extend(database.numbers_by(Index::BaseName, base)?);
            }
            Ok(found.into_iter().collect())
        }
    }
}

fn is_folder(root: &Root, path: &[u8]) -> bool {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
    root.open_with(path, flags).is_ok()
}

/// What `Selection::Paths` picks, resolved once: a package may name a file by another path than the user does
/// (`/bin/ip` and `/usr/bin/ip`), so files are told by device and inode.
enum Picked {
    Every,
    These { files: Vec<(Vec<u8>, Option<Inode>)>, folders: Vec<Vec<u8>> },
}

/// Device and inode number.
type Inode = (u64, u64);

impl Picked {
    fn new(request: &Request<'_>) -> Self {
        let Selection::Paths(paths) = request.selection else { return Self::Every };
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for path in paths {
            if is_folder(request.root, path) {
                let mut folder = path.clone();
                if !folder.ends_with(b"/") {
                    folder.push(b'/');
                }
                folders.push(folder);
            } else {
                files.push((path.clone(), inode(request.root, path)));
            }
        }
        Self::These { files, folders }
    }

    fn has(&self, root: &Root, file: &PackagedFile) -> bool {
        let Self::These { files, folders } = self else { return true };
        if folders.iter().any(|folder| file.path.starts_with(folder)) {
            return true;
        }
        let base = |path: &[u8]| path.rsplit(|&byte| byte == b'/').next().map(<[u8]>::to_vec);
        files.iter().any(|(path, node)| {
            *path == file.path || (base(path) == base(&file.path) && node.is_some() && *node == inode(root, &file.path))
        })
    }
}

fn inode(root: &Root, path: &[u8]) -> Option<Inode> {
    let file = OpenFile::open(root, path).ok()?;
    file.identity().ok().map(|identity| (identity.dev, identity.ino))
}

/// Reads the packages and hands their files out; the workers end when the sender is dropped here.
#[expect(clippy::needless_pass_by_value, reason = "dropping the sender ends the workers")]
fn feed(
    database: &Database,
    request: &Request<'_>,
    numbers: &[i64],
    sender: SyncSender<Batch>,
    collected: &Mutex<Collected>,
    progress: &Progress,
) -> Result<(), RunError> {
    let picked = Picked::new(request);
    let mut owned = BTreeSet::new();
    for &number in numbers {
        if progress.cancel.load(Ordering::Relaxed) {
            return Ok(());
        }
        // A package that went away since its number was read has no files to label.
        let Some(blob) = database.header(number)? else { continue };
        let package = match Package::parse(&blob) {
            Ok(package) => package,
            Err(error) => {
                let what = format!("{}: header {number}: {error}", database.path());
                lock(collected).report.problems.push(Problem::new(what, "rpmdb --verifydb; rpmdb --rebuilddb"));
                continue;
            }
        };
        let Package { name, nevra, files, .. } = package;
        let files = files
            .into_iter()
            .filter(|file| file.is_regular() && file.is_installed() && picked.has(request.root, file))
            .collect::<Vec<_>>();
        if let Picked::These { files: wanted, .. } = &picked {
            let is_owned = |path: &[u8], node: &Option<Inode>| {
                files.iter().any(|file| file.path == path || node.is_some() && *node == inode(request.root, &file.path))
            };
            owned.extend(wanted.iter().filter(|(path, node)| is_owned(path, node)).map(|(path, _)| path.clone()));
        }
        if files.is_empty() && !matches!(picked, Picked::Every) {
            continue;
        }
        progress.total.fetch_add(files.len() as u64, Ordering::Relaxed);
        let place = collect_package(collected, number, &name, &nevra);
        let (name, nevra): (Arc<str>, Arc<str>) = (name.into(), nevra.into());
        for batch in files.chunks(BATCH) {
            let batch = Batch { place, package: nevra.clone(), name: name.clone(), files: batch.to_vec() };
            if sender.send(batch).is_err() {
                return Ok(());
            }
        }
    }
    if let Picked::These { files, .. } = &picked {
        for (path, _) in files.iter().filter(|(path, _)| !owned.contains(path)) {
            let done = label(request, path, None);
            record(collected, path, &done, None, true);
        }
    }
    Ok(())
}

fn lock(collected: &Mutex<Collected>) -> std::sync::MutexGuard<'_, Collected> {
    collected.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A worker: takes batches until there are none.
fn work(request: &Request<'_>, receiver: &Mutex<Receiver<Batch>>, collected: &Mutex<Collected>, progress: &Progress) {
    let every = matches!(request.selection, Selection::Paths(_));
    loop {
        let batch = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = batch else { return };
        for file in &batch.files {
            if progress.cancel.load(Ordering::Relaxed) {
                continue; // drain, so that the reader is not left waiting
            }
            let done = label_metered(request, &file.path, Some(file), Some(&progress.bytes));
            progress.done.fetch_add(1, Ordering::Relaxed);
            record(collected, &file.path, &done, Some((&batch, file)), every);
        }
    }
}

/// Makes a package's place among the collected ones.
fn collect_package(collected: &Mutex<Collected>, number: i64, name: &str, nevra: &str) -> usize {
    let mut collected = lock(collected);
    collected.packages.push(PackageLabels {
        number,
        nevra: nevra.to_owned(),
        name: name.to_owned(),
        by_state: BTreeMap::new(),
        written: 0,
        unsigned_programs: 0,
        foreign_programs: (0, None),
    });
    collected.packages.len() - 1
}

fn record(
    collected: &Mutex<Collected>,
    path: &[u8],
    done: &Done,
    packaged: Option<(&Batch, &PackagedFile)>,
    list_all: bool,
) {
    let mut collected = lock(collected);
    let state = done.judged.state;
    if let Some((batch, file)) = packaged
        && let Some(package) = collected.packages.get_mut(batch.place)
    {
        *package.by_state.entry(state).or_insert(0) += 1;
        package.written += u64::from(done.written);
        match state {
            State::Unsigned if file.is_program() => package.unsigned_programs += 1,
            State::UntrustedKey if file.is_program() => {
                package.foreign_programs.0 += 1;
                package.foreign_programs.1 = package.foreign_programs.1.or(done.judged.key_id);
            }
            _ => {}
        }
    }
    let report = &mut collected.report;
    report.counts.files += 1;
    report.counts.written += u64::from(done.written);
    *report.counts.by_state.entry(state).or_insert(0) += 1;
    let listed = list_all || state.is_denied() || matches!(state, State::Unreadable | State::Unsupported);
    if listed && report.files.len() < LISTED {
        let path = String::from_utf8_lossy(path).into_owned();
        report.files.push(FileReport {
            next: next_step(&path, &done.judged, packaged.map(|(batch, _)| &*batch.name)),
            path,
            state,
            reason: done.judged.reason.clone(),
            package: packaged.map(|(batch, _)| batch.package.to_string()),
            key_id: done.judged.key_id.map(|id| id.to_string()),
            written: done.written,
        });
    }
}

/// What became of one file.
#[derive(Debug)]
pub struct Done {
    /// State and reason, after writing.
    pub judged: Judged,
    /// A label was written.
    pub written: bool,
    /// Bytes hashed.
    pub hashed: u64,
}

impl Done {
    fn new(state: State, reason: impl Into<String>) -> Self {
        Self { judged: Judged { state, reason: reason.into(), key_id: None }, written: false, hashed: 0 }
    }
}

/// Judges one file and, where the request says so and its state asks for it, writes its label.
pub fn label(request: &Request<'_>, path: &[u8], packaged: Option<&PackagedFile>) -> Done {
    label_metered(request, path, packaged, None)
}

fn label_metered(
    request: &Request<'_>,
    path: &[u8],
    packaged: Option<&PackagedFile>,
    meter: Option<&Arc<AtomicU64>>,
) -> Done {
    if request.rules.excludes(path) {
        return Done::new(State::Excluded, "labels.exclude in imad.toml names it");
    }
    if packaged.is_some_and(PackagedFile::is_plain_config) && !request.rules.config_files {
        return Done::new(State::Excluded, "a configuration file (labels.config_files in imad.toml is false)");
    }
    let mut file = match OpenFile::open(request.root, path) {
        Ok(file) => file.metered(meter.cloned()),
        Err(OpenError::Absent) => return Done::new(State::Absent, "it is not there"),
        Err(OpenError::NotRegular) => return Done::new(State::Modified, "something else than a regular file is there"),
        Err(OpenError::Io(error)) => return Done::new(State::Unreadable, format!("opening it failed: {error}")),
    };
    for _ in 0..TRIES {
        match attempt(request, &mut file, packaged) {
            Ok(Some(done)) => return Done { hashed: file.hashed(), ..done },
            Ok(None) => file.forget_digests(),
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                return Done::new(State::Excluded, "its file system has no extended attributes");
            }
            Err(error) => return Done::new(State::Unreadable, error.to_string()),
        }
    }
    Done::new(State::Unreadable, "it changes while it is read; its label will be judged when it rests")
}

/// One try. `None`: the file changed meanwhile, nothing was left written.
fn attempt(request: &Request<'_>, file: &mut OpenFile, packaged: Option<&PackagedFile>) -> io::Result<Option<Done>> {
    let before = file.identity()?;
    let old = file.label()?;
    let evm_type = file.evm_type()?;
    let facts = Facts {
        packaged: packaged.map(|packaged| Packaged {
            signature: packaged.signature.as_deref(),
            digest: packaged.digest.as_ref().map(|(algo, digest)| (*algo, &digest[..])),
        }),
        label: old.as_deref(),
        evm_type,
        immutable: file.immutable(),
    };
    let judged = plan::judge(&facts, request.trust, file).map_err(io::Error::other)?;
    if changed(file, &before)? {
        return Ok(None);
    }
    let signature = packaged.and_then(|packaged| packaged.signature.as_deref());
    let (Some(signature), true) = (signature, request.write && judged.state.is_written()) else {
        return Ok(Some(Done { judged, written: false, hashed: 0 }));
    };
    if let Err(error) = file.set_label(signature) {
        let reason = format!("{}; writing the label failed: {error}{}", judged.reason, why_not_written(&error));
        return Ok(Some(Done { judged: Judged { reason, ..judged }, written: false, hashed: 0 }));
    }
    if changed(file, &before)? {
        // What was verified is no longer what is there: the old label comes back.
        match old {
            Some(old) => file.set_label(&old)?,
            None => file.remove_label()?,
        }
        return Ok(None);
    }
    let reason = format!("{}; written", judged.reason);
    Ok(Some(Done { judged: Judged { state: State::Good, reason, ..judged }, written: true, hashed: 0 }))
}

fn changed(file: &OpenFile, before: &Identity) -> io::Result<bool> {
    Ok(file.identity()? != *before)
}

fn why_not_written(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EROFS) => " (mount it read-write, or label the image where it is built)",
        Some(libc::ENOSPC | libc::EDQUOT) => " (a label may take a block of its own: free some space)",
        Some(libc::EPERM) => " (root of the initial user namespace is needed, and EVM may forbid it)",
        Some(libc::EACCES) => " (a SETXATTR_CHECK rule or an unavailable hash algorithm)",
        _ => "",
    }
}
