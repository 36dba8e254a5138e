//! Files that the kernel measured (`ascii_runtime_measurements`, `ima_fs.c: ima_ascii_measurements_show()`).
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

/// Paths of measured files, each once. Blanks in them are `_` in most lists, so that the file of a path need not be there.
/// Violations, the boot aggregate and what is no file's are left out.
pub fn paths(list: &[u8]) -> BTreeSet<Vec<u8>> {
    list.split(|&byte| byte == b'\n').filter_map(path).map(<[u8]>::to_vec).collect()
}

/// `PCR DIGEST TEMPLATE FIELDS`, each field after one blank.
fn path(line: &[u8]) -> Option<&[u8]> {
    let mut parts = line.trim_ascii_start().splitn(4, |&byte| byte == b' ');
    let (_pcr, digest, template, fields) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // A violation: nobody knows what was read.
    if digest.iter().all(|&byte| byte == b'0') {
        return None;
    }
    let place = match template {
        // Its name keeps its blanks, and is the last.
        b"ima" => return fields.splitn(2, |&byte| byte == b' ').nth(1).and_then(file),
        b"ima-buf" => return None,
        // A template that was made up is named by its fields.
        _ if template.contains(&b'|') => {
            template.split(|&byte| byte == b'|').position(|field| matches!(field, b"n" | b"n-ng"))?
        }
        _ => 1,
    };
    fields.split(|&byte| byte == b' ').nth(place).and_then(file)
}

fn file(name: &[u8]) -> Option<&[u8]> {
    name.starts_with(b"/").then_some(name)
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
}
