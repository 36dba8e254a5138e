//! Replacing a file so that the one before it can come back as it was: the same inode, with owner, times and attributes.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, XattrFlags};

use super::root::Root;

/// A file's new content, mode and extended attributes.
#[derive(Debug, Clone)]
pub struct NewFile<'a> {
    /// The content.
    pub bytes: &'a [u8],
    /// User and group, where not those of this process.
    pub owner: Option<(u32, u32)>,
    /// Permission bits.
    pub mode: u32,
    /// Names and values.
    pub xattrs: &'a [(&'a str, Vec<u8>)],
}

/// The folder of a path of a root, open, and the last component.
fn parent<'p>(root: &Root, path: &'p str) -> io::Result<(OwnedFd, &'p str)> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if name.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file's path"));
    }
    Ok((root.open_dir(folder)?, name))
}

/// Keeps the file under a second name in its own folder, durably. Where the file system has no links it is a copy with the
/// same times. Keeping what is kept already changes nothing.
pub fn keep(root: &Root, path: &str, kept: &str) -> io::Result<()> {
    let (dir, name) = parent(root, path)?;
    let kept = kept.rsplit_once('/').map_or(kept, |(_, name)| name);
    match rustix::fs::linkat(&dir, name, &dir, kept, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        // vfat, exfat.
        Err(rustix::io::Errno::PERM | rustix::io::Errno::OPNOTSUPP) => copy(&dir, name, kept)?,
        Err(error) => return Err(error.into()),
    }
    Ok(rustix::fs::fsync(&dir)?)
}

