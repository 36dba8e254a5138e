//! What programs and libraries pull in: each file is read once, however many want it.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;

use object::read::ReadCache;
use rustix::fs::OFlags;

use crate::model::binfmt::{Handler, handler};
use crate::model::boot_files::dlopen;
use crate::model::program::{DEPTH, Elf, ElfKind, HEAD, LoaderCache, Role, elf, script_interpreter};
use crate::sys::root::Root;

use super::{Gap, Loading, Part};

/// Folders in which ld.so looks last, the machine's own first where a distribution has such.
pub(in crate::ops) const FOLDERS: [&str; 8] = [
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
/// File systems that hold nothing from one boot to the next: proc, sysfs, tmpfs and devtmpfs, ramfs, devpts
/// (`include/uapi/linux/magic.h`).
const PASSING: [i64; 5] = [0x9fa0, 0x6265_6572, 0x0102_1994, 0x8584_58f6, 0x1cd1];

/// A regular file that was opened.
#[derive(Debug)]
pub(in crate::ops) struct Image {
    /// Its path, links resolved, as the root sees it.
    pub(in crate::ops) path: Vec<u8>,
    /// It is there at the next boot too.
    pub(in crate::ops) lasts: bool,
    /// Somebody may execute it.
    pub(in crate::ops) is_executable: bool,
    /// Libraries that it says it may open while it runs, each by its names.
    pub(in crate::ops) opens: Vec<Vec<Vec<u8>>>,
    head: Vec<u8>,
    elf: Result<Option<Elf>, String>,
}

/// Reads files of a root, each once.
#[derive(Debug)]
pub(in crate::ops) struct Linking<'a> {
    root: &'a Root,
    handlers: Vec<Handler>,
    cache: Option<LoaderCache>,
    preloaded: Vec<Vec<u8>>,
    /// By the path that was asked for; an error as text.
    asked: HashMap<Vec<u8>, Result<Rc<Image>, Rc<str>>>,
    images: BTreeMap<Vec<u8>, Rc<Image>>,
    /// What a library's name leads to.
    resolved: HashMap<Wanted, Rc<[Rc<Image>]>>,
}

/// A library's name, for which kind of program, and the folders in which it is looked for before the usual ones.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Wanted {
    name: Vec<u8>,
    wide: bool,
    machine: u16,
    folders: Vec<Vec<u8>>,
}

/// An ELF file on the way, and who wanted it.
struct Object {
    image: Rc<Image>,
    part: usize,
    wanted_by: Option<usize>,
}

/// One answer as it grows.
#[derive(Default)]
struct Search {
    found: Loading,
    objects: Vec<Object>,
    /// Libraries are known by the name by which they were wanted first.
    names: BTreeSet<Vec<u8>>,
}

impl<'a> Linking<'a> {
    pub(in crate::ops) fn new(root: &'a Root, handlers: Vec<Handler>) -> Self {
        let cache = root.read(CACHE, CACHE_LIMIT).ok().and_then(|bytes| LoaderCache::parse(&bytes));
        let preloaded = root.read(PRELOAD, PRELOAD_LIMIT).unwrap_or_default();
        let preloaded = preloaded.split(|byte| b" \t\n:".contains(byte)).filter(|name| !name.is_empty());
        let preloaded = preloaded.map(<[u8]>::to_vec).collect();
        let (asked, images, resolved) = (HashMap::new(), BTreeMap::new(), HashMap::new());
        Self { root, handlers, cache, preloaded, asked, images, resolved }
    }

    /// The file at a path, links followed.
    pub(in crate::ops) fn image(&mut self, path: &[u8]) -> Result<Rc<Image>, Rc<str>> {
        if let Some(known) = self.asked.get(path) {
            return known.clone();
        }
        let image = self.open(path).map_err(|error| Rc::from(error.to_string()));
        self.asked.insert(path.to_vec(), image.clone());
        image
    }

