//! Files that a process has mapped for execution (`/proc/PID/maps`, proc_pid_maps(5)).
#![forbid(unsafe_code)]

use crate::model::seq_file::unescaped;

/// A mapped file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapped {
    /// Its path, as it was when it was opened.
    pub path: Vec<u8>,
    /// Its inode number, by which another file of that path is told.
    pub inode: u64,
}

/// What the kernel puts behind the path of a file that is no longer there.
const DELETED: &[u8] = b" (deleted)";

/// Files that are mapped for execution, each once; not those that were deleted, memory, or the kernel's own.
pub fn executable(text: &[u8]) -> Vec<Mapped> {
    let mut found: Vec<Mapped> = text.split(|&byte| byte == b'\n').filter_map(mapping).collect();
    found.sort();
    found.dedup();
    found
}

/// `ADDRESSES PERMISSIONS OFFSET DEVICE INODE    PATH`.
fn mapping(line: &[u8]) -> Option<Mapped> {
    let mut rest = line;
    let mut fields = [&b""[..]; 5];
    for field in &mut fields {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(|&byte| byte == b' ')?;
        (*field, rest) = rest.split_at_checked(end)?;
    }
    let [_, permissions, _, _, inode] = fields;
    let path = rest.trim_ascii_start();
    if permissions.get(2) != Some(&b'x') || !path.starts_with(b"/") || path.ends_with(DELETED) {
        return None;
    }
    let inode = std::str::from_utf8(inode).ok()?.parse().ok().filter(|&inode| inode != 0)?;
    Some(Mapped { path: unescaped(path), inode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_mapped_for_execution() {
        let text = b"55dc37fab000-55dc37fad000 r--p 00000000 fe:00 247282                     /usr/bin/head\n\
            55dc37fad000-55dc37fb3000 r-xp 00002000 fe:00 247282                     /usr/bin/head\n\
            7f0000000000-7f0000001000 r-xp 00000000 fe:00 5                          /opt/a\\040b\\012\\134c\n\
            7f0000001000-7f0000002000 r-xp 00000000 fe:00 5                          /opt/a\\040b\\012\\134c\n\
            7f0000003000-7f0000004000 r-xp 00000000 fe:00 77                         /usr/lib/x.so.1 (deleted)\n\
            7f0000005000-7f0000006000 rwxp 00000000 00:01 2049                       /memfd:jit (deleted)\n\
            7f0000007000-7f0000008000 r-xp 00000000 00:00 0 \n\
            7ffd10d3e000-7ffd10d40000 r-xp 00000000 00:00 0                          [vdso]\n\
            ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\nnonsense\n";
        assert_eq!(
            executable(text),
            [
                Mapped { path: b"/opt/a b\n\\c".to_vec(), inode: 5 },
                Mapped { path: b"/usr/bin/head".to_vec(), inode: 247_282 },
            ]
        );
    }
}
