//! This process: its program, its limits, its memory.
#![expect(unsafe_code, reason = "malloc_trim(3) has no safe wrapper")]

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const SELF: &str = "/proc/self/exe";

/// The program that runs, and the file that it was started from.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    inode: (u64, u64),
}

impl Program {
    /// The program of this process.
    pub fn running() -> io::Result<Self> {
        let path = std::fs::read_link(SELF)?;
        // What the kernel adds where the file was replaced before we looked.
        let path = path.as_os_str().as_bytes();
        let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
        // The link leads to the inode that runs, whatever has its name now.
        let metadata = std::fs::metadata(SELF)?;
        Ok(Self { path: OsString::from_vec(path.to_vec()).into(), inode: (metadata.dev(), metadata.ino()) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether another file has the name now; `false` where none has.
    pub fn is_replaced(&self) -> io::Result<bool> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) => Ok((metadata.dev(), metadata.ino()) != self.inode),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Becomes what has the name now, with the same arguments and one more variable. Returns only if that fails.
    pub fn execute(&self, variable: &str, value: &str) -> io::Error {
        Command::new(&self.path).args(std::env::args_os().skip(1)).env(variable, value).exec()
    }
}

/// Files that this process may have open at once (`RLIMIT_NOFILE`, the soft limit).
pub fn open_files_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Gives the memory that a large job left behind back to the kernel.
pub fn release_memory() {
    // SAFETY: malloc_trim(3) takes any number and touches only what malloc has free.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_program_is_not_replaced() {
        let program = Program::running().unwrap();
        assert!(program.path().is_absolute());
        assert!(!program.is_replaced().unwrap());
        let other = Program { inode: (0, 0), ..program.clone() };
        assert!(other.is_replaced().unwrap());
        let gone = Program { path: "/proc/nonexistent".into(), ..program };
        assert!(!gone.is_replaced().unwrap());
        assert_eq!(gone.execute("A", "b").kind(), io::ErrorKind::NotFound);
    }
}
