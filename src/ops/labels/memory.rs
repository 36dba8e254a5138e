//! What a thread of a run remembers of files: which need not be read again, and what later runs need not find out again.
//! `docs/proofs.md` says when that is safe.
#![forbid(unsafe_code)]

use std::cell::RefCell;

use super::file::Done;
use crate::model::label::{Label, Signature};
use crate::model::plan::{Judged, State};
use crate::model::proof::FileFacts;
use crate::model::verify::Trust;
use crate::sys::file::OpenFile;
use crate::sys::proofs::{self, Proofs, Ripening, Sealed, Sighting};

/// A thread's part in what is remembered.
#[derive(Debug)]
pub(super) struct Memory<'a> {
    proofs: &'a Proofs,
    trust: &'a Trust,
    /// What is remembered of files is not asked: each is read.
    full: bool,
    ripening: RefCell<Ripening>,
}

/// A file before its label is verified.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sight {
    /// Something is remembered of it.
    Known(FileFacts),
    /// It may be remembered.
    New(Sighting),
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

    /// Keeps writers from a file that is to be remembered, where that is possible.
    pub(super) fn seal(file: OpenFile, sight: Option<Sight>) -> Self {
        let Some(Sight::New(sight)) = sight else { return Self::Free(file) };
        sight.seal(file).map_or_else(Self::Free, Self::Sealed)
    }
}

/// The digest that a label signs, where the file was hashed so.
fn signed(file: &OpenFile, label: &[u8]) -> Option<Vec<u8>> {
    let Ok(Label::Signature(signature)) = Label::parse(label) else { return None };
    file.known_digest(signature.hash_algo()?).map(<[u8]>::to_vec)
}

impl<'a> Memory<'a> {
    /// `held`: how many files it may hold open.
    pub(super) fn new(proofs: &'a Proofs, trust: &'a Trust, full: bool, held: usize) -> Self {
        Self { proofs, trust, full, ripening: RefCell::new(Ripening::holding(held)) }
    }

    /// Signatures that verified before.
    pub(super) const fn known(&self) -> &'a Proofs {
        self.proofs
    }

    /// A file with its package's signature as its label, which was verified before, and neither can have changed since.
    pub(super) fn remembered(&self, path: &[u8], signature: Option<&[u8]>) -> Option<Done> {
        let signature = signature.filter(|_| !self.full)?;
        let facts = proofs::facts_at(path)?;
        if !self.proofs.holds(&facts, signature, self.trust) {
            return None;
        }
        let Ok(Label::Signature(Signature { key_id, .. })) = Label::parse(signature) else { return None };
        let reason =
            format!("the signature by key {key_id} verified before, and neither it nor the content has changed");
        Some(Done::judged(Judged { state: State::Good, reason, key_id: Some(key_id) }))
    }

    /// Looks at a file whose label is going to be verified. `None`: it cannot be remembered.
    pub(super) fn sight(&self, file: &OpenFile) -> Option<Sight> {
        match proofs::facts(file) {
            Ok(Some(facts)) if self.proofs.knows(&facts) => Some(Sight::Known(facts)),
            _ => Sighting::begin(self.proofs, file).map(Sight::New),
        }
    }

    /// Remembers a file that was judged, if its label is good.
    pub(super) fn note(&self, file: &OpenFile, judged: &Judged, label: Option<&[u8]>, sight: Option<Sight>) {
        let good = label.filter(|_| judged.state == State::Good);
        if let Some((label, digest)) = good.and_then(|label| Some((label, signed(file, label)?))) {
            self.proofs.prove(label, self.trust, &digest);
            match sight {
                Some(Sight::Known(facts)) if self.proofs.holds(&facts, label, self.trust) => {}
                Some(Sight::Known(facts)) => self.proofs.forget(&facts),
                Some(Sight::New(sight)) => {
                    if let Some(facts) = sight.confirm(file) {
                        self.proofs.note(&facts, label, self.trust);
                    }
                }
                None => {}
            }
        } else if let Some(Sight::Known(facts)) = sight {
            self.proofs.forget(&facts);
        }
    }

    /// Remembers a file whose label was just written.
    pub(super) fn written(&self, kept: Kept, label: &[u8]) {
        let Some(digest) = signed(kept.file(), label) else { return };
        self.proofs.prove(label, self.trust, &digest);
        if let Kept::Sealed(sealed) = kept {
            self.ripening.borrow_mut().push(self.proofs, self.trust, sealed, label);
        }
    }

    /// Waits for what was just written to be old enough to be remembered.
    pub(super) fn finish(&self) {
        self.ripening.borrow_mut().finish(self.proofs, self.trust);
    }
}
