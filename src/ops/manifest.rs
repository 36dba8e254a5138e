//! The boot-critical manifest: read, made from what a boot needs, written.
#![forbid(unsafe_code)]

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::OFlags;

use super::boot_files::{BootFile, BootFiles};
use crate::model::label::Label;
use crate::model::manifest::{Entry, LIMIT, Manifest, PATH};
use crate::model::plan::{self, Facts, State};
use crate::model::report::Problem;
use crate::model::verify::{Trust, Verifier};
use crate::sys::file::{Identity, OpenError, OpenFile};
use crate::sys::proofs::{self, Proofs, Sighting};
use crate::sys::root::Root;
use crate::sys::state_dir;

/// The command that makes the manifest anew.
const MAKE: &str = "imactl check --next-boot";
/// A file that keeps changing is given up after so many tries.
const TRIES: usize = 3;

/// The manifest of a root; `None` where it has none.
pub fn read(root: &Root) -> Result<Option<Manifest>, Problem> {
    let bytes = match root.read(PATH, LIMIT) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Problem::new(format!("{PATH}: {error}"), MAKE)),
    };
    Manifest::parse(&bytes).map(Some).map_err(|error| Problem::new(format!("{PATH}: {error}"), MAKE))
}

/// Looks at each file, and notes its label where that verifies against its content with one of these certificates. A
/// label that does not is not noted: nothing vouches for what the file held then.
///
/// Of the running system what was proven before is not hashed again, and what is proven here is remembered
/// (`docs/proofs.md`).
pub fn make(root: &Root, trust: &Trust, files: &BootFiles) -> (Manifest, Vec<Problem>) {
    let (proofs, mut problems) = Proofs::open(root);
    let (manifest, found) = make_with(root, trust, files, &proofs);
    problems.extend(found);
    (manifest, problems)
}

