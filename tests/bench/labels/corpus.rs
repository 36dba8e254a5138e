//! The root that is measured on: a copy of the corpus, mounted.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use imad::model::cert::Certificate;
use imad::model::rpm::Package;
use imad::sys::root::Root;
use imad::sys::rpmdb::Database;

/// A key that the packages are signed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    P256,
    P384,
    Rsa,
}

impl Key {
    pub(crate) const ALL: [Self; 3] = [Self::P256, Self::P384, Self::Rsa];

    /// Its name in the corpus: of the database, and of the certificate.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::P256 => ("p256", "ima"),
            Self::P384 => ("p384", "p384"),
            Self::Rsa => ("rsa", "rsa"),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::Rsa => "RSA-2048",
        })
    }
}

/// A packaged file that is to have a label.
#[derive(Debug)]
pub(crate) struct File {
    /// Relative to the root, where this process works.
    pub(crate) path: PathBuf,
    pub(crate) label: Vec<u8>,
    pub(crate) size: u64,
    pub(crate) inode: u64,
}

/// The mounted copy, gone when dropped.
#[derive(Debug)]
pub(crate) struct Corpus {
    kept: PathBuf,
    work: tempfile::TempDir,
}

fn must(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Corpus {
    /// Builds what this script of `tests/bench` makes where it is not there yet, copies its image and mounts the copy.
    pub(crate) fn mount(script: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench").join(script);
        let kept = PathBuf::from(must(&mut Command::new(script)).trim());
        let work = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (image, root) = (work.path().join("corpus.img"), work.path().join("root"));
        must(Command::new("cp").arg("--sparse=always").arg(kept.join("corpus.img")).arg(&image));
        fs::create_dir(&root).unwrap();
        must(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&root));
        for (dir, kind) in [("proc", "proc"), ("run", "tmpfs")] {
            fs::create_dir_all(root.join(dir)).unwrap();
            must(Command::new("mount").args(["-t", kind, kind]).arg(root.join(dir)));
        }
        std::env::set_current_dir(&root).unwrap();
        Self { kept, work }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.work.path().join("root")
    }

    /// Makes this key's database the root's.
    pub(crate) fn select(&self, key: Key) {
        self.select_database(key.names().0);
    }

    /// Makes the database of this name the root's.
    pub(crate) fn select_database(&self, name: &str) {
        let link = self.root().join("usr/lib/sysimage/rpm");
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(format!("rpm-{name}"), link).unwrap();
    }

    pub(crate) fn certificate_file(&self, key: Key) -> PathBuf {
        self.kept.join(key.names().1).with_extension("der")
    }

    pub(crate) fn certificate(&self, key: Key) -> Certificate {
        Certificate::parse(&fs::read(self.certificate_file(key)).unwrap()).unwrap()
    }

    fn database(&self) -> Database {
        Database::open(&Root::open(&self.root()).unwrap()).unwrap()
    }

    /// Reads all of the database, as a run over labels does.
    pub(crate) fn read(&self) {
        let database = self.database();
        let mut files = 0;
        for number in database.numbers().unwrap() {
            let blob = database.header(number).unwrap().unwrap();
            files += Package::parse(&blob).unwrap().files.len();
        }
        assert!(files > 0);
    }

    /// The files that get labels, in the database's order.
    pub(crate) fn files(&self) -> Vec<File> {
        let database = self.database();
        let mut found = Vec::new();
        for number in database.numbers().unwrap() {
            let blob = database.header(number).unwrap().unwrap();
            for file in Package::parse(&blob).unwrap().files {
                let wanted = file.is_regular() && file.is_installed() && !file.is_plain_config();
                let (true, Some(label)) = (wanted, file.signature) else { continue };
                let path = PathBuf::from(OsStr::from_bytes(file.path.strip_prefix(b"/").unwrap()));
                let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
                found.push(File { path, label, size: metadata.len(), inode: metadata.ino() });
            }
        }
        found
    }

    /// A program of this build, in this root as in a running system's: what it verified it remembers.
    pub(crate) fn inside(&self, program: &str) -> Command {
        let name = Path::new(program).file_name().unwrap();
        fs::copy(program, self.root().join("run").join(name)).unwrap();
        let mut command = Command::new("chroot");
        command.arg(self.root()).arg(Path::new("/run").join(name));
        command
    }

    /// rpm on this root.
    pub(crate) fn rpm(&self) -> Command {
        let mut rpm = Command::new("rpm");
        rpm.arg("--root").arg(self.root()).args([
            "--dbpath",
            "/usr/lib/sysimage/rpm",
            "--define",
            "_db_backend sqlite",
        ]);
        rpm
    }

    /// What was read and written before is no longer in memory.
    pub(crate) fn drop_caches(&self) {
        must(Command::new("sync").arg("-f").arg(self.root()));
        fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    }
}

impl Drop for Corpus {
    fn drop(&mut self) {
        std::env::set_current_dir("/").unwrap();
        must(Command::new("umount").arg("--recursive").arg(self.root()));
    }
}
