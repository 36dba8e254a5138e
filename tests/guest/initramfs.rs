//! One more file in the guests' initramfs.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::harness::{Images, Setup};

/// Has the initramfs hold one more file, over what has the name already.
pub(crate) fn in_initramfs(setup: Setup, name: &str, path: &str, bytes: &[u8], mode: u32) -> Setup {
    let original = Images::load().imad().join("initrd-trusted.img");
    let mut image = fs::read(&original).unwrap();
    image.resize(image.len().next_multiple_of(4), 0);
    let mut folders = String::new();
    for part in path.trim_start_matches('/').split('/') {
        if !folders.is_empty() {
            member(&mut image, &folders, &[], 0o040_755);
            folders.push('/');
        }
        folders.push_str(part);
    }
    member(&mut image, &folders, bytes, 0o100_000 | mode);
    member(&mut image, "TRAILER!!!", &[], 0);
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("initrd-{name}.img"));
    fs::write(&file, image).unwrap();
    setup.initrd(file)
}

/// A member of a cpio archive in the format "newc" (`init/initramfs.c`).
fn member(archive: &mut Vec<u8>, path: &str, bytes: &[u8], mode: u32) {
    // Two links for a folder; numbers of inodes matter for hard links alone.
    let links = if mode & 0o040_000 == 0 { 1 } else { 2 };
    let mut header = "070701".to_owned();
    for field in [0, mode as usize, 0, 0, links, 0, bytes.len(), 0, 0, 0, 0, path.len() + 1, 0] {
        write!(header, "{field:08x}").unwrap();
    }
    archive.extend([header.as_bytes(), path.as_bytes(), &[0]].concat());
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(bytes);
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[test]
fn an_archive_is_one_that_cpio_lists() {
    let mut archive = Vec::new();
    member(&mut archive, "etc", &[], 0o040_755);
    member(&mut archive, "etc/motd", b"hello\n", 0o100_644);
    member(&mut archive, "TRAILER!!!", &[], 0);
    assert_eq!(archive.len() % 4, 0);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("archive");
    fs::write(&file, archive).unwrap();
    let line = format!("cpio --quiet -it <{}", file.display());
    let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "etc\netc/motd\n", "{output:?}");
}
