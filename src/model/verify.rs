//! Hashing and verifying: the only place that computes with file content.
//!
//! What is verified is what the kernel verifies (`digsig_asymmetric.c: asymmetric_verify()`): RSA with PKCS#1 v1.5
//! and a DigestInfo, ECDSA over the raw digest.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fmt;

use openssl::hash::{Hasher as OpensslHasher, MessageDigest};
use openssl::md::{Md, MdRef};
use openssl::pkey::{Id, Public};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;

use super::algo::HashAlgo;
use super::cert::Certificate;
use super::ecdsa;
use super::evm::Metadata;
use super::label::{KeyId, Signature};
use super::verity::{file_id_hash, third_hash};

/// OpenSSL could not compute: the algorithm is switched off by its configuration (FIPS, crypto-policies).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("OpenSSL does not offer {0} (FIPS mode or crypto-policies)")]
pub struct Unavailable(pub HashAlgo);

/// A digest in the making.
pub struct Hasher {
    inner: OpensslHasher,
    algo: HashAlgo,
}

impl Hasher {
    /// Begins a digest.
    pub fn new(algo: HashAlgo) -> Result<Self, Unavailable> {
        let inner = OpensslHasher::new(message_digest(algo)).map_err(|_| Unavailable(algo))?;
        Ok(Self { inner, algo })
    }

    /// Adds content.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Unavailable> {
        self.inner.update(bytes).map_err(|_| Unavailable(self.algo))
    }

    /// Its algorithm.
    pub const fn algo(&self) -> HashAlgo {
        self.algo
    }

    /// The digest; the next one begins.
    pub fn finish(&mut self) -> Result<Vec<u8>, Unavailable> {
        self.inner.finish().map(|digest| digest.to_vec()).map_err(|_| Unavailable(self.algo))
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("algo", &self.algo).finish_non_exhaustive()
    }
}

/// The digest of bytes that are at hand.
pub fn digest(algo: HashAlgo, bytes: &[u8]) -> Result<Vec<u8>, Unavailable> {
    let mut hasher = Hasher::new(algo)?;
    hasher.update(bytes)?;
    hasher.finish()
}

/// The certificates by which labels may verify.
#[derive(Debug, Default, Clone)]
pub struct Trust {
    by_id: HashMap<KeyId, Vec<Certificate>>,
    /// For `security.evm`: the kernel looks its keys up in a keyring of their own.
    evm: HashMap<KeyId, Vec<Certificate>>,
}

/// Version of signatures over a digest.
const OVER_THE_DIGEST: u8 = 2;
/// Version of signatures over the hash of a file id.
const OVER_THE_FILE_ID: u8 = 3;

/// What verifying a signature said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// A trusted key made this signature over this digest.
    Good,
    /// The key is there, the signature is not by it over this digest.
    Bad,
    /// No trusted key has this id.
    UnknownKey(KeyId),
    /// imad cannot tell: signature version, hash or key algorithm.
    Unsupported,
}

impl Trust {
    /// Trusts these certificates; one without a key id can match no label and is left out.
    pub fn new(certificates: impl IntoIterator<Item = Certificate>) -> Self {
        let mut trust = Self::default();
        for certificate in certificates {
            trust.insert(certificate);
        }
        trust
    }

    /// Trusts one more certificate.
    pub fn insert(&mut self, certificate: Certificate) {
        if let Some(id) = certificate.key_id() {
            self.by_id.entry(id).or_default().push(certificate);
        }
    }

    /// Trusts these certificates for `security.evm` too.
    #[must_use]
    pub fn with_evm(self, certificates: impl IntoIterator<Item = Certificate>) -> Self {
        Self { evm: Self::new(certificates).by_id, ..self }
    }

    /// Whether no label could verify.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The certificates with this key id.
    pub fn with_id(&self, id: KeyId) -> &[Certificate] {
        self.by_id.get(&id).map_or(&[], Vec::as_slice)
    }

    /// What verifies signatures by these certificates, one after another.
    pub const fn verifier(&self) -> Verifier<'_> {
        Verifier { trust: self, contexts: Vec::new(), quick: None, known: None }
    }

    /// The same for many signatures: those on elliptic curves are verified by what takes the least time
    /// ([`ecdsa`](super::ecdsa)). imad-boot, which verifies a few, does not ask for it and stays small.
    pub fn quick_verifier(&self) -> Verifier<'_> {
        Verifier { quick: Some(ecdsa::Key::new), ..self.verifier() }
    }

    /// Judges a signature over a digest made with the signature's own hash algorithm.
    pub fn verify(&self, signature: &Signature<'_>, digest: &[u8]) -> Verdict {
        self.verifier().verify(signature, digest)
    }
}

