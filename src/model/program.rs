//! What a program file pulls in when it is executed: the interpreter of a script, the loader and libraries of an ELF file.
#![forbid(unsafe_code)]

use object::Endianness;
use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_STRSZ, DT_STRTAB, DynamicTag, FileHeader32, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::read::{FileKind, ReadRef};

/// What a file is to an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Executed, and handed to an interpreter: that of its first line, or of a handler of binfmt_misc.
    Script,
    /// Executed: what execve(2) names, or a script's interpreter.
    Program,
    /// The ELF interpreter, ld.so.
    Loader,
    /// A shared library.
    Library,
}

impl Role {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Program => "program",
            Self::Loader => "loader",
            Self::Library => "library",
        }
    }
}

/// Bytes of a file that the kernel looks at to tell what it is (`BINPRM_BUF_SIZE`).
pub const HEAD: usize = 256;
/// Interpreters that the kernel follows before it gives up (`fs/exec.c: exec_binprm()`).
pub const DEPTH: usize = 5;

/// The interpreter that a script names (`fs/binfmt_script.c`): what follows `#!` up to a blank. `None` for what is no
/// script, or one that the kernel does not execute.
pub fn script_interpreter(head: &[u8]) -> Option<&[u8]> {
    let head = &head[..head.len().min(HEAD)];
    let rest = head.strip_prefix(b"#!")?;
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let line_end = rest.iter().position(|&byte| byte == b'\n' || byte == 0);
    let line = &rest[..line_end.unwrap_or(rest.len())];
    let start = line.iter().position(|byte| !is_blank(byte))?;
    let name = &line[start..];
    match name.iter().position(is_blank) {
        Some(end) => Some(&name[..end]),
        // A name that the head cuts off could be any.
        None if line_end.is_none() && head.len() == HEAD => None,
        None => Some(name),
    }
}

/// What an ELF file needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elf {
    /// What it is for: word size and machine; libraries fit only with the same.
    pub kind: ElfKind,
    /// `PT_INTERP`: the loader.
    pub loader: Option<Vec<u8>>,
    /// `DT_NEEDED`: libraries by name.
    pub needed: Vec<Vec<u8>>,
    /// `DT_RPATH`: folders for the libraries of this file and of those that it needs.
    pub rpath: Vec<Vec<u8>>,
    /// `DT_RUNPATH`: folders for the libraries of this file; the other is void then.
    pub runpath: Vec<Vec<u8>>,
}

/// Word size and machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ElfKind {
    /// 64 bits.
    pub wide: bool,
    /// `e_machine`.
    pub machine: u16,
}

/// A file that begins like an ELF file and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is a damaged ELF file: {0}")]
pub struct ElfError(String);

impl From<object::read::Error> for ElfError {
    fn from(error: object::read::Error) -> Self {
        Self(error.to_string())
    }
}

/// Reads what an ELF file needs; `None` for any other file.
pub fn elf<'data, R: ReadRef<'data>>(data: R) -> Result<Option<Elf>, ElfError> {
    match FileKind::parse(data) {
        Ok(FileKind::Elf32) => needs::<FileHeader32<Endianness>, R>(data, false).map(Some),
        Ok(FileKind::Elf64) => needs::<FileHeader64<Endianness>, R>(data, true).map(Some),
        _ => Ok(None),
    }
}

fn needs<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(data: R, wide: bool) -> Result<Elf, ElfError> {
    let header = H::parse(data)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, data)?;
    let mut elf = Elf { kind: ElfKind { wide, machine: header.e_machine(endian).0 }, ..Elf::default() };
    let mut dynamic: &[H::Dyn] = &[];
    for segment in segments {
        if let Some(loader) = segment.interpreter(endian, data)? {
            elf.loader = Some(loader.to_vec());
        }
        if let Some(entries) = segment.dynamic(endian, data)? {
            dynamic = entries;
        }
    }
    let value = |tag: DynamicTag| dynamic.iter().find(|entry| entry.tag(endian) == tag).map(|entry| entry.val(endian));
    let (Some(address), Some(size)) = (value(DT_STRTAB), value(DT_STRSZ)) else { return Ok(elf) };
    let strings = strings::<H, R>(segments, endian, data, address, size)?;
    for entry in dynamic {
        let text = || text(strings, entry.val(endian));
        match entry.tag(endian) {
            DT_NEEDED => elf.needed.push(text()?.to_vec()),
            DT_RPATH => elf.rpath = folders(text()?),
            DT_RUNPATH => elf.runpath = folders(text()?),
            _ => {}
        }
    }
    Ok(elf)
}

