//! Kernel modules: which are loaded, and which files they are (modules-load.d(5), modules.dep(5)).
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

/// The modules that a file of modules-load.d names.
pub fn wanted(text: &[u8]) -> Vec<Vec<u8>> {
    let lines = super::lines(text, b"#;", b"");
    // What follows the name are options, in /etc/modules.
    lines.iter().filter_map(|line| super::words(line).next()).map(<[u8]>::to_vec).collect()
}

/// The modules that are loaded now (`/proc/modules`).
pub fn loaded(text: &[u8]) -> Vec<Vec<u8>> {
    text.split(|&byte| byte == b'\n').filter_map(|line| super::words(line).next()).map(<[u8]>::to_vec).collect()
}

/// The files of a kernel's modules and which others each needs: modules.dep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Modules {
    files: BTreeMap<Vec<u8>, Vec<u8>>,
    needs: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
}

impl Modules {
    /// Reads modules.dep.
    pub fn parse(text: &[u8]) -> Self {
        let mut modules = Self::default();
        for line in super::lines(text, b"#", b" ") {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
            let file = line.get(..colon).unwrap_or_default().trim_ascii().to_vec();
            let needs = super::words(line.get(colon + 1..).unwrap_or_default()).map(<[u8]>::to_vec).collect();
            if let Some(name) = name(&file) {
                modules.files.insert(name, file.clone());
                modules.needs.insert(file, needs);
            }
        }
        modules
    }

    /// The files of a module and of those that it needs, relative to the kernel's folder unless they begin with a slash;
    /// none where the kernel has it built in, or not at all.
    pub fn with_needed(&self, module: &[u8]) -> BTreeSet<&[u8]> {
        let mut found = BTreeSet::new();
        let mut next: Vec<&[u8]> = self.files.get(&normal(module)).map(Vec::as_slice).into_iter().collect();
        while let Some(file) = next.pop() {
            if found.insert(file) {
                next.extend(self.needs.get(file).into_iter().flatten().map(Vec::as_slice));
            }
        }
        found
    }
}

/// The name of a module's file: up to the first dot.
fn name(file: &[u8]) -> Option<Vec<u8>> {
    let base = file.rsplit(|&byte| byte == b'/').next()?;
    let end = base.windows(3).position(|part| part == b".ko")?;
    base.get(..end).filter(|name| !name.is_empty()).map(normal)
}

/// `-` and `_` are the same.
fn normal(name: &[u8]) -> Vec<u8> {
    name.iter().map(|&byte| if byte == b'-' { b'_' } else { byte }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_brings_those_that_it_needs() {
        let modules = Modules::parse(
            b"kernel/fs/fuse/fuse.ko.xz:\nkernel/drivers/md/dm-crypt.ko: kernel/drivers/md/dm-mod.ko kernel/lib/a.ko.zst\n\
              kernel/drivers/md/dm-mod.ko: kernel/drivers/dax/dax.ko\nkernel/lib/a.ko.zst:\n/extra/x.ko:\nnonsense\n: x\n",
        );
        let files = |name: &[u8]| {
            modules
                .with_needed(name)
                .into_iter()
                .map(|file| String::from_utf8_lossy(file).into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(files(b"fuse"), ["kernel/fs/fuse/fuse.ko.xz"]);
        assert_eq!(
            files(b"dm_crypt"),
            [
                "kernel/drivers/dax/dax.ko",
                "kernel/drivers/md/dm-crypt.ko",
                "kernel/drivers/md/dm-mod.ko",
                "kernel/lib/a.ko.zst"
            ]
        );
        assert_eq!(files(b"x"), ["/extra/x.ko"]);
        assert!(files(b"ext4").is_empty());
    }

    #[test]
    fn modules_that_are_named_or_loaded() {
        assert_eq!(wanted(b"# /etc/modules\n\nloop max_loop=8\n; no\nfuse\n"), [b"loop".to_vec(), b"fuse".to_vec()]);
        assert_eq!(
            loaded(b"fuse 176128 1 - Live 0x0000000000000000\nloop 1 2 - Live 0x0\n"),
            [b"fuse".to_vec(), b"loop".to_vec()]
        );
    }
}
