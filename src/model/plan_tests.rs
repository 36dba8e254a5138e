//! One row per state: what is on disk, what the package says, what follows.

use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};

use super::super::cert::Certificate;
use super::super::verify::{Trust, digest};
use super::*;

struct Signer {
    key: PKey<Private>,
    cert: Certificate,
}

impl Signer {
    fn new(name: &str) -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        Self::with(name, PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap())
    }

    fn rsa(name: &str) -> Self {
        Self::with(name, PKey::from_rsa(openssl::rsa::Rsa::generate(2048).unwrap()).unwrap())
    }

    fn with(name: &str, key: PKey<Private>) -> Self {
        let cert = super::super::cert::self_signed_for_tests(name, &key);
        Self { key, cert }
    }

    fn label(&self, content: &[u8]) -> Vec<u8> {
        self.signature([3, 2, 4], &digest(HashAlgo::Sha256, content).unwrap())
    }

    /// A signature over an fs-verity digest; the label names `algo`.
    fn verity_label(&self, algo: HashAlgo, (over, verity): (HashAlgo, &[u8])) -> Vec<u8> {
        let file_id = [&[6, over.kernel_id()], verity].concat();
        self.signature([6, 3, algo.kernel_id()], &digest(over, &file_id).unwrap())
    }

    fn signature(&self, kind: [u8; 3], hash: &[u8]) -> Vec<u8> {
        let signature = if let Ok(rsa) = self.key.rsa() {
            let md = if hash.len() == 64 { openssl::md::Md::sha512() } else { openssl::md::Md::sha256() };
            let mut context = openssl::pkey_ctx::PkeyCtx::new(&PKey::from_rsa(rsa).unwrap()).unwrap();
            context.sign_init().unwrap();
            context.set_rsa_padding(openssl::rsa::Padding::PKCS1).unwrap();
            context.set_signature_md(md).unwrap();
            let mut signature = Vec::new();
            context.sign_to_vec(hash, &mut signature).unwrap();
            signature
        } else {
            openssl::ecdsa::EcdsaSig::sign(hash, &self.key.ec_key().unwrap()).unwrap().to_der().unwrap()
        };
        let mut label = kind.to_vec();
        label.extend(self.cert.key_id().unwrap().0.to_be_bytes());
        label.extend(u16::try_from(signature.len()).unwrap().to_be_bytes());
        label.extend(signature);
        label
    }
}

/// A file with this content.
#[derive(Clone, Copy)]
struct Inode {
    content: &'static [u8],
    evm: Option<&'static [u8]>,
    immutable: bool,
    verity: Option<(HashAlgo, &'static [u8])>,
}

impl Content for Inode {
    fn digest(&mut self, algo: HashAlgo) -> Result<Vec<u8>, String> {
        digest(algo, self.content).map_err(|error| error.to_string())
    }

    fn evm(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(self.evm.map(<[u8]>::to_vec))
    }

    fn metadata(&mut self) -> Result<Metadata, String> {
        Ok(metadata())
    }

    fn is_immutable(&mut self) -> bool {
        self.immutable
    }

