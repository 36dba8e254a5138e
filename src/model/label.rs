//! The bytes of `security.ima`.
//!
//! Layouts: `security/integrity/integrity.h` (`enum evm_ima_xattr_type`, `struct signature_v2_hdr`).
#![forbid(unsafe_code)]

use std::fmt;

use super::algo::HashAlgo;

/// The extended attribute that holds a file's label.
pub const XATTR_IMA: &str = "security.ima";
/// The extended attribute that holds a file's EVM protection.
pub const XATTR_EVM: &str = "security.evm";

/// Type byte of a portable EVM signature in `security.evm` (`EVM_XATTR_PORTABLE_DIGSIG`).
pub const EVM_PORTABLE_SIGNATURE: u8 = 5;

const DIGEST: u8 = 1;
const SIGNATURE: u8 = 3;
const DIGEST_NG: u8 = 4;
const VERITY_SIGNATURE: u8 = 6;
/// Type byte and `struct signature_v2_hdr`, before the signature itself.
const SIGNATURE_HEADER: usize = 9;

/// The last four bytes of a certificate's subject key identifier, by which the kernel looks a key up
/// (`digsig_asymmetric.c: request_asymmetric_key()`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub u32);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// A label that is well formed. What a field's value means is for the reader: version and algorithm are kept raw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label<'a> {
    /// `04 algo digest`, or the older `01 digest` (MD5 or SHA-1 by length): the kernel's own hash label.
    Digest {
        /// The algorithm's kernel number.
        algo: u8,
        /// The digest; the kernel ignores bytes after the algorithm's size.
        digest: &'a [u8],
    },
    /// `03 version algo keyid(BE32) size(BE16) signature`: over the file's digest.
    Signature(Signature<'a>),
    /// `06 03 algo keyid(BE32) size(BE16) signature`: over the file's fs-verity digest.
    VeritySignature(Signature<'a>),
    /// `03 01 …`: version 1, by a raw RSA key of the keyring's own type `user` (`lib/digsig.c: digsig_verify()`), as evmctl
    /// makes with `--rsa`.
    OldSignature,
}

/// A signature label's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature<'a> {
    /// 2 for a signature over the file's digest, 3 for `struct ima_file_id`.
    pub version: u8,
    /// The algorithm's kernel number.
    pub algo: u8,
    /// Which key signed.
    pub key_id: KeyId,
    /// PKCS#1 v1.5 (RSA) or DER `SEQUENCE { r, s }` (ECDSA).
    pub bytes: &'a [u8],
}

impl Signature<'_> {
    /// The algorithm, if imad can compute it.
    pub fn hash_algo(&self) -> Option<HashAlgo> {
        HashAlgo::from_kernel_id(self.algo)
    }
}

/// Why bytes are no label that the kernel could accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// No bytes at all.
    #[error("the label is empty")]
    Empty,
    /// A type byte that is no label's (`unknown-ima-data` in the kernel's records).
    #[error("type byte {0:#04x} is not a label's")]
    UnknownType(u8),
    /// Fewer bytes than the type needs.
    #[error("the label has {found} bytes, its type needs {needed}")]
    Short {
        /// Bytes found.
        found: usize,
        /// Bytes needed at least.
        needed: usize,
    },
    /// The signature's length field does not fit (`asymmetric_verify()` wants equality).
    #[error("the signature's length field says {stated}, but {found} bytes follow")]
    Length {
        /// What the header says.
        stated: usize,
        /// What is there.
        found: usize,
    },
}

