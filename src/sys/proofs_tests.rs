#![forbid(unsafe_code)]

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::PKey;

use super::*;
use crate::model::cert::self_signed_for_tests;

/// A folder on the checkout's own file system: /tmp may be a tmpfs, whose times are not believed.
struct Place {
    dir: tempfile::TempDir,
    root: Root,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("file"), "content").unwrap();
        Self { dir, root }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("file")
    }

    fn file(&self) -> OpenFile {
        OpenFile::open(&self.root, b"/file").unwrap()
    }

    fn proofs(&self) -> Proofs {
        let (proofs, problems) = Proofs::open_at(Some(StateDir::create(&self.root).unwrap()));
        assert_eq!(problems, []);
        proofs
    }
}

/// Waits until the clock has left a file's time behind. Since Linux 6.13 that time may be finer than the clock, and a tick or
/// two ahead of it (Documentation/filesystems/multigrain-ts.rst).
fn wait(proofs: &Proofs) {
    let end = clock::coarse_ns() + 5 * proofs.tick;
    while clock::coarse_ns() < end {
        std::thread::sleep(Duration::from_nanos(u64::try_from(proofs.tick).unwrap()));
    }
}

/// A certificate, and the label of a signature that names its key; whether it verifies does not matter here.
fn signed() -> (Trust, Vec<u8>) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let certificate = self_signed_for_tests("a key", &key);
    let label = [&[3, 2, 4][..], &certificate.key_id().unwrap().0.to_be_bytes(), &[0, 1, 9]].concat();
    (Trust::new([certificate]), label)
}

/// Remembers the file and reads the store again.
fn remember(place: &Place, trust: &Trust, label: &[u8]) -> Proofs {
    let proofs = place.proofs();
    wait(&proofs);
    let file = place.file();
    let sighting = Sighting::begin(&proofs, &file).unwrap();
    proofs.note(&sighting.confirm(&file).unwrap(), label, trust);
    proofs.save(false).unwrap();
    place.proofs()
}

impl Place {
    fn is_remembered(&self, proofs: &Proofs, trust: &Trust, label: &[u8]) -> bool {
        let facts = facts(self.file()).unwrap().unwrap();
        assert_eq!(facts_at(self.path().as_os_str().as_bytes()), Some(facts));
        proofs.holds(&facts, label, trust)
    }
}

#[test]
fn a_file_is_remembered_until_anything_changes() {
    let (place, (trust, label)) = (Place::new(), signed());
    let proofs = remember(&place, &trust, &label);
    assert!(place.is_remembered(&proofs, &trust, &label));
    assert!(!place.is_remembered(&proofs, &Trust::default(), &label));
    assert!(!place.is_remembered(&proofs, &trust, &[&label[..], &[0]].concat()));
    // Content of the same length, and the old time of it: the time of the change tells.
    let modified = std::fs::metadata(place.path()).unwrap().modified().unwrap();
    std::fs::write(place.path(), "CONTENT").unwrap();
    std::fs::File::options().write(true).open(place.path()).unwrap().set_modified(modified).unwrap();
    assert!(!place.is_remembered(&proofs, &trust, &label));
    // So does a label that is written or removed.
    let proofs = remember(&place, &trust, &label);
    place.file().set_label(&label).unwrap();
    assert!(!place.is_remembered(&proofs, &trust, &label));
    let proofs = remember(&place, &trust, &label);
    assert!(place.is_remembered(&proofs, &trust, &label));
    place.file().remove_label().unwrap();
    assert!(!place.is_remembered(&proofs, &trust, &label));
}

#[test]
fn a_fresh_change_an_open_writer_and_a_foreign_file_system_are_not_remembered() {
    let place = Place::new();
    let proofs = place.proofs();
    std::fs::write(place.path(), "new").unwrap();
    let changed = facts(place.file()).unwrap().unwrap();
    assert!(Sighting::begin(&proofs, &place.file()).is_none() || proofs.is_past(changed.ctime));
    wait(&proofs);
    let file = place.file();
    let sighting = Sighting::begin(&proofs, &file).unwrap();
    let writer = std::fs::File::options().append(true).open(place.path()).unwrap();
    assert!(Sighting::begin(&proofs, &file).is_none());
    assert!(sighting.confirm(&file).is_none());
    assert!(sighting.seal(place.file()).is_err());
    drop(writer);
    assert_eq!(sighting.confirm(&file), Some(*sighting.facts()));

    let other = Root::open(std::path::Path::new("/proc")).unwrap();
    let file = OpenFile::open(&other, b"/version").unwrap();
    assert!(Sighting::begin(&proofs, &file).is_none());
}

#[test]
fn a_file_that_was_just_labelled_ripens() {
    let place = Place::new();
    let proofs = place.proofs();
    wait(&proofs);
    let (trust, label) = signed();
    let mut ripening = Ripening::holding(32);
    let file = place.file();
    let sighting = Sighting::begin(&proofs, &file).unwrap();
    let sealed = sighting.seal(file).unwrap();
    // Our own write of the label does not end the lease.
    sealed.file().set_label(&label).unwrap();
    ripening.push(&proofs, &trust, sealed, &label);
    ripening.finish(&proofs, &trust);
    proofs.save(false).unwrap();
    let proofs = place.proofs();
    assert!(place.is_remembered(&proofs, &trust, &label));

    // Somebody wants to write meanwhile: not remembered, and he waits for moments only.
    wait(&proofs);
    let sighting = Sighting::begin(&proofs, &place.file()).unwrap();
    let sealed = sighting.seal(place.file()).unwrap();
    let other = [&label[..], &label].concat();
    sealed.file().set_label(&other).unwrap();
    let path = place.path();
    let writer = std::thread::spawn(move || std::fs::write(path, "other").unwrap());
    while sealed.lease.is_intact() {
        std::thread::yield_now();
    }
    ripening.push(&proofs, &trust, sealed, &other);
    ripening.finish(&proofs, &trust);
    writer.join().unwrap();
    proofs.save(false).unwrap();
    assert!(!place.is_remembered(&place.proofs(), &trust, &other));
}

#[test]
fn files_of_others_damage_and_other_roots_are_not_believed() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let (trust, label) = signed();
    let proofs = remember(&place, &trust, &label);
    assert_eq!(proofs.len(), (1, 0));
    let store = place.dir.path().join("var/lib/imad").join(VERIFIED);
    assert_eq!(std::fs::metadata(&store).unwrap().permissions().mode() & 0o777, 0o600);
    let open = || Proofs::open_at(Some(StateDir::create(&place.root).unwrap()));
    std::fs::set_permissions(&store, std::fs::Permissions::from_mode(0o620)).unwrap();
    let (proofs, problems) = open();
    assert!(proofs.is_empty() && problems[0].what.contains("others than root may"), "{problems:?}");
    std::fs::set_permissions(&store, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut bytes = std::fs::read(&store).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&store, bytes).unwrap();
    let (proofs, problems) = open();
    assert!(proofs.is_empty() && problems[0].what.contains("damaged"), "{problems:?}");

    let (proofs, problems) = Proofs::open(&place.root);
    assert!(proofs.is_empty() && problems.is_empty() && proofs.dir.is_none());
}