    fn verity_digest(&mut self) -> Result<Option<(HashAlgo, Vec<u8>)>, String> {
        Ok(self.verity.map(|(algo, digest)| (algo, digest.to_vec())))
    }
}

const CONTENT: &[u8] = b"#!/bin/sh\n";

const PLAIN: Inode = Inode { content: CONTENT, evm: None, immutable: false, verity: None };
const CHANGED: Inode = Inode { content: b"changed", ..PLAIN };

fn state(facts: Facts<'_>, trust: &Trust, mut inode: Inode) -> State {
    judge(&facts, &mut trust.verifier(), &mut inode).unwrap().state
}

#[test]
fn every_state_of_an_open_file() {
    let (signer, stranger) = (Signer::new("ours"), Signer::new("theirs"));
    let trust = Trust::new([signer.cert.clone()]);
    let hash = digest(HashAlgo::Sha256, CONTENT).unwrap();
    let (ours, theirs) = (signer.label(CONTENT), stranger.label(CONTENT));
    let wrong = signer.label(b"other content");
    let hash_label = [&[4, 4], &hash[..]].concat();
    let packaged = |signature| Some(Packaged { signature, digest: Some((HashAlgo::Sha256, &hash[..])) });
    let facts = |packaged, label| Facts { packaged, label };
    let by_us = packaged(Some(&ours[..]));

    let table: &[(&str, Facts<'_>, Inode, State)] = &[
        ("labelled", facts(by_us, Some(&ours)), PLAIN, State::Good),
        ("labelled, no package", facts(None, Some(&ours)), PLAIN, State::Good),
        ("no label", facts(by_us, None), PLAIN, State::Missing),
        ("label of an older version", facts(by_us, Some(&wrong)), PLAIN, State::Stale),
        ("label by a key not trusted", facts(by_us, Some(&theirs)), PLAIN, State::Stale),
        ("malformed label", facts(by_us, Some(&[3, 2])), PLAIN, State::Stale),
        ("the kernel's hash label", facts(by_us, Some(&hash_label)), PLAIN, State::Hash),
        ("changed, label left", facts(by_us, Some(&ours)), CHANGED, State::Modified),
        ("changed, no label", facts(by_us, None), CHANGED, State::Modified),
        ("package signed by a stranger", facts(packaged(Some(&theirs)), None), PLAIN, State::UntrustedKey),
        ("both by a stranger", facts(packaged(Some(&theirs)), Some(&theirs)), PLAIN, State::UntrustedKey),
        ("unsigned package", facts(packaged(None), None), PLAIN, State::Unsigned),
        ("package with a wrong signature", facts(packaged(Some(&wrong)), None), PLAIN, State::Unsigned),
        ("package with half a signature", facts(packaged(Some(&ours[..20])), None), PLAIN, State::Unsigned),
        ("no package", facts(None, None), PLAIN, State::Foreign),
        ("fs-verity label, no fs-verity", facts(by_us, Some(&[6, 3, 4, 0, 0, 0, 1, 0, 1, 9])), PLAIN, State::Stale),
        ("label with an unknown hash", facts(by_us, Some(&[3, 2, 99, 0, 0, 0, 1, 0, 1, 9])), PLAIN, State::Unsupported),
        ("immutable", facts(by_us, None), Inode { immutable: true, ..PLAIN }, State::Immutable),
        (
            "hash under a portable EVM signature by nobody known",
            facts(by_us, Some(&hash_label)),
            Inode { evm: Some(&[5, 2, 4, 0, 0, 0, 1, 0, 1, 9]), ..PLAIN },
            State::Unsupported,
        ),
    ];
    for (name, facts, inode, expected) in table {
        assert_eq!(state(*facts, &trust, *inode), *expected, "{name}");
    }
}

const OURS: &[u8] = &[7; 32];
const LONG: &[u8] = &[7; 64];

/// What the label is, the label, the file's fs-verity digest, the state as a label, the state as the package's signature.
type Row<'a> = (&'a str, &'a [u8], Option<(HashAlgo, &'static [u8])>, State, State);