fn make_with(root: &Root, trust: &Trust, files: &BootFiles, proofs: &Proofs) -> (Manifest, Vec<Problem>) {
    let mut problems = Vec::new();
    let next = AtomicUsize::new(0);
    let look = || {
        let mut looker = Looker::new(root, trust, proofs);
        while let Some(file) = files.files.get(next.fetch_add(1, Ordering::Relaxed)) {
            looker.look(file);
        }
        (looker.entries, looker.problems)
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let found: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(look)).collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    let mut entries = Vec::with_capacity(files.files.len());
    for thread in found {
        match thread {
            Ok((of_thread, problems_of_thread)) => {
                entries.extend(of_thread);
                problems.extend(problems_of_thread);
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    if let Err(error) = proofs.save(false) {
        let folder = state_dir::FOLDER;
        let what = format!("what was verified cannot be remembered in {folder}: {error}");
        problems.push(Problem::new(what, format!("findmnt -T {folder}; df -h {folder}")));
    }
    // Threads end in any order.
    problems.sort_by(|a, b| a.what.cmp(&b.what));
    (Manifest::new(entries), problems)
}

/// Writes a manifest, so that it is whole or the old one; false where it is there already.
pub fn write(root: &Root, manifest: &Manifest) -> Result<bool, Problem> {
    let bytes = manifest.to_bytes();
    if root.read(PATH, LIMIT).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    let (folder, _) = PATH.rsplit_once('/').unwrap_or(("/", PATH));
    let shown = || root.path().join(Path::new(folder).strip_prefix("/").unwrap_or(Path::new(folder)));
    state_dir::replace(root, PATH, &bytes).map(|()| true).map_err(|error| {
        let shown = shown();
        Problem::new(
            format!("the manifest cannot be written to {}: {error}", shown.display()),
            format!("findmnt -T {0}; df -h {0}", shown.display()),
        )
    })
}

/// Looks at files for one thread.
struct Looker<'a> {
    root: &'a Root,
    trust: &'a Trust,
    proofs: &'a Proofs,
    verifier: Verifier<'a>,
    entries: Vec<Entry>,
    problems: Vec<Problem>,
}

impl<'a> Looker<'a> {
    fn new(root: &'a Root, trust: &'a Trust, proofs: &'a Proofs) -> Self {
        let verifier = trust.quick_verifier().knowing(proofs);
        Self { root, trust, proofs, verifier, entries: Vec::new(), problems: Vec::new() }
    }

    fn look(&mut self, file: &BootFile) {
        match self.entry(file) {
            Ok(entry) => self.entries.push(entry),
            Err(why) => {
                let path = String::from_utf8_lossy(&file.path);
                let what = format!("{path} ({}): {why}; it is not in the manifest", file.why);
                self.problems.push(Problem::new(what, MAKE));
            }
        }
    }

    fn entry(&mut self, wanted: &BootFile) -> Result<Entry, String> {
        let entry = |identity: &Identity, label| Entry {
            path: wanted.path.clone(),
            uses: wanted.uses,
            core: wanted.core,
            needed: wanted.needed,
            size: identity.size,
            mtime: identity.mtime,
            label,
        };
        let mut file = match OpenFile::open(self.root, &wanted.path) {
            Ok(file) => file,
            // The kernel denies it: it has no label that verifies.
            Err(OpenError::Io(error)) if error.raw_os_error() == Some(libc::EACCES) => {
                let identity = sealed(self.root, &wanted.path).map_err(|error| error.to_string())?;
                return Ok(entry(&identity, None));
            }
            Err(error) => return Err(error.to_string()),
        };
        for _ in 0..TRIES {
            let label = self.verified(&mut file).map_err(|error| error.to_string())?;
            if file.identity().map_err(|error| error.to_string())? == *file.opened() {
                return Ok(entry(file.opened(), label));
            }
            file.look_again().map_err(|error| error.to_string())?;
        }
        Err("it changes while it is read".to_owned())
    }

    /// The label of an open file, if it verifies.
    fn verified(&mut self, file: &mut OpenFile) -> io::Result<Option<Vec<u8>>> {
        // First what the file is, then its label: a change in between shows in the times.
        let known = proofs::facts(&*file)?.filter(|facts| self.proofs.knows(facts));
        let sight = if known.is_none() { Sighting::begin(self.proofs, file) } else { None };
        let label = match file.label() {
            Ok(Some(label)) => label,
            Ok(None) => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(None),
            Err(error) => return Err(error),
        };
        if let Some(facts) = known {
            if self.proofs.holds(&facts, &label, self.trust) {
                return Ok(Some(label));
            }
            self.proofs.forget(&facts);
        }
        let facts = Facts { packaged: None, label: Some(&label) };
        let judged = plan::judge(&facts, &mut self.verifier, file).map_err(io::Error::other)?;
        if judged.state != State::Good {
            return Ok(None);
        }
        if let Some(digest) = signed(file, &label) {
            self.proofs.prove(&label, self.trust, &digest);
            if let Some(facts) = sight.and_then(|sight| sight.confirm(file)) {
                self.proofs.note(&facts, &label, self.trust);
            }
        }
        Ok(Some(label))
    }
}

/// The digest that a label signs, where the file was hashed so.
fn signed(file: &OpenFile, label: &[u8]) -> Option<Vec<u8>> {
    let Ok(Label::Signature(signature)) = Label::parse(label) else { return None };
    file.known_digest(signature.hash_algo()?).map(<[u8]>::to_vec)
}

/// What a file is that may not be opened.
fn sealed(root: &Root, path: &[u8]) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;
    let fd = root.open_with(path, OFlags::PATH | OFlags::NOFOLLOW)?;
    let metadata = std::fs::metadata(Root::fd_path(&fd))?;
    Ok(Identity {
        dev: metadata.dev(),
        ino: metadata.ino(),
        size: metadata.len(),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        mode: metadata.mode(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use inotify::{Inotify, WatchMask};
    use openssl::ec::{EcGroup, EcKey};
    use openssl::nid::Nid;
    use openssl::pkey::PKey;
    use openssl::pkey_ctx::PkeyCtx;

    use super::*;
    use crate::model::algo::HashAlgo;
    use crate::model::cert::self_signed_for_tests;
    use crate::model::manifest::Use;
    use crate::model::verify::digest;
    use crate::sys::state_dir::StateDir;

    /// A certificate, and the label of these bytes by its key.
    fn signed_content(content: &[u8]) -> (Trust, Vec<u8>) {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut signer = PkeyCtx::new(&key).unwrap();
        signer.sign_init().unwrap();
        let mut signature = Vec::new();
        signer.sign_to_vec(&digest(HashAlgo::Sha256, content).unwrap(), &mut signature).unwrap();
        let certificate = self_signed_for_tests("a key", &key);
        let length = u16::try_from(signature.len()).unwrap();
        let id = certificate.key_id().unwrap().0;
        let label = [&[3, 2, 4][..], &id.to_be_bytes(), &length.to_be_bytes(), &signature].concat();
        (Trust::new([certificate]), label)
    }

    #[test]
    fn what_is_proven_is_not_read_again() {
        let dir = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "content").unwrap();
        let (trust, label) = signed_content(b"content");
        OpenFile::open(&root, b"/file").unwrap().set_label(&label).unwrap();
        let file =
            BootFile { path: b"/file".into(), uses: Use::Program.into(), core: true, needed: true, why: String::new() };
        let files = BootFiles { files: vec![file], problems: Vec::new() };
        // Some ticks of the kernel's clock after the label was written.
        std::thread::sleep(Duration::from_millis(100));

        let mut inotify = Inotify::init().unwrap();
        inotify.watches().add(&path, WatchMask::ACCESS).unwrap();
        let mut was_read = || match inotify.read_events(&mut [0; 4096]) {
            Ok(events) => events.count() > 0,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                false
            }
        };
        let mut make = || {
            let (proofs, none) = Proofs::open_at(Some(StateDir::create(&root).unwrap()));
            let (manifest, problems) = make_with(&root, &trust, &files, &proofs);
            assert_eq!((none, problems), (Vec::new(), Vec::new()));
            (manifest.entries()[0].label.clone(), was_read())
        };
        assert_eq!(make(), (Some(label.clone()), true));
        assert_eq!(make(), (Some(label), false));
        std::fs::write(&path, "CONTENT").unwrap();
        assert_eq!(make(), (None, true));
    }
}
