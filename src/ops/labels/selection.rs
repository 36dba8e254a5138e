//! Which files a run is about.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use rustix::fs::OFlags;

use super::RunError;
use crate::model::rpm::PackagedFile;
use crate::sys::file::OpenFile;
use crate::sys::root::Root;
use crate::sys::rpmdb::{Database, Index};

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

impl Selection {
    /// The header numbers of the packages that it is about.
    pub(super) fn numbers(&self, database: &Database, root: &Root) -> Result<Vec<i64>, RunError> {
        let mut found = BTreeSet::new();
        match self {
            Self::All => return Ok(database.numbers()?),
            Self::Numbers(numbers) => return Ok(numbers.clone()),
            Self::Packages(names) => {
                for name in names {
                    let numbers = database.numbers_by(Index::Name, name.as_bytes())?;
                    if numbers.is_empty() {
                        return Err(RunError::NoSuchPackage(name.clone()));
                    }
                    found.extend(numbers);
                }
            }
            Self::Paths(paths) => {
                for path in paths {
                    if folder(root, path).is_some() {
                        return Ok(database.numbers()?);
                    }
                    found.extend(database.numbers_by(Index::BaseName, base_name(path))?);
                }
            }
        }
        Ok(found.into_iter().collect())
    }
}

/// Device and inode number.
type Inode = (u64, u64);

/// What [`Selection::Paths`] picks, resolved once: a package may name a file by another path than the user does
/// (`/bin/ip` and `/usr/bin/ip`), so files are told by device and inode, and folders by their real path too.
#[derive(Debug)]
pub(super) enum Picked {
    Every,
    These { files: Vec<Wanted>, folders: Vec<Vec<u8>> },
}

/// A file that was asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    path: Vec<u8>,
    inode: Option<Inode>,
    owned: bool,
}

impl Picked {
    pub(super) fn new(selection: &Selection, root: &Root) -> Self {
        let Selection::Paths(paths) = selection else { return Self::Every };
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for path in paths {
            if let Some(real) = folder(root, path) {
                folders.extend([path.clone(), real].map(as_prefix));
            } else {
                files.push(Wanted { path: path.clone(), inode: inode(root, path), owned: false });
            }
        }
        folders.sort();
        folders.dedup();
        Self::These { files, folders }
    }

    /// Whether every packaged file is picked.
    pub(super) const fn is_every(&self) -> bool {
        matches!(self, Self::Every)
    }

    /// Whether a packaged file is picked; a file that was asked for is owned then.
    pub(super) fn pick(&mut self, root: &Root, file: &PackagedFile) -> bool {
        let Self::These { files, folders } = self else { return true };
        let mut picked = folders.iter().any(|folder| file.path.starts_with(folder));
        for wanted in files {
            let is_it = wanted.path == file.path
                || (base_name(&wanted.path) == base_name(&file.path)
                    && wanted.inode.is_some()
                    && wanted.inode == inode(root, &file.path));
            wanted.owned |= is_it;
            picked |= is_it;
        }
        picked
    }

    /// The files that were asked for and that no package owned.
    pub(super) fn without_owner(self) -> Vec<Vec<u8>> {
        let Self::These { files, .. } = self else { return Vec::new() };
        files.into_iter().filter(|wanted| !wanted.owned).map(|wanted| wanted.path).collect()
    }
}

fn as_prefix(mut folder: Vec<u8>) -> Vec<u8> {
    if !folder.ends_with(b"/") {
        folder.push(b'/');
    }
    folder
}

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// The real path of a folder, links followed inside of the root; `None` where there is none.
fn folder(root: &Root, path: &[u8]) -> Option<Vec<u8>> {
    let fd = root.open_with(path, OFlags::PATH | OFlags::DIRECTORY).ok()?;
    Some(root.real_path(&fd).unwrap_or_else(|_| path.to_vec()))
}

fn inode(root: &Root, path: &[u8]) -> Option<Inode> {
    let identity = OpenFile::open(root, path).ok()?.identity().ok()?;
    Some((identity.dev, identity.ino))
}
