//! What an fs-verity signature (label type 06) is made over, and a signature of version 3 over a file (type 03).
#![forbid(unsafe_code)]

use super::algo::HashAlgo;
use super::verify::{Unavailable, digest};

/// `IMA_VERITY_DIGSIG`, the only type of label whose signature is made over a file id before Linux 7.1.
const VERITY_SIGNATURE: u8 = 6;
/// `EVM_IMA_XATTR_DIGSIG`.
const SIGNATURE: u8 = 3;

/// A file id: the bytes of `struct ima_file_id` (`security/integrity/integrity.h`), as far as the kernel hashes them.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 1 | `hash_type`: the label's type byte, 06 |
/// | 1 | 1 | `hash_algorithm`: the kernel's number of the fs-verity digest's algorithm |
/// | 2 | `algo.digest_size()` | `hash`: the fs-verity digest; what the structure holds beyond is not hashed |
pub fn file_id(algo: HashAlgo, verity_digest: &[u8]) -> Vec<u8> {
    [&[VERITY_SIGNATURE, algo.kernel_id()], verity_digest].concat()
}

/// What is signed: the file id's hash, by the algorithm of the fs-verity digest itself (`ima_appraise.c:
/// calc_file_id_hash()`, which `xattr_verify()` calls with `iint->ima_hash->algo`).
pub fn file_id_hash(algo: HashAlgo, verity_digest: &[u8]) -> Result<Vec<u8>, Unavailable> {
    digest(algo, &file_id(algo, verity_digest))
}

/// What a signature of version 3 over a file's digest signs (Linux 7.1; `digsig_asymmetric.c: calc_file_id_hash()`): the same
/// with the label's type byte 03.
pub fn third_hash(algo: HashAlgo, file_digest: &[u8]) -> Result<Vec<u8>, Unavailable> {
    digest(algo, &[&[SIGNATURE, algo.kernel_id()], file_digest].concat())
}

#[cfg(test)]
mod tests {
    use super::super::cert::hex;
    use super::*;

    #[test]
    fn a_file_id_is_type_algorithm_and_digest() {
        assert_eq!(file_id(HashAlgo::Sha256, &[0xab; 32]), [&[6, 4][..], &[0xab; 32]].concat());
        assert_eq!(file_id(HashAlgo::Sha512, &[0xab; 64]), [&[6, 6][..], &[0xab; 64]].concat());
        // { printf '\006\004'; head -c 32 /dev/zero; } | sha256sum
        assert_eq!(
            hex(&file_id_hash(HashAlgo::Sha256, &[0; 32]).unwrap()),
            "f2cdc2d03ed7d4d3e4d76d77d19e0622b1687aa4f78ef6917cee30f29c0a7675"
        );
        // { printf '\003\004'; head -c 32 /dev/zero; } | sha256sum
        assert_eq!(
            hex(&third_hash(HashAlgo::Sha256, &[0; 32]).unwrap()),
            "b1edadf964c2e782bbfc96c5d84ea287b6dc1c2fbad60410173c7e0754682a87"
        );
        // { printf '\006\006'; head -c 64 /dev/zero; } | sha512sum
        assert_eq!(
            hex(&file_id_hash(HashAlgo::Sha512, &[0; 64]).unwrap()),
            "e87110e308ad11d28193bba2ee9617bfb7fae6407ea5375283ac600a6a7f0743496699fe11c34eac3b960941ef856373253a0aa75765deed1683f21e93471ed0"
        );
    }
}