/// Verifies signatures of a thread. What OpenSSL sets up for a key and a hash algorithm is made once: for an elliptic curve
/// that takes a good part of what the verifying itself does.
pub struct Verifier<'t> {
    trust: &'t Trust,
    contexts: Vec<Kept<'t>>,
    /// Makes what verifies quicker than OpenSSL.
    quick: Option<fn(&Certificate, HashAlgo) -> Option<ecdsa::Key>>,
    known: Option<&'t dyn Known>,
}

/// Signatures that were verified before.
pub trait Known {
    /// Whether this label's signature over this digest was verified by one of the trusted keys before.
    fn is_proven(&self, label: &[u8], trust: &Trust, digest: &[u8]) -> bool;
}

/// A context that is ready to verify; `None` where OpenSSL cannot verify with such a key or hash.
struct Kept<'t> {
    certificate: &'t Certificate,
    algo: HashAlgo,
    quick: Option<ecdsa::Key>,
    context: Option<PkeyCtx<Public>>,
}

impl fmt::Debug for Verifier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("trust", &self.trust).finish_non_exhaustive()
    }
}

impl<'t> Verifier<'t> {
    /// The certificates by which it verifies.
    pub const fn trust(&self) -> &'t Trust {
        self.trust
    }

    /// Does not verify again what is known.
    #[must_use]
    pub fn knowing(self, known: &'t dyn Known) -> Self {
        Self { known: Some(known), ..self }
    }

    /// Judges a label's signature over a digest made with the signature's own hash algorithm.
    pub fn verify_label(&mut self, label: &[u8], signature: &Signature<'_>, digest: &[u8]) -> Verdict {
        match self.known {
            Some(known) if known.is_proven(label, self.trust, digest) => Verdict::Good,
            _ => self.verify(signature, digest),
        }
    }

    /// Judges a signature over a digest made with the signature's own hash algorithm.
    pub fn verify(&mut self, signature: &Signature<'_>, digest: &[u8]) -> Verdict {
        let Some(algo) = signature.hash_algo() else { return Verdict::Unsupported };
        // Kernels need not have MD5, and those in FIPS mode do not: without it they deny the file.
        if signature.version != OVER_THE_DIGEST || algo == HashAlgo::Md5 || digest.len() != algo.digest_size() {
            return Verdict::Unsupported;
        }
        self.verify_by_any(self.trust.with_id(signature.key_id), signature, algo, digest, |_| true)
    }

    /// Judges a portable EVM signature: `security.evm`, type 05, over what [`Metadata`] says, hashed with the algorithm
    /// that it names (`evm_main.c: evm_verify_hmac()`). What is malformed is bad.
    pub fn verify_portable(&mut self, evm: &[u8], metadata: &Metadata) -> Verdict {
        let Ok(signature) = Signature::parse(evm) else { return Verdict::Bad };
        let Some(algo) = signature.hash_algo().filter(|_| signature.version == OVER_THE_DIGEST) else {
            return Verdict::Unsupported;
        };
        let Ok(digest) = digest(algo, &metadata.message()) else { return Verdict::Unsupported };
        let candidates = self.trust.evm.get(&signature.key_id).map_or(&[][..], Vec::as_slice);
        self.verify_by_any(candidates, &signature, algo, &digest, |_| true)
    }

    /// Judges an fs-verity signature (label type 06) over a file's fs-verity digest, as `ima_appraise.c: xattr_verify()`
    /// does.
    ///
    /// The algorithm of the file id and of its hash is that of the fs-verity digest. That the label names the same one is
    /// checked by RSA's DigestInfo alone: with ECDSA the kernel wants an algorithm that goes with it, whichever it is
    /// (`crypto/asymmetric_keys/public_key.c: software_key_determine_akcipher()`). Any version but 3 is bad
    /// (`invalid-signature-version`).
    pub fn verify_verity(&mut self, signature: &Signature<'_>, algo: HashAlgo, verity_digest: &[u8]) -> Verdict {
        if signature.version != OVER_THE_FILE_ID || verity_digest.len() != algo.digest_size() {
            return Verdict::Bad;
        }
        let Ok(hash) = file_id_hash(algo, verity_digest) else { return Verdict::Unsupported };
        let named = signature.hash_algo();
        let goes_with_ecdsa = named.is_some_and(|named| named != HashAlgo::Md5);
        self.verify_by_any(self.trust.with_id(signature.key_id), signature, algo, &hash, |certificate| {
            named == Some(algo) || goes_with_ecdsa && certificate.key().id() == Id::EC
        })
    }

    /// Judges a signature of version 3 (label type 03) over a file's digest made with the signature's own hash algorithm, as
    /// kernels do that know such (Linux 7.1; `digsig_asymmetric.c: asymmetric_verify_v3()`); to others it is bad.
    pub fn verify_third(&mut self, signature: &Signature<'_>, digest: &[u8]) -> Verdict {
        let Some(algo) = signature.hash_algo() else { return Verdict::Unsupported };
        if signature.version != OVER_THE_FILE_ID || algo == HashAlgo::Md5 || digest.len() != algo.digest_size() {
            return Verdict::Unsupported;
        }
        let Ok(hash) = third_hash(algo, digest) else { return Verdict::Unsupported };
        self.verify_by_any(self.trust.with_id(signature.key_id), signature, algo, &hash, |_| true)
    }

    /// Whether one of these keys, which have the signature's id, and among those that can have made it, made it over this
    /// digest.
    fn verify_by_any(
        &mut self,
        candidates: &'t [Certificate],
        signature: &Signature<'_>,
        algo: HashAlgo,
        digest: &[u8],
        can_be: impl Fn(&Certificate) -> bool,
    ) -> Verdict {
        if candidates.is_empty() {
            return Verdict::UnknownKey(signature.key_id);
        }
        let mut verdict = Verdict::Bad;
        for certificate in candidates.iter().filter(|certificate| can_be(certificate)) {
            match self.verify_with(certificate, algo, digest, signature.bytes) {
                Some(true) => return Verdict::Good,
                Some(false) => {}
                None => verdict = Verdict::Unsupported,
            }
        }
        verdict
    }

    /// Whether the signature verifies; `None` where OpenSSL cannot verify with such a key or hash.
    fn verify_with(
        &mut self,
        certificate: &'t Certificate,
        algo: HashAlgo,
        digest: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        let is_it = |kept: &Kept<'_>| std::ptr::eq(kept.certificate, certificate) && kept.algo == algo;
        let place = self.contexts.iter().position(is_it).unwrap_or_else(|| {
            let quick = self.quick.and_then(|quick| quick(certificate, algo));
            self.contexts.push(Kept { certificate, algo, quick, context: context(certificate, algo) });
            self.contexts.len() - 1
        });
        let kept = self.contexts.get_mut(place)?;
        // What it rejects OpenSSL is asked about too: the two need not agree on what is malformed.
        if kept.quick.as_ref().is_some_and(|key| key.verifies(digest, signature)) {
            return Some(true);
        }
        let context = kept.context.as_mut()?;
        // OpenSSL answers a malformed signature with an error, which is a bad signature and not an unknown one.
        Some(context.verify(digest, signature).unwrap_or(false))
    }
}