    fn open(&mut self, path: &[u8]) -> io::Result<Rc<Image>> {
        let fd = self.root.open_with(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let path = self.root.real_path(&fd)?;
        if let Some(known) = self.images.get(&path) {
            return Ok(known.clone());
        }
        let file = File::from(fd);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let lasts = !PASSING.contains(&rustix::fs::fstatfs(&file)?.f_type);
        let is_executable = metadata.permissions().mode() & 0o111 != 0;
        let mut head = Vec::with_capacity(HEAD);
        (&file).take(HEAD as u64).read_to_end(&mut head)?;
        let data = ReadCache::new(file);
        let elf = elf(&data).map_err(|error| error.to_string());
        let opens = if matches!(elf, Ok(Some(_))) { dlopen::alternatives(&data) } else { Vec::new() };
        let image = Rc::new(Image { path: path.clone(), lasts, is_executable, opens, head, elf });
        self.images.insert(path, image.clone());
        Ok(image)
    }

    /// What executing this path pulls in.
    pub(in crate::ops) fn execution(&mut self, path: &[u8]) -> Loading {
        let mut search = Search::default();
        self.execute(path, &mut search);
        search.found
    }

    fn execute(&mut self, path: &[u8], search: &mut Search) {
        let mut path = path.to_vec();
        let mut wanted_by = None;
        for _ in 0..=DEPTH {
            let image = match self.image(&path) {
                Ok(image) => image,
                Err(why) => return search.gap(&path, wanted_by, &why),
            };
            // binfmt_misc is asked before scripts and programs (`fs/binfmt_misc.c: init_misc_binfmt()`).
            let handler = handler(&self.handlers, &path, &image.head);
            let interpreter = handler.map(|handler| &handler.interpreter[..]);
            let interpreter = interpreter.or_else(|| script_interpreter(&image.head));
            let role = if interpreter.is_some() { Role::Script } else { Role::Program };
            let part = search.part(&image, role, wanted_by);
            if interpreter.is_none() || handler.is_some_and(|handler| handler.ids_from_file) {
                search.found.ids_from.get_or_insert(part);
            }
            if let Some(interpreter) = interpreter {
                path = interpreter.to_vec();
                wanted_by = Some(part);
                continue;
            }
            return self.program(&image, part, search);
        }
        search.gap(&path, wanted_by, "the kernel does not follow so many interpreters (ELOOP)");
    }

    /// An ELF program, its loader and its libraries; nothing for other files, which no handler takes.
    fn program(&mut self, image: &Rc<Image>, part: usize, search: &mut Search) {
        let loader = match &image.elf {
            Ok(Some(elf)) => elf.loader.clone(),
            Ok(None) => return,
            Err(why) => return search.gap(&image.path, Some(part), why),
        };
        let Some(loader) = loader else { return };
        match self.image(&loader) {
            Ok(loader) => {
                search.part(&loader, Role::Loader, Some(part));
            }
            Err(why) => return search.gap(&loader, Some(part), &why),
        }
        search.objects.push(Object { image: image.clone(), part, wanted_by: None });
        for name in self.preloaded.clone() {
            self.library(&name, 0, search);
        }
        self.libraries(search);
    }

    /// What mapping a library pulls in, itself included; the path is that of a file, the name one that is looked for as
    /// a program of this kind would.
    pub(in crate::ops) fn mapping(&mut self, name: &[u8], kind: ElfKind) -> Loading {
        let mut search = Search::default();
        let found = if name.contains(&b'/') {
            self.image(name).map(|image| vec![image])
        } else {
            let wanted = Wanted { name: name.to_vec(), wide: kind.wide, machine: kind.machine, folders: Vec::new() };
            Ok(self.resolve(wanted).to_vec())
        };
        match found {
            Err(why) => search.gap(name, None, &why),
            Ok(images) if images.is_empty() => search.gap(name, None, NO_LIBRARY),
            Ok(images) => {
                for image in images {
                    let part = search.part(&image, Role::Library, None);
                    search.objects.push(Object { image, part, wanted_by: None });
                }
                self.libraries(&mut search);
            }
        }
        search.found
    }

    /// The libraries of all objects, and of theirs.
    fn libraries(&mut self, search: &mut Search) {
        let mut next = 0;
        while let Some(object) = search.objects.get(next) {
            let image = object.image.clone();
            if let Ok(Some(elf)) = &image.elf {
                for name in &elf.needed {
                    self.library(name, next, search);
                }
            }
            next += 1;
        }
    }

    fn library(&mut self, name: &[u8], wanted_by: usize, search: &mut Search) {
        if !search.names.insert(name.to_vec()) {
            return;
        }
        let kind = search.objects.first().map_or(ElfKind::default(), |object| object.image.kind());
        let by = search.objects.get(wanted_by).map(|object| object.part);
        let folders = if name.contains(&b'/') { Vec::new() } else { search.folders(wanted_by) };
        let wanted = Wanted { name: name.to_vec(), wide: kind.wide, machine: kind.machine, folders };
        let images = self.resolve(wanted);
        if images.is_empty() {
            return search.gap(name, by, NO_LIBRARY);
        }
        for image in images.iter() {
            // Another name of what is there already, e.g. of the loader itself.
            if !search.found.parts.iter().any(|part| part.path == image.path) {
                let part = search.part(image, Role::Library, by);
                search.objects.push(Object { image: image.clone(), part, wanted_by: Some(wanted_by) });
            }
        }
    }

    /// The files to which ld.so goes: the library, and before it its variants for newer processors.
    fn resolve(&mut self, wanted: Wanted) -> Rc<[Rc<Image>]> {
        if let Some(known) = self.resolved.get(&wanted) {
            return known.clone();
        }
        let mut taken = Vec::new();
        for candidate in self.candidates(&wanted) {
            let Ok(image) = self.image(&candidate) else { continue };
            if !matches!(&image.elf, Ok(Some(elf)) if elf.kind.wide == wanted.wide && elf.kind.machine == wanted.machine)
            {
                continue;
            }
            let plain = !contains(&candidate, b"/glibc-hwcaps/");
            taken.push(image);
            if plain {
                break;
            }
        }
        let taken: Rc<[Rc<Image>]> = taken.into();
        self.resolved.insert(wanted, taken.clone());
        taken
    }

    /// Where ld.so looks, in its order (ld.so(8)).
    fn candidates(&self, wanted: &Wanted) -> Vec<Vec<u8>> {
        let name = &wanted.name;
        if name.contains(&b'/') {
            return vec![name.clone()];
        }
        let in_folder = |folder: &[u8]| [folder, b"/", name].concat();
        let mut paths: Vec<Vec<u8>> = wanted.folders.iter().map(|folder| in_folder(folder)).collect();
        paths.extend(self.cache.iter().flat_map(|cache| cache.find(name)).map(<[u8]>::to_vec));
        paths.extend(FOLDERS.map(|folder| in_folder(folder.as_bytes())));
        paths
    }
}

const NO_LIBRARY: &str = "no library of that name is found";

impl Search {
    /// `DT_RPATH` of what wants a library and of who wanted that, or `DT_RUNPATH` of the first.
    fn folders(&self, wanted_by: usize) -> Vec<Vec<u8>> {
        let mut folders = Vec::new();
        let Some(wanting) = self.objects.get(wanted_by) else { return folders };
        let mut at = wanting.image.runpath().is_empty().then_some(wanted_by);
        while let Some(object) = at.and_then(|at| self.objects.get(at)) {
            if object.image.runpath().is_empty() {
                folders.extend(expanded(object.image.rpath(), &object.image.path));
            }
            at = object.wanted_by;
        }
        folders.extend(expanded(wanting.image.runpath(), &wanting.image.path));
        folders
    }