/// One row per way in which an fs-verity signature can fare: as the label of a file without a package, and as what the
/// package brings for a file without a label.
#[test]
fn fs_verity_signatures_are_over_the_file_id() {
    let (ours, theirs, rsa) = (Signer::new("ours"), Signer::new("theirs"), Signer::rsa("rsa"));
    let trust = Trust::new([ours.cert.clone(), rsa.cert.clone()]);
    let (sha256, sha512) = (HashAlgo::Sha256, HashAlgo::Sha512);
    let (short, long) = ((sha256, OURS), (sha512, LONG));
    let good = ours.verity_label(sha256, short);
    let with = |place: usize, byte: u8| {
        let mut label = good.clone();
        label[place] = byte;
        label
    };
    // The wrong key under the right key's id.
    let forged = [&good[..7], &theirs.verity_label(sha256, short)[7..]].concat();
    let over_digest_alone = ours.signature([6, 3, 4], &digest(sha256, OURS).unwrap());
    let over_content = ours.signature([6, 3, 4], &digest(sha256, CONTENT).unwrap());

    let table: &[Row<'_>] = &[
        ("good", &good, Some(short), State::Good, State::Missing),
        ("good, SHA-512", &ours.verity_label(sha512, long), Some(long), State::Good, State::Missing),
        ("good, RSA", &rsa.verity_label(sha256, short), Some(short), State::Good, State::Missing),
        ("good, RSA and SHA-512", &rsa.verity_label(sha512, long), Some(long), State::Good, State::Missing),
        ("no fs-verity", &good, None, State::Foreign, State::Unsigned),
        ("another digest", &good, Some((sha256, &[8; 32])), State::Foreign, State::Unsigned),
        ("a digest by another algorithm", &good, Some(long), State::Foreign, State::Unsigned),
        ("a digest too short", &good, Some((sha256, &[7; 31])), State::Foreign, State::Unsigned),
        ("the wrong key", &forged, Some(short), State::Foreign, State::Unsigned),
        ("a key not trusted", &theirs.verity_label(sha256, short), Some(short), State::Foreign, State::UntrustedKey),
        ("version 2", &with(1, 2), Some(short), State::Foreign, State::Unsigned),
        ("a spoilt signature", &with(20, good[20] ^ 1), Some(short), State::Foreign, State::Unsigned),
        ("over the digest without its file id", &over_digest_alone, Some(short), State::Foreign, State::Unsigned),
        ("over the content", &over_content, Some(short), State::Foreign, State::Unsigned),
        // What names the algorithm in the signature itself must name the digest's; ECDSA signs bare bytes.
        (
            "RSA, label of another algorithm",
            &rsa.verity_label(sha256, long),
            Some(long),
            State::Foreign,
            State::Unsigned,
        ),
        (
            "ECDSA, label of another algorithm",
            &ours.verity_label(sha256, long),
            Some(long),
            State::Good,
            State::Missing,
        ),
        ("ECDSA, label of no algorithm for it", &with(2, 1), Some(short), State::Foreign, State::Unsigned),
        ("label of an unknown algorithm", &with(2, 99), Some(short), State::Foreign, State::Unsigned),
        ("type 03 over the file id", &[&[3, 2], &good[2..]].concat(), Some(short), State::Foreign, State::Unsigned),
        ("type 03 of version 3", &[&[3], &good[1..]].concat(), Some(short), State::Unsupported, State::Unsupported),
    ];
    let content_digest = digest(sha256, CONTENT).unwrap();
    for (name, label, verity, alone, package) in table {
        let facts = Facts { packaged: None, label: Some(label) };
        let judge =
            |facts: &Facts<'_>| judge(facts, &mut trust.verifier(), &mut Inode { verity: *verity, ..PLAIN }).unwrap();
        let judged = judge(&facts);
        assert_eq!(judged.state, *alone, "{name}: {}", judged.reason);
        if *alone == State::Good {
            assert!(judged.reason.starts_with("the fs-verity signature by key "), "{name}: {}", judged.reason);
            assert!(judged.reason.contains("digest_type=verity"), "{name}: {}", judged.reason);
        }
        if verity.is_none() {
            assert!(judged.reason.contains("the file has no fs-verity"), "{name}: {}", judged.reason);
        }
        let packaged = Packaged { signature: Some(label), digest: Some((sha256, &content_digest)) };
        let judged = judge(&Facts { packaged: Some(packaged), label: None });
        assert_eq!(judged.state, *package, "{name}, packaged: {}", judged.reason);
    }
}

