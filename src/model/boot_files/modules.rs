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

/// What modprobe.d(5), and modules.softdep of the same form, say of modules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `install MODULE COMMAND`, `remove MODULE COMMAND`: commands that a shell executes in place of loading it.
    pub commands: Vec<Vec<u8>>,
    /// `softdep MODULE pre: MODULES post: MODULES`: a module, and those that are loaded before and behind it.
    pub with: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
}

impl Options {
    /// Reads a file of modprobe.d.
    pub fn parse(text: &[u8]) -> Self {
        let mut options = Self::default();
        for line in super::lines(text, b"#", b" ") {
            let mut words = super::words(&line);
            match (words.next(), words.next()) {
                (Some(b"install" | b"remove"), Some(_)) => options.commands.push(words.collect::<Vec<_>>().join(&b' ')),
                (Some(b"softdep"), Some(module)) => {
                    let others = words.filter(|&word| !matches!(word, b"pre:" | b"post:"));
                    options.with.push((normal(module), others.map(<[u8]>::to_vec).collect()));
                }
                _ => {}
            }
        }
        options
    }

    /// The modules that are loaded with these, these included.
    pub fn with_others(&self, modules: BTreeSet<Vec<u8>>) -> BTreeSet<Vec<u8>> {
        let mut found = BTreeSet::new();
        let mut next: Vec<Vec<u8>> = modules.into_iter().collect();
        while let Some(module) = next.pop() {
            let name = normal(&module);
            if found.insert(name.clone()) {
                let with = self.with.iter().filter(|(of, _)| *of == name);
                next.extend(with.flat_map(|(_, others)| others.iter().cloned()));
            }
        }
        found
    }

    /// What several files say.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.commands.extend(other.commands);
        self.with.extend(other.with);
        self
    }
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
    fn options_bring_commands_and_modules() {
        let options = Options::parse(
            b"# x\ninstall cramfs  /bin/true\noptions a b=c\nsoftdep dm-crypt pre: aes-x \\\n xts post: late\ninstall\nsoftdep\n",
        )
        .and(Options::parse(b"softdep late pre: later dm_crypt\nremove x /bin/echo 'a  b'\n"));
        assert_eq!(options.commands, [b"/bin/true".to_vec(), b"/bin/echo 'a b'".to_vec()]);
        let found = options.with_others([b"dm_crypt".to_vec(), b"fuse".to_vec()].into());
        let found: Vec<String> = found.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(found, ["aes_x", "dm_crypt", "fuse", "late", "later", "xts"]);
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
