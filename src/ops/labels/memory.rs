//! What a thread of a run remembers of files: which need not be read again, and what later runs need not find out again.
//! `docs/proofs.md` says when that is safe.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::io;

use super::file::Done;
use crate::model::algo::HashAlgo;
use crate::model::label::{Label, Signature};
use crate::model::plan::{Judged, State};
use crate::model::verify::Trust;
use crate::sys::file::OpenFile;
use crate::sys::proofs::{self, Proofs, Ripening, Sealed, Sighting};

/// A thread's part in what is remembered.
#[derive(Debug)]
pub(super) struct Memory<'a> {
    proofs: &'a Proofs,
    trust: &'a Trust,
    /// Remembered digests are not asked: every file is read.
    full: bool,
    ripening: RefCell<Ripening>,
}

/// A file whose label is being written.
#[derive(Debug)]
pub(super) enum Kept {
    /// Nobody can write to its content unnoticed.
    Sealed(Sealed),
    /// As it is.
    Free(OpenFile),
}

impl Kept {
    pub(super) const fn file(&self) -> &OpenFile {
        match self {
            Self::Sealed(sealed) => sealed.file(),
            Self::Free(file) => file,
        }
    }

    /// Keeps writers from a file whose content is to be remembered, where that is possible.
    pub(super) fn seal(file: OpenFile, sight: Option<Sighting>) -> Self {
        let Some(sight) = sight else { return Self::Free(file) };
        sight.seal(file).map_or_else(Self::Free, Self::Sealed)
    }
}

/// The digest that a label signs, where the file was hashed so.
fn signed(file: &OpenFile, label: &[u8]) -> Option<(HashAlgo, Vec<u8>)> {
    let Ok(Label::Signature(signature)) = Label::parse(label) else { return None };
    let algo = signature.hash_algo()?;
    file.known_digest(algo).map(|digest| (algo, digest.to_vec()))
}

impl<'a> Memory<'a> {
    /// `held`: how many files it may hold open.
    pub(super) fn new(proofs: &'a Proofs, trust: &'a Trust, full: bool, held: usize) -> Self {
        Self { proofs, trust, full, ripening: RefCell::new(Ripening::holding(held)) }
    }

    /// A file with its package's signature as its label, which was verified before and cannot have changed since.
    pub(super) fn remembered(&self, file: &OpenFile, signature: Option<&[u8]>) -> io::Result<Option<Done>> {
        let Some(signature) = signature.filter(|_| !self.full) else { return Ok(None) };
        let Some(facts) = proofs::facts(file)? else { return Ok(None) };
        if file.label()?.as_deref() != Some(signature) || !self.proofs.holds(&facts, signature, self.trust) {
            return Ok(None);
        }
        let Ok(Label::Signature(Signature { key_id, .. })) = Label::parse(signature) else { return Ok(None) };
        let reason = format!("the signature by key {key_id} verified before, and the content has not changed since");
        Ok(Some(Done::judged(Judged { state: State::Good, reason, key_id: Some(key_id) })))
    }

    /// Looks at a file that is going to be hashed. `None`: its digest cannot be remembered.
    pub(super) fn sight(&self, file: &OpenFile) -> Option<Sighting> {
        Sighting::begin(self.proofs, file)
    }

    /// Remembers a file whose label is good.
    pub(super) fn note(&self, file: &OpenFile, label: &[u8], sight: Option<Sighting>) {
        let Some((algo, digest)) = signed(file, label) else { return };
        self.proofs.prove(label, self.trust, &digest);
        if let Some(facts) = sight.and_then(|sight| sight.confirm(file)) {
            self.proofs.note(&facts, algo, &digest);
        }
    }

    /// Remembers a file whose label was just written.
    pub(super) fn written(&self, kept: Kept, label: &[u8]) {
        let Some((algo, digest)) = signed(kept.file(), label) else { return };
        self.proofs.prove(label, self.trust, &digest);
        if let Kept::Sealed(sealed) = kept {
            self.ripening.borrow_mut().push(self.proofs, sealed, algo, digest);
        }
    }

    /// Waits for what was just written to be old enough to be remembered.
    pub(super) fn finish(&self) {
        self.ripening.borrow_mut().finish(self.proofs);
    }
}
