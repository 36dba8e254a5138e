//! Files that the kernel measured (`ascii_runtime_measurements`, `ima_fs.c: ima_ascii_measurements_show()`).
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

/// A file that was measured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Measured {
    /// Its path; a bare name where it has none, as memfd_create(2)'s. Blanks in it are `_` in most lists, so that the file
    /// of a path need not be there.
    pub name: Vec<u8>,
    /// It had a signature; `None` where the template does not tell.
    pub signed: Option<bool>,
}

/// Paths of measured files, each once.
pub fn paths(list: &[u8]) -> BTreeSet<Vec<u8>> {
    files(list, 0).into_iter().map(|file| file.name).filter(|name| name.starts_with(b"/")).collect()
}

/// The files of a list behind so many of its entries, as they were measured. Violations, the boot aggregate and what is no
/// file's are left out.
pub fn files(list: &[u8], behind: usize) -> Vec<Measured> {
    list.split(|&byte| byte == b'\n').skip(behind).filter_map(entry).collect()
}

/// `PCR DIGEST TEMPLATE FIELDS`, each field after one blank.
fn entry(line: &[u8]) -> Option<Measured> {
    let mut parts = line.trim_ascii_start().splitn(4, |&byte| byte == b' ');
    let (_pcr, digest, template, fields) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // A violation: nobody knows what was read.
    if digest.iter().all(|&byte| byte == b'0') {
        return None;
    }
    let place = match template {
        // Its name keeps its blanks, and is the last.
        b"ima" => return named(fields.splitn(2, |&byte| byte == b' ').nth(1)?, None),
        b"ima-buf" => return None,
        // A template that was made up is named by its fields.
        _ if template.contains(&b'|') => {
            template.split(|&byte| byte == b'|').position(|field| matches!(field, b"n" | b"n-ng"))?
        }
        _ => 1,
    };
    let mut fields = fields.split(|&byte| byte == b' ').skip(place);
    let name = fields.next()?;
    let has_signature = matches!(template, b"ima-sig" | b"ima-sigv2" | b"ima-modsig");
    named(name, has_signature.then(|| fields.next().is_some_and(|label| !label.is_empty())))
}

/// What stands in a file's place and is none: the TPM's registers (the second on a kernel that looks for its TPM late), and
/// rules that were written as text.
const NO_FILES: [&[u8]; 3] = [b"boot_aggregate", b"boot_aggregate_late", b"ima_policy_written"];

fn named(name: &[u8], signed: Option<bool>) -> Option<Measured> {
    (!name.is_empty() && !NO_FILES.contains(&name)).then(|| Measured { name: name.to_vec(), signed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_every_template() {
        let list = b"10 1d8d532d463c9f8c205d0df7787669a85f93e260 ima-ng sha1:0000000000000000000000000000000000000000 boot_aggregate\n\
            10 a4f2d1b4e0c2b2f6b4e0c2b2f6b4e0c2b2f6b4e0 ima-sig sha256:ab34 /usr/lib/systemd/systemd 030204aabbccdd0048\n\
            10 b4f2d1b4e0c2b2f6b4e0c2b2f6b4e0c2b2f6b4e0 ima-sig sha256:ab35 /usr/bin/a_b \n\
            10 0000000000000000000000000000000000000000 ima-ng sha256:0000 /var/log/wtmp\n\
            10 c4f2d1b4e0c2b2f6b4e0c2b2f6b4e0c2b2f6b4e0 ima 1234 /opt/a b\n\
            11 d4f2d1b4e0c2b2f6b4e0c2b2f6b4e0c2b2f6b4e0 ima-buf sha256:12 .ima 3082\n\
            10 e4f2d1b4e0c2b2f6b4e0c2b2f6b4e0c2b2f6b4e0 ima-ngv2 verity:sha256:12 /usr/bin/v\n\
            10 f4f2d1b4e0c2b2f6b4e0c2b2f6b4e0c2b2f6b4e0 n-ng|d-ng /usr/bin/made_up sha256:12\n 10 x\n\nnonsense\n";
        let found: Vec<String> = paths(list).iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
        assert_eq!(found, ["/opt/a b", "/usr/bin/a_b", "/usr/bin/made_up", "/usr/bin/v", "/usr/lib/systemd/systemd"]);
    }

    #[test]
    fn what_was_measured_later_and_whether_it_was_signed() {
        let list = b"10 1d8d532d463c9f8c205d0df7787669a85f93e260 ima-sig sha256:00 boot_aggregate \n\
            10 a4f2d1b4e0c2b2f6b4e0c2b2f6b4e0c2b2f6b4e0 ima-sig sha256:ab34 /init \n\
            10 b4f2d1b4e0c2b2f6b4e0c2b2f6b4e0c2b2f6b4e0 ima-sig sha256:ab35 /usr/bin/a 030204aabbccdd0048\n\
            10 c4f2d1b4e0c2b2f6b4e0c2b2f6b4e0c2b2f6b4e0 ima-sig sha256:ab36 memfd:x \n\
            10 e4f2d1b4e0c2b2f6b4e0c2b2f6b4e0c2b2f6b4e0 ima-ng sha256:12 /usr/bin/v\n";
        let found: Vec<_> = files(list, 2).into_iter().map(|file| (file.name, file.signed)).collect();
        let expected: [(&[u8], _); 3] = [(b"/usr/bin/a", Some(true)), (b"memfd:x", Some(false)), (b"/usr/bin/v", None)];
        assert_eq!(found, expected.map(|(name, signed)| (name.to_vec(), signed)));
        assert_eq!(files(list, 0).len(), 4);
        assert!(files(list, 9).is_empty());
    }
}
