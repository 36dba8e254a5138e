//! Which files this machine's boot needs: what is executed, mapped and loaded from power-on to a login, and in a rescue.
//!
//! From what units, udev rules, PAM, NSS and scripts name; of the running system also from what runs now and from what
//! the kernel measured. Too much is named rather than too little: what is named must be there.
#![forbid(unsafe_code)]

mod always;
mod collection;
mod kernel;
mod login;
pub mod running;
mod tree;
mod units;

use collection::Collection;

use crate::model::binfmt::Handler;
use crate::model::manifest::Uses;
use crate::model::report::Problem;
use crate::sys::binfmt;
use crate::sys::root::Root;

/// What a boot needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootFiles {
    /// The files, sorted by path, each once.
    pub files: Vec<BootFile>,
    /// What could not be read, and what the core lacks.
    pub problems: Vec<Problem>,
}

/// A file that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFile {
    /// Its path as the root sees it, links resolved.
    pub path: Vec<u8>,
    /// What is done with it.
    pub uses: Uses,
    /// Without it not even a rescue shell starts.
    pub core: bool,
    /// Without it nobody logs in. Always so for the core.
    pub needed: bool,
    /// Where it was found first, for people.
    pub why: String,
}

/// Gathers them. Only regular files that last from one boot to the next are among them: nothing of /proc, /run and other
/// file systems in memory. What ld.so, PAM and NSS find is found as they look for it; what a program opens or executes by
/// a name that it makes up is known only where it runs now, or was measured.
///
/// Firmware is not known before it was measured; units of users' own managers are not looked at.
pub fn gather(root: &Root) -> BootFiles {
    let (handlers, problem) = handlers(root);
    let mut found = Collection::new(root, handlers);
    if let Some(problem) = problem {
        found.problem(problem);
    }
    always::core(&mut found);
    always::gather(&mut found);
    kernel::helpers(&mut found);
    found.is_needed(false);
    let (units, mut modules) = kernel::devices(&mut found);
    let asked = units::gather(&mut found, units);
    found.is_needed(true);
    login::gather(&mut found, asked.pam);
    modules.extend(asked.modules);
    kernel::modules(&mut found, modules);
    kernel::file_systems(&mut found, asked.file_systems);
    // Scripts that were met name more than a login needs; and what runs is what somebody happens to run.
    found.is_needed(false);
    if root.is_running() {
        kernel::records(&mut found);
    }
    found.into_files()
}

/// The handlers of binfmt_misc; those of another root are known when it runs.
fn handlers(root: &Root) -> (Vec<Handler>, Option<Problem>) {
    if !root.is_running() {
        return (Vec::new(), None);
    }
    binfmt::handlers().map_or_else(
        |error| {
            let what = format!("the handlers of binfmt_misc cannot be read: {error}");
            (Vec::new(), Some(Problem::new(what, "ls -l /proc/sys/fs/binfmt_misc")))
        },
        |handlers| (handlers, None),
    )
}
