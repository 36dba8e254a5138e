//! A folder of a file system that is mounted read-only, written to for a moment.
//!
//! In the initramfs the real root is mounted read-only. It is mounted read-write for one small write, and then as it was.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};
use rustix::mount::MountFlags;

use super::filesystem;
use super::root::Root;

/// Where a folder is mounted, and how.
#[derive(Debug)]
pub struct Mount {
    /// The file system's type.
    pub kind: String,
    id: u64,
    options: Options,
    target: Vec<u8>,
}

/// What mountinfo says of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Options {
    /// All flags but `RDONLY`.
    flags: MountFlags,
    /// The mount is read-only.
    mount: bool,
    /// The file system itself is read-only.
    filesystem: bool,
}

impl Mount {
    /// The mount that holds an open folder.
    pub fn of(dir: &OwnedFd) -> io::Result<Self> {
        let found = filesystem::of(dir)?;
        let id = id(dir)?;
        let mountinfo = std::fs::read("/proc/self/mountinfo")?;
        let options = options(&String::from_utf8_lossy(&mountinfo), id)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "its mount is not in /proc/self/mountinfo"))?;
        Ok(Self { kind: found.name, id, options, target: found.mounted_at })
    }

    /// Whether nothing can be written through it.
    pub const fn is_read_only(&self) -> bool {
        self.options.mount || self.options.filesystem
    }

    /// Where it is mounted, for people.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.target).into_owned()
    }

    /// Does work that writes, with the file system mounted read-write meanwhile if it is not so already. Beside the work's
    /// result: whether it could not be mounted as it was again.
    pub fn while_writable<T>(
        &self,
        dir: &OwnedFd,
        work: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<(io::Result<T>, io::Result<()>)> {
        if !self.is_read_only() {
            return Ok((work(), Ok(())));
        }
        let target = self.open()?;
        let target = Root::fd_path(&target);
        let Options { flags, mount, filesystem } = self.options;
        let change = |flags: MountFlags| rustix::mount::mount_remount(&target, flags, c"").map_err(io::Error::from);
        change(if filesystem { flags } else { flags | MountFlags::BIND })?;
        let result = work().and_then(|value| {
            rustix::fs::syncfs(dir)?;
            Ok(value)
        });
        let read_only = flags | MountFlags::RDONLY;
        let as_before = match (filesystem, mount) {
            (true, true) => unless_busy(|| change(read_only)),
            (true, false) => unless_busy(|| change(read_only)).and_then(|()| change(flags | MountFlags::BIND)),
            (false, _) => unless_busy(|| change(read_only | MountFlags::BIND)),
        };
        Ok((result, as_before))
    }

    /// The mount's own root, which alone can be remounted; not what may have been mounted over it since.
    fn open(&self) -> io::Result<OwnedFd> {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(&self.target));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let target = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        if id(&target)? == self.id {
            Ok(target)
        } else {
            Err(io::Error::other(format!("another file system is mounted over {}", path.display())))
        }
    }
}

/// Tries a second long to mount a file system read-only while someone has a file of it open for writing: a process that
/// was just forked has what its parent had open, until it calls execve(2).
fn unless_busy(change: impl Fn() -> io::Result<()>) -> io::Result<()> {
    for _ in 0..50 {
        match change() {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => std::thread::sleep(Duration::from_millis(20)),
            done => return done,
        }
    }
    change()
}

fn id(fd: &OwnedFd) -> io::Result<u64> {
    Ok(rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id)
}

/// The options of the mount with this number: `ID PARENT DEV ROOT TARGET OPTIONS [TAGS…] - TYPE SOURCE SUPER`
/// (proc_pid_mountinfo(5)).
fn options(mountinfo: &str, id: u64) -> Option<Options> {
    let id = id.to_string();
    let line = mountinfo.lines().find(|line| line.split(' ').next() == Some(id.as_str()))?;
    let (of_mount, of_filesystem) = line.split_once(" - ")?;
    let of_mount: Vec<&str> = of_mount.split(' ').nth(5)?.split(',').collect();
    let of_filesystem: Vec<&str> = of_filesystem.split(' ').nth(2)?.split(',').collect();
    let mut flags = MountFlags::empty();
    for (word, flag) in [
        ("nosuid", MountFlags::NOSUID),
        ("nodev", MountFlags::NODEV),
        ("noexec", MountFlags::NOEXEC),
        ("noatime", MountFlags::NOATIME),
        ("nodiratime", MountFlags::NODIRATIME),
        ("relatime", MountFlags::RELATIME),
        ("nosymfollow", MountFlags::NOSYMFOLLOW),
    ] {
        flags.set(flag, of_mount.contains(&word));
    }
    // What shows neither keeps every access time.
    flags.set(MountFlags::STRICTATIME, !flags.intersects(MountFlags::NOATIME | MountFlags::RELATIME));
    for (word, flag) in [
        ("sync", MountFlags::SYNCHRONOUS),
        ("dirsync", MountFlags::DIRSYNC),
        ("mand", MountFlags::PERMIT_MANDATORY_FILE_LOCKING),
        ("lazytime", MountFlags::LAZYTIME),
    ] {
        flags.set(flag, of_filesystem.contains(&word));
    }
    Some(Options { flags, mount: of_mount.contains(&"ro"), filesystem: of_filesystem.contains(&"ro") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_mount_and_file_system() {
        let info = "22 1 0:5 / / rw - ext4 /dev/vda rw\n\
                    221 22 8:1 / /sysroot ro,nosuid,relatime shared:7 master:1 - ext4 /dev/vda1 ro,lazytime,errors=remount-ro\n";
        let root = options(info, 22).unwrap();
        assert_eq!(root, Options { flags: MountFlags::STRICTATIME, mount: false, filesystem: false });
        let flags = MountFlags::NOSUID | MountFlags::RELATIME | MountFlags::LAZYTIME;
        assert_eq!(options(info, 221), Some(Options { flags, mount: true, filesystem: true }));
        assert_eq!(options(info, 2), None);
    }

    #[test]
    fn what_is_busy_is_tried_again() {
        let busy = || Err(io::Error::from(rustix::io::Errno::BUSY));
        let tries = std::cell::Cell::new(0);
        let third = || if tries.replace(tries.get() + 1) < 2 { busy() } else { Ok(()) };
        assert!(unless_busy(third).is_ok() && tries.get() == 3);
        assert_eq!(unless_busy(busy).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        assert!(unless_busy(|| Err(io::ErrorKind::PermissionDenied.into())).is_err());
    }

    #[test]
    fn what_is_writable_is_not_remounted() {
        let dir = tempfile::tempdir().unwrap();
        let open = Root::open(dir.path()).unwrap().open_dir("/").unwrap();
        let mount = Mount::of(&open).unwrap();
        assert!(!mount.is_read_only() && !mount.kind.is_empty());
        let (done, undone) = mount.while_writable(&open, || Ok(1)).unwrap();
        assert_eq!((done.unwrap(), undone.is_ok()), (1, true));
    }
}
