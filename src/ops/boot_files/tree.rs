//! Files and folders of a root as they are read: what is not there is nothing, what cannot be read is a problem.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStringExt;

use rustix::fs::OFlags;

use super::collection::lossy;
use crate::model::report::Problem;
use crate::sys::root::{Root, read_limited};

/// No file of settings is longer.
pub(super) const SETTINGS_LIMIT: u64 = 1 << 20;

/// Reads below a root.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    pub(super) root: &'a Root,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Tree<'a> {
    pub(super) const fn new(root: &'a Root) -> Self {
        Self { root, problems: RefCell::new(Vec::new()) }
    }

    /// A file's content, links followed; `None` where there is none or what is there is no regular file.
    pub(super) fn read(&self, path: &[u8], limit: u64) -> Option<Vec<u8>> {
        let read = || read_limited(self.root.open_with(path, OFlags::RDONLY | OFlags::NONBLOCK)?.into(), limit);
        match read() {
            Ok(bytes) => Some(bytes),
            // A device, mostly /dev/null in the place of what is switched off.
            Err(error) if is_absent(&error) || error.kind() == io::ErrorKind::InvalidInput => None,
            Err(error) => {
                self.tell(path, &error, "what it names is not known");
                None
            }
        }
    }

    /// A file of settings.
    pub(super) fn settings(&self, path: &str) -> Option<Vec<u8>> {
        self.read(path.as_bytes(), SETTINGS_LIMIT)
    }

    /// The names in a folder, sorted; none where there is no such folder.
    pub(super) fn names(&self, folder: &[u8]) -> Vec<Vec<u8>> {
        // Folders are named by us and by units, whose names are text.
        let Ok(text) = std::str::from_utf8(folder) else { return Vec::new() };
        match self.root.list(text) {
            Ok(names) => names.into_iter().map(|name| name.into_os_string().into_vec()).collect(),
            Err(error) if is_absent(&error) => Vec::new(),
            Err(error) => {
                self.tell(folder, &error, "what it holds is not known");
                Vec::new()
            }
        }
    }

    /// Where a link leads, as it is written; `None` for what is no link.
    pub(super) fn link(&self, path: &[u8]) -> Option<Vec<u8>> {
        let link = self.root.open_with(path, OFlags::PATH | OFlags::NOFOLLOW).ok()?;
        Some(rustix::fs::readlinkat(link, c"", Vec::new()).ok()?.into_bytes())
    }

    /// Where a path leads, links resolved; `None` where nothing is there.
    pub(super) fn real(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.root.real_path(self.root.open_with(path, OFlags::PATH).ok()?).ok()
    }

    /// The files of folders of which earlier ones win, by name: those with this ending, without those that a link to
    /// /dev/null switches off.
    pub(super) fn layered(&self, folders: &[&str], ending: &[u8]) -> Vec<Vec<u8>> {
        let mut found: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for folder in folders {
            for name in self.names(folder.as_bytes()) {
                if name.ends_with(ending) {
                    let path = [folder.as_bytes(), b"/", &name].concat();
                    found.entry(name).or_insert(path);
                }
            }
        }
        found.into_values().filter(|path| !self.is_masked(path)).collect()
    }

    /// Whether it is a link to /dev/null.
    pub(super) fn is_masked(&self, path: &[u8]) -> bool {
        self.link(path).is_some_and(|target| target == b"/dev/null")
    }

    fn tell(&self, path: &[u8], error: &io::Error, so: &str) {
        let path = lossy(path);
        self.problems.borrow_mut().push(Problem::new(format!("{path}: {error}; {so}"), format!("ls -ld {path}")));
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP))
}
