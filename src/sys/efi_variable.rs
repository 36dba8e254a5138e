//! EFI variables, through efivarfs (Documentation/filesystems/efivarfs.rst).
//!
//! A file `NAME-GUID` holds four bytes of attributes and the value. It is written in one write(2), which is one
//! `SetVariable()` of the firmware: on return the value is in its flash, whole, whatever happens to the machine next.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::IFlags;
use rustix::mount::MountFlags;

/// Where the kernel offers its firmware; absent on machines without EFI.
const FIRMWARE: &str = "/sys/firmware/efi";
/// Where efivarfs is mounted.
const MOUNTED: &str = "/sys/firmware/efi/efivars";
/// `EFIVARFS_MAGIC`.
const MAGIC: i64 = 0xde5e_81e4;
/// `NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS` (UEFI specification, `SetVariable()`).
const ATTRIBUTES: [u8; 4] = [7, 0, 0, 0];
/// No variable of ours is longer.
const LIMIT: u64 = 1 << 12;

/// The folder with the variables; mounts it where the machine has EFI and nobody mounted it yet. `None`: no EFI.
pub fn folder() -> io::Result<Option<PathBuf>> {
    if !Path::new(FIRMWARE).exists() {
        return Ok(None);
    }
    let folder = PathBuf::from(MOUNTED);
    if rustix::fs::statfs(&folder)?.f_type != MAGIC {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        rustix::mount::mount("efivarfs", &folder, "efivarfs", flags, None)?;
    }
    Ok(Some(folder))
}

/// A variable's value; `None` where there is no such variable.
pub fn read(folder: &Path, variable: &str) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(folder.join(variable)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let bytes = super::root::read_limited(file, LIMIT)?;
    Ok(bytes.get(ATTRIBUTES.len()..).map(<[u8]>::to_vec))
}

/// Writes a variable, and reads it back: firmware has been seen to lose what it took.
pub fn write(folder: &Path, variable: &str, value: &[u8]) -> io::Result<()> {
    let path = folder.join(variable);
    let is_new = !path.exists();
    if !is_new {
        make_mutable(&path)?;
    }
    let put = || {
        let mut file = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        file.write_all(&[&ATTRIBUTES, value].concat())?;
        file.sync_all().or_else(|error| match error.raw_os_error() {
            // efivarfs has no fsync: what was written is in the flash already.
            Some(libc::EINVAL) => Ok(()),
            _ => Err(error),
        })
    };
    put().inspect_err(|_| {
        // An empty file would be left, which is no variable.
        if is_new {
            std::fs::remove_file(&path).unwrap_or_default();
        }
    })?;
    match read(folder, variable)? {
        Some(found) if found == value => Ok(()),
        _ => Err(io::Error::other("the firmware took it, but does not give it back")),
    }
}

/// Removes a variable; no such variable is no fault.
pub fn remove(folder: &Path, variable: &str) -> io::Result<()> {
    let path = folder.join(variable);
    match make_mutable(&path).and_then(|()| std::fs::remove_file(&path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// The kernel makes variables that it does not know immutable, against rm -rf.
fn make_mutable(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    match rustix::fs::ioctl_getflags(&file) {
        Ok(flags) if flags.contains(IFlags::IMMUTABLE) => {
            Ok(rustix::fs::ioctl_setflags(&file, flags - IFlags::IMMUTABLE)?)
        }
        Ok(_) | Err(rustix::io::Errno::NOTTY) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stands_behind_its_attributes() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path(), "X-1").unwrap(), None);
        for value in [&b"one"[..], b"two"] {
            write(dir.path(), "X-1", value).unwrap();
            assert_eq!(std::fs::read(dir.path().join("X-1")).unwrap(), [&[7, 0, 0, 0], value].concat());
            assert_eq!(read(dir.path(), "X-1").unwrap(), Some(value.to_vec()));
        }
        for _ in 0..2 {
            remove(dir.path(), "X-1").unwrap();
            assert_eq!(read(dir.path(), "X-1").unwrap(), None);
        }
    }
}