fn strings<'data, H: FileHeader, R: ReadRef<'data>>(
    segments: &[H::ProgramHeader],
    endian: H::Endian,
    data: R,
    address: u64,
    size: u64,
) -> Result<&'data [u8], ElfError> {
    for segment in segments {
        if let Ok(Some(strings)) = segment.data_range(endian, data, address, size) {
            return Ok(strings);
        }
    }
    Err(ElfError("its string table lies outside of it".to_owned()))
}

fn text(strings: &[u8], at: u64) -> Result<&[u8], ElfError> {
    let rest = usize::try_from(at).ok().and_then(|at| strings.get(at..));
    let text = rest.and_then(|rest| rest.split(|&byte| byte == 0).next());
    text.ok_or_else(|| ElfError("a name lies outside of its string table".to_owned()))
}

fn folders(list: &[u8]) -> Vec<Vec<u8>> {
    list.split(|&byte| byte == b':').filter(|folder| !folder.is_empty()).map(<[u8]>::to_vec).collect()
}

/// Where `/etc/ld.so.cache` says that libraries are.
#[derive(Debug, Clone, Default)]
pub struct LoaderCache {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl LoaderCache {
    /// Reads glibc's format 1.1 (`sysdeps/generic/dl-cache.h: struct cache_file_new`), alone or after the older one.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
        const HEADER: usize = 48;
        const ENTRY: usize = 24;
        let start = bytes.windows(MAGIC.len()).position(|window| window == MAGIC)?;
        let cache = &bytes[start..];
        // The byte order is the writer's: bits 0 and 1 of the flags tell it (2 little, 3 big, 0 not told).
        let big = cache.get(28)? & 3 == 3;
        let word = |at: usize| {
            let bytes: [u8; 4] = cache.get(at..at + 4)?.try_into().ok()?;
            let word = if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
            usize::try_from(word).ok()
        };
        let count = word(MAGIC.len())?;
        let name = |at: usize| Some(cache.get(at..)?.split(|&byte| byte == 0).next()?.to_vec());
        let mut entries = Vec::new();
        for entry in (0..count).map(|number| HEADER + number * ENTRY) {
            entries.push((name(word(entry + 4)?)?, name(word(entry + 8)?)?));
        }
        Some(Self { entries })
    }

    /// Paths of the libraries with this name, for any machine.
    pub fn find<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.entries.iter().filter(move |(known, _)| known == name).map(|(_, path)| path.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_name_their_interpreter() {
        assert_eq!(script_interpreter(b"#!/bin/sh\n"), Some(&b"/bin/sh"[..]));
        assert_eq!(script_interpreter(b"#! \t/usr/bin/env -S python3\nx"), Some(&b"/usr/bin/env"[..]));
        assert_eq!(script_interpreter(b"#!/bin/sh"), Some(&b"/bin/sh"[..]));
        assert_eq!(script_interpreter(b"#!\n/bin/sh"), None);
        assert_eq!(script_interpreter(b"#/bin/sh\n"), None);
        let long = [b"#!/".as_slice(), &[b'x'; 300]].concat();
        assert_eq!(script_interpreter(&long), None);
        let long = [b"#!/bin/sh ".as_slice(), &[b'x'; 300]].concat();
        assert_eq!(script_interpreter(&long), Some(&b"/bin/sh"[..]));
    }

    #[test]
    fn a_real_program_names_loader_and_libraries() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let elf = elf(own.as_slice()).unwrap().unwrap();
        assert_eq!(elf.kind.wide, cfg!(target_pointer_width = "64"));
        assert!(elf.loader.unwrap().windows(3).any(|window| window == b"ld-"));
        assert!(elf.needed.iter().any(|name| name.starts_with(b"libc.so")), "{:?}", elf.needed);
    }

    #[test]
    fn damage_is_told_and_never_panics() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for length in (0..4096).step_by(61) {
            let _ = elf(&own[..length]);
        }
        assert_eq!(elf(&b"#!/bin/sh"[..]), Ok(None));
        assert!(LoaderCache::parse(b"glibc-ld.so.cache1.1\xff\xff\xff\xff").is_none());
    }
}