/// A context for a key and a hash algorithm. It verifies any number of signatures (EVP_PKEY_verify(3)).
fn context(certificate: &Certificate, algo: HashAlgo) -> Option<PkeyCtx<Public>> {
    let key = certificate.key();
    let mut context = PkeyCtx::new(key).ok()?;
    context.verify_init().ok()?;
    match key.id() {
        Id::RSA => context.set_rsa_padding(Padding::PKCS1).ok()?,
        Id::EC => {}
        _ => return None,
    }
    context.set_signature_md(md(algo)).ok()?;
    Some(context)
}

fn message_digest(algo: HashAlgo) -> MessageDigest {
    match algo {
        HashAlgo::Md5 => MessageDigest::md5(),
        HashAlgo::Sha1 => MessageDigest::sha1(),
        HashAlgo::Sha256 => MessageDigest::sha256(),
        HashAlgo::Sha384 => MessageDigest::sha384(),
        HashAlgo::Sha512 => MessageDigest::sha512(),
        HashAlgo::Sha224 => MessageDigest::sha224(),
        HashAlgo::Sha3_256 => MessageDigest::sha3_256(),
        HashAlgo::Sha3_384 => MessageDigest::sha3_384(),
        HashAlgo::Sha3_512 => MessageDigest::sha3_512(),
    }
}