impl<'a> Label<'a> {
    /// Reads a label.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, LabelError> {
        let (&kind, rest) = bytes.split_first().ok_or(LabelError::Empty)?;
        match kind {
            DIGEST => {
                let algo = match rest.len() {
                    16 => HashAlgo::Md5,
                    20.. => HashAlgo::Sha1,
                    _ => return Err(LabelError::Short { found: bytes.len(), needed: 21 }),
                };
                Ok(Self::Digest { algo: algo.kernel_id(), digest: rest })
            }
            DIGEST_NG => match rest.split_first() {
                Some((&algo, digest)) if !digest.is_empty() => Ok(Self::Digest { algo, digest }),
                _ => Err(LabelError::Short { found: bytes.len(), needed: 3 }),
            },
            SIGNATURE if rest.first() == Some(&1) => Ok(Self::OldSignature),
            SIGNATURE | VERITY_SIGNATURE => {
                let signature = Signature::parse(bytes)?;
                Ok(if kind == SIGNATURE { Self::Signature(signature) } else { Self::VeritySignature(signature) })
            }
            other => Err(LabelError::UnknownType(other)),
        }
    }
}

impl<'a> Signature<'a> {
    /// Reads header and signature; `bytes` begins with the type byte, which may also be one of `security.evm`.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, LabelError> {
        let short = LabelError::Short { found: bytes.len(), needed: SIGNATURE_HEADER + 1 };
        let Some((header, signature)) = bytes.split_first_chunk::<SIGNATURE_HEADER>() else {
            return Err(short);
        };
        let [_, version, algo, k0, k1, k2, k3, s0, s1] = *header;
        let stated = usize::from(u16::from_be_bytes([s0, s1]));
        if stated != signature.len() {
            return Err(LabelError::Length { stated, found: signature.len() });
        }
        if signature.is_empty() {
            return Err(short);
        }
        Ok(Self { version, algo, key_id: KeyId(u32::from_be_bytes([k0, k1, k2, k3])), bytes: signature })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The label printed in Red Hat's chapter on IMA, up to the signature.
    const RED_HAT: [u8; 9] = [0x03, 0x02, 0x04, 0xd3, 0x32, 0x04, 0x49, 0x00, 0x66];

    #[test]
    fn reads_the_label_that_red_hat_prints() {
        let mut bytes = RED_HAT.to_vec();
        bytes.extend([0x30; 0x66]);
        let Label::Signature(signature) = Label::parse(&bytes).unwrap() else { panic!("not a signature") };
        assert_eq!(signature.version, 2);
        assert_eq!(signature.hash_algo(), Some(HashAlgo::Sha256));
        assert_eq!(signature.key_id.to_string(), "d3320449");
        assert_eq!(signature.bytes.len(), 0x66);
    }

    #[test]
    fn refuses_what_the_kernel_refuses() {
        assert_eq!(Label::parse(&[]), Err(LabelError::Empty));
        assert_eq!(Label::parse(&[9, 1]), Err(LabelError::UnknownType(9)));
        assert!(matches!(Label::parse(&RED_HAT), Err(LabelError::Length { stated: 0x66, found: 0 })));
        assert!(matches!(Label::parse(&[3, 2]), Err(LabelError::Short { .. })));
        let mut long = RED_HAT.to_vec();
        long.extend([0; 0x67]);
        assert_eq!(Label::parse(&long), Err(LabelError::Length { stated: 0x66, found: 0x67 }));
    }

    /// `struct signature_hdr` has other fields than its successor.
    #[test]
    fn version_one_is_known_for_what_it_is() {
        assert_eq!(Label::parse(&[3, 1, 0x5f, 0x3a, 0x11, 0x22, 0, 0]), Ok(Label::OldSignature));
        assert!(matches!(Label::parse(&[3, 0, 4, 0, 0, 0, 1, 0, 1, 9]), Ok(Label::Signature(_))));
    }

    #[test]
    fn tells_md5_from_sha1_by_length() {
        let md5 = [[1].as_slice(), &[0; 16]].concat();
        let sha1 = [[1].as_slice(), &[0; 20]].concat();
        assert!(matches!(Label::parse(&md5), Ok(Label::Digest { algo: 1, .. })));
        assert!(matches!(Label::parse(&sha1), Ok(Label::Digest { algo: 2, .. })));
    }
}
