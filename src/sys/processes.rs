//! The processes of the running system, and the programs that its kernel starts by itself: /proc (proc(5)).
#![forbid(unsafe_code)]

use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A process.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// The program that it executes.
    pub program: Program,
    /// `/proc/PID/maps` as it is; empty where it may not be read.
    pub maps: Vec<u8>,
}

/// A program that is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its path, with ` (deleted)` behind where it has none any more.
    pub path: Vec<u8>,
    /// Device and inode number of the file.
    pub inode: (u64, u64),
}

/// Every process that executes a program, as far as this one may look at it; kernel threads, and processes that end
/// meanwhile, are left out.
pub fn all() -> io::Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let folder = entry.path();
        let Ok(program) = program(&folder.join("exe")) else { continue };
        let maps = std::fs::read(folder.join("maps")).unwrap_or_default();
        processes.push(Process { pid, program, maps });
    }
    Ok(processes)
}

fn program(link: &Path) -> io::Result<Program> {
    let path = std::fs::read_link(link)?.into_os_string().into_vec();
    // The link leads to the inode that runs, whatever has its name now.
    let metadata = std::fs::metadata(link)?;
    Ok(Program { path, inode: (metadata.dev(), metadata.ino()) })
}

/// What the kernel does with a core: a pattern, or a program behind `|` (core(5)).
pub fn core_pattern() -> io::Result<Option<Vec<u8>>> {
    text("/proc/sys/kernel/core_pattern")
}

/// The program that loads modules for the kernel; empty where none does.
pub fn modprobe() -> io::Result<Option<Vec<u8>>> {
    text("/proc/sys/kernel/modprobe")
}

/// The program that old kernels start for each device (`CONFIG_UEVENT_HELPER`); mostly empty.
pub fn hotplug() -> io::Result<Option<Vec<u8>>> {
    match text("/proc/sys/kernel/hotplug")? {
        Some(program) if !program.is_empty() => Ok(Some(program)),
        _ => text("/sys/kernel/uevent_helper"),
    }
}

/// The modules that are loaded: /proc/modules; `None` where the kernel takes none.
pub fn modules() -> io::Result<Option<Vec<u8>>> {
    text("/proc/modules")
}

/// The kernel's list of what it measured; `None` where it has no such list. It can be long: a line for each file.
pub fn measurements() -> io::Result<Option<Vec<u8>>> {
    text("/sys/kernel/security/ima/ascii_runtime_measurements")
}

/// A file of the kernel without the newline at its end; `None` where this kernel has none.
fn text(path: &str) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(mut text) => {
            if text.ends_with(b"\n") {
                text.pop();
            }
            Ok(Some(text))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_among_them() {
        let own = all().unwrap().into_iter().find(|process| process.pid == std::process::id()).unwrap();
        let program = std::env::current_exe().unwrap();
        assert_eq!(own.program.path, program.clone().into_os_string().into_vec());
        let metadata = std::fs::metadata(program).unwrap();
        assert_eq!(own.program.inode, (metadata.dev(), metadata.ino()));
        assert!(own.maps.windows(4).any(|part| part == b"r-xp"));
    }

    #[test]
    fn what_a_kernel_lacks_is_nothing() {
        assert_eq!(text("/proc/sys/kernel/nonexistent").unwrap(), None);
        assert_eq!(text("/proc/sys/kernel/ostype").unwrap(), Some(b"Linux".to_vec()));
        assert!(core_pattern().unwrap().is_some());
    }
}
