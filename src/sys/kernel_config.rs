//! What kernels are built with, and which words of the policy language the running one holds.
#![forbid(unsafe_code)]

use std::io::{self, Read};

use super::root::Root;

/// The running kernel's own configuration (`CONFIG_IKCONFIG_PROC`).
const OWN: &str = "/proc/config.gz";
/// The running kernel's type information (`CONFIG_DEBUG_INFO_BTF`).
const BTF: &str = "/sys/kernel/btf/vmlinux";
/// No configuration is longer, and no type information.
const LIMIT: u64 = 1 << 27;

/// The running kernel's configuration and where it was found.
pub fn running(root: &Root, release: &str) -> io::Result<Option<(String, String)>> {
    match std::fs::File::open(OWN) {
        Ok(file) => return Ok(Some((OWN.to_owned(), text(file)?))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    of_release(root, release)
}

/// The configuration of a kernel that is installed in a root.
pub fn of_release(root: &Root, release: &str) -> io::Result<Option<(String, String)>> {
    for path in [
        format!("/boot/config-{release}"),
        format!("/lib/modules/{release}/config"),
        format!("/usr/lib/modules/{release}/config"),
    ] {
        match root.read(&path, LIMIT) {
            Ok(bytes) => return Ok(Some((path, text(&bytes[..])?))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The kernels that are installed in a root, by their module folders and configurations.
pub fn releases(root: &Root) -> Vec<String> {
    let mut releases = Vec::new();
    for folder in ["/lib/modules", "/usr/lib/modules"] {
        releases.extend(
            root.list(folder)
                .unwrap_or_default()
                .into_iter()
                .filter_map(|name| name.into_os_string().into_string().ok()),
        );
    }
    let configs = root.list("/boot").unwrap_or_default();
    let configs = configs.iter().filter_map(|name| name.to_str()?.strip_prefix("config-").map(str::to_owned));
    releases.extend(configs);
    releases.sort();
    releases.dedup();
    releases
}

/// A configuration's text, compressed by gzip or not.
pub fn text(mut source: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    source.by_ref().take(LIMIT).read_to_end(&mut bytes)?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut text = Vec::new();
        flate2::read::MultiGzDecoder::new(&bytes[..]).take(LIMIT).read_to_end(&mut text)?;
        bytes = text;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Which of these names the running kernel's type information holds; `None` where there is none.
pub fn type_names<const N: usize>(names: [&str; N]) -> io::Result<Option<[bool; N]>> {
    match std::fs::read(BTF) {
        Ok(bytes) => Ok(Some(names_in(&bytes, names))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// BTF keeps its names one after another, each ended by a NUL byte.
fn names_in<const N: usize>(bytes: &[u8], names: [&str; N]) -> [bool; N] {
    let mut found = [false; N];
    for name in bytes.split(|&byte| byte == 0) {
        for (found, wanted) in found.iter_mut().zip(names) {
            *found |= name == wanted.as_bytes();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn configurations_are_read_compressed_or_not() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"CONFIG_IMA=y\n").unwrap();
        assert_eq!(text(&encoder.finish().unwrap()[..]).unwrap(), "CONFIG_IMA=y\n");
        assert_eq!(text(&b"CONFIG_IMA=y\n"[..]).unwrap(), "CONFIG_IMA=y\n");
        assert!(text(&b"\x1f\x8b\x08broken"[..]).is_err());
    }

    #[test]
    fn kernels_of_an_image_are_found_with_their_configurations() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("usr/lib/modules/6.12.1/config", "CONFIG_A=y\n");
        put("usr/lib/modules/6.13.0/vmlinuz", "");
        put("boot/config-6.14.0", "CONFIG_B=y\n");
        std::os::unix::fs::symlink("usr/lib", dir.path().join("lib")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(releases(&root), ["6.12.1", "6.13.0", "6.14.0"]);
        let read = |release: &str| of_release(&root, release).unwrap();
        assert_eq!(read("6.12.1"), Some(("/lib/modules/6.12.1/config".to_owned(), "CONFIG_A=y\n".to_owned())));
        assert_eq!(read("6.14.0").unwrap().0, "/boot/config-6.14.0");
        assert_eq!(read("6.13.0"), None);
    }

    #[test]
    fn names_are_whole_names() {
        let bytes = b"\0Opt_measure\0xOpt_dont_audit\0Opt_fs_subtypes\0";
        assert_eq!(names_in(bytes, ["Opt_measure", "Opt_dont_audit", "Opt_fs_subtype"]), [true, false, false]);
    }
}
