//! Which files an execution pulls in: script, interpreters, loader, libraries, as kernel and glibc look for them.
#![forbid(unsafe_code)]

mod linking;

use crate::model::binfmt::Handler;
use crate::model::program::Role;
use crate::sys::root::Root;

pub(super) use linking::{FOLDERS, Linking};

/// A file that is pulled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its path, links resolved, as the root sees it.
    pub path: Vec<u8>,
    /// What it is.
    pub role: Role,
    /// The part that wants it; none for the program.
    pub wanted_by: Option<usize>,
}

/// Something that is wanted and not there, or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The name by which it is wanted.
    pub name: Vec<u8>,
    /// The part that wants it.
    pub wanted_by: Option<usize>,
    /// Why it is not among the parts.
    pub why: String,
}

/// What an execution pulls in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loading {
    /// In the order in which they are opened.
    pub parts: Vec<Part>,
    /// What could not be found.
    pub gaps: Vec<Gap>,
    /// The part by which set-user-ID and set-group-ID are carried out.
    pub ids_from: Option<usize>,
}

/// Finds what executing this path pulls in. Libraries that a program opens while it runs (dlopen(3)) are not known to
/// anybody before; `LD_LIBRARY_PATH` and `LD_PRELOAD` of some caller are not looked at. Where ld.so would take the
/// variant of a library for a newer processor, that variant and the plain library are both named. `handlers` are those
/// of binfmt_misc. Whoever asks about many programs asks one [`Linking`].
pub fn loading(root: &Root, path: &[u8], handlers: &[Handler]) -> Loading {
    Linking::new(root, handlers.to_vec()).execution(path)
}
