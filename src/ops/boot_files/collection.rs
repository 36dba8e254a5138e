//! The files as they are found, with all that each pulls in.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

use super::tree::Tree;
use super::{BootFile, BootFiles};
use crate::model::binfmt::Handler;
use crate::model::boot_files::command::Command;
use crate::model::boot_files::shell::{self, Mention};
use crate::model::manifest::{Use, Uses};
use crate::model::program::{ElfKind, Role};
use crate::model::report::Problem;
use crate::ops::loading::{Gap, Linking, Loading};
use crate::sys::root::Root;

/// Where programs are that are named without a folder (systemd's `DEFAULT_PATH`), and those that /sbin and /bin hold on
/// systems that still tell them apart.
pub(super) const PROGRAM_FOLDERS: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// No script is longer.
const SCRIPT_LIMIT: u64 = 1 << 20;
/// Interpreters of which the first path that they are given is a script.
const INTERPRETERS: [&str; 4] = ["python", "perl", "ruby", "lua"];

/// What was found so far.
#[derive(Debug)]
pub(super) struct Collection<'a> {
    pub(super) tree: Tree<'a>,
    linking: Linking<'a>,
    files: BTreeMap<Vec<u8>, Kept>,
    problems: Vec<Problem>,
    /// Paths that were executed already.
    executed: BTreeSet<Vec<u8>>,
    /// Scripts of shells that are still to be read.
    scripts: Vec<Vec<u8>>,
    read: BTreeSet<Vec<u8>>,
    /// Files of which the libraries that they open were looked for.
    opening: BTreeSet<Vec<u8>>,
    /// What programs of this machine are.
    kind: ElfKind,
    /// What is found now is needed for a login.
    needed: bool,
}

#[derive(Debug)]
struct Kept {
    uses: Uses,
    core: bool,
    needed: bool,
    why: String,
}

impl<'a> Collection<'a> {
    pub(super) fn new(root: &'a Root, handlers: Vec<Handler>) -> Self {
        Self {
            tree: Tree::new(root),
            linking: Linking::new(root, handlers),
            files: BTreeMap::new(),
            problems: Vec::new(),
            executed: BTreeSet::new(),
            scripts: Vec::new(),
            read: BTreeSet::new(),
            opening: BTreeSet::new(),
            kind: ElfKind::default(),
            needed: true,
        }
    }

