//! Saved machines, and guests that many tests start from.
//!
//! Under QEMU a guest's memory is a file, so a saved machine is a copy of that file and of its disks, and the half megabyte
//! that QEMU writes of all the rest: saving and restoring take a fraction of a second. Copies of a machine have its boot id
//! and go on from its clock. Under user-mode Linux it is the disks alone, and every copy boots.

use std::env;
use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::SystemTime;

use super::disk;
use super::folder::Folder;
use super::guest::{CHANGED, Failure, Guest, must};
use super::machine::CONSOLE;
use super::setup::{Kind, Setup};

/// A complete machine at one moment. Copies of this value are the same saved machine.
#[derive(Clone)]
pub(crate) struct State(Rc<Saved>);

struct Saved {
    setup: Setup,
    place: Place,
    /// The saved machine that this one's disks read through to.
    _origin: Option<State>,
}

enum Place {
    Temporary(Folder),
    Kept(PathBuf),
}

impl State {
    fn new(setup: &Setup, place: Place, origin: Option<Self>) -> Self {
        Self(Rc::new(Saved { setup: setup.clone(), place, _origin: origin }))
    }

    pub(super) fn setup(&self) -> &Setup {
        &self.0.setup
    }

    pub(super) fn folder(&self) -> &Path {
        match &self.0.place {
            Place::Temporary(folder) => folder.path(),
            Place::Kept(folder) => folder,
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Saves a guest into a folder that goes with the state.
    pub(super) fn save(guest: &Guest) -> Result<Self, Failure> {
        if guest.setup.firmware.is_some() {
            return Err(guest.failure("saving: the flash of a machine with EFI firmware is not saved"));
        }
        let folder = Folder::new().map_err(|error| guest.failure(&format!("saving: {error}")))?;
        Self::write(guest, folder.path())?;
        Ok(Self::new(&guest.setup, Place::Temporary(folder), guest.origin.clone()))
    }

    fn write(guest: &Guest, folder: &Path) -> Result<(), Failure> {
        let copy = |name: &str| disk::copy_sparse(&guest.path(name), &folder.join(name));
        guest.with("saving", |machine| {
            machine.qmp()?.save(&folder.join("state"))?;
            (0..=guest.setup.disks.len()).try_for_each(|number| copy(&format!("disk{number}")))?;
            copy(CONSOLE)?;
            copy("ram")?;
            if guest.path(CHANGED).exists() {
                copy(CHANGED)?;
            }
            machine.qmp()?.resume()
        })
    }

    /// Keeps the disks of a guest that is shut down for it.
    fn write_disks(guest: &Guest, folder: &Path) -> Result<(), Failure> {
        guest.shutdown();
        let disks = (0..=guest.setup.disks.len()).map(|number| format!("disk{number}"));
        let root = guest.path(CHANGED).exists().then(|| CHANGED.to_owned());
        for name in disks.chain(root) {
            disk::copy_sparse(&guest.path(&name), &folder.join(&name)).map_err(Failure)?;
        }
        Ok(())
    }
}

/// The name of something that is awaited, and how.
type Ready = (&'static str, fn(&Guest));

/// A guest that tests start from. It boots once; every test gets a copy of its own: under QEMU the machine as it was when
/// its boot had ended, under user-mode Linux one that has booted from the disks as they were then.
///
/// ```ignore
/// static TRUSTED: Shared = Shared::new(Setup::trusted);
/// let guest = TRUSTED.guest();
/// ```
pub(crate) struct Shared {
    setup: fn() -> Setup,
    /// What is awaited after the boot, by its name: a saved machine is found again by it.
    ready: Option<Ready>,
    saved: OnceLock<Result<(Setup, PathBuf), Failure>>,
}

impl Shared {
    /// A guest that is booted when the first test asks for it.
    pub(crate) const fn new(setup: fn() -> Setup) -> Self {
        Self { setup, ready: None, saved: OnceLock::new() }
    }

    /// Awaits something more than the end of the boot before the machine is saved.
    pub(crate) const fn once(mut self, name: &'static str, ready: fn(&Guest)) -> Self {
        self.ready = Some((name, ready));
        self
    }

    /// A copy of the guest, as it was at the end of its boot.
    #[track_caller]
    pub(crate) fn guest(&self) -> Guest {
        // One failure is enough: the next test need not wait for the same boot in vain.
        match self.saved.get_or_init(|| self.prepare((self.setup)())) {
            Ok((setup, folder)) => {
                let state = State::new(setup, Place::Kept(folder.clone()), None);
                if setup.kind() == Kind::Qemu {
                    return Guest::restore(&state);
                }
                let guest = must(Guest::with_disks_of(&state));
                guest.start();
                guest
            }
            Err(failure) => panic!("{failure}"),
        }
    }

    /// Finds the saved machine of an earlier run or makes it.
    fn prepare(&self, setup: Setup) -> Result<(Setup, PathBuf), Failure> {
        let cache = cache();
        let folder = cache
            .join(format!("state-{}", fingerprint(&setup, self.ready.map_or("", |(name, _)| name)).map_err(Failure)?));
        let failed = |error: std::io::Error| Failure(format!("{}: {error}", folder.display()));
        fs::create_dir_all(&cache).map_err(failed)?;
        // Whoever comes second waits and finds it done; who makes another machine is not waited for.
        let lock = File::create(lock_of(&folder)).map_err(failed)?;
        lock.lock().map_err(failed)?;
        if folder.exists() {
            File::open(&folder).and_then(|file| file.set_modified(SystemTime::now())).map_err(failed)?;
            return Ok((setup, folder));
        }
        prune(&cache).map_err(failed)?;
        let partial = folder.with_extension("partial");
        // What a killed run left half done.
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(failed)?;
        }
        fs::create_dir(&partial).map_err(failed)?;
        let guest = Guest::try_boot(setup.clone())?;
        if let Some((_, ready)) = self.ready {
            ready(&guest);
        }
        match guest.kind() {
            Kind::Uml => State::write_disks(&guest, &partial)?,
            Kind::Qemu => State::write(&guest, &partial)?,
        }
        fs::rename(&partial, &folder).map_err(failed)?;
        Ok((setup, folder))
    }
}

/// Where saved machines lie, beside the images (`tests/guest/images/cache.sh`).
fn cache() -> PathBuf {
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache/imad");
    env::var_os("IMAD_CACHE").map_or_else(home, PathBuf::from)
}

/// Everything that a saved machine depends on: QEMU, how it is called, the setup, and the images' identities.
fn fingerprint(setup: &Setup, ready: &str) -> Result<String, String> {
    let mut recipe = match setup.kind() {
        Kind::Uml => include_str!("uml.rs").to_owned(),
        Kind::Qemu => disk::host("qemu-system-x86_64", &["--version"])? + include_str!("qemu.rs"),
    };
    recipe.push_str(include_str!("machine.rs"));
    recipe.push_str(include_str!("state.rs"));
    write!(recipe, "{setup:?} {ready}").map_err(|error| error.to_string())?;
    let kernel = setup.kernel_file();
    for image in [&kernel, &setup.root].into_iter().chain(&setup.initrd).chain(&setup.disks) {
        let metadata = fs::metadata(image).map_err(|error| format!("{}: {error}", image.display()))?;
        write!(recipe, "{} {:?}", metadata.len(), metadata.modified()).map_err(|error| error.to_string())?;
    }
    let digest = openssl::sha::sha256(recipe.as_bytes());
    let (head, _) = digest.split_first_chunk().ok_or("a digest has more bytes")?;
    Ok(format!("{:016x}", u64::from_be_bytes(*head)))
}

/// Makes room: keeps the machines used last and throws away what a killed run left half done.
fn prune(cache: &Path) -> std::io::Result<()> {
    let mut saved = Vec::new();
    for entry in fs::read_dir(cache)? {
        let (path, metadata) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.starts_with("state-") || !metadata.is_dir() {
            continue;
        }
        if !name.ends_with(".partial") {
            saved.push((metadata.modified()?, path));
        } else if File::create(lock_of(&path.with_extension("")))?.try_lock().is_ok() {
            fs::remove_dir_all(path)?;
        }
    }
    saved.sort();
    saved.iter().rev().skip(KEPT).try_for_each(|(_, folder)| fs::remove_dir_all(folder))
}

/// The file that is locked by whoever makes this machine.
fn lock_of(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.lock"))
}

/// How many saved machines stay in the cache.
const KEPT: usize = 16;
