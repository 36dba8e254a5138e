//! Unified kernel images: PE programs whose sections hold a kernel, its initramfs and its command line
//! (<https://uapi-group.org/specifications/specs/unified_kernel_image/>).
#![forbid(unsafe_code)]

use std::ops::Range;

use object::endian::LittleEndian as LE;
use object::pe::{ImageDosHeader, ImageNtHeaders64};
use object::read::ReadRef;
use object::read::pe::ImageNtHeaders as _;

/// What a unified kernel image holds. In one with several profiles, the first section of a name is the one that all
/// profiles begin with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uki {
    /// `.uname`: `uname -r`.
    pub release: Option<String>,
    /// `.cmdline`; without it the loader's counts.
    pub command_line: Option<String>,
    /// `PRETTY_NAME` of `.osrel`.
    pub title: Option<String>,
    /// Where `.initrd` lies: bytes of the file.
    pub initrd: Option<Range<u64>>,
    /// Where `.ucode` lies, an initramfs with microcode.
    pub microcode: Option<Range<u64>>,
}

/// No text section is longer.
const TEXT: u64 = 1 << 16;

/// Reads an image; `None` where it is no PE program of 64 bits, or holds no `.linux`.
pub fn parse<'data, R: ReadRef<'data>>(data: R) -> Option<Uki> {
    let mut offset = ImageDosHeader::parse(data).ok()?.nt_headers_offset().into();
    let (headers, _) = ImageNtHeaders64::parse(data, &mut offset).ok()?;
    let sections = headers.sections(data, offset).ok()?;
    let range = |name: &[u8]| {
        let section = sections.iter().find(|section| section.raw_name() == name)?;
        // What is in memory may be shorter than the file's part, which is rounded up.
        let length = section.virtual_size.get(LE).min(section.size_of_raw_data.get(LE));
        let begin = u64::from(section.pointer_to_raw_data.get(LE));
        Some(begin..begin + u64::from(length))
    };
    let text = |name: &[u8]| {
        let range = range(name)?;
        let bytes = data.read_bytes_at(range.start, (range.end - range.start).min(TEXT)).ok()?;
        Some(String::from_utf8_lossy(bytes).trim_end_matches('\0').trim().to_owned())
    };
    range(b".linux")?;
    let title = text(b".osrel").and_then(|release| pretty_name(&release));
    Some(Uki {
        release: text(b".uname").filter(|release| !release.is_empty()),
        command_line: text(b".cmdline"),
        title,
        initrd: range(b".initrd"),
        microcode: range(b".ucode"),
    })
}

/// `PRETTY_NAME` of an os-release(5).
fn pretty_name(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.trim().strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A PE program of 64 bits with these sections.
    pub(crate) fn image(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let optional = 112_u16;
        let mut image = vec![0; 0x40];
        image[..2].copy_from_slice(b"MZ");
        image[0x3c] = 0x40;
        image.extend(b"PE\0\0");
        image.extend(0x8664_u16.to_le_bytes());
        image.extend(u16::try_from(sections.len()).unwrap().to_le_bytes());
        image.extend([0; 12]);
        image.extend(optional.to_le_bytes());
        image.extend([0; 2]);
        let mut header = vec![0; usize::from(optional)];
        header[..2].copy_from_slice(&0x20b_u16.to_le_bytes());
        image.extend(header);
        let mut at = (image.len() + 40 * sections.len()).next_multiple_of(512);
        for (name, content) in sections {
            let mut bytes = [0_u8; 40];
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            let field = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
            bytes[8..12].copy_from_slice(&field(content.len()));
            bytes[16..20].copy_from_slice(&field(content.len().next_multiple_of(512)));
            bytes[20..24].copy_from_slice(&field(at));
            image.extend(bytes);
            at += content.len().next_multiple_of(512);
        }
        for (_, content) in sections {
            image.resize(image.len().next_multiple_of(512), 0);
            image.extend(*content);
        }
        image.resize(image.len().next_multiple_of(512), 0);
        image
    }

    #[test]
    fn sections_are_found_without_their_padding() {
        let image = image(&[
            (".osrel", b"NAME=Fedora\nPRETTY_NAME=\"Fedora Linux 41\"\n"),
            (".cmdline", b"root=UUID=9f ro\n\0"),
            (".uname", b"6.12.9-200.fc41.x86_64"),
            (".initrd", b"070701..."),
            (".linux", b"MZ"),
        ]);
        let uki = parse(&image[..]).unwrap();
        assert_eq!(uki.title.as_deref(), Some("Fedora Linux 41"));
        assert_eq!(uki.command_line.as_deref(), Some("root=UUID=9f ro"));
        assert_eq!(uki.release.as_deref(), Some("6.12.9-200.fc41.x86_64"));
        let initrd = uki.initrd.unwrap();
        let place = usize::try_from(initrd.start).unwrap()..usize::try_from(initrd.end).unwrap();
        assert_eq!(&image[place], b"070701...");
        assert_eq!(uki.microcode, None);
    }

    #[test]
    fn other_programs_are_none() {
        assert_eq!(parse(&image(&[(".text", b"x")])[..]), None);
        assert_eq!(parse(&b"\x7fELF"[..]), None);
        assert_eq!(parse(&b""[..]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(at in 0_usize..600, bytes in prop::collection::vec(any::<u8>(), 1..40)) {
            let mut image = image(&[(".linux", b"x"), (".cmdline", b"ro"), (".initrd", b"y")]);
            let end = (at + bytes.len()).min(image.len());
            image[at..end].copy_from_slice(&bytes[..end - at]);
            let _ = parse(&image[..]);
            let _ = parse(&bytes[..]);
        }
    }
}