    fn part(&mut self, image: &Image, role: Role, wanted_by: Option<usize>) -> usize {
        self.found.parts.push(Part { path: image.path.clone(), role, wanted_by });
        self.found.parts.len() - 1
    }

    fn gap(&mut self, name: &[u8], wanted_by: Option<usize>, why: &str) {
        self.found.gaps.push(Gap { name: name.to_vec(), wanted_by, why: why.to_owned() });
    }
}

impl Image {
    /// What it is for; of what is no ELF file, nothing.
    pub(in crate::ops) fn kind(&self) -> ElfKind {
        self.elf().map_or(ElfKind::default(), |elf| elf.kind)
    }

    /// Whether it is an ELF file, and then whether one that is executed: it names a loader.
    pub(in crate::ops) fn names_loader(&self) -> Option<bool> {
        self.elf().map(|elf| elf.loader.is_some())
    }

    fn elf(&self) -> Option<&Elf> {
        self.elf.as_ref().ok().and_then(Option::as_ref)
    }

    fn rpath(&self) -> &[Vec<u8>] {
        self.elf().map_or(&[], |elf| &elf.rpath)
    }

    fn runpath(&self) -> &[Vec<u8>] {
        self.elf().map_or(&[], |elf| &elf.runpath)
    }
}

/// Folders with `$ORIGIN` and `$LIB` put in.
fn expanded(folders: &[Vec<u8>], path: &[u8]) -> Vec<Vec<u8>> {
    let origin = path.iter().rposition(|&byte| byte == b'/').map_or(&b"/"[..], |at| &path[..at]);
    let mut all = Vec::new();
    for folder in folders {
        let folder = replaced(&replaced(folder, b"$ORIGIN", origin), b"${ORIGIN}", origin);
        if contains(&folder, b"$LIB") || contains(&folder, b"${LIB}") {
            all.extend(LIB.map(|lib| replaced(&replaced(&folder, b"$LIB", lib.as_bytes()), b"${LIB}", lib.as_bytes())));
        } else {
            all.push(folder);
        }
    }
    all
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::loading::loading;

    #[test]
    fn one_reader_for_all_programs_says_what_one_for_each_says() {
        let root = Root::running().unwrap();
        let mut linking = Linking::new(&root, Vec::new());
        let mut libraries = 0;
        let names = root.list("/usr/sbin").unwrap().into_iter().map(|name| ("/usr/sbin", name));
        let names =
            names.chain(root.list("/usr/lib/systemd").unwrap().into_iter().map(|name| ("/usr/lib/systemd", name)));
        for (folder, name) in names.take(150) {
            let path = std::path::Path::new(folder).join(name).into_os_string().into_encoded_bytes();
            let found = linking.execution(&path);
            assert_eq!(found, loading(&root, &path, &[]), "{}", String::from_utf8_lossy(&path));
            libraries += found.parts.len();
        }
        assert!(libraries > 200, "{libraries}");
    }

    #[test]
    fn a_library_brings_its_own() {
        let root = Root::running().unwrap();
        let mut linking = Linking::new(&root, Vec::new());
        let shell = linking.image(b"/bin/sh").unwrap();
        assert_eq!(shell.names_loader(), Some(true));
        let found = linking.mapping(b"libcrypto.so.3", shell.kind());
        let has = |name: &[u8]| found.parts.iter().any(|part| contains(&part.path, name));
        assert!(has(b"/libcrypto.so.3") && has(b"/libc.so.6") && found.gaps.is_empty(), "{found:?}");
        assert!(found.parts.iter().all(|part| part.role == Role::Library), "{found:?}");
        let again = linking.mapping(&found.parts[0].path, ElfKind::default());
        assert_eq!(again, found);
        assert_eq!(linking.mapping(b"libnone.so.0", shell.kind()).gaps.len(), 1);
    }
}
