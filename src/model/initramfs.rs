//! What an initramfs holds, as far as the policy of the real root is concerned.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use super::algo::HashAlgo;
use super::cert::hex;
use super::cpio::{Member, Visitor};
use super::verify::Hasher;

/// imad-boot, here and on the root.
pub const IMAD_BOOT: &str = "/usr/lib/imad/imad-boot";
/// imad-boot's unit where systemd's `enable` links it.
const UNIT_LINK: &[u8] = b"initrd.target.wants/imad-boot.service";
/// imad-boot's hook where there is no systemd in the image (dracut's `inst_hook pre-pivot 99`).
const HOOK: (&[u8], &[u8]) = (b"dracut/hooks/pre-pivot/", b"-imad-boot.sh");
/// What systemd loads as soon as it starts (`src/core/ima-setup.c`).
const POLICY: &[u8] = b"etc/ima/ima-policy";
/// What dracut's module `integrity` brings (`modules.d/98integrity/module-setup.sh`), its hooks' numbers taken off.
const INTEGRITY: [&[u8]; 2] = [b"-ima-keys-load.sh", b"-ima-policy-load.sh"];
/// File systems in a file, in which dracut's modules `squash-squashfs` and `squash-erofs` keep the rest.
const PACKED: [&[u8]; 3] = [b"squashfs-root.img", b"squash-root.img", b"erofs-root.img"];
/// Microcode, which the kernel reads before it unpacks anything (Documentation/arch/x86/microcode.rst).
const MICROCODE: &[u8] = b"kernel/x86/microcode/";

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each its own field of the JSON")]
pub struct Contents {
    /// Files, microcode's not among them.
    pub files: u64,
    /// imad-boot is in it.
    pub imad_boot: bool,
    /// SHA-256 of imad-boot.
    pub imad_boot_sha256: Option<String>,
    /// Something in it starts imad-boot: its unit is wanted by `initrd.target`, or the hook is there.
    pub imad_boot_starts: bool,
    /// `etc/ima/ima-policy` is in it: systemd loads it there, before any key.
    pub policy: bool,
    /// dracut's hook that loads certificates into `.ima`.
    pub loads_keys: bool,
    /// dracut's hook that loads `/etc/sysconfig/ima-policy` or what IMAPOLICY names.
    pub loads_policy: bool,
    /// Most of it lies in an image of a file system, into which imad does not look.
    pub packed: Option<String>,
}

impl Contents {
    /// What several images hold together, as the kernel unpacks them one after another.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        Self {
            files: self.files + later.files,
            imad_boot: self.imad_boot || later.imad_boot,
            imad_boot_sha256: later.imad_boot_sha256.or(self.imad_boot_sha256),
            imad_boot_starts: self.imad_boot_starts || later.imad_boot_starts,
            policy: self.policy || later.policy,
            loads_keys: self.loads_keys || later.loads_keys,
            loads_policy: self.loads_policy || later.loads_policy,
            packed: self.packed.or(later.packed),
        }
    }
}

/// Finds out what an image holds while it is read.
#[derive(Debug, Default)]
pub struct Survey {
    contents: Contents,
    /// While imad-boot's content comes: its hash, and how much is still to come.
    hashing: Option<(Hasher, usize)>,
}

impl Survey {
    /// What was found.
    pub fn contents(self) -> Contents {
        self.contents
    }
}

impl Visitor for Survey {
    fn member(&mut self, member: &Member) {
        self.hashing = None;
        let name = &member.name[..];
        if name.starts_with(MICROCODE) {
            return;
        }
        let found = &mut self.contents;
        found.files += u64::from(member.is_file());
        found.policy |= name == POLICY;
        found.imad_boot_starts |= name.ends_with(UNIT_LINK) || is_hook(name);
        let [keys, policy] = INTEGRITY.map(|hook| is_pre_pivot(name) && name.ends_with(hook));
        found.loads_keys |= keys;
        found.loads_policy |= policy;
        if let Some(image) = PACKED.iter().find(|packed| base(name) == **packed) {
            found.packed = Some(String::from_utf8_lossy(image).into_owned());
        }
        if name == IMAD_BOOT.trim_start_matches('/').as_bytes() && member.is_file() {
            found.imad_boot = true;
            // Without SHA-256 in this OpenSSL nothing else here works either; the digest is not known then.
            let hasher = Hasher::new(HashAlgo::Sha256).ok();
            let size = usize::try_from(member.size).unwrap_or(usize::MAX);
            self.hashing = hasher.map(|hasher| (hasher, size)).filter(|_| size > 0);
        }
    }

    fn content(&mut self, bytes: &[u8]) {
        let Some((hasher, left)) = &mut self.hashing else { return };
        if hasher.update(bytes).is_err() {
            self.hashing = None;
            return;
        }
        *left = left.saturating_sub(bytes.len());
        if *left == 0 {
            self.contents.imad_boot_sha256 = hasher.finish().ok().map(|digest| hex(&digest));
            self.hashing = None;
        }
    }
}

