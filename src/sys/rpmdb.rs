//! The package database, read where it lies, beside a running rpm.
//!
//! Read-only, always: a read-write open deletes `-wal` and `-shm` at close. `immutable=1` only where the database
//! lies on a read-only mount without a `-wal`, since SQLite can then create no `-shm` (`SQLITE_CANTOPEN`).
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use rusqlite::{Connection, OpenFlags, params};
use rustix::fs::OFlags;

use super::root::Root;

/// Where rpm keeps its database: Fedora's and RHEL's place, then the older one that Debian keeps.
pub const FOLDERS: [&str; 2] = ["/usr/lib/sysimage/rpm", "/var/lib/rpm"];
/// SQLite's file in it.
pub const SQLITE: &str = "rpmdb.sqlite";
/// rpm's transaction lock in it.
pub const LOCK: &str = ".rpm.lock";

/// Why the database could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// No folder holds a database.
    #[error("there is no package database in {} or {}", FOLDERS[0], FOLDERS[1])]
    Absent,
    /// The database is of another kind than SQLite.
    #[error("{folder} holds a database of rpm's {backend} backend, which imad cannot read yet")]
    Backend {
        /// The folder.
        folder: &'static str,
        /// rpm's name of the backend.
        backend: &'static str,
    },
    /// The folder or a file in it could not be opened.
    #[error("{path}: {source}")]
    Open {
        /// What was opened.
        path: String,
        /// Why it failed.
        source: io::Error,
    },
    /// SQLite said no: a corrupt or foreign file, or a lock that did not fall in time.
    #[error("{path}: {source}")]
    Sqlite {
        /// The database.
        path: String,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl DbError {
    /// Whether SQLite found the database damaged.
    pub fn is_corrupt(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        matches!(self, Self::Sqlite { source, .. }
            if matches!(source.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)))
    }

    /// Whether somebody holds a lock inside of the database that did not fall in time.
    pub fn is_busy(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        matches!(self, Self::Sqlite { source, .. }
            if matches!(source.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked)))
    }

    /// The step that mends it.
    pub fn next_step(&self) -> String {
        match self {
            Self::Absent => "install packages with rpm or dnf, or name the right root with --root".to_owned(),
            Self::Backend { .. } => "rpm --rebuilddb with %_db_backend sqlite".to_owned(),
            Self::Sqlite { path, .. } if self.is_busy() => format!("see who locks it: fuser -v {path}"),
            _ if self.is_corrupt() => "rpmdb --rebuilddb, or restore the database from a backup".to_owned(),
            Self::Open { path, .. } | Self::Sqlite { path, .. } => format!("look at {path} (rpmdb --verifydb)"),
        }
    }
}

/// An open database.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
    path: String,
    /// Keeps `/proc/self/fd/N` alive, by which SQLite reaches the folder.
    _folder: OwnedFd,
}

/// How long a reader waits for a lock inside of SQLite; writers hold one for moments only.
const BUSY: Duration = Duration::from_secs(10);

