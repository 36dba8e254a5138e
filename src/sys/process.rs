//! This process: its program, its limits, its privilege, its memory.
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

/// Whether this process may write `security.ima` (`ima_protect_xattr()` asks for `CAP_SYS_ADMIN` in the initial user
/// namespace).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// It may.
    Full,
    /// It is in a user namespace, where the capability does not count.
    UserNamespace,
    /// It lacks the capability.
    NoAdmin,
}

/// The privilege of this process.
pub fn privilege() -> io::Result<Privilege> {
    let (status, map) = (std::fs::read_to_string("/proc/self/status")?, std::fs::read_to_string("/proc/self/uid_map")?);
    Ok(privilege_of(&status, &map))
}

/// From /proc/self/status (`CapEff:`) and /proc/self/uid_map, which maps all 2³²-1 ids in the initial user namespace only.
fn privilege_of(status: &str, uid_map: &str) -> Privilege {
    const CAP_SYS_ADMIN: u32 = 21;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    if uid_map.split_whitespace().ne(["0", "0", "4294967295"]) {
        Privilege::UserNamespace
    } else if effective >> CAP_SYS_ADMIN & 1 == 0 {
        Privilege::NoAdmin
    } else {
        Privilege::Full
    }
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
    fn privilege_is_told_by_capability_and_namespace() {
        const ALL: &str = "         0          0 4294967295\n";
        assert_eq!(privilege_of("Name:\tx\nCapEff:\t000001ffffffffff\n", ALL), Privilege::Full);
        assert_eq!(privilege_of("CapEff:\t0000000000000000\n", ALL), Privilege::NoAdmin);
        assert_eq!(privilege_of("CapEff:\t00000000a80425fb\n", ALL), Privilege::NoAdmin);
        assert_eq!(privilege_of("CapEff:\t000001ffffffffff\n", "0 1000 1\n1 100000 65536\n"), Privilege::UserNamespace);
    }

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
