//! Throw-away disks over the cached images, and changes to a root file system that has not booted yet.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{XattrFlags, lgetxattr, lremovexattr, lsetxattr};

use super::setup::Change;

/// Runs a host's program to its end.
pub(super) fn host<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{program}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end()))
}

/// Makes an image that reads through to `backing` and keeps what is written.
pub(super) fn overlay(backing: &Path, format: &str, image: &Path) -> Result<(), String> {
    let words = ["create", "-q", "-f", "qcow2", "-F", format, "-b"];
    let words = words.iter().map(OsStr::new).chain([backing.as_os_str(), image.as_os_str()]);
    host("qemu-img", &words.collect::<Vec<_>>()).map(drop)
}

/// Copies a file without its holes, sharing blocks where the file system can. Its times are kept: a disk of user-mode
/// Linux that reads through to a file knows it by them (`cow_user.c: read_cow_header()`).
pub(super) fn copy_sparse(from: &Path, to: &Path) -> Result<(), String> {
    let options = ["--sparse=always", "--reflink=auto", "--preserve=timestamps"].map(OsStr::new);
    host("cp", &[&options[..], &[from.as_os_str(), to.as_os_str()]].concat()).map(drop)
}

/// Copies a raw ext4 image and carries out the changes in the copy.
pub(super) fn changed_copy(raw: &Path, changes: &[Change], copy: &Path) -> Result<(), String> {
    copy_sparse(raw, copy)?;
    let mounted = Mounted::new(copy)?;
    for change in changes {
        mounted.carry_out(change).map_err(|error| format!("{change:?}: {error}"))?;
    }
    mounted.unmount()
}

/// An image mounted in a mount namespace that a child process holds: when this process dies, so does the child, and
/// no mount and no loop device stays behind.
struct Mounted {
    holder: Child,
    root: PathBuf,
}

impl Mounted {
    fn new(image: &Path) -> Result<Self, String> {
        let script = r#"mount -o loop "$1" /mnt && echo mounted && { read -r _; umount /mnt; }"#;
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
            .arg(image)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut line = String::new();
        let stdout = holder.stdout.take().ok_or("unshare: no pipe")?;
        BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
        if line.trim_end() != "mounted" {
            let status = holder.wait().map_err(|error| error.to_string())?;
            return Err(format!("{} cannot be mounted ({status}); changing an image needs root", image.display()));
        }
        let root = PathBuf::from(format!("/proc/{}/root/mnt", holder.id()));
        Ok(Self { holder, root })
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn carry_out(&self, change: &Change) -> std::io::Result<()> {
        match change {
            Change::File { path, bytes, mode } => {
                let path = self.path(path);
                fs::create_dir_all(path.parent().unwrap_or(&path))?;
                // A new file: what had the name before keeps its label.
                if path.symlink_metadata().is_ok() {
                    fs::remove_file(&path)?;
                }
                fs::write(&path, bytes)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode))
            }
            Change::Directory { path, mode } => {
                fs::create_dir_all(self.path(path))?;
                fs::set_permissions(self.path(path), fs::Permissions::from_mode(*mode))
            }
            Change::Symlink { path, target } => std::os::unix::fs::symlink(target, self.path(path)),
            Change::Remove { path } => {
                let path = self.path(path);
                if path.symlink_metadata()?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
            }
            Change::Xattr { path, name, value: Some(value) } => {
                Ok(lsetxattr(self.path(path), name.as_str(), value, XattrFlags::empty())?)
            }
            Change::Xattr { path, name, value: None } => Ok(lremovexattr(self.path(path), name.as_str())?),
            Change::LabelFrom { path, other } => {
                let mut label = [0; 4096];
                let length = lgetxattr(self.path(other), "security.ima", &mut label[..])?;
                Ok(lsetxattr(self.path(path), "security.ima", &label[..length], XattrFlags::empty())?)
            }
        }
    }

    fn unmount(mut self) -> Result<(), String> {
        let mut stdin = self.holder.stdin.take().ok_or("unshare: no pipe")?;
        stdin.write_all(b"\n").map_err(|error| error.to_string())?;
        let status = self.holder.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("unmounting the image: {status}")) }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Closing the pipe ends the holder's `read`, also after a failure; then there is no one to tell.
        drop(self.holder.stdin.take());
        drop(self.holder.wait());
    }
}