fn copy(dir: &OwnedFd, name: &str, kept: &str) -> io::Result<()> {
    let open = |name: &str, flags| rustix::fs::openat(dir, name, flags | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
    let mut from = File::from(open(name, OFlags::RDONLY | OFlags::NOFOLLOW)?);
    let stat = rustix::fs::fstat(&from)?;
    let partial = format!("{kept}.partial");
    let mut to = File::from(open(&partial, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW)?);
    io::copy(&mut from, &mut to)?;
    let time = |sec, nsec: u64| Timespec { tv_sec: sec, tv_nsec: i64::try_from(nsec).unwrap_or(0) };
    rustix::fs::futimens(
        &to,
        &Timestamps {
            last_access: time(stat.st_atime, stat.st_atime_nsec),
            last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
        },
    )?;
    to.sync_all()?;
    Ok(rustix::fs::renameat(dir, &*partial, dir, kept)?)
}

/// Puts a file into its place: written beside it with its attributes, synced, renamed, the folder synced.
pub fn put(root: &Root, path: &str, new: &NewFile<'_>) -> io::Result<()> {
    let (dir, name) = parent(root, path)?;
    let partial = format!(".{name}.imad-partial");
    remove_from(&dir, &partial)?;
    let write = || {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(&dir, &*partial, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(new.bytes)?;
        // The owner first: a change of owner may take mode bits away.
        if let Some((user, group)) = new.owner {
            std::os::unix::fs::fchown(&file, Some(user), Some(group))?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(new.mode))?;
        // Last: a write to a file with a label would make it stale, were it appraised.
        for (name, value) in new.xattrs {
            rustix::fs::fsetxattr(&file, *name, value, XattrFlags::empty())?;
        }
        file.sync_all()?;
        rustix::fs::renameat(&dir, &*partial, &dir, name)?;
        Ok(rustix::fs::fsync(&dir)?)
    };
    write().inspect_err(|_: &io::Error| {
        // What failed is reported; that its left-over cannot be removed either adds nothing.
        remove_from(&dir, &partial).unwrap_or_default();
    })
}

/// Moves a file that was made elsewhere in the same folder into its place.
pub fn move_into_place(root: &Root, made: &str, path: &str) -> io::Result<()> {
    let (dir, name) = parent(root, path)?;
    let made = made.rsplit_once('/').map_or(made, |(_, name)| name);
    let file = File::from(rustix::fs::openat(&dir, made, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
    file.sync_all()?;
    rustix::fs::renameat(&dir, made, &dir, name)?;
    Ok(rustix::fs::fsync(&dir)?)
}

/// Puts the kept file back; whether there was one. Without one the file is as it was.
pub fn put_back(root: &Root, path: &str, kept: &str) -> io::Result<bool> {
    let (dir, name) = parent(root, path)?;
    let kept = kept.rsplit_once('/').map_or(kept, |(_, name)| name);
    // Two links of one inode: rename(2) does nothing then, and both names stay.
    let inode = |name: &str| rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| stat.st_ino);
    match (inode(kept), inode(name)) {
        (Err(rustix::io::Errno::NOENT), _) => return Ok(false),
        (Ok(kept_inode), Ok(now)) if kept_inode == now => {
            remove_from(&dir, kept)?;
        }
        _ => rustix::fs::renameat(&dir, kept, &dir, name)?,
    }
    rustix::fs::fsync(&dir)?;
    Ok(true)
}

/// Removes a file, durably, if it is there; whether it was.
pub fn remove(root: &Root, path: &str) -> io::Result<bool> {
    let (dir, name) = match parent(root, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    let was = remove_from(&dir, name)?;
    rustix::fs::fsync(&dir)?;
    Ok(was)
}

fn remove_from(dir: &OwnedFd, name: &str) -> io::Result<bool> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether a path names a regular file of a root, links not followed.
pub fn is_file(root: &Root, path: &str) -> bool {
    root.open_with(path.as_bytes(), OFlags::PATH | OFlags::NOFOLLOW)
        .is_ok_and(|fd| File::from(fd).metadata().is_ok_and(|metadata| metadata.is_file()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn what_was_there_comes_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let path = dir.path().join("policy");
        std::fs::write(&path, "old").unwrap();
        let before = std::fs::metadata(&path).unwrap();
        let new = NewFile { bytes: b"new", owner: None, mode: 0o640, xattrs: &[("user.label", vec![3, 2])] };

        keep(&root, "/policy", "/.kept").unwrap();
        // Killed here, setup has changed nothing, and there is nothing to put back.
        assert!(put_back(&root, "/policy", "/.kept").unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);

        keep(&root, "/policy", "/.kept").unwrap();
        keep(&root, "/policy", "/.kept").unwrap();
        put(&root, "/policy", &new).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        let now = std::fs::metadata(&path).unwrap();
        assert_eq!(now.mode() & 0o777, 0o640);
        let file = File::open(&path).unwrap();
        let mut value = [0; 8];
        assert_eq!(rustix::fs::fgetxattr(&file, "user.label", &mut value[..]).unwrap(), 2);

        assert!(put_back(&root, "/policy", "/.kept").unwrap());
        assert!(!put_back(&root, "/policy", "/.kept").unwrap());
        let after = std::fs::metadata(&path).unwrap();
        assert_eq!((after.ino(), after.mtime_nsec(), after.mode()), (before.ino(), before.mtime_nsec(), before.mode()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(remove(&root, "/policy").unwrap() && !remove(&root, "/policy").unwrap());
        assert!(!remove(&root, "/no/such/folder").unwrap());
    }

    #[test]
    fn without_links_it_is_a_copy_of_the_same_time() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("image"), "old").unwrap();
        let before = std::fs::metadata(dir.path().join("image")).unwrap();
        copy(&root.open_dir("/").unwrap(), "image", ".kept").unwrap();
        put(&root, "/image", &NewFile { bytes: b"new", owner: None, mode: 0o600, xattrs: &[] }).unwrap();
        assert!(put_back(&root, "/image", "/.kept").unwrap());
        let after = std::fs::metadata(dir.path().join("image")).unwrap();
        assert_eq!((after.mtime(), after.mtime_nsec()), (before.mtime(), before.mtime_nsec()));
        assert_eq!(std::fs::read(dir.path().join("image")).unwrap(), b"old");
    }
}
