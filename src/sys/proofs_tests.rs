#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::model::plan::Content;

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

fn wait(proofs: &Proofs) {
    std::thread::sleep(Duration::from_nanos(u64::try_from(3 * proofs.tick).unwrap()));
}

/// Remembers the file's digest and reads the store again.
fn remember(place: &Place) -> (Proofs, Vec<u8>) {
    let proofs = place.proofs();
    wait(&proofs);
    let mut file = place.file();
    let sighting = Sighting::begin(&proofs, &file).unwrap();
    let digest = file.digest(HashAlgo::Sha256).unwrap();
    proofs.note(&sighting.confirm(&file).unwrap(), HashAlgo::Sha256, &digest);
    proofs.save(false).unwrap();
    (place.proofs(), digest)
}

fn remembered(place: &Place, proofs: &Proofs) -> Option<Vec<u8>> {
    proofs.digest(&facts(place.file()).unwrap().unwrap(), HashAlgo::Sha256)
}

#[test]
fn a_digest_is_remembered_until_anything_changes() {
    let place = Place::new();
    let (proofs, digest) = remember(&place);
    assert_eq!(remembered(&place, &proofs), Some(digest));
    // Content of the same length, and the old time of it: the time of the change tells.
    let modified = std::fs::metadata(place.path()).unwrap().modified().unwrap();
    std::fs::write(place.path(), "CONTENT").unwrap();
    std::fs::File::options().write(true).open(place.path()).unwrap().set_modified(modified).unwrap();
    assert_eq!(remembered(&place, &proofs), None);
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
    let label = [3, 2, 4, 0xd3, 0x32, 4, 0x49, 0, 1, 9];
    let mut ripening = Ripening::holding(32);
    let mut file = place.file();
    let sighting = Sighting::begin(&proofs, &file).unwrap();
    let digest = file.digest(HashAlgo::Sha256).unwrap();
    let sealed = sighting.seal(file).unwrap();
    // Our own write of the label does not end the lease.
    sealed.file().set_label(&label).unwrap();
    ripening.push(&proofs, sealed, HashAlgo::Sha256, digest.clone());
    ripening.finish(&proofs);
    proofs.save(false).unwrap();
    let proofs = place.proofs();
    assert_eq!(remembered(&place, &proofs), Some(digest.clone()));

    // Somebody wants to write meanwhile: not remembered, and he waits for moments only.
    wait(&proofs);
    let sighting = Sighting::begin(&proofs, &place.file()).unwrap();
    let sealed = sighting.seal(place.file()).unwrap();
    sealed.file().set_label(&[label, label].concat()).unwrap();
    let path = place.path();
    let writer = std::thread::spawn(move || std::fs::write(path, "other").unwrap());
    while sealed.lease.is_intact() {
        std::thread::yield_now();
    }
    ripening.push(&proofs, sealed, HashAlgo::Sha256, digest);
    ripening.finish(&proofs);
    writer.join().unwrap();
    proofs.save(false).unwrap();
    assert_eq!(remembered(&place, &place.proofs()), None);
}

#[test]
fn files_of_others_damage_and_other_roots_are_not_believed() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let (proofs, _) = remember(&place);
    assert_eq!(proofs.len(), (1, 0));
    let store = place.dir.path().join("var/lib/imad").join(DIGESTS);
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
