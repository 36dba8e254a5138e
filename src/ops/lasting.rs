//! Changes in `/etc/imad/state` that outlive the boot, made from the initramfs too, where the root is mounted read-only.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;

use crate::model::report::Problem;
use crate::sys::attempts::FOLDER;
use crate::sys::remount::Mount;
use crate::sys::root::Root;

/// A change that lasts.
#[derive(Debug)]
pub(super) struct Lasting {
    /// The file system, and what was done to it, in words.
    pub(super) how: String,
    /// What a person should know.
    pub(super) problem: Option<Problem>,
}

/// Does work in the folder, with its file system mounted read-write for it. `Err` says why that would not last, or failed.
pub(super) fn in_state_folder<T>(
    root: &Root,
    work: impl FnOnce(&OwnedFd) -> io::Result<T>,
) -> Result<(T, Lasting), String> {
    let dir = root.open_dir(FOLDER).map_err(|error| error.to_string())?;
    let mount = Mount::of(&dir).map_err(|error| error.to_string())?;
    if let Some(why) = gone_with_the_boot(&mount.kind) {
        return Err(why.to_owned());
    }
    let place = mount.shown();
    let (done, as_before) = mount
        .while_writable(&dir, || work(&dir))
        .map_err(|error| format!("{place} cannot be mounted read-write: {error}"))?;
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
    use super::*;

    #[test]
    fn what_is_in_memory_is_no_store() {
        assert!(gone_with_the_boot("tmpfs").is_some() && gone_with_the_boot("ext4").is_none());
    }
}
