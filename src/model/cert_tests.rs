//! Certificates made on the spot, judged as the kernel would (kernel facts: guest experiments with `.ima`).

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{AuthorityKeyIdentifier, BasicConstraints, KeyUsage, SubjectKeyIdentifier};
use openssl::x509::{X509, X509Builder, X509Name};

use super::*;

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn common_name(text: &str) -> X509Name {
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, text).unwrap();
    name.build()
}

fn builder(subject: &str, key: &PKey<Private>) -> X509Builder {
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&common_name(subject)).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(100).unwrap()).unwrap();
    builder.set_pubkey(key).unwrap();
    builder
}

/// A certificate with a subject key identifier, for tests that need a key to trust.
pub(crate) fn self_signed_for_tests(name: &str, key: &PKey<Private>) -> Certificate {
    ending_for_tests(name, key, 100)
}

/// Such a certificate whose time is over in so many days.
pub(crate) fn ending_for_tests(name: &str, key: &PKey<Private>, days: i64) -> Certificate {
    let mut cert = builder(name, key);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    // A minute more: the rest of this day's seconds are no whole day.
    let end = i64::try_from(now).unwrap() + days * 86_400 + 60;
    cert.set_not_after(&Asn1Time::from_unix(end).unwrap()).unwrap();
    cert.set_issuer_name(&common_name(name)).unwrap();
    let skid = SubjectKeyIdentifier::new().build(&cert.x509v3_context(None, None)).unwrap();
    cert.append_extension(skid).unwrap();
    cert.sign(key, MessageDigest::sha256()).unwrap();
    Certificate::from_x509(&cert.build()).unwrap()
}

fn ca() -> (X509, PKey<Private>) {
    let key = key();
    let mut ca = builder("test CA", &key);
    ca.set_issuer_name(&common_name("test CA")).unwrap();
    ca.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    ca.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build().unwrap()).unwrap();
    let skid = SubjectKeyIdentifier::new().build(&ca.x509v3_context(None, None)).unwrap();
    ca.append_extension(skid).unwrap();
    ca.sign(&key, MessageDigest::sha256()).unwrap();
    (ca.build(), key)
}

/// A leaf with this key usage, with or without a subject key identifier.
fn leaf(usage: Option<&mut KeyUsage>, with_skid: bool) -> (Certificate, KernelKey) {
    let (ca, ca_key) = ca();
    let key = key();
    let mut leaf = builder("leaf", &key);
    leaf.set_issuer_name(ca.subject_name()).unwrap();
    if let Some(usage) = usage {
        leaf.append_extension(usage.build().unwrap()).unwrap();
    }
    if with_skid {
        let skid = SubjectKeyIdentifier::new().build(&leaf.x509v3_context(Some(&ca), None)).unwrap();
        leaf.append_extension(skid).unwrap();
    }
    let akid = AuthorityKeyIdentifier::new().keyid(true).build(&leaf.x509v3_context(Some(&ca), None)).unwrap();
    leaf.append_extension(akid).unwrap();
    leaf.sign(&ca_key, MessageDigest::sha256()).unwrap();
    let ca = Certificate::from_x509(&ca).unwrap();
    let builtin = KernelKey::new(&format!("test CA: {}", ca.skid().unwrap()));
    (Certificate::from_x509(&leaf.build()).unwrap(), builtin)
}

#[test]
fn a_good_leaf_is_accepted() {
    let (cert, builtin) = leaf(Some(KeyUsage::new().digital_signature()), true);
    assert_eq!(cert.refusals(Some(&[builtin])), []);
    assert_eq!(cert.subject(), "leaf");
    assert_eq!(cert.issuer(), "test CA");
    assert_eq!(format!("{}", cert.key_id().unwrap()), cert.skid().unwrap()[32..]);
}

#[test]
fn each_refusal_is_named() {
    let (cert, builtin) = leaf(None, true);
    assert_eq!(cert.refusals(Some(std::slice::from_ref(&builtin))), [Refusal::NoKeyUsage]);
    let (cert, _) = leaf(Some(KeyUsage::new().key_encipherment()), true);
    assert_eq!(cert.refusals(None), [Refusal::NoDigitalSignature]);
    let (cert, _) = leaf(Some(KeyUsage::new().digital_signature().key_cert_sign()), true);
    assert_eq!(cert.refusals(None), [Refusal::KeyCertSign]);
    let (cert, _) = leaf(Some(KeyUsage::new().digital_signature()), false);
    assert_eq!(cert.refusals(None), [Refusal::NoSubjectKeyId]);
    let (cert, _) = leaf(Some(KeyUsage::new().digital_signature()), true);
    assert!(matches!(cert.refusals(Some(&[builtin]))[..], [Refusal::NoTrustedSigner { .. }]));
}

#[test]
fn a_ca_is_refused_for_all_its_faults() {
    let (ca, _) = ca();
    let ca = Certificate::from_x509(&ca).unwrap();
    assert_eq!(ca.refusals(None), [Refusal::NoDigitalSignature, Refusal::IsCa, Refusal::KeyCertSign]);
}

#[test]
fn pem_and_der_are_the_same_certificate() {
    let (ca, _) = ca();
    let from_pem = Certificate::parse(&ca.to_pem().unwrap()).unwrap();
    let mut der = ca.to_der().unwrap();
    der.extend([0, 0]); // the kernel ignores what follows
    assert_eq!(from_pem.der(), Certificate::parse(&der).unwrap().der());
}

#[test]
fn garbage_is_an_error_not_a_panic() {
    assert_eq!(Certificate::parse(&[]).unwrap_err(), CertError::Empty);
    assert!(matches!(Certificate::parse(&[0x30, 0x82, 0xff, 0xff, 1]), Err(CertError::Malformed(_))));
    let (ca, _) = ca();
    let der = ca.to_der().unwrap();
    for length in 0..der.len() {
        assert!(Certificate::parse(&der[..length]).is_err());
    }
}

#[test]
fn a_key_description_gives_its_skid() {
    assert_eq!(KernelKey::new("imad test CA: 0123abcdEF").skid.as_deref(), Some("0123abcdef"));
    assert_eq!(KernelKey::new("no id here").skid, None);
}