    /// From now on files are found that a login needs, or does not.
    pub(super) fn is_needed(&mut self, needed: bool) {
        self.needed = needed;
        // What was looked at as not needed may be needed all the same.
        self.executed.clear();
        self.opening.clear();
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// A file without which nothing starts, and all that it pulls in. What is missing is a problem.
    pub(super) fn core(&mut self, path: &[u8], why: &str) {
        let loading = self.linking.execution(path);
        for problem in loading.gaps.iter().map(|gap| missing(gap, &loading, why)) {
            // Two programs may lack the same library.
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
        self.take(&loading, true, why);
        self.executed.insert(path.to_vec());
    }

    /// A program or script that is executed, and all that it pulls in; false where there is none.
    pub(super) fn execute(&mut self, path: &[u8], why: &str) -> bool {
        match self.linking.image(path) {
            Ok(image) if image.is_executable => {}
            _ => return false,
        }
        if self.executed.insert(path.to_vec()) {
            let loading = self.linking.execution(path);
            self.take(&loading, false, why);
        }
        true
    }

    /// A program by its name or path; a name is looked for in these folders and then in the usual ones.
    pub(super) fn program(&mut self, name: &[u8], folders: &[Vec<u8>], why: &str) -> bool {
        if name.contains(&b'/') {
            return name.starts_with(b"/") && self.execute(name, why);
        }
        let folders = folders.iter().map(Vec::as_slice).chain(PROGRAM_FOLDERS.map(str::as_bytes));
        let paths: Vec<Vec<u8>> = folders.map(|folder| [folder, b"/", name].concat()).collect();
        paths.iter().any(|path| self.execute(path, why))
    }

    /// A command: its program, and what of its arguments is executed too.
    pub(super) fn command(&mut self, command: &Command, folders: &[Vec<u8>], why: &str) {
        let Command { program, arguments } = command;
        self.program(program, folders, why);
        let base = program.rsplit(|&byte| byte == b'/').next().unwrap_or(program);
        if shell::is_shell(program)
            && let Some(script) = shell::script_of(arguments)
        {
            return self.mentions(script, why);
        }
        let interprets = shell::is_shell(program) || INTERPRETERS.iter().any(|name| base.starts_with(name.as_bytes()));
        let mut is_script = interprets;
        let mut runs_next = base == b"env";
        for argument in arguments {
            let is_option = argument.starts_with(b"-");
            if argument.starts_with(b"/") {
                let executed = self.execute(argument, why);
                if is_script && !executed {
                    self.read(argument, why);
                    self.scripts.extend(shell::is_shell(program).then(|| argument.clone()));
                }
            } else if runs_next && !is_option && !argument.contains(&b'=') {
                self.program(argument, folders, why);
            }
            is_script &= is_option;
            runs_next &= is_option || argument.contains(&b'=');
        }
    }

    /// A library and all that it pulls in, by its path or name; false where there is none.
    pub(super) fn map(&mut self, name: &[u8], why: &str) -> bool {
        let loading = self.linking.mapping(name, self.kind);
        self.take(&loading, false, why);
        !loading.parts.is_empty()
    }

    /// What is known to be used, in whatever way such a file is used.
    pub(super) fn used(&mut self, path: &[u8], why: &str) {
        let Ok(image) = self.linking.image(path) else { return };
        let base = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        let is_module = base.ends_with(b".ko") || base.windows(4).any(|part| part == b".ko.");
        let is_library = base.windows(3).any(|part| part == b".so");
        match image.names_loader() {
            _ if is_module => self.add(path, Use::Module, why),
            // libc.so.6 names a loader too, and can be executed.
            Some(_) if is_library => {
                self.map(path, why);
            }
            None if path.windows(14).any(|part| part == b"/lib/firmware/") => self.add(path, Use::Firmware, why),
            _ if image.is_executable => {
                self.execute(path, why);
            }
            Some(_) => {
                self.map(path, why);
            }
            None => self.add(path, Use::Read, why),
        }
    }

    /// A file that is opened for reading.
    pub(super) fn read(&mut self, path: &[u8], why: &str) {
        self.add(path, Use::Read, why);
    }

    /// A module of the kernel.
    pub(super) fn module(&mut self, path: &[u8], why: &str) {
        self.add(path, Use::Module, why);
    }

    fn add(&mut self, path: &[u8], one: Use, why: &str) {
        if let Ok(image) = self.linking.image(path)
            && image.lasts
        {
            self.keep(&image.path, one, false, why);
        }
    }

    fn take(&mut self, loading: &Loading, core: bool, why: &str) {
        for (at, part) in loading.parts.iter().enumerate() {
            let Ok(image) = self.linking.image(&part.path) else { continue };
            let one = Use::from(part.role);
            if part.role == Role::Program && self.kind == ElfKind::default() {
                self.kind = image.kind();
            }
            let wanted_by = part.wanted_by.and_then(|at| loading.parts.get(at));
            let is_script = part.role == Role::Script
                && loading.parts.get(at + 1).is_some_and(|interpreter| shell::is_shell(&interpreter.path));
            if is_script {
                self.scripts.push(part.path.clone());
            }
            let known = self.files.get(&part.path);
            // libc names the loader as a library that it needs; it is there already, and not mapped as one.
            let is_loader = one == Use::Library && known.is_some_and(|known| known.uses.has(Use::Loader));
            if image.lasts && !is_loader {
                match wanted_by {
                    Some(by) => self.keep(&part.path, one, core, &format!("{} needs it", lossy(&by.path))),
                    None => self.keep(&part.path, one, core, why),
                }
            }
            if !image.opens.is_empty() && self.opening.insert(part.path.clone()) {
                let why = format!("{} opens it while it runs", lossy(&part.path));
                for names in &image.opens {
                    // Of each library the first name that is found; none is no gap, they are not necessary.
                    names.iter().any(|name| self.map(name, &why));
                }
            }
        }
    }

    fn keep(&mut self, path: &[u8], one: Use, core: bool, why: &str) {
        if let Some(kept) = self.files.get_mut(path) {
            kept.uses = kept.uses.with(one);
            kept.core |= core;
            kept.needed |= self.needed;
        } else {
            let kept = Kept { uses: one.into(), core, needed: self.needed, why: why.to_owned() };
            self.files.insert(path.to_vec(), kept);
        }
    }

    /// What a shell's script names.
    fn mentions(&mut self, script: &[u8], why: &str) {
        for mention in shell::mentions(script) {
            match mention {
                Mention::Name(name) => {
                    self.program(&name, &[], why);
                }
                Mention::Path(path) => {
                    self.execute(&path, why);
                }
                Mention::Sourced(path) => {
                    self.read(&path, why);
                    self.scripts.push(path);
                }
            }
        }
    }

    /// Reads the scripts that were met, and those that they name.
    fn read_scripts(&mut self) {
        while let Some(path) = self.scripts.pop() {
            let real = self.linking.image(&path).map(|image| image.path.clone());
            let Ok(real) = real else { continue };
            if self.read.insert(real.clone())
                && let Some(script) = self.tree.read(&real, SCRIPT_LIMIT)
            {
                self.mentions(&script, &format!("{} names it", lossy(&real)));
            }
        }
    }

    /// All that was found.
    pub(super) fn into_files(mut self) -> BootFiles {
        self.read_scripts();
        let mut problems = self.problems;
        problems.extend(self.tree.into_problems());
        let file = |(path, kept): (Vec<u8>, Kept)| {
            let Kept { uses, core, needed, why } = kept;
            BootFile { path, uses, core, needed, why }
        };
        BootFiles { files: self.files.into_iter().map(file).collect(), problems }
    }
}

fn missing(gap: &Gap, loading: &Loading, why: &str) -> Problem {
    let by = gap.wanted_by.and_then(|at| loading.parts.get(at));
    let by = by.map_or_else(|| why.to_owned(), |part| format!("{} needs it", lossy(&part.path)));
    let name = lossy(&gap.name);
    Problem::new(format!("{name} ({by}): {}", gap.why), format!("dnf provides '*/{}'", name.trim_start_matches('/')))
}

pub(super) fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn uses(files: &BootFiles, path: &str) -> Option<Uses> {
        let real = std::fs::canonicalize(path).unwrap().into_os_string().into_encoded_bytes();
        files.files.iter().find(|file| file.path == real).map(|file| file.uses)
    }

    #[test]
    fn what_was_measured_is_used_as_such_a_file_is() {
        let root = Root::running().unwrap();
        let mut found = Collection::new(&root, Vec::new());
        let library = "/lib/x86_64-linux-gnu/libcrypto.so.3";
        for path in ["/usr/bin/env", "/usr/bin/ldd", library, "/etc/passwd", "/nonexistent", "/usr"] {
            found.used(path.as_bytes(), "the kernel measured it");
        }
        let files = found.into_files();
        assert_eq!(uses(&files, "/usr/bin/env"), Some(Use::Program.into()));
        assert_eq!(uses(&files, "/usr/bin/ldd"), Some(Use::Script.into()));
        assert_eq!(uses(&files, "/bin/bash"), Some(Use::Program.into()));
        assert_eq!(uses(&files, library), Some(Use::Library.into()));
        assert_eq!(uses(&files, "/etc/passwd"), Some(Use::Read.into()));
        assert_eq!(files.problems, []);
    }

    #[test]
    fn what_is_gone_at_the_next_boot_is_left_out_and_what_it_needs_is_not() {
        let script =
            tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o700)).tempfile_in("/dev/shm").unwrap();
        std::fs::write(&script, "#!/bin/bash\n/usr/bin/env\n").unwrap();
        let root = Root::running().unwrap();
        let mut found = Collection::new(&root, Vec::new());
        assert!(found.execute(script.path().as_os_str().as_encoded_bytes(), "a test"));
        let files = found.into_files();
        assert_eq!(uses(&files, script.path().to_str().unwrap()), None);
        assert_eq!(uses(&files, "/bin/bash"), Some(Use::Program.into()));
        assert_eq!(uses(&files, "/usr/bin/env"), Some(Use::Program.into()));
    }

    #[test]
    fn commands_bring_what_they_are_given() {
        let root = Root::running().unwrap();
        let mut found = Collection::new(&root, Vec::new());
        let words = |text: &[u8]| Command::of_words(crate::model::boot_files::command::words(text, true)).unwrap();
        for line in [
            &b"env -i A=b LANG=C sort x"[..],
            b"/bin/sh -ec 'exec stat --x && /usr/bin/env'",
            b"/usr/bin/bash /etc/profile x",
            b"/usr/bin/true --flag /usr/bin/false /etc/passwd",
        ] {
            found.command(&words(line), &[], "a test");
        }
        let files = found.into_files();
        for path in [
            "/usr/bin/env",
            "/usr/bin/sort",
            "/bin/sh",
            "/usr/bin/stat",
            "/bin/bash",
            "/usr/bin/true",
            "/usr/bin/false",
        ] {
            assert_eq!(uses(&files, path), Some(Use::Program.into()), "{path}");
        }
        assert_eq!(uses(&files, "/etc/profile"), Some(Use::Read.into()));
        assert_eq!(uses(&files, "/etc/passwd"), None);
    }
}
