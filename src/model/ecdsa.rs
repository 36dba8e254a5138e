//! ECDSA signatures, verified by aws-lc: a third of OpenSSL's time with P-384, which the distributions sign with
//! (`docs/performance.md`). Certificates, RSA, other curves and other hash algorithms are OpenSSL's.
#![forbid(unsafe_code)]

use aws_lc_rs::digest::{self, Algorithm, Digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, EcdsaVerificationAlgorithm, ParsedPublicKey,
};
use openssl::nid::Nid;

use super::algo::HashAlgo;
use super::cert::Certificate;

/// A key for digests of one algorithm.
#[derive(Debug)]
pub struct Key {
    key: ParsedPublicKey,
    algorithm: &'static Algorithm,
}

impl Key {
    /// A certificate's key; `None` where it or the algorithm is left to OpenSSL.
    pub fn new(certificate: &Certificate, algo: HashAlgo) -> Option<Self> {
        let curve = certificate.key().ec_key().ok()?.group().curve_name()?;
        let (algorithm, scheme): (_, &'static EcdsaVerificationAlgorithm) = match (curve, algo) {
            (Nid::X9_62_PRIME256V1, HashAlgo::Sha256) => (&digest::SHA256, &ECDSA_P256_SHA256_ASN1),
            (Nid::X9_62_PRIME256V1, HashAlgo::Sha384) => (&digest::SHA384, &ECDSA_P256_SHA384_ASN1),
            (Nid::X9_62_PRIME256V1, HashAlgo::Sha512) => (&digest::SHA512, &ECDSA_P256_SHA512_ASN1),
            (Nid::SECP384R1, HashAlgo::Sha256) => (&digest::SHA256, &ECDSA_P384_SHA256_ASN1),
            (Nid::SECP384R1, HashAlgo::Sha384) => (&digest::SHA384, &ECDSA_P384_SHA384_ASN1),
            (Nid::SECP384R1, HashAlgo::Sha512) => (&digest::SHA512, &ECDSA_P384_SHA512_ASN1),
            (Nid::SECP521R1, HashAlgo::Sha256) => (&digest::SHA256, &ECDSA_P521_SHA256_ASN1),
            (Nid::SECP521R1, HashAlgo::Sha384) => (&digest::SHA384, &ECDSA_P521_SHA384_ASN1),
            (Nid::SECP521R1, HashAlgo::Sha512) => (&digest::SHA512, &ECDSA_P521_SHA512_ASN1),
            _ => return None,
        };
        let der = certificate.key().public_key_to_der().ok()?;
        Some(Self { key: ParsedPublicKey::new(scheme, der).ok()?, algorithm })
    }

    /// Whether a signature (DER, as in a label) over a digest is by this key.
    pub fn verifies(&self, digest: &[u8], signature: &[u8]) -> bool {
        let digest = Digest::import_less_safe(digest, self.algorithm);
        digest.is_ok_and(|digest| self.key.verify_digest_sig(&digest, signature).is_ok())
    }
}