fn md(algo: HashAlgo) -> &'static MdRef {
    match algo {
        HashAlgo::Md5 => Md::md5(),
        HashAlgo::Sha1 => Md::sha1(),
        HashAlgo::Sha256 => Md::sha256(),
        HashAlgo::Sha384 => Md::sha384(),
        HashAlgo::Sha512 => Md::sha512(),
        HashAlgo::Sha224 => Md::sha224(),
        HashAlgo::Sha3_256 => Md::sha3_256(),
        HashAlgo::Sha3_384 => Md::sha3_384(),
        HashAlgo::Sha3_512 => Md::sha3_512(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_have_the_size_of_their_algorithm() {
        for algo in HashAlgo::ALL {
            assert_eq!(digest(algo, b"abc").unwrap().len(), algo.digest_size(), "{algo}");
        }
        // FIPS 180-2, appendix B.1
        assert_eq!(
            super::super::cert::hex(&digest(HashAlgo::Sha256, b"abc").unwrap()),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    /// A context that was used for bad and malformed signatures, by whatever key and hash, is as good as a new one.
    #[test]
    fn one_verifier_judges_as_new_ones_do() {
        use openssl::ec::{EcGroup, EcKey};
        use openssl::nid::Nid;
        use openssl::pkey::PKey;

        let curves = [Nid::X9_62_PRIME256V1, Nid::SECP384R1, Nid::SECP521R1];
        let curve = |nid| EcKey::generate(&EcGroup::from_curve_name(nid).unwrap()).unwrap();
        let mut keys: Vec<_> = curves.map(|nid| PKey::from_ec_key(curve(nid)).unwrap()).into();
        keys.push(PKey::from_rsa(openssl::rsa::Rsa::generate(2048).unwrap()).unwrap());
        let certificates: Vec<_> =
            keys.iter().map(|key| super::super::cert::self_signed_for_tests("a key", key)).collect();
        let trust = Trust::new(certificates.iter().cloned());
        let (mut verifier, mut quick) = (trust.verifier(), trust.quick_verifier());
        let (mut good, mut by_aws_lc) = (0, 0);
        for round in 0..64_usize {
            let algo = [HashAlgo::Sha256, HashAlgo::Sha384, HashAlgo::Sha512, HashAlgo::Sha1][round / 16];
            let (signer, named) = (round % 4, if round % 5 == 0 { (round + 1) % 4 } else { round % 4 });
            let digest = digest(algo, &[u8::try_from(round).unwrap()]).unwrap();
            let mut context = PkeyCtx::new(&keys[signer]).unwrap();
            context.sign_init().unwrap();
            if keys[signer].id() == Id::RSA {
                context.set_rsa_padding(Padding::PKCS1).unwrap();
            }
            context.set_signature_md(md(algo)).unwrap();
            let mut bytes = Vec::new();
            context.sign_to_vec(&digest, &mut bytes).unwrap();
            match round % 7 {
                1 => bytes.truncate(bytes.len() / 2),
                2 => bytes[10] ^= 1,
                3 => bytes.clear(),
                _ => {}
            }
            let key_id = certificates[named].key_id().unwrap();
            let signature = Signature { version: 2, algo: algo.kernel_id(), key_id, bytes: &bytes };
            let verdict = verifier.verify(&signature, &digest);
            assert_eq!(verdict, trust.verify(&signature, &digest), "{round}");
            assert_eq!(verdict, quick.verify(&signature, &digest), "{round}");
            let certificate = &trust.with_id(key_id)[0];
            if let Some(key) = ecdsa::Key::new(certificate, algo) {
                assert_eq!(key.verifies(&digest, &bytes), verdict == Verdict::Good, "{round}");
                by_aws_lc += 1;
            }
            let is_whole = signer == named && !(1..=3).contains(&(round % 7));
            assert_eq!(verdict, if is_whole { Verdict::Good } else { Verdict::Bad }, "{round}");
            good += usize::from(is_whole);
        }
        assert!(good > 20 && by_aws_lc == 36, "{good} {by_aws_lc}");
    }

    #[test]
    fn a_signature_of_version_3_is_over_the_file_id() {
        use openssl::ec::{EcGroup, EcKey};
        use openssl::nid::Nid;
        use openssl::pkey::PKey;

        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let certificate = super::super::cert::self_signed_for_tests("a key", &key);
        let key_id = certificate.key_id().unwrap();
        let trust = Trust::new([certificate]);
        let algo = HashAlgo::Sha256;
        let digest = digest(algo, b"content").unwrap();
        let sign = |over: &[u8]| {
            let mut context = PkeyCtx::new(&key).unwrap();
            context.sign_init().unwrap();
            context.set_signature_md(md(algo)).unwrap();
            let mut bytes = Vec::new();
            context.sign_to_vec(over, &mut bytes).unwrap();
            bytes
        };
        let (third, second) = (sign(&third_hash(algo, &digest).unwrap()), sign(&digest));
        let verify = |version, bytes: &[u8], key_id| {
            let signature = Signature { version, algo: algo.kernel_id(), key_id, bytes };
            trust.verifier().verify_third(&signature, &digest)
        };
        assert_eq!(verify(3, &third, key_id), Verdict::Good);
        assert_eq!(verify(3, &second, key_id), Verdict::Bad);
        assert_eq!(verify(3, &third, KeyId(1)), Verdict::UnknownKey(KeyId(1)));
        assert_eq!(verify(2, &third, key_id), Verdict::Unsupported);
    }

    #[test]
    fn nothing_verifies_without_a_key() {
        let signature = Signature { version: 2, algo: 4, key_id: KeyId(1), bytes: &[0; 70] };
        assert_eq!(Trust::default().verify(&signature, &[0; 32]), Verdict::UnknownKey(KeyId(1)));
        let newer = Signature { version: 3, ..signature };
        assert_eq!(Trust::default().verify(&newer, &[0; 32]), Verdict::Unsupported);
    }
}
