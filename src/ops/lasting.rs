//! Changes in `/etc/imad/state` that outlive the boot, made from the initramfs too, where the root is mounted read-only.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::Mode;

use crate::model::report::Problem;
use crate::sys::attempts::FOLDER;
use crate::sys::remount::Mount;
use crate::sys::root::Root;
use crate::sys::state_dir;

/// What holds [`FOLDER`].
const ABOVE: &str = "/etc/imad";

/// A change that lasts.
#[derive(Debug)]
pub(super) struct Lasting {
    /// The file system, and what was done to it, in words.
    pub(super) how: String,
    /// What a person should know.
    pub(super) problem: Option<Problem>,
}

/// Does work in the folder, with its file system mounted read-write for it. The folder is made where it is missing. `Err`
/// says why that would not last, or failed.
pub(super) fn in_state_folder<T>(
    root: &Root,
    work: impl FnOnce(&OwnedFd) -> io::Result<T>,
) -> Result<(T, Lasting), String> {
    match root.open_dir(FOLDER) {
        Ok(dir) => written(&dir, || work(&dir)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above =
                [ABOVE, "/etc"].into_iter().find_map(|path| root.open_dir(path).ok()).ok_or(error.to_string())?;
            written(&above, || {
                state_dir::make_folders(root, FOLDER, Mode::RWXU)?;
                for path in [ABOVE, "/etc"] {
                    rustix::fs::fsync(root.open_dir(path)?)?;
                }
                work(&root.open_dir(FOLDER)?)
            })
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Does work in the file system that holds a folder.
fn written<T>(dir: &OwnedFd, work: impl FnOnce() -> io::Result<T>) -> Result<(T, Lasting), String> {
    let mount = Mount::of(dir).map_err(|error| error.to_string())?;
    if let Some(why) = gone_with_the_boot(&mount.kind) {
        return Err(why.to_owned());
    }
    let place = mount.shown();
    let (done, as_before) =
        mount.while_writable(dir, work).map_err(|error| format!("{place} cannot be mounted read-write: {error}"))?;
    let problem = as_before.err().map(|error| {
        Problem::new(
            format!("{place} was mounted read-write for a moment, and cannot be mounted read-only again: {error}"),
            format!("mount -o remount,ro {place}; a system that wants it read-write goes on all the same"),
        )
    });
    let value = done.map_err(|error| error.to_string())?;
    let how = if mount.is_read_only() { format!(", {place} mounted read-write for it") } else { String::new() };
    Ok((value, Lasting { how: format!("{}{how}", mount.kind), problem }))
}

/// Why nothing that is written to such a file system lasts; `None` where it does.
fn gone_with_the_boot(kind: &str) -> Option<&'static str> {
    match kind {
        "tmpfs" | "ramfs" | "rootfs" => Some("it lies in memory, and is gone with this boot"),
        // What is under it is not seen from here, and mostly is a tmpfs.
        "overlay" => Some("it lies on an overlay, and whether that lasts cannot be told"),
        "squashfs" | "erofs" | "iso9660" | "cramfs" | "romfs" | "udf" => {
            Some("it lies on an image, which is never written")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_folder_is_made_where_it_is_missing() {
        // Beside the test program: /tmp may be in memory, which is no store.
        let program = std::env::current_exe().unwrap();
        for there in ["etc", "etc/imad", "etc/imad/state"] {
            let folder = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
            std::fs::create_dir_all(folder.path().join(there)).unwrap();
            let root = Root::open(folder.path()).unwrap();
            let work = |dir: &OwnedFd| std::fs::write(Root::fd_path(dir).join("x"), "y");
            in_state_folder(&root, work).unwrap();
            assert_eq!(std::fs::read(folder.path().join("etc/imad/state/x")).unwrap(), b"y");
            if there != "etc/imad/state" {
                let mode = std::fs::metadata(folder.path().join("etc/imad/state")).unwrap().permissions().mode();
                assert_eq!(mode & 0o7777, 0o700);
            }
        }
        let folder = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
        assert!(in_state_folder(&Root::open(folder.path()).unwrap(), |_| Ok(())).is_err());
    }

    #[test]
    fn what_is_in_memory_is_no_store() {
        assert!(gone_with_the_boot("tmpfs").is_some() && gone_with_the_boot("ext4").is_none());
    }
}