impl Database {
    /// Opens the database of a root.
    pub fn open(root: &Root) -> Result<Self, DbError> {
        let (folder, name) = find(root)?;
        let path = format!("{name}/{SQLITE}");
        let failed = |source| DbError::Sqlite { path: path.clone(), source };
        let file = Root::fd_path(&folder).join(SQLITE);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = |query: &str| {
            let connection = Connection::open_with_flags(format!("file:{}?{query}", file.display()), flags)?;
            connection.busy_timeout(BUSY)?;
            // SQLite opens lazily: this reads the first page.
            connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get::<_, i64>(0))?;
            Ok::<_, rusqlite::Error>(connection)
        };
        let connection = match open("mode=ro") {
            Err(error) if cannot_open(&error) && !has_wal(&file) => open("immutable=1"),
            result => result,
        }
        .map_err(failed)?;
        Ok(Self { connection, path: path.clone(), _folder: folder })
    }

    /// The database's path, for people.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Header numbers of all packages, in order.
    pub fn numbers(&self) -> Result<Vec<i64>, DbError> {
        self.query("SELECT hnum FROM Packages ORDER BY hnum", |statement| {
            statement.query_map([], |row| row.get(0))?.collect()
        })
    }

    /// Header numbers of the packages that own a file of this base name, or have this name.
    pub fn numbers_by(&self, index: Index, key: &[u8]) -> Result<Vec<i64>, DbError> {
        let table = match index {
            Index::Name => "Name",
            Index::BaseName => "Basenames",
        };
        let key = String::from_utf8_lossy(key);
        self.query(&format!("SELECT DISTINCT hnum FROM \"{table}\" WHERE key = ?1 ORDER BY hnum"), |statement| {
            statement.query_map(params![key], |row| row.get(0))?.collect()
        })
    }

    /// A package's header; `None` where the package went away meanwhile.
    pub fn header(&self, number: i64) -> Result<Option<Vec<u8>>, DbError> {
        self.query("SELECT blob FROM Packages WHERE hnum = ?1", |statement| {
            let mut rows = statement.query(params![number])?;
            rows.next()?.map(|row| row.get(0)).transpose()
        })
    }

    fn query<T>(
        &self,
        sql: &str,
        run: impl FnOnce(&mut rusqlite::CachedStatement<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, DbError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| run(&mut statement))
            .map_err(|source| DbError::Sqlite { path: self.path.clone(), source })
    }
}

/// Indexes of rpm's database, by the tag that they are named after.
#[derive(Debug, Clone, Copy)]
pub enum Index {
    /// Package name.
    Name,
    /// Base name of a file.
    BaseName,
}

fn cannot_open(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, ReadOnly};
    matches!(error.sqlite_error_code(), Some(CannotOpen | ReadOnly))
}

/// Whether there is a write-ahead log with something in it.
fn has_wal(file: &std::path::Path) -> bool {
    let wal = PathBuf::from(format!("{}-wal", file.display()));
    std::fs::metadata(wal).is_ok_and(|metadata| metadata.len() > 0)
}

/// The folder with a database, open, and its name.
fn find(root: &Root) -> Result<(OwnedFd, &'static str), DbError> {
    const OTHER: [(&str, &str); 2] = [("Packages.db", "ndb"), ("Packages", "bdb")];
    let mut other = None;
    for name in FOLDERS {
        let folder = match root.open_dir(name) {
            Ok(folder) => folder,
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => continue,
            Err(source) => return Err(DbError::Open { path: name.to_owned(), source }),
        };
        if root.exists(&format!("{name}/{SQLITE}")) {
            return Ok((folder, name));
        }
        for (file, backend) in OTHER {
            if root.exists(&format!("{name}/{file}")) {
                other = other.or(Some(DbError::Backend { folder: name, backend }));
            }
        }
    }
    Err(other.unwrap_or(DbError::Absent))
}

/// The folder that holds the database, or would.
pub fn folder(root: &Root) -> &'static str {
    find(root).map_or_else(
        |_| FOLDERS.into_iter().find(|name| root.open_dir(name).is_ok()).unwrap_or(FOLDERS[1]),
        |(_, name)| name,
    )
}

/// The process that holds rpm's transaction lock, if one does (`F_GETLK`; opening for reading wakes no watcher).
pub fn transaction_lock(root: &Root) -> io::Result<Option<i32>> {
    let path = format!("{}/{LOCK}", folder(root));
    let file = match root.open_with(path.as_bytes(), OFlags::RDONLY | OFlags::NONBLOCK) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // l_type and l_whence are C shorts, their constants C ints.
    #[expect(clippy::cast_possible_truncation, reason = "constants 0 to 2")]
    let mut lock =
        libc::flock { l_type: libc::F_WRLCK as i16, l_whence: libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 };
    fcntl(&file, FcntlArg::F_GETLK(&mut lock))?;
    Ok((i32::from(lock.l_type) != libc::F_UNLCK).then_some(lock.l_pid))
}
