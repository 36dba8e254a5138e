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
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let cert = super::super::cert::self_signed_for_tests(name, &key);
        Self { key, cert }
    }

    fn label(&self, content: &[u8]) -> Vec<u8> {
        let hash = digest(HashAlgo::Sha256, content).unwrap();
        let signature = openssl::ecdsa::EcdsaSig::sign(&hash, &self.key.ec_key().unwrap()).unwrap().to_der().unwrap();
        let mut label = vec![3, 2, 4];
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
    evm_type: Option<u8>,
    immutable: bool,
}

impl Content for Inode {
    fn digest(&mut self, algo: HashAlgo) -> Result<Vec<u8>, String> {
        digest(algo, self.content).map_err(|error| error.to_string())
    }

    fn evm_type(&mut self) -> Result<Option<u8>, String> {
        Ok(self.evm_type)
    }

    fn is_immutable(&mut self) -> bool {
        self.immutable
    }
}

const CONTENT: &[u8] = b"#!/bin/sh\n";

const PLAIN: Inode = Inode { content: CONTENT, evm_type: None, immutable: false };
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
        ("fs-verity label", facts(by_us, Some(&[6, 3, 4, 0, 0, 0, 1, 0, 1, 9])), PLAIN, State::Unsupported),
        ("label with an unknown hash", facts(by_us, Some(&[3, 2, 99, 0, 0, 0, 1, 0, 1, 9])), PLAIN, State::Unsupported),
        ("immutable", facts(by_us, None), Inode { immutable: true, ..PLAIN }, State::Immutable),
        (
            "hash under a portable EVM signature",
            facts(by_us, Some(&hash_label)),
            Inode { evm_type: Some(EVM_PORTABLE_SIGNATURE), ..PLAIN },
            State::Unsupported,
        ),
    ];
    for (name, facts, inode, expected) in table {
        assert_eq!(state(*facts, &trust, *inode), *expected, "{name}");
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
