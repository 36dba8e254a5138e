//! Whether a file system has room for labels.
#![forbid(unsafe_code)]

/// `EXT4_SUPER_MAGIC`, and that of ext2 and ext3.
const EXT: u64 = 0xef53;
/// What a label takes where it lies in the inode or in a tree: its own length, its name, and its share of a node.
const INLINE: u64 = 512;

/// The room that a file system has (`statfs(2)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Which file system.
    pub magic: u64,
    /// Bytes of a block.
    pub block: u64,
    /// Bytes that are free for those who are not root: the reserve is not for labels.
    pub available: u64,
    /// Inodes in use; 0 where the file system does not count them.
    pub inodes: u64,
}

impl Room {
    /// Bytes that so many labels take at most.
    ///
    /// On ext2 to ext4 an inode of 256 bytes, as distributions make them, has room for some 90 bytes of attributes; a label
    /// that does not fit takes a block of its own (`fs/ext4/xattr.c: ext4_xattr_block_set()`). Larger inodes would hold it,
    /// but how large they are cannot be asked. Other file systems keep labels in the inode or in a tree.
    pub const fn needed(&self, labels: u64) -> u64 {
        labels.saturating_mul(if self.magic == EXT { self.block } else { INLINE })
    }

    /// Whether there is room for so many labels.
    pub const fn holds(&self, labels: u64) -> bool {
        self.needed(labels) <= self.available
    }

    /// Whether there is room for a label on every file that the file system has: then nothing need be counted.
    pub const fn holds_all(&self) -> bool {
        self.inodes > 0 && self.holds(self.inodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_takes_a_block_on_ext4() {
        let ext4 = Room { magic: EXT, block: 4096, available: 400 << 20, inodes: 100_000 };
        assert_eq!(ext4.needed(97_000), 97_000 * 4096);
        assert!(ext4.holds_all() && ext4.holds(102_400) && !ext4.holds(102_401));
        let full = Room { available: 8191, ..ext4 };
        assert!(full.holds(1) && !full.holds(2) && !full.holds_all() && full.holds(0));
        // btrfs counts no inodes.
        let btrfs = Room { magic: 0x9123_683e, inodes: 0, ..ext4 };
        assert!(!btrfs.holds_all() && btrfs.holds(800_000));
        assert!(!Room { available: u64::MAX - 1, ..ext4 }.holds(u64::MAX));
    }
}
