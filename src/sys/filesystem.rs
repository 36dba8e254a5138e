//! Which file system an open file is on, as IMA's rules name it.
#![expect(unsafe_code, reason = "FS_IOC_GETFSUUID has no wrapper in any crate")]

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatVfsMountFlags, StatxFlags};
use rustix::io::Errno;
use rustix::ioctl::{Getter, ioctl, opcode};

use crate::model::doctor::LabelSupport;
use crate::model::label::XATTR_IMA;
use crate::model::seq_file::unescaped;

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filesystem {
    /// `s_magic`, as statfs(2) tells it.
    pub magic: u64,
    /// The type's name (`s_type->name`), e.g. `fuse`.
    pub name: String,
    /// The subtype (`s_subtype`), e.g. `sshfs` of `fuse.sshfs`.
    pub subtype: Option<String>,
    /// `s_uuid`; `None` where the file system does not tell it.
    pub uuid: Option<[u8; 16]>,
    /// What is mounted: a device's path, or any word (`composefs`).
    pub source: Vec<u8>,
    /// Where it is mounted.
    pub mounted_at: Vec<u8>,
}

/// `struct fsuuid2` (include/uapi/linux/fs.h).
#[repr(C)]
struct FsUuid {
    len: u8,
    uuid: [u8; 16],
}

/// The file system of an open file.
pub fn of(fd: impl AsFd) -> io::Result<Filesystem> {
    let magic = rustix::fs::fstatfs(&fd)?.f_type;
    let stat = rustix::fs::statx(&fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    let mountinfo = std::fs::read("/proc/self/mountinfo")?;
    let mount = mount(&mountinfo, stat.stx_mnt_id)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "its mount is not in /proc/self/mountinfo"))?;
    Ok(Filesystem { magic: u64::from_ne_bytes(magic.to_ne_bytes()), uuid: uuid(&fd), ..mount })
}

/// File systems that were asked about already, by device: thousands of files are on a few, and each question reads the
/// whole list of mounts.
#[derive(Debug, Default)]
pub struct Filesystems(BTreeMap<u64, Filesystem>);

impl Filesystems {
    /// The file system of an open file on this device (`st_dev`). Where it is mounted is told of the first such file.
    pub fn of(&mut self, fd: impl AsFd, device: u64) -> io::Result<&Filesystem> {
        use std::collections::btree_map::Entry;
        Ok(match self.0.entry(device) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(of(fd)?),
        })
    }
}

/// Whether files there can have `security.ima`, and whether it can be written: what the open folder itself answers.
pub fn label_support(fd: impl AsFd) -> io::Result<LabelSupport> {
    // A folder has none, or it may not be read; either is a file system with labels.
    if rustix::fs::fgetxattr(&fd, XATTR_IMA, &mut [0_u8; 0][..]) == Err(Errno::OPNOTSUPP) {
        return Ok(LabelSupport::NotKept);
    }
    let flags = rustix::fs::fstatvfs(&fd)?.f_flag;
    Ok(if flags.contains(StatVfsMountFlags::RDONLY) { LabelSupport::ReadOnly } else { LabelSupport::Kept })
}

fn uuid(fd: impl AsFd) -> Option<[u8; 16]> {
    // SAFETY: the request's number carries direction and size of the structure that the kernel fills
    // (`_IOR(0x15, 0, struct fsuuid2)`), and any bytes make a valid FsUuid.
    let found = unsafe { ioctl(fd, Getter::<{ opcode::read::<FsUuid>(0x15, 0) }, FsUuid>::new()) };
    found.ok().filter(|found| found.len == 16).map(|found| found.uuid)
}

/// The mount with this number: `ID PARENT DEV ROOT TARGET OPTIONS [TAGS…] - TYPE SOURCE SUPER` (proc_pid_mountinfo(5)).
fn mount(mountinfo: &[u8], id: u64) -> Option<Filesystem> {
    let id = id.to_string();
    let line = mountinfo
        .split(|&byte| byte == b'\n')
        .find(|line| line.split(|&byte| byte == b' ').next() == Some(id.as_bytes()))?;
    let mut words = line.split(|&byte| byte == b' ');
    let mounted_at = unescaped(words.nth(4)?);
    let mut words = words.skip_while(|word| *word != b"-").skip(1);
    let kind = words.next()?;
    let source = words.next().map(unescaped).unwrap_or_default();
    let kind = String::from_utf8_lossy(kind);
    let (name, subtype) = match kind.split_once('.') {
        Some((name, subtype)) => (name.to_owned(), Some(subtype.to_owned())),
        None => (kind.into_owned(), None),
    };
    Some(Filesystem { magic: 0, name, subtype, uuid: None, source, mounted_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_by_number() {
        let info = b"22 1 0:5 / / rw - ext4 /dev/vda rw\n221 22 0:26 / /a\\040b rw shared:7 - fuse.sshfs me@there rw\n";
        let mount = mount(info, 221).unwrap();
        assert_eq!((mount.name.as_str(), mount.subtype.as_deref()), ("fuse", Some("sshfs")));
        assert_eq!(mount.mounted_at, b"/a b");
        let root = super::mount(info, 22).unwrap();
        assert_eq!((root.name.as_str(), &root.source[..]), ("ext4", &b"/dev/vda"[..]));
        assert_eq!(super::mount(info, 2), None);
    }

    #[test]
    fn proc_is_proc() {
        let found = of(std::fs::File::open("/proc/self/maps").unwrap()).unwrap();
        assert_eq!((found.magic, found.name.as_str()), (0x9fa0, "proc"));
    }
}
