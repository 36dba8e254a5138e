//! Hash algorithms as the kernel numbers and names them.
#![forbid(unsafe_code)]

use std::fmt;

/// A hash algorithm that labels, packages and policies name.
///
/// The numbers are those of `include/uapi/linux/hash_info.h`, the names those of `crypto/hash_info.c`
/// (`hash_algo_name[]`). Algorithms that neither imad nor any distribution's kernel can compute are left out; a label
/// that names one of them is [unsupported](crate::model::plan::State::Unsupported).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HashAlgo {
    /// MD5, 16 bytes.
    Md5,
    /// SHA-1, 20 bytes.
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
    /// SHA-512, 64 bytes.
    Sha512,
    /// SHA-224, 28 bytes.
    Sha224,
    /// SHA3-256, 32 bytes.
    Sha3_256,
    /// SHA3-384, 48 bytes.
    Sha3_384,
    /// SHA3-512, 64 bytes.
    Sha3_512,
}

impl HashAlgo {
    /// Every algorithm of this type.
    pub const ALL: [Self; 9] = [
        Self::Md5,
        Self::Sha1,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Sha224,
        Self::Sha3_256,
        Self::Sha3_384,
        Self::Sha3_512,
    ];

    /// The kernel's number, as byte 2 of a signature label and byte 1 of a hash label hold it.
    pub const fn kernel_id(self) -> u8 {
        match self {
            Self::Md5 => 1,
            Self::Sha1 => 2,
            Self::Sha256 => 4,
            Self::Sha384 => 5,
            Self::Sha512 => 6,
            Self::Sha224 => 7,
            Self::Sha3_256 => 20,
            Self::Sha3_384 => 21,
            Self::Sha3_512 => 22,
        }
    }

    /// The algorithm with this kernel number, if imad can compute it.
    pub fn from_kernel_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|algo| algo.kernel_id() == id)
    }

    /// The algorithm that RPM's `FILEDIGESTALGO` names (RFC 4880 §9.4; 12 and 14 are RFC 9580's SHA-3).
    pub const fn from_pgp_id(id: u32) -> Option<Self> {
        Some(match id {
            1 => Self::Md5,
            2 => Self::Sha1,
            8 => Self::Sha256,
            9 => Self::Sha384,
            10 => Self::Sha512,
            11 => Self::Sha224,
            12 => Self::Sha3_256,
            14 => Self::Sha3_512,
            _ => return None,
        })
    }

    /// The kernel's name, as policies and `ima_hash=` spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Sha224 => "sha224",
            Self::Sha3_256 => "sha3-256",
            Self::Sha3_384 => "sha3-384",
            Self::Sha3_512 => "sha3-512",
        }
    }

    /// Bytes in a digest.
    pub const fn digest_size(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 | Self::Sha3_256 => 32,
            Self::Sha384 | Self::Sha3_384 => 48,
            Self::Sha512 | Self::Sha3_512 => 64,
        }
    }
}

impl fmt::Display for HashAlgo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
