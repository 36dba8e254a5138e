//! What runs now: programs, and files that are mapped for execution.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::fs::OFlags;

use super::collection::lossy;
use crate::model::boot_files::maps;
use crate::sys::processes;
use crate::sys::root::Root;

/// A file that a process executes or has mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedFile {
    /// Its path.
    pub path: Vec<u8>,
    /// It is a process's program, not only mapped.
    pub is_program: bool,
    /// Whose, in words.
    pub why: String,
}

/// The files of all processes, each once. What a process of a container uses is not among them: it sees other files by the
/// same paths.
pub fn files(root: &Root) -> io::Result<Vec<UsedFile>> {
    let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
    for process in processes::all()? {
        let program = &process.program;
        let base = program.path.rsplit(|&byte| byte == b'/').next().unwrap_or(&program.path);
        let why = format!("process {} ({}) runs", process.pid, lossy(base));
        if !seen.contains(&program.path) && inode(root, &program.path).is_some_and(|inode| inode == program.inode) {
            seen.insert(program.path.clone());
            files.push(UsedFile { path: program.path.clone(), is_program: true, why: why.clone() });
        }
        for mapped in maps::executable(&process.maps) {
            // The device that maps tell is not that of stat(2) on btrfs and overlayfs.
            let is_it = |(_, ino)| ino == mapped.inode;
            if mapped.path != program.path
                && !seen.contains(&mapped.path)
                && inode(root, &mapped.path).is_some_and(is_it)
            {
                seen.insert(mapped.path.clone());
                files.push(UsedFile { path: mapped.path, is_program: false, why: why.clone() });
            }
        }
    }
    Ok(files)
}

fn inode(root: &Root, path: &[u8]) -> Option<(u64, u64)> {
    let file = root.open_with(path, OFlags::PATH).ok()?;
    let metadata = std::fs::metadata(Root::fd_path(&file)).ok()?;
    Some((metadata.dev(), metadata.ino()))
}