#[test]
fn a_file_whose_fs_verity_is_unknown_is_not_judged() {
    struct Failing;
    impl Content for Failing {
        fn digest(&mut self, _: HashAlgo) -> Result<Vec<u8>, String> {
            Err("no digest".to_owned())
        }
        fn evm(&mut self) -> Result<Option<Vec<u8>>, String> {
            Ok(None)
        }
        fn metadata(&mut self) -> Result<Metadata, String> {
            Err("no metadata".to_owned())
        }
        fn is_immutable(&mut self) -> bool {
            false
        }
        fn verity_digest(&mut self) -> Result<Option<(HashAlgo, Vec<u8>)>, String> {
            Err("no fs-verity digest".to_owned())
        }
    }
    let signer = Signer::new("ours");
    let label = signer.verity_label(HashAlgo::Sha256, (HashAlgo::Sha256, OURS));
    let facts = Facts { packaged: None, label: Some(&label) };
    let judged = judge(&facts, &mut Trust::new([signer.cert]).verifier(), &mut Failing);
    assert_eq!(judged, Err("no fs-verity digest".to_owned()));
}

fn metadata() -> Metadata {
    Metadata { xattrs: vec![vec![4, 4, 1], vec![2]], owner: 0, group: 5, mode: 0o100_755 }
}

/// A hash label is as good as what vouches for it, and only where it fits.
#[test]
fn portable_evm_signatures_vouch_for_hash_labels() {
    let (ima, evm) = (Signer::new("for labels"), Signer::rsa("for security.evm"));
    let trust = Trust::new([ima.cert.clone()]).with_evm([evm.cert.clone()]);
    let hash = digest(HashAlgo::Sha256, CONTENT).unwrap();
    let label = [&[4, 4], &hash[..]].concat();
    let signed = |signer: &Signer, metadata: &Metadata| {
        signer.signature([5, 2, 4], &digest(HashAlgo::Sha256, &metadata.message()).unwrap())
    };
    let good = signed(&evm, &metadata());
    let with = |place: usize, byte: u8| {
        let mut evm = good.clone();
        evm[place] = byte;
        evm
    };
    let other = |change: fn(&mut Metadata)| {
        let mut metadata = metadata();
        change(&mut metadata);
        signed(&evm, &metadata)
    };
    let by_ima = ima.label(CONTENT);
    for (name, evm, state) in [
        ("good", good.clone(), State::Good),
        ("by a key for labels", signed(&ima, &metadata()), State::Unsupported),
        ("of another version", with(1, 3), State::Unsupported),
        ("an HMAC", [&[2][..], &[0; 20]].concat(), State::Hash),
        ("not portable", with(0, 3), State::Hash),
        ("spoilt", with(20, good[20] ^ 1), State::Hash),
        ("cut", good[..100].to_vec(), State::Hash),
        ("another owner", other(|metadata| metadata.owner = 1), State::Hash),
        ("another group", other(|metadata| metadata.group = 1), State::Hash),
        ("another mode", other(|metadata| metadata.mode = 0o104_755), State::Hash),
        ("another attribute", other(|metadata| metadata.xattrs[1] = vec![3]), State::Hash),
    ] {
        let packaged = Packaged { signature: Some(&by_ima), digest: Some((HashAlgo::Sha256, &hash)) };
        let facts = Facts { packaged: Some(packaged), label: Some(&label) };
        let inode = Inode { evm: Some(Box::leak(evm.into_boxed_slice())), ..PLAIN };
        assert_eq!(judge(&facts, &mut trust.verifier(), &mut { inode }).unwrap().state, state, "{name}");
        // Content that the hash does not fit is vouched for by nobody.
        let inode = Inode { content: CHANGED.content, ..inode };
        assert_eq!(judge(&facts, &mut trust.verifier(), &mut { inode }).unwrap().state, State::Modified, "{name}");
    }
}

#[test]
fn only_what_verifies_is_written() {
    let written: Vec<State> = State::ALL.into_iter().filter(|state| state.is_written()).collect();
    assert_eq!(written, [State::Stale, State::Hash, State::Missing]);
    assert!(written.iter().all(|state| state.is_denied()));
}

#[test]
fn names_are_those_of_serde() {
    for state in State::ALL {
        assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{}\"", state.name()));
    }
}
