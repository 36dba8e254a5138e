//! Any bytes as a label, or as a true label of content with some bytes changed: nothing panics, a hash is never a signature,
//! and only the very signature that was made is good. Input: what is done (one byte: 0 takes the rest as label and content,
//! else a signed label by one of two keys is changed), a length (one byte), so many bytes, and the content.
#![no_main]

use std::sync::OnceLock;

use imad::model::algo::HashAlgo;
use imad::model::cert::Certificate;
use imad::model::evm::Metadata;
use imad::model::label::Label;
use imad::model::plan::{Content, Facts, Judged, Packaged, State, judge};
use imad::model::verify::{Trust, digest};
use libfuzzer_sys::fuzz_target;
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::md::Md;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::{Padding, Rsa};
use openssl::x509::extension::SubjectKeyIdentifier;
use openssl::x509::{X509, X509NameBuilder};

struct Inode<'a>(&'a [u8]);

impl Content for Inode<'_> {
    fn digest(&mut self, algo: HashAlgo) -> Result<Vec<u8>, String> {
        digest(algo, self.0).map_err(|error| error.to_string())
    }

    fn evm(&mut self) -> Result<Option<Vec<u8>>, String> {
        // Any bytes at all.
        Ok(Some(self.0.to_vec()))
    }

    fn metadata(&mut self) -> Result<Metadata, String> {
        Ok(Metadata { xattrs: vec![self.0.to_vec()], owner: 0, group: 0, mode: 0o100_755 })
    }

    fn is_immutable(&mut self) -> bool {
        false
    }

    fn verity_digest(&mut self) -> Result<Option<(HashAlgo, Vec<u8>)>, String> {
        // What a file of this content has for it does not matter: nobody signed it.
        self.digest(HashAlgo::Sha256).map(|digest| Some((HashAlgo::Sha256, digest)))
    }
}

/// A key and the id by which labels name it.
struct Signer(PKey<Private>, u32);

struct Keys {
    signers: [Signer; 2],
    trust: Trust,
}

fn certificate(key: &PKey<Private>) -> Certificate {
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "fuzz").unwrap();
    let name = name.build();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_subject_name(&name).unwrap();
    certificate.set_issuer_name(&name).unwrap();
    certificate.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(100).unwrap()).unwrap();
    certificate.set_pubkey(key).unwrap();
    let id = SubjectKeyIdentifier::new().build(&certificate.x509v3_context(None, None)).unwrap();
    certificate.append_extension(id).unwrap();
    certificate.sign(key, MessageDigest::sha256()).unwrap();
    Certificate::parse(&certificate.build().to_der().unwrap()).unwrap()
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let keys = [
            PKey::from_ec_key(EcKey::generate(&curve).unwrap()).unwrap(),
            PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(),
        ];
        let certificates = keys.each_ref().map(certificate);
        let ids = certificates.each_ref().map(|certificate| certificate.key_id().unwrap().0);
        let [one, other] = keys;
        Keys { signers: [Signer(one, ids[0]), Signer(other, ids[1])], trust: Trust::new(certificates.clone()).with_evm(certificates) }
    })
}

impl Signer {
    fn label(&self, content: &[u8]) -> Vec<u8> {
        let Self(key, id) = self;
        let mut context = PkeyCtx::new(key).unwrap();
        context.sign_init().unwrap();
        if key.rsa().is_ok() {
            context.set_rsa_padding(Padding::PKCS1).unwrap();
        }
        context.set_signature_md(Md::sha256()).unwrap();
        let mut signature = Vec::new();
        context.sign_to_vec(&digest(HashAlgo::Sha256, content).unwrap(), &mut signature).unwrap();
        let length = u16::try_from(signature.len()).unwrap();
        [&[3, 2, HashAlgo::Sha256.kernel_id()][..], &id.to_be_bytes(), &length.to_be_bytes(), &signature].concat()
    }
}

/// The state of a file with this content and label; the same where many are verified.
fn state(label: Option<&[u8]>, signature: Option<&[u8]>, content: &[u8]) -> State {
    let trust = &keys().trust;
    let digest = digest(HashAlgo::Sha256, content).unwrap();
    let packaged = Some(Packaged { signature, digest: Some((HashAlgo::Sha256, &digest)) });
    let facts = Facts { packaged, label };
    let Judged { state, reason, .. } = judge(&facts, &mut trust.verifier(), &mut Inode(content)).unwrap();
    assert!(!reason.is_empty());
    assert_eq!(judge(&facts, &mut trust.quick_verifier(), &mut Inode(content)).unwrap().state, state);
    state
}

fuzz_target!(|input: &[u8]| {
    let [what, length, rest @ ..] = input else { return };
    let (bytes, content) = rest.split_at(rest.len().min(usize::from(*length)));
    let parsed = Label::parse(bytes);
    if let Err(error) = &parsed {
        assert!(!error.to_string().is_empty());
    }
    if *what == 0 {
        // Nobody signed these bytes.
        assert_ne!(state(Some(bytes), Some(bytes), content), State::Good);
        assert!(!state(None, Some(bytes), content).is_written());
        return;
    }
    let label = keys().signers[usize::from(what % 2)].label(content);
    assert_eq!(state(Some(&label), None, content), State::Good);
    assert_eq!(state(None, Some(&label), content), State::Missing);
    // The bytes are pairs: a place, and what its byte is changed by. One behind the end is appended.
    let mut changed = label.clone();
    for pair in bytes.chunks_exact(2) {
        let at = usize::from(pair[0]);
        match changed.get_mut(at) {
            Some(byte) => *byte ^= pair[1],
            None => changed.push(pair[1]),
        }
    }
    let is_good = state(Some(&changed), None, content) == State::Good;
    assert_eq!(is_good, changed == label, "{changed:02x?}");
    assert_ne!(state(Some(&label), Some(&label), &[content, &[0]].concat()), State::Good);
});
