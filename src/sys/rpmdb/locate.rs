//! Where a root's package database lies, and of which kind it is.
#![forbid(unsafe_code)]

use std::os::fd::OwnedFd;

use super::DbError;
use crate::model::rpm::query;
use crate::sys::root::Root;

/// Where rpm keeps its database: Fedora's and RHEL's place, then the older one that Debian keeps.
pub const FOLDERS: [&str; 2] = ["/usr/lib/sysimage/rpm", "/var/lib/rpm"];
/// SQLite's file in it.
pub const SQLITE: &str = "rpmdb.sqlite";

/// Kinds of databases, in the order in which rpm looks for them (`dbDetectBackend()`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// SQLite, which is read here.
    Sqlite,
    /// SUSE's.
    Ndb,
    /// Berkeley DB, before 2020.
    Bdb,
}

impl Backend {
    const ALL: [Self; 3] = [Self::Sqlite, Self::Ndb, Self::Bdb];

    const fn file(self) -> &'static str {
        match self {
            Self::Sqlite => SQLITE,
            Self::Ndb => "Packages.db",
            Self::Bdb => "Packages",
        }
    }

    /// rpm's name of it, for reading.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Ndb => "ndb",
            Self::Bdb => "bdb_ro",
        }
    }
}

/// A database that was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) folder: OwnedFd,
    pub(super) name: &'static str,
    pub(super) backend: Backend,
}

/// Looks for a root's database. Where several kinds lie side by side, as after a conversion, the root's macros say which
/// one is in use, else rpm's order.
pub(super) fn find(root: &Root) -> Result<Found, DbError> {
    let mut found = Vec::new();
    for name in FOLDERS {
        let folder = match root.open_dir(name) {
            Ok(folder) => folder,
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => continue,
            Err(source) => return Err(DbError::Open { path: name.to_owned(), source }),
        };
        let has = |backend: &Backend| root.exists(&format!("{name}/{}", backend.file()));
        let backends: Vec<_> = Backend::ALL.into_iter().filter(has).collect();
        found.push((folder, name, backends));
    }
    let kinds = || found.iter().flat_map(|(.., backends)| backends);
    let first = Backend::ALL.into_iter().find(|backend| kinds().any(|kind| kind == backend)).ok_or(DbError::Absent)?;
    let backend = if kinds().any(|kind| *kind != first) {
        configured(root).filter(|backend| kinds().any(|kind| kind == backend)).unwrap_or(first)
    } else {
        first
    };
    let place = found.into_iter().find(|(.., backends)| backends.contains(&backend));
    place.map(|(folder, name, _)| Found { folder, name, backend }).ok_or(DbError::Absent)
}

/// The backend that the root's macros name. They are read, not expanded: a macro may run programs, and the root may be
/// anybody's.
fn configured(root: &Root) -> Option<Backend> {
    const LIMIT: u64 = 1 << 20;
    let below = |folder: &str, start: &str| {
        let names = root.list(folder).unwrap_or_default().into_iter();
        let names = names.filter_map(|name| name.into_os_string().into_string().ok());
        names.filter(|name| name.starts_with(start)).map(|name| format!("{folder}/{name}")).collect::<Vec<_>>()
    };
    // rpm's order (`rpm --showrc`, "Macro path"); what is read later replaces what was read before.
    let mut files = vec!["/usr/lib/rpm/macros".to_owned()];
    files.extend(below("/usr/lib/rpm/macros.d", "macros."));
    files.extend(below("/etc/rpm", "macros."));
    files.push("/etc/rpm/macros".to_owned());
    files.iter().rev().find_map(|file| {
        let macros = root.read(file, LIMIT).ok()?;
        match query::backend(&macros)? {
            b"sqlite" => Some(Backend::Sqlite),
            b"ndb" => Some(Backend::Ndb),
            b"bdb" | b"bdb_ro" => Some(Backend::Bdb),
            _ => None,
        }
    })
}

/// The folder that holds the database, or would.
pub fn folder(root: &Root) -> &'static str {
    find(root).map_or_else(
        |_| FOLDERS.into_iter().find(|name| root.open_dir(name).is_ok()).unwrap_or(FOLDERS[1]),
        |found| found.name,
    )
}
