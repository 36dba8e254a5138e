//! Files that the active policy does not let us read, because it appraises reads and their labels do not please.
//!
//! The package's signature goes on first, by a trusted key; then the kernel verifies it at the open, and we verify it once
//! more. Where either says no, the old label comes back. A label that is wrong for a moment can only deny.
#![forbid(unsafe_code)]

use std::io;

use super::Request;
use super::file::{Done, Examined, Open, Pending, not_written};
use crate::model::label::Label;
use crate::model::plan::{Judged, State};
use crate::sys::file::{OpenError, OpenFile};
use crate::sys::sealed::SealedFile;

/// Why such a file is not judged where nothing may be written.
pub(super) const DENIED: &str =
    "opening it is denied (a rule appraises reads, and its label does not please); relabelling gives it its package's";

/// A file that can be opened only once it has its label.
#[derive(Debug)]
pub(super) struct Sealed {
    file: SealedFile,
    old: Option<Vec<u8>>,
    judged: Judged,
}

/// What can be said of a file that may not be opened.
pub(super) fn examine(request: &Request<'_>, path: &[u8], signature: Option<&[u8]>) -> Examined {
    let unreadable = |reason: &str| Examined::Done(Done::new(State::Unreadable, reason));
    let found = SealedFile::find(request.root, path).and_then(|file| Ok((file.label()?, file)));
    let (old, file) = match found {
        Ok(found) => found,
        Err(OpenError::Absent) => return Examined::Done(Done::new(State::Absent, "it is not there")),
        Err(error) => return unreadable(&format!("opening it is denied, and looking at its label failed: {error}")),
    };
    let Some(signature) = signature else {
        return unreadable("opening it is denied, and no package brings a signature for it");
    };
    let key_id = match Label::parse(signature) {
        Ok(Label::Signature(signature)) if !request.trust.with_id(signature.key_id).is_empty() => signature.key_id,
        _ => return unreadable("opening it is denied, and its package's signature is by no key that is trusted here"),
    };
    if old.as_deref() == Some(signature) {
        return unreadable(
            "opening it is denied although it bears its package's signature: the content differs, or the kernel lacks the \
             key",
        );
    }
    if request.write.is_none() {
        return unreadable(DENIED);
    }
    let state = if old.is_some() { State::Stale } else { State::Missing };
    let reason = format!("opening it was denied; the package's signature by key {key_id} opens it and verifies");
    Examined::Write(Pending::Sealed(Sealed { file, old, judged: Judged { state, reason, key_id: Some(key_id) } }))
}

impl Sealed {
    /// Device, inode number, and the label that is there.
    pub(super) fn before(&self) -> (u64, u64, Option<&[u8]>) {
        let (dev, ino) = self.file.inode();
        (dev, ino, self.old.as_deref())
    }

    /// Writes the label, opens the file and has it judged; the old label comes back unless the new one is good. `None`:
    /// somebody labelled it meanwhile.
    pub(super) fn write(
        self,
        signature: &[u8],
        judge: impl FnOnce(OpenFile) -> Result<Open, Done>,
    ) -> io::Result<Option<Done>> {
        let Self { file, old, judged } = self;
        if file.label()? != old {
            return Ok(None);
        }
        if let Err(error) = file.set_label(Some(signature)) {
            return Ok(Some(not_written(&Judged { reason: "opening it is denied".to_owned(), ..judged }, &error)));
        }
        let found = match file.open() {
            Ok(open) => judge(open).map_or_else(|done| done.judged, Open::into_judged),
            Err(error) => {
                let reason = format!(
                    "opening it is denied with its package's signature too ({error}): the content differs, or the kernel \
                     lacks the key"
                );
                Judged { state: State::Unreadable, reason, key_id: judged.key_id }
            }
        };
        if found.state == State::Good {
            return Ok(Some(Done::written(&judged)));
        }
        file.set_label(old.as_deref())?;
        Ok(Some(Done::judged(found)))
    }
}
