//! Which files an execution pulls in: script, interpreters, loader, libraries, as kernel and glibc look for them.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};

use object::read::ReadCache;
use rustix::fs::OFlags;

use crate::model::binfmt::{Handler, handler};
use crate::model::program::{DEPTH, Elf, HEAD, LoaderCache, Role, elf, script_interpreter};
use crate::sys::root::Root;

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

/// Folders in which ld.so looks last, the machine's own first where a distribution has such.
const FOLDERS: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];
/// What `$LIB` may stand for.
const LIB: [&str; 4] = ["lib64", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu", "lib"];
const CACHE: &str = "/etc/ld.so.cache";
const PRELOAD: &str = "/etc/ld.so.preload";
/// No cache is longer.
const CACHE_LIMIT: u64 = 1 << 26;
/// No preload list is longer.
const PRELOAD_LIMIT: u64 = 1 << 16;

/// Finds what executing this path pulls in. Libraries that a program opens while it runs (dlopen(3)) are not known to
/// anybody before; `LD_LIBRARY_PATH` and `LD_PRELOAD` of some caller are not looked at. Where ld.so would take the
/// variant of a library for a newer processor, that variant and the plain library are both named. `handlers` are those
/// of binfmt_misc.
pub fn loading(root: &Root, path: &[u8], handlers: &[Handler]) -> Loading {
    let mut search = Search { root, handlers, found: Loading::default(), names: BTreeSet::new(), cache: None };
    search.execute(path);
    search.found
}

/// An ELF file on the way: what it needs, and who wanted it.
struct Object {
    elf: Elf,
    part: usize,
    wanted_by: Option<usize>,
}

struct Search<'a> {
    root: &'a Root,
    handlers: &'a [Handler],
    found: Loading,
    /// Libraries are known by the name by which they were wanted first.
    names: BTreeSet<Vec<u8>>,
    cache: Option<LoaderCache>,
}

