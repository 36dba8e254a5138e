//! Reading beside those who write: nobody waits for the other.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use imad::sys::root::Root;
use imad::sys::rpmdb::{Database, transaction_lock};
use rusqlite::Connection;

use super::{build, open, packages, same};
use crate::fixture::{DATABASE, PrivateRoot, Signed, run};

const SHORT: Duration = Duration::from_millis(400);

fn root_with_packages() -> (PrivateRoot, PathBuf) {
    let root = PrivateRoot::new();
    let names = ["a", "b", "c"];
    root.install(&names.map(|name| root.build(name, "1", &[("/usr/share/x", "x", "0644")], Signed::Not)));
    let file = root.join(DATABASE).join("rpmdb.sqlite");
    (root, file)
}

/// A program that writes, as rpm would, and waits for nobody.
fn writer(file: &Path, mode: &str) -> Connection {
    let connection = Connection::open(file).unwrap();
    connection.busy_timeout(Duration::ZERO).unwrap();
    let set: String = connection.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |row| row.get(0)).unwrap();
    assert_eq!(set, mode);
    connection
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", file.display()))
}

#[test]
fn nobody_waits_for_an_open_write_transaction() {
    for mode in ["wal", "delete"] {
        let (root, file) = root_with_packages();
        let writer = writer(&file, mode);
        writer.execute_batch("BEGIN IMMEDIATE; DELETE FROM Packages WHERE hnum = 2").unwrap();
        let begin = Instant::now();
        let database = Database::open_within(&Root::open(root.path()).unwrap(), SHORT).unwrap();
        assert_eq!(packages(&database).len(), 3, "{mode}: nothing is seen of what is not committed");
        assert!(begin.elapsed() < SHORT, "{mode}: {:?}", begin.elapsed());
        // The reader stays open, between two questions; the writer waits for no time at all.
        writer.execute_batch("COMMIT").unwrap();
        assert_eq!(database.numbers().unwrap(), [1, 3], "{mode}");
        assert!(database.header(2).unwrap().is_none(), "{mode}");
        if mode == "wal" {
            // What rpm does last, and waits ten seconds for readers with.
            let busy = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!(busy, 0);
        }
        writer.execute_batch("BEGIN EXCLUSIVE; DELETE FROM Packages WHERE hnum = 3; COMMIT").unwrap();
        assert_eq!(database.numbers().unwrap(), [1], "{mode}");
    }
}

#[test]
fn reading_changes_no_file() {
    let (root, file) = root_with_packages();
    let writer = writer(&file, "wal");
    writer.execute_batch("DELETE FROM Packages WHERE hnum = 2").unwrap();
    let seen = || ["", "-wal"].map(|suffix| fs::read(beside(&file, suffix)).unwrap());
    let before = seen();
    assert!(!before[1].is_empty(), "there is a log");
    let database = open(&root);
    assert_eq!(packages(&database).len(), 2);
    drop(database);
    assert!(seen() == before && beside(&file, "-shm").exists());
    drop(writer);
}

#[test]
fn a_lock_that_stays_is_an_error_after_a_while() {
    let (root, file) = root_with_packages();
    let root = Root::open(root.path()).unwrap();
    let writer = writer(&file, "delete");
    let before = Database::open_within(&root, SHORT).unwrap();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let begin = Instant::now();
    let errors = [Database::open_within(&root, SHORT).unwrap_err(), before.numbers().unwrap_err()];
    let took = begin.elapsed();
    assert!(took >= SHORT && took < SHORT * 10, "{took:?}");
    for error in errors {
        assert!(error.is_busy() && !error.is_corrupt());
        let text = error.to_string();
        assert_eq!(text, "/usr/lib/sysimage/rpm/rpmdb.sqlite: another program has locked it for 0.4 s");
        assert_eq!(error.next_step(), "see who locks it: fuser -v /usr/lib/sysimage/rpm/rpmdb.sqlite");
    }
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(before.numbers().unwrap(), [1, 2, 3]);
}

#[test]
fn a_transaction_that_was_cut_off_is_not_read_over() {
    let (root, file) = root_with_packages();
    let writer = writer(&file, "delete");
    writer.execute_batch("PRAGMA cache_size = 1; BEGIN IMMEDIATE").unwrap();
    writer.execute_batch("UPDATE Packages SET blob = zeroblob(length(blob)); DELETE FROM Basenames").unwrap();
    // What a power cut would leave now: part of the database is written, the journal holds what was there.
    let crashed = PrivateRoot::new();
    fs::create_dir_all(crashed.join(DATABASE)).unwrap();
    let copy = crashed.join(DATABASE).join("rpmdb.sqlite");
    for suffix in ["", "-journal"] {
        fs::copy(beside(&file, suffix), beside(&copy, suffix)).unwrap();
    }
    let error = Database::open(&Root::open(crashed.path()).unwrap()).unwrap_err();
    assert!(error.to_string().contains("rpmdb.sqlite-journal"), "{error}");
    assert!(beside(&copy, "-journal").exists());
    // The next step that is named mends it.
    let tables = error.next_step().replace("as root, where it may be written: sqlite3 ", "");
    assert_eq!(tables, "/usr/lib/sysimage/rpm/rpmdb.sqlite .tables");
    run("sqlite3", &[copy.to_str().unwrap(), ".tables"]);
    writer.execute_batch("ROLLBACK").unwrap();
    drop(writer);
    same(&open(&root), &open(&crashed));
}