fn base(name: &[u8]) -> &[u8] {
    name.rsplit(|&byte| byte == b'/').next().unwrap_or(name)
}

fn is_pre_pivot(name: &[u8]) -> bool {
    name.windows(HOOK.0.len()).any(|part| part == HOOK.0)
}

fn is_hook(name: &[u8]) -> bool {
    is_pre_pivot(name) && base(name).ends_with(HOOK.1)
}

/// How the kernel unpacks bytes that begin so (`lib/decompress.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// gzip
    Gzip,
    /// bzip2
    Bzip2,
    /// LZMA
    Lzma,
    /// XZ
    Xz,
    /// LZO
    Lzo,
    /// LZ4, its legacy frames
    Lz4,
    /// Zstandard
    Zstd,
}

impl Compression {
    /// Tells by the first bytes.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        const MAGIC: [(&[u8], Compression); 8] = [
            (&[0x1f, 0x8b], Compression::Gzip),
            (&[0x1f, 0x9e], Compression::Gzip),
            (b"BZh", Compression::Bzip2),
            (&[0x5d, 0, 0], Compression::Lzma),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Compression::Xz),
            (&[0x89, b'L', b'Z', b'O'], Compression::Lzo),
            (&[0x02, 0x21, 0x4c, 0x18], Compression::Lz4),
            (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Zstd),
        ];
        MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, compression)| *compression)
    }

    /// The program that unpacks from standard input to standard output, with its options.
    pub const fn program(self) -> &'static [&'static str] {
        match self {
            Self::Gzip => &["gzip", "-dc"],
            Self::Bzip2 => &["bzip2", "-dc"],
            Self::Lzma => &["xz", "--format=lzma", "-dc"],
            Self::Xz => &["xz", "--format=xz", "-dc"],
            Self::Lzo => &["lzop", "-dc"],
            Self::Lz4 => &["lz4", "-dc"],
            Self::Zstd => &["zstd", "-dcq"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cpio::tests::archive;
    use super::super::cpio::{Fed, Reader};
    use super::super::verify::digest;
    use super::*;

    fn survey(names: &[(&str, &[u8])]) -> Contents {
        let (mut reader, mut survey) = (Reader::default(), Survey::default());
        for piece in archive(names).chunks(100) {
            assert_eq!(reader.feed(piece, &mut survey), Ok(Fed::All));
        }
        survey.contents()
    }

    #[test]
    fn an_image_of_the_dracut_module_is_known() {
        let program = [7_u8; 300];
        let found = survey(&[
            ("kernel/x86/microcode/AuthenticAMD.bin", b"1"),
            ("init", b"1"),
            ("usr/lib/imad/imad-boot", &program),
            ("usr/lib/systemd/system/imad-boot.service", b"1"),
            ("etc/systemd/system/initrd.target.wants/imad-boot.service", b"1"),
        ]);
        let sha256 = hex(&digest(HashAlgo::Sha256, &program).unwrap());
        let expected = Contents {
            files: 4,
            imad_boot: true,
            imad_boot_sha256: Some(sha256),
            imad_boot_starts: true,
            ..Contents::default()
        };
        assert_eq!(found, expected);
        let hook = survey(&[("usr/lib/dracut/hooks/pre-pivot/99-imad-boot.sh", b"1")]);
        assert!(hook.imad_boot_starts && !hook.imad_boot);
        // A unit that is there starts nothing.
        assert!(!survey(&[("usr/lib/systemd/system/imad-boot.service", b"1")]).imad_boot_starts);
    }

    #[test]
    fn what_gets_in_the_way_is_known() {
        let found = survey(&[
            ("etc/ima/ima-policy", b"x"),
            ("usr/lib/dracut/hooks/pre-pivot/61-ima-keys-load.sh", b"x"),
            ("var/lib/dracut/hooks/pre-pivot/62-ima-policy-load.sh", b"x"),
            ("squashfs-root.img", b"x"),
        ]);
        assert!(found.policy && found.loads_keys && found.loads_policy && !found.imad_boot);
        assert_eq!(found.packed.as_deref(), Some("squashfs-root.img"));
        let both = found.and(survey(&[("usr/lib/imad/imad-boot", b"x")]));
        assert!(both.imad_boot && both.policy && both.files == 5);
        assert!(!survey(&[("usr/share/ima-policy-load.sh", b"x"), ("etc/ima/ima-policy.bak", b"")]).loads_policy);
    }

    #[test]
    fn compressions_are_told_by_their_first_bytes() {
        assert_eq!(Compression::of(&[0x28, 0xb5, 0x2f, 0xfd, 4]), Some(Compression::Zstd));
        assert_eq!(Compression::of(&[0x1f, 0x8b]), Some(Compression::Gzip));
        assert_eq!(Compression::of(b"hsqs"), None);
        assert_eq!(Compression::of(b""), None);
    }
}
