//! What a verb works on: the root, its configuration and keys, and the paths of the command line.
#![forbid(unsafe_code)]

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::args::Arguments;
use super::exit::Failure;
use crate::model::config::Config;
use crate::ops::keys::{self, Keys};
use crate::ops::labels::{RunError, Selection};
use crate::ops::{configuration, labels};
use crate::sys::root::Root;

/// A root with what is known of it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) root: Root,
    pub(super) config: Config,
    pub(super) keys: Keys,
}

/// The root that the command line names.
pub(super) fn open_root(arguments: &Arguments) -> Result<Root, Failure> {
    let path = std::fs::canonicalize(&arguments.root).map_err(|error| {
        Failure::input(format!("{}: {error}", arguments.root.display()), "name a folder with --root")
    })?;
    Root::open(&path)
        .map_err(|error| Failure::input(format!("{}: {error}", path.display()), "name a folder with --root"))
}

impl Target {
    /// Opens the root and reads its configuration and keys; faults are said on standard error.
    pub(super) fn open(arguments: &Arguments) -> Result<Self, Failure> {
        Ok(Self::of(open_root(arguments)?))
    }

    /// The same of a root that is open.
    pub(super) fn of(root: Root) -> Self {
        let (config, problems) = configuration::load(&root);
        let keys = keys::gather(&root, &config.keys.dir);
        for problem in problems.iter().chain(&keys.problems) {
            eprintln!("imactl: {}\nNext: {}", problem.what, problem.next);
        }
        Self { root, config, keys }
    }

    /// A run over labels; it writes for whom `write` names.
    pub(super) fn request<'a>(&'a self, selection: &'a Selection, write: Option<&'a str>) -> labels::Request<'a> {
        labels::Request {
            root: &self.root,
            rules: &self.config.labels,
            trust: &self.keys.trust,
            selection,
            write,
            full: false,
        }
    }
}

/// Who asks for a run that writes, in the label journal's words.
pub(super) fn who(program: &str) -> String {
    format!("{program} by uid {}", rustix::process::getuid().as_raw())
}

/// Which files a verb is about.
pub(super) fn selection(root: &Root, paths: &[PathBuf], packages: &[String]) -> Result<Selection, Failure> {
    if !packages.is_empty() {
        return Ok(Selection::Packages(packages.to_vec()));
    }
    if paths.is_empty() {
        return Ok(Selection::All);
    }
    paths.iter().map(|path| absolute(root, path)).collect::<Result<_, _>>().map(Selection::Paths)
}

/// A path as the root sees it. On the running system relative paths are taken from the current folder, elsewhere from
/// the root.
pub(super) fn absolute(root: &Root, path: &Path) -> Result<Vec<u8>, Failure> {
    let path = if root.is_running() {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match (std::fs::canonicalize(parent), path.file_name()) {
            // The last component stays as it is: a link is a link.
            (Ok(parent), Some(name)) => parent.join(name),
            (Ok(_), None) => std::fs::canonicalize(path)
                .map_err(|error| Failure::input(format!("{}: {error}", path.display()), "name a file or folder"))?,
            (Err(error), _) => {
                return Err(Failure::input(format!("{}: {error}", path.display()), "name a file or folder"));
            }
        }
    } else {
        Path::new("/").join(path)
    };
    Ok(path.as_os_str().as_bytes().to_vec())
}

/// A run's failure, for people.
pub(super) fn failure(error: &RunError) -> Failure {
    match error {
        RunError::NoSuchPackage(_) => Failure::input(error.to_string(), error.next_step()),
        _ => Failure::system(error.to_string(), error.next_step()),
    }
}
