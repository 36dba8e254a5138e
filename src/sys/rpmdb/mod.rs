//! The package database, read where it lies, beside a running rpm: SQLite here, other kinds through `rpm` itself.
#![forbid(unsafe_code)]

mod locate;
mod lock;
mod program;
mod sqlite;

use std::io;
use std::time::Duration;

pub use locate::{Backend, FOLDERS, SQLITE, folder};
pub use lock::{LOCK, transaction_lock};

use super::root::Root;
use program::Program;
use sqlite::Sqlite;

/// Why the database could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// No folder holds a database.
    #[error("there is no package database in {} or {}", FOLDERS[0], FOLDERS[1])]
    Absent,
    /// `rpm`, through which the database is read, said no.
    #[error("{path} ({backend}): {what}")]
    Program {
        /// The database's folder.
        path: String,
        /// rpm's name of the backend.
        backend: &'static str,
        /// What rpm said.
        what: String,
    },
    /// The folder, a file in it, or the program `rpm` could not be opened.
    #[error("{path}: {source}")]
    Open {
        /// What was opened.
        path: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A lock inside of SQLite did not fall in time.
    #[error("{path}: another program has locked it for {} s", wait.as_secs_f32())]
    Locked {
        /// The database.
        path: String,
        /// How long it was waited for.
        wait: Duration,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A writer left a log or a rollback journal without which the database means nothing, and which only one who may
    /// write there can use.
    #[error("{path}: what {path}{left} holds was never settled, and only a program that may write there can do that")]
    Unsettled {
        /// The database.
        path: String,
        /// What was left, by the end of its name.
        left: &'static str,
    },
    /// SQLite said no: a corrupt or foreign file.
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
    pub const fn is_busy(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }

    /// The step that mends it.
    pub fn next_step(&self) -> String {
        match self {
            Self::Absent => "install packages with rpm or dnf, or name the right root with --root".to_owned(),
            Self::Program { .. } => "rpm --query --all; rpmdb --rebuilddb with %_db_backend sqlite".to_owned(),
            Self::Open { path, .. } if path == "rpm" => "install rpm".to_owned(),
            Self::Locked { path, .. } => format!("see who locks it: fuser -v {path}"),
            Self::Unsettled { path, .. } => format!("as root, where it may be written: sqlite3 {path} .tables"),
            _ if self.is_corrupt() => "rpmdb --rebuilddb, or restore the database from a backup".to_owned(),
            Self::Open { path, .. } | Self::Sqlite { path, .. } => format!("look at {path} (rpmdb --verifydb)"),
        }
    }
}

/// An open database.
#[derive(Debug)]
pub struct Database(Reader);

#[derive(Debug)]
enum Reader {
    Sqlite(Sqlite),
    Program(Program),
}

/// How long a reader waits for a lock inside of SQLite; writers hold one for moments only.
const BUSY: Duration = Duration::from_secs(10);

/// Indexes of rpm's database, by the tag that they are named after.
#[derive(Debug, Clone, Copy)]
pub enum Index {
    /// Package name.
    Name,
    /// Base name of a file.
    BaseName,
}

impl Database {
    /// Opens the database of a root.
    pub fn open(root: &Root) -> Result<Self, DbError> {
        Self::open_within(root, BUSY)
    }

    /// Opens the database of a root; any question to it fails where a lock does not fall in so long a time.
    pub fn open_within(root: &Root, wait: Duration) -> Result<Self, DbError> {
        let found = locate::find(root)?;
        Ok(Self(match found.backend {
            Backend::Sqlite => Reader::Sqlite(Sqlite::open(found, wait)?),
            Backend::Ndb | Backend::Bdb => Reader::Program(Program::new(found)),
        }))
    }

    /// Opens the database of a root, whatever its kind, to be read through `rpm`.
    pub fn through_rpm(root: &Root) -> Result<Self, DbError> {
        Ok(Self(Reader::Program(Program::new(locate::find(root)?))))
    }

    /// The database's path, for people.
    pub fn path(&self) -> &str {
        match &self.0 {
            Reader::Sqlite(sqlite) => sqlite.path(),
            Reader::Program(program) => program.path(),
        }
    }

    /// Header numbers of all packages, in order.
    pub fn numbers(&self) -> Result<Vec<i64>, DbError> {
        match &self.0 {
            Reader::Sqlite(sqlite) => sqlite.numbers(),
            Reader::Program(program) => program.numbers(),
        }
    }

    /// Header numbers of the packages that own a file of this base name, or have this name.
    pub fn numbers_by(&self, index: Index, key: &[u8]) -> Result<Vec<i64>, DbError> {
        match &self.0 {
            Reader::Sqlite(sqlite) => sqlite.numbers_by(index, key),
            Reader::Program(program) => program.numbers_by(index, key),
        }
    }

    /// A package's header; `None` where the package went away meanwhile.
    pub fn header(&self, number: i64) -> Result<Option<Vec<u8>>, DbError> {
        let mut blob = Vec::new();
        Ok(self.read(number, &mut blob)?.then_some(blob))
    }

    /// Puts a package's header into a buffer that is used again; false where the package went away meanwhile. When this
    /// returns, no lock is held.
    pub fn read(&self, number: i64, blob: &mut Vec<u8>) -> Result<bool, DbError> {
        match &self.0 {
            Reader::Sqlite(sqlite) => sqlite.read(number, blob),
            Reader::Program(program) => program.read(number, blob),
        }
    }
}
