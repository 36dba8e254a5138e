//! rpm's SQLite database, read where it lies, beside a running rpm.
//!
//! Read-only, always: a read-write open deletes `-wal` and `-shm` at close. `immutable=1` only where the database
//! lies on a read-only mount without a `-wal`, since SQLite can then create no `-shm` (`SQLITE_CANTOPEN`).
//!
//! Each question is a transaction of its own, ended before the answer is used. One long one would hold back rpm: at its
//! end it waits ten seconds for readers to leave the log (`sqlite_fini()`: `wal_checkpoint = TRUNCATE`), and without a
//! log it cannot commit at all while a reader reads.
#![forbid(unsafe_code)]

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, ToSql, params};
use rustix::fs::{StatVfsMountFlags, fstatvfs};

use super::locate::{Found, SQLITE};
use super::{DbError, Index};
use crate::sys::root::Root;

/// An open database.
#[derive(Debug)]
pub(super) struct Sqlite {
    connection: Connection,
    path: String,
    wait: Duration,
    /// Keeps `/proc/self/fd/N` alive, by which SQLite reaches the folder.
    _folder: OwnedFd,
}

/// Bytes that rpm stored as text, whatever their encoding.
struct Text<'a>(&'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

impl Sqlite {
    pub(super) fn open(found: Found, wait: Duration) -> Result<Self, DbError> {
        let path = format!("{}/{SQLITE}", found.name);
        let file = Root::fd_path(&found.folder).join(SQLITE);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = |query: &str| {
            let connection = Connection::open_with_flags(format!("file:{}?{query}", file.display()), flags)?;
            connection.busy_timeout(wait)?;
            // SQLite opens lazily: this reads the first page.
            connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get::<_, i64>(0))?;
            Ok::<_, rusqlite::Error>(connection)
        };
        let connection = match open("mode=ro") {
            Err(error) if cannot_open(&error) => match left_over(&file) {
                Some(left) => return Err(DbError::Unsettled { path, left }),
                None if is_read_only(&found.folder) => open("immutable=1"),
                None => Err(error),
            },
            result => result,
        };
        let connection = connection.map_err(|source| failed(&path, wait, source))?;
        Ok(Self { connection, path, wait, _folder: found.folder })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn numbers(&self) -> Result<Vec<i64>, DbError> {
        self.query("SELECT hnum FROM Packages ORDER BY hnum", |statement| {
            statement.query_map([], |row| row.get(0))?.collect()
        })
    }

    pub(super) fn numbers_by(&self, index: Index, key: &[u8]) -> Result<Vec<i64>, DbError> {
        let table = match index {
            Index::Name => "Name",
            Index::BaseName => "Basenames",
        };
        self.query(&format!("SELECT DISTINCT hnum FROM \"{table}\" WHERE key = ?1 ORDER BY hnum"), |statement| {
            statement.query_map(params![Text(key)], |row| row.get(0))?.collect()
        })
    }

    pub(super) fn read(&self, number: i64, blob: &mut Vec<u8>) -> Result<bool, DbError> {
        blob.clear();
        self.query("SELECT blob FROM Packages WHERE hnum = ?1", |statement| {
            let mut rows = statement.query(params![number])?;
            let Some(row) = rows.next()? else { return Ok(false) };
            blob.extend_from_slice(row.get_ref(0)?.as_blob()?);
            Ok(true)
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
            .map_err(|source| failed(&self.path, self.wait, source))
    }
}

fn failed(path: &str, wait: Duration, source: rusqlite::Error) -> DbError {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(DatabaseBusy | DatabaseLocked) => DbError::Locked { path, wait, source },
        _ => DbError::Sqlite { path, source },
    }
}

fn cannot_open(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, ReadOnly};
    matches!(error.sqlite_error_code(), Some(CannotOpen | ReadOnly))
}

/// What a writer that was cut off left: a log or a rollback journal with something in it. The database means nothing
/// without it.
fn left_over(file: &Path) -> Option<&'static str> {
    let holds_something = |suffix: &&str| {
        let left = PathBuf::from(format!("{}{suffix}", file.display()));
        std::fs::metadata(left).is_ok_and(|metadata| metadata.len() > 0)
    };
    ["-wal", "-journal"].into_iter().find(holds_something)
}

/// Whether a folder lies on a read-only mount.
fn is_read_only(folder: &OwnedFd) -> bool {
    fstatvfs(folder).is_ok_and(|status| status.f_flag.contains(StatVfsMountFlags::RDONLY))
}
