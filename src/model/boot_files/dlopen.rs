//! Libraries that a program says it may open while it runs: the ELF note `.note.dlopen`
//! (systemd: docs/ELF_DLOPEN_METADATA.md).
#![forbid(unsafe_code)]

use object::Endianness;
use object::elf::{FileHeader32, FileHeader64, NoteType};
use object::read::elf::{FileHeader, ProgramHeader};
use object::read::{FileKind, ReadRef};
use serde::Deserialize;

/// The note's owner and type.
const OWNER: &[u8] = b"FDO";
const DLOPEN: NoteType = NoteType(0x407c_0c0a);

#[derive(Deserialize)]
struct Wanted {
    /// Names of one library, the most wanted first.
    #[serde(default)]
    soname: Vec<String>,
}

/// For each library its names, the most wanted first; of each the first that is found is opened. None for a file
/// without such a note, damaged ones included: what cannot be read is not opened by this name.
pub fn alternatives<'data, R: ReadRef<'data>>(data: R) -> Vec<Vec<Vec<u8>>> {
    let read = match FileKind::parse(data) {
        Ok(FileKind::Elf32) => notes::<FileHeader32<Endianness>, R>(data),
        Ok(FileKind::Elf64) => notes::<FileHeader64<Endianness>, R>(data),
        _ => return Vec::new(),
    };
    read.unwrap_or_default()
}

fn notes<'data, H: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
    data: R,
) -> object::read::Result<Vec<Vec<Vec<u8>>>> {
    let header = H::parse(data)?;
    let endian = header.endian()?;
    let mut found = Vec::new();
    for segment in header.program_headers(endian, data)? {
        let Some(mut notes) = segment.notes(endian, data)? else { continue };
        while let Some(note) = notes.next()? {
            if note.name() == OWNER && note.n_type(endian) == DLOPEN {
                found.extend(names(note.desc()));
            }
        }
    }
    Ok(found)
}

fn names(json: &[u8]) -> Vec<Vec<Vec<u8>>> {
    // The text ends in a NUL, and is filled up with more.
    let end = json.iter().position(|&byte| byte == 0).unwrap_or(json.len());
    let wanted: Vec<Wanted> = serde_json::from_slice(json.get(..end).unwrap_or_default()).unwrap_or_default();
    wanted.into_iter().map(|one| one.soname.into_iter().map(String::into_bytes).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program of one segment of notes.
    fn elf(notes: &[u8]) -> Vec<u8> {
        let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        file.extend([3, 0, 62, 0, 1, 0, 0, 0]);
        file.extend(0_u64.to_le_bytes()); // e_entry
        file.extend(64_u64.to_le_bytes()); // e_phoff
        file.extend(0_u64.to_le_bytes()); // e_shoff
        file.extend(0_u32.to_le_bytes()); // e_flags
        for half in [64_u16, 56, 1, 64, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        file.extend(4_u32.to_le_bytes()); // PT_NOTE
        file.extend(4_u32.to_le_bytes());
        for word in [120, 120, 120, notes.len() as u64, notes.len() as u64, 4] {
            file.extend(word.to_le_bytes());
        }
        file.extend(notes);
        file
    }

    fn note(owner: &[u8; 4], kind: u32, text: &[u8]) -> Vec<u8> {
        let mut note = Vec::new();
        for word in [4, u32::try_from(text.len()).unwrap(), kind] {
            note.extend(word.to_le_bytes());
        }
        note.extend(owner);
        note.extend(text);
        note.resize(note.len().next_multiple_of(4), 0);
        note
    }

    #[test]
    fn libraries_of_the_note() {
        let text =
            br#"[{"feature":"bpf","description":"x","priority":"recommended","soname":["libbpf.so.1","libbpf.so.0"]}]"#;
        let text = [text, &b"\0"[..]].concat();
        let file = elf(&[note(b"GNU\0", 3, b"id00"), note(b"FDO\0", 0x407c_0c0a, &text)].concat());
        assert_eq!(alternatives(file.as_slice()), [vec![b"libbpf.so.1".to_vec(), b"libbpf.so.0".to_vec()]]);
        let other = elf(&note(b"FDO\0", 0xcafe_1a7e, &text));
        assert!(alternatives(other.as_slice()).is_empty());
        for length in 0..file.len() {
            assert!(alternatives(&file[..length]).is_empty(), "{length}");
        }
        assert!(alternatives(elf(&note(b"FDO\0", 0x407c_0c0a, b"{no json")).as_slice()).is_empty());
    }
}