impl Search<'_> {
    fn execute(&mut self, path: &[u8]) {
        let mut path = path.to_vec();
        let mut wanted_by = None;
        for _ in 0..=DEPTH {
            let opened = match open(self.root, &path) {
                Ok(opened) => opened,
                Err(error) => return self.gap(&path, wanted_by, error.to_string()),
            };
            // binfmt_misc is asked before scripts and programs (`fs/binfmt_misc.c: init_misc_binfmt()`).
            let handler = handler(self.handlers, &path, &opened.head);
            let interpreter = handler.map(|handler| &handler.interpreter[..]);
            let interpreter = interpreter.or_else(|| script_interpreter(&opened.head));
            let role = if interpreter.is_some() { Role::Script } else { Role::Program };
            let part = self.part(opened.path.clone(), role, wanted_by);
            if interpreter.is_none() || handler.is_some_and(|handler| handler.ids_from_file) {
                self.found.ids_from.get_or_insert(part);
            }
            if let Some(interpreter) = interpreter {
                path = interpreter.to_vec();
                wanted_by = Some(part);
                continue;
            }
            return self.program(&opened, part);
        }
        self.gap(&path, wanted_by, "the kernel does not follow so many interpreters (ELOOP)".to_owned());
    }

    /// An ELF program, its loader and its libraries; nothing for other files, which no handler takes.
    fn program(&mut self, opened: &Opened, part: usize) {
        let elf = match opened.elf() {
            Ok(Some(elf)) => elf,
            Ok(None) => return,
            Err(why) => return self.gap(&opened.path, Some(part), why),
        };
        let Some(loader) = elf.loader.clone() else { return };
        match open(self.root, &loader) {
            Ok(loader) => {
                self.part(loader.path, Role::Loader, Some(part));
            }
            Err(error) => return self.gap(&loader, Some(part), error.to_string()),
        }
        self.cache = self.root.read(CACHE, CACHE_LIMIT).ok().and_then(|bytes| LoaderCache::parse(&bytes));
        let preloaded = self.root.read(PRELOAD, PRELOAD_LIMIT).unwrap_or_default();
        let preloaded = preloaded.split(|byte| b" \t\n:".contains(byte)).filter(|name| !name.is_empty());
        let mut elf = elf;
        elf.needed.splice(0..0, preloaded.map(<[u8]>::to_vec).collect::<Vec<_>>());
        let mut objects = vec![Object { elf, part, wanted_by: None }];
        let mut next = 0;
        while next < objects.len() {
            for name in objects[next].elf.needed.clone() {
                if self.names.insert(name.clone()) {
                    self.library(&name, next, &mut objects);
                }
            }
            next += 1;
        }
    }

    fn library(&mut self, name: &[u8], wanted_by: usize, objects: &mut Vec<Object>) {
        let kind = objects[0].elf.kind;
        let by = objects[wanted_by].part;
        let mut taken = Vec::new();
        for candidate in self.candidates(name, wanted_by, objects) {
            let Ok(opened) = open(self.root, &candidate) else { continue };
            let Ok(Some(elf)) = opened.elf() else { continue };
            if elf.kind != kind {
                continue;
            }
            let plain = !contains(&candidate, b"/glibc-hwcaps/");
            taken.push((opened.path, elf));
            if plain {
                break;
            }
        }
        if taken.is_empty() {
            return self.gap(name, Some(by), "no library of that name is found".to_owned());
        }
        for (path, elf) in taken {
            // Another name of what is there already, e.g. of the loader itself.
            if self.found.parts.iter().any(|part| part.path == path) {
                continue;
            }
            let part = self.part(path, Role::Library, Some(by));
            objects.push(Object { elf, part, wanted_by: Some(wanted_by) });
        }
    }

    /// Where ld.so looks, in its order (ld.so(8)).
    fn candidates(&self, name: &[u8], wanted_by: usize, objects: &[Object]) -> Vec<Vec<u8>> {
        if name.contains(&b'/') {
            return vec![name.to_vec()];
        }
        let mut folders = Vec::new();
        let wanting = &objects[wanted_by];
        if wanting.elf.runpath.is_empty() {
            let mut at = Some(wanted_by);
            while let Some(object) = at.map(|at| &objects[at]) {
                if object.elf.runpath.is_empty() {
                    folders.extend(self.expanded(&object.elf.rpath, object.part));
                }
                at = object.wanted_by;
            }
        }
        folders.extend(self.expanded(&wanting.elf.runpath, wanting.part));
        let in_folder = |folder: &[u8]| [folder, b"/", name].concat();
        let mut paths: Vec<Vec<u8>> = folders.iter().map(|folder| in_folder(folder)).collect();
        paths.extend(self.cache.iter().flat_map(|cache| cache.find(name)).map(<[u8]>::to_vec));
        paths.extend(FOLDERS.map(|folder| in_folder(folder.as_bytes())));
        paths
    }

    /// Folders with `$ORIGIN` and `$LIB` put in.
    fn expanded(&self, folders: &[Vec<u8>], part: usize) -> Vec<Vec<u8>> {
        let path = &self.found.parts[part].path;
        let origin = path.iter().rposition(|&byte| byte == b'/').map_or(&b"/"[..], |at| &path[..at]);
        let mut all = Vec::new();
        for folder in folders {
            let folder = replaced(&replaced(folder, b"$ORIGIN", origin), b"${ORIGIN}", origin);
            if contains(&folder, b"$LIB") || contains(&folder, b"${LIB}") {
                all.extend(
                    LIB.map(|lib| replaced(&replaced(&folder, b"$LIB", lib.as_bytes()), b"${LIB}", lib.as_bytes())),
                );
            } else {
                all.push(folder);
            }
        }
        all
    }

    fn part(&mut self, path: Vec<u8>, role: Role, wanted_by: Option<usize>) -> usize {
        self.found.parts.push(Part { path, role, wanted_by });
        self.found.parts.len() - 1
    }

    fn gap(&mut self, name: &[u8], wanted_by: Option<usize>, why: String) {
        self.found.gaps.push(Gap { name: name.to_vec(), wanted_by, why });
    }
}

/// A file, its real path and its first bytes.
struct Opened {
    path: Vec<u8>,
    file: File,
    head: Vec<u8>,
}

impl Opened {
    fn elf(&self) -> Result<Option<Elf>, String> {
        let file = self.file.try_clone().map_err(|error| error.to_string())?;
        elf(&ReadCache::new(file)).map_err(|error| error.to_string())
    }
}

fn open(root: &Root, path: &[u8]) -> io::Result<Opened> {
    let fd = root.open_with(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let path = root.real_path(&fd)?;
    let file = File::from(fd);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut head = Vec::with_capacity(HEAD);
    (&file).take(HEAD as u64).read_to_end(&mut head)?;
    Ok(Opened { path, file, head })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(from) {
            out.extend_from_slice(to);
            rest = after;
        } else {
            out.push(first);
            rest = after;
        }
    }
    out
}
