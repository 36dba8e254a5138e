//! What verifying a signature takes by each library.

use std::fmt::Write;

use imad::model::algo::HashAlgo;
use imad::model::cert::Certificate;
use imad::model::label::{KeyId, Signature};
use imad::model::verify::{Trust, Verdict, Verifier, digest};
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::md::Md;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::{Padding, Rsa};
use openssl::x509::X509;
use openssl::x509::extension::SubjectKeyIdentifier;

use super::cost::measure;

/// Signatures verified for a figure.
const TIMES: u32 = 3000;

/// A line of the table for each kind of key, with the OpenSSL that this process runs with.
pub(crate) fn lines() -> String {
    let curve = |nid| PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(nid).unwrap()).unwrap()).unwrap();
    let keys = [
        ("P-256", curve(Nid::X9_62_PRIME256V1)),
        ("P-384", curve(Nid::SECP384R1)),
        ("P-521", curve(Nid::SECP521R1)),
        ("RSA-2048", PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()),
    ];
    let mut lines = String::new();
    for (name, key) in keys {
        let certificate = certificate(&key);
        let key_id = certificate.key_id().unwrap();
        let trust = Trust::new([certificate]);
        let (digest, bytes) = signed(&key);
        let each = |mut verifier: Verifier<'_>| each(&mut verifier, key_id, &digest, &bytes);
        let (openssl, quick) = (each(trust.verifier()), each(trust.quick_verifier()));
        let version = openssl::version::version();
        writeln!(lines, "| {version} | {name} | {openssl:.1} | {quick:.1} | {:.2} |", openssl / quick).unwrap();
    }
    lines
}

/// CPU time of a verification, in microseconds.
fn each(verifier: &mut Verifier<'_>, key_id: KeyId, digest: &[u8], bytes: &[u8]) -> f64 {
    let signature = Signature { version: 2, algo: HashAlgo::Sha256.kernel_id(), key_id, bytes };
    let cost = measure(|| (0..TIMES).for_each(|_| assert_eq!(verifier.verify(&signature, digest), Verdict::Good)));
    cost.cpu.as_secs_f64() * 1e6 / f64::from(TIMES)
}

fn signed(key: &PKey<Private>) -> (Vec<u8>, Vec<u8>) {
    let digest = digest(HashAlgo::Sha256, b"content").unwrap();
    let mut context = PkeyCtx::new(key).unwrap();
    context.sign_init().unwrap();
    if key.rsa().is_ok() {
        context.set_rsa_padding(Padding::PKCS1).unwrap();
    }
    context.set_signature_md(Md::sha256()).unwrap();
    let mut signature = Vec::new();
    context.sign_to_vec(&digest, &mut signature).unwrap();
    (digest, signature)
}

fn certificate(key: &PKey<Private>) -> Certificate {
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    certificate.set_pubkey(key).unwrap();
    let id = SubjectKeyIdentifier::new().build(&certificate.x509v3_context(None, None)).unwrap();
    certificate.append_extension(id).unwrap();
    certificate.sign(key, MessageDigest::sha256()).unwrap();
    Certificate::parse(&certificate.build().to_der().unwrap()).unwrap()
}
