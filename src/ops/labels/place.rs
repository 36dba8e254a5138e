//! Whether labels can be written where the files are: images are only verified.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use crate::model::image::Image;
use crate::model::report::Problem;
use crate::sys::filesystem::{self, Filesystem};
use crate::sys::process::{self, Privilege};
use crate::sys::root::Root;

/// Why this process can write no label at all, if so.
pub(super) fn no_privilege() -> Option<Problem> {
    let (why, next) = match process::privilege().ok()? {
        Privilege::Full => return None,
        Privilege::UserNamespace => (
            "in a user namespace (a container that is built or run without root)",
            "as root of the host: imactl relabel --root TREE, or build the image as root",
        ),
        Privilege::NoAdmin => ("without CAP_SYS_ADMIN", "run it as root"),
    };
    Some(Problem::new(format!("the kernel lets no one write security.ima {why}: labels were only verified"), next))
}

/// The file systems of a root as one thread has met them.
#[derive(Debug)]
pub(super) struct Places {
    ostree: bool,
    /// By device number. There are a handful.
    seen: RefCell<Vec<(u64, Option<Filesystem>)>>,
}

impl Places {
    pub(super) fn new(root: &Root) -> Self {
        Self { ostree: is_ostree(root), seen: RefCell::default() }
    }

    /// The image that an open file lies in.
    pub(super) fn image(&self, path: &[u8], device: u64, file: impl AsFd) -> Option<Image> {
        let mut seen = self.seen.borrow_mut();
        let place = seen.iter().position(|(known, _)| *known == device).unwrap_or_else(|| {
            seen.push((device, filesystem::of(file).ok()));
            seen.len() - 1
        });
        let filesystem = seen.get(place).and_then(|(_, filesystem)| filesystem.as_ref());
        let (magic, source) = filesystem.map_or((0, &[][..]), |known| (known.magic, &known.source[..]));
        Image::of(path, magic, source, self.ostree)
    }
}

/// Whether a root is a deployment of ostree: booted (ostree-prepare-root(1) makes the file), or where deployments lie.
fn is_ostree(root: &Root) -> bool {
    let path = root.path().as_os_str().as_bytes();
    root.exists("/run/ostree-booted") || path.windows(b"/ostree/deploy/".len()).any(|part| part == b"/ostree/deploy/")
}
