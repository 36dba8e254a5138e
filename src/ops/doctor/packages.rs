//! Packages whose files are not signed, and the file systems on which packages have files.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;

use rustix::fs::OFlags;

use crate::model::doctor::{LabelSupport, Packages, Place, Unsigned};
use crate::model::image::Image;
use crate::model::report::Problem;
use crate::model::rpm::Package;
use crate::sys::filesystem;
use crate::sys::root::Root;
use crate::sys::rpmdb::{Database, DbError};

/// What one reading of the package database brings.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// `None`: there is no database.
    pub(super) packages: Option<Packages>,
    /// Folders of packaged files.
    pub(super) folders: BTreeSet<Vec<u8>>,
}

/// Reads the database of a root. What keeps it from being read is told among the packages' problems.
pub(super) fn look(root: &Root) -> Looked {
    match read(root) {
        Ok((packages, folders)) => Looked { packages: Some(packages), folders },
        Err(DbError::Absent) => Looked::default(),
        Err(error) => {
            let problems = vec![Problem::new(error.to_string(), error.next_step())];
            Looked { packages: Some(Packages { problems, ..Packages::default() }), folders: BTreeSet::new() }
        }
    }
}

/// Packages that bring no signature for any of their files.
pub fn unsigned(root: &Root) -> Result<Packages, DbError> {
    read(root).map(|(packages, _)| packages)
}

fn read(root: &Root) -> Result<(Packages, BTreeSet<Vec<u8>>), DbError> {
    let database = Database::open(root)?;
    let (mut packages, mut folders) = (Packages::default(), BTreeSet::new());
    let mut blob = Vec::new();
    for number in database.numbers()? {
        if !database.read(number, &mut blob)? {
            continue;
        }
        match Package::parse(&blob) {
            Ok(package) => count(&package, &mut packages, &mut folders),
            Err(error) => {
                let what = format!("{}: header {number}: {error}", database.path());
                packages.problems.push(Problem::new(what, "rpmdb --verifydb; rpmdb --rebuilddb"));
            }
        }
    }
    Ok((packages, folders))
}

fn count(package: &Package, packages: &mut Packages, folders: &mut BTreeSet<Vec<u8>>) {
    let (mut files, mut programs, mut signed) = (0, 0, false);
    for file in package.files.iter().filter(|file| file.is_regular() && file.is_installed()) {
        files += 1;
        programs += u64::from(file.is_program());
        signed |= file.signature.is_some();
        let folder = file.path.iter().rposition(|&byte| byte == b'/').and_then(|end| file.path.get(..end.max(1)));
        if let Some(folder) = folder.filter(|folder| !folders.contains(*folder)) {
            folders.insert(folder.to_vec());
        }
    }
    if files == 0 {
        return;
    }
    packages.count += 1;
    if !signed {
        let (name, nevra) = (package.name.clone(), package.nevra.clone());
        packages.unsigned.push(Unsigned { name, nevra, files, programs });
    }
}

/// The file systems of these folders, each once.
pub(super) fn places(root: &Root, folders: &BTreeSet<Vec<u8>>) -> Vec<Place> {
    let ostree = root.exists("/run/ostree-booted");
    let mut places: BTreeMap<u64, Place> = BTreeMap::new();
    for folder in folders {
        // A folder that went away has no files without labels.
        let Ok(dir) = root.open_with(folder, OFlags::RDONLY | OFlags::DIRECTORY) else { continue };
        let Ok(metadata) = std::fs::metadata(Root::fd_path(&dir)) else { continue };
        if places.contains_key(&metadata.dev()) {
            continue;
        }
        let (Ok(mount), Ok(labels)) = (filesystem::of(&dir), filesystem::label_support(&dir)) else { continue };
        let is_image = Image::of(folder, mount.magic, &mount.source, ostree).is_some();
        let place = Place {
            mounted_at: String::from_utf8_lossy(&mount.mounted_at).into_owned(),
            filesystem: mount.name,
            folder: String::from_utf8_lossy(folder).into_owned(),
            labels: if is_image { LabelSupport::Image } else { labels },
        };
        places.insert(metadata.dev(), place);
    }
    places.into_values().collect()
}
