//! Trees that are built elsewhere and only looked at here: their labels are verified, never written.
#![forbid(unsafe_code)]

use std::fmt;

/// What a file lies in, if that is an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// squashfs, which cannot be written.
    Squashfs,
    /// EROFS, which cannot be written.
    Erofs,
    /// composefs: an overlay of an EROFS image over a store of objects, which fs-verity seals.
    Composefs,
    /// A deployment of ostree: its files are hard links into a store of objects, whose names are digests of content and
    /// extended attributes. A label written here would damage the object, in every deployment that has it.
    Ostree,
}

/// `SQUASHFS_MAGIC` (include/uapi/linux/magic.h).
const SQUASHFS: u64 = 0x7371_7368;
/// `EROFS_SUPER_MAGIC_V1`.
const EROFS: u64 = 0xe0f5_e1e2;
/// `OVERLAYFS_SUPER_MAGIC`.
const OVERLAY: u64 = 0x794c_7630;

impl Image {
    /// The image that a file of this path lies in: `magic` and `source` are those of its mount (`statfs(2)`,
    /// /proc/self/mountinfo; mount.composefs(8) names `composefs` as the source), `ostree` says that the root is a
    /// deployment of ostree, in which /etc and /var are the machine's own.
    pub fn of(path: &[u8], magic: u64, source: &[u8], ostree: bool) -> Option<Self> {
        match magic {
            SQUASHFS => Some(Self::Squashfs),
            EROFS => Some(Self::Erofs),
            OVERLAY if source == b"composefs" => Some(Self::Composefs),
            _ if ostree && ![&b"/etc/"[..], b"/var/"].iter().any(|own| path.starts_with(own)) => Some(Self::Ostree),
            _ => None,
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Squashfs => "a squashfs image",
            Self::Erofs => "an EROFS image",
            Self::Composefs => "a composefs image",
            Self::Ostree => "a deployment of ostree",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_told_by_mount_and_root() {
        const EXT4: u64 = 0xef53;
        assert_eq!(Image::of(b"/usr/bin/ls", SQUASHFS, b"/dev/loop0", false), Some(Image::Squashfs));
        assert_eq!(Image::of(b"/usr/bin/ls", EROFS, b"/dev/loop0", true), Some(Image::Erofs));
        assert_eq!(Image::of(b"/usr/bin/ls", OVERLAY, b"composefs", true), Some(Image::Composefs));
        assert_eq!(Image::of(b"/usr/bin/ls", OVERLAY, b"overlay", false), None);
        assert_eq!(Image::of(b"/usr/bin/ls", EXT4, b"/dev/vda", false), None);
        assert_eq!(Image::of(b"/usr/bin/ls", EXT4, b"/dev/vda", true), Some(Image::Ostree));
        assert_eq!(Image::of(b"/etc/profile", EXT4, b"/dev/vda", true), None);
        assert_eq!(Image::of(b"/etcetera", EXT4, b"/dev/vda", true), Some(Image::Ostree));
    }
}