/// A read-only mount of a folder, undone at the end.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn new(folder: &Path) -> Self {
        let folder = folder.to_owned();
        run("mount", &[OsStr::new("--bind"), folder.as_ref(), folder.as_ref()]);
        let mount = Self(folder);
        run("mount", &[OsStr::new("-o"), "remount,ro,bind".as_ref(), mount.0.as_ref()]);
        mount
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        // A failure to unmount shows when the folder is removed.
        let _status = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_read_only_mount_is_read_unless_a_log_lies_on_it() {
    let (root, file) = root_with_packages();
    drop(writer(&file, "wal"));
    let image = |suffixes: &[&str]| {
        let image = PrivateRoot::new();
        fs::create_dir_all(image.join(DATABASE)).unwrap();
        for suffix in suffixes {
            fs::copy(beside(&file, suffix), beside(&image.join(DATABASE).join("rpmdb.sqlite"), suffix)).unwrap();
        }
        image
    };
    let alone = image(&[""]);
    let mount = ReadOnly::new(&alone.join(DATABASE));
    same(&open(&root), &open(&alone));
    drop(mount);

    let writer = writer(&file, "wal");
    writer.execute_batch("DELETE FROM Packages WHERE hnum = 2").unwrap();
    let with_log = image(&["", "-wal"]);
    let mount = ReadOnly::new(&with_log.join(DATABASE));
    let error = Database::open(&Root::open(with_log.path()).unwrap()).unwrap_err().to_string();
    assert!(error.contains("rpmdb.sqlite-wal"), "{error}");
    drop(mount);
    assert_eq!(open(&with_log).numbers().unwrap(), [1, 3], "where it may be written, the log counts");
}

const SLOW: &str = r#"
Name: slow
Version: 1
Release: 1
Summary: Waits in its transaction
License: MIT
BuildArch: noarch
AutoReqProv: no
%description
%install
mkdir -p %{buildroot}/usr/share/slow
%pre -p <lua>
while not posix.stat("/go") do posix.sleep(1) end
%files
/usr/share/slow
"#;

/// An rpm that waits in the middle of its transaction until it may go on.
struct Transaction<'a> {
    rpm: Child,
    root: &'a PrivateRoot,
}

impl<'a> Transaction<'a> {
    fn begin(root: &'a PrivateRoot) -> Self {
        let package = build(&root.path().with_file_name("slow"), SLOW, &[]);
        let mut rpm = Command::new("rpm");
        rpm.arg("--root").arg(root.path()).args(["--dbpath", "/usr/lib/sysimage/rpm"]);
        rpm.args(["--define", "_db_backend sqlite", "-i", "--nodeps"]).arg(package);
        let transaction = Self { rpm: rpm.spawn().unwrap(), root };
        let (opened, begin) = (Root::open(root.path()).unwrap(), Instant::now());
        while transaction_lock(&opened).unwrap().is_none() {
            assert!(begin.elapsed() < Duration::from_secs(20), "rpm begins no transaction");
            std::thread::sleep(Duration::from_millis(20));
        }
        transaction
    }

    fn go(&self) {
        fs::write(self.root.join("go"), "").unwrap();
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        self.go();
        // Whoever wanted its status has asked for it.
        let _status = self.rpm.wait();
    }
}

#[test]
fn a_transaction_of_rpm_is_not_waited_for() {
    let (root, _) = root_with_packages();
    let mut transaction = Transaction::begin(&root);
    let begin = Instant::now();
    let (database, through_rpm) = (open(&root), Database::through_rpm(&Root::open(root.path()).unwrap()).unwrap());
    same(&database, &through_rpm);
    assert_eq!(packages(&database).len(), 3);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(transaction_lock(&Root::open(root.path()).unwrap()).unwrap().is_some(), "it still runs");
    let begin = Instant::now();
    transaction.go();
    assert!(transaction.rpm.wait().unwrap().success());
    assert!(begin.elapsed() < Duration::from_secs(8), "it waited for a reader: {:?}", begin.elapsed());
    assert_eq!(packages(&database).len(), 4);
}
