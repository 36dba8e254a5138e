//! Hiding `/etc/ima` from PID 1, and showing it again.
//!
//! PID 1 loads `/etc/ima/ima-policy` in its first moments in the real root, and freezes the machine when the kernel
//! refuses it (systemd's `src/core/ima-setup.c`). An empty read-only tmpfs over the folder survives the switch of root.
#![forbid(unsafe_code)]

use std::io;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags};

use super::root::Root;

/// Source of the hiding mount, by which it is told from an administrator's own.
const SOURCE: &str = "imad-hide";

/// Hides a folder of a root. `false` where the root has no such folder, so that there is nothing to hide.
pub fn hide(root: &Root, dir: &str) -> io::Result<bool> {
    let target = match root.open_dir(dir) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount(SOURCE, Root::fd_path(&target), "tmpfs", flags, c"mode=0755,size=4k,nr_inodes=2")?;
    Ok(true)
}

/// Takes the hiding mounts over this folder away; how many there were.
pub fn show(dir: &Path) -> io::Result<usize> {
    let mut shown = 0;
    while is_hidden(&std::fs::read_to_string("/proc/self/mountinfo")?, dir) {
        rustix::mount::unmount(dir, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
        shown += 1;
    }
    Ok(shown)
}

/// Fields of mountinfo: `ID PARENT DEV ROOT TARGET OPTIONS [TAGS…] - TYPE SOURCE SUPER` (proc_pid_mountinfo(5)).
fn is_hidden(mountinfo: &str, dir: &Path) -> bool {
    mountinfo.lines().any(|line| {
        let Some((mount, source)) = line.split_once(" - ") else { return false };
        let target = mount.split(' ').nth(4).map(|target| target.replace("\\040", " "));
        target.is_some_and(|target| Path::new(&target) == dir) && source.split(' ').nth(1) == Some(SOURCE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_our_mount_from_others() {
        let info = "29 1 0:26 / /etc/ima ro,nosuid shared:7 - tmpfs imad-hide ro,size=4k\n";
        assert!(is_hidden(info, Path::new("/etc/ima")));
        assert!(!is_hidden(info, Path::new("/etc")));
        assert!(!is_hidden(&info.replace("imad-hide", "tmpfs"), Path::new("/etc/ima")));
    }
}
