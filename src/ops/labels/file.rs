//! One file: opened once, judged, and written through the same descriptor.
#![forbid(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::Request;
use crate::model::plan::{self, Facts, Judged, Packaged, State};
use crate::model::rpm::PackagedFile;
use crate::sys::file::{Identity, OpenError, OpenFile};

/// A file that keeps changing is given up after so many tries.
const TRIES: usize = 3;

/// What became of one file.
#[derive(Debug)]
pub struct Done {
    /// State and reason, after writing.
    pub judged: Judged,
    /// A label was written.
    pub written: bool,
}

impl Done {
    fn new(state: State, reason: impl Into<String>) -> Self {
        Self::judged(Judged { state, reason: reason.into(), key_id: None })
    }

    const fn judged(judged: Judged) -> Self {
        Self { judged, written: false }
    }
}

/// Judges one file without regard to packages; nothing is written.
pub fn judge_file(request: &Request<'_>, path: &[u8]) -> Done {
    let labeller = Labeller { request: &Request { write: false, ..*request }, meter: None };
    match labeller.examine(path, None) {
        Examined::Done(done) => done,
        Examined::Write(pending) => Done::judged(pending.judged),
    }
}

/// A file that was looked at.
#[derive(Debug)]
pub(super) enum Examined {
    /// There is nothing to write.
    Done(Done),
    /// Its package's signature verified and is to be written.
    Write(Pending),
}

/// A label that is to be written: the open file, as it was when it was verified.
#[derive(Debug)]
pub(super) struct Pending {
    file: OpenFile,
    before: Identity,
    old: Option<Vec<u8>>,
    judged: Judged,
}

/// Judges and labels files for one thread of a run.
#[derive(Debug)]
pub(super) struct Labeller<'a> {
    request: &'a Request<'a>,
    meter: Option<&'a Arc<AtomicU64>>,
}

impl<'a> Labeller<'a> {
    pub(super) const fn new(request: &'a Request<'a>, meter: Option<&'a Arc<AtomicU64>>) -> Self {
        Self { request, meter }
    }

    /// Judges a file.
    pub(super) fn examine(&self, path: &[u8], packaged: Option<&PackagedFile>) -> Examined {
        let done = |state, reason: &str| Examined::Done(Done::new(state, reason));
        if self.request.rules.excludes(path) {
            return done(State::Excluded, "labels.exclude in imad.toml names it");
        }
        if packaged.is_some_and(PackagedFile::is_plain_config) && !self.request.rules.config_files {
            return done(State::Excluded, "a configuration file (labels.config_files in imad.toml is false)");
        }
        let mut file = match OpenFile::open(self.request.root, path) {
            Ok(file) => file.metered(self.meter.cloned()),
            Err(OpenError::Absent) => return done(State::Absent, "it is not there"),
            Err(OpenError::NotRegular) => return done(State::Modified, "something else than a regular file is there"),
            Err(OpenError::Io(error)) => return done(State::Unreadable, &format!("opening it failed: {error}")),
        };
        for _ in 0..TRIES {
            match self.look(&mut file, packaged) {
                Ok(Some(Looked { judged, before, old })) => {
                    let writes = self.request.write && judged.state.is_written();
                    return if writes && signature(packaged).is_some() {
                        Examined::Write(Pending { file, before, old, judged })
                    } else {
                        Examined::Done(Done::judged(judged))
                    };
                }
                Ok(None) => file.forget_digests(),
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                    return done(State::Excluded, "its file system has no extended attributes");
                }
                Err(error) => return done(State::Unreadable, &error.to_string()),
            }
        }
        done(State::Unreadable, RESTLESS)
    }

    /// One look at an open file. `None`: it changed meanwhile.
    fn look(&self, file: &mut OpenFile, packaged: Option<&PackagedFile>) -> io::Result<Option<Looked>> {
        let before = file.identity()?;
        let old = file.label()?;
        let facts = Facts {
            packaged: packaged.map(|packaged| Packaged {
                signature: packaged.signature.as_deref(),
                digest: packaged.digest.as_ref().map(|(algo, digest)| (*algo, &digest[..])),
            }),
            label: old.as_deref(),
            evm_type: file.evm_type()?,
            immutable: file.immutable(),
        };
        let judged = plan::judge(&facts, self.request.trust, file).map_err(io::Error::other)?;
        Ok((!changed(file, &before)?).then_some(Looked { judged, before, old }))
    }

    /// Writes a label, unless the file is no longer what was verified: then it is looked at again.
    pub(super) fn settle(&self, path: &[u8], packaged: Option<&PackagedFile>, mut pending: Pending) -> Done {
        let Some(signature) = signature(packaged) else { return Done::judged(pending.judged) };
        for _ in 0..TRIES {
            match write(&pending, signature) {
                Ok(Written::Yes) => {
                    let reason = format!("{}; written", pending.judged.reason);
                    let judged = Judged { state: State::Good, reason, ..pending.judged };
                    return Done { judged, written: true };
                }
                Ok(Written::Refused(error)) => {
                    let why = why_not_written(&error);
                    let reason = format!("{}; writing the label failed: {error}{why}", pending.judged.reason);
                    return Done::judged(Judged { reason, ..pending.judged });
                }
                Ok(Written::Changed) => {}
                Err(error) => return Done::new(State::Unreadable, error.to_string()),
            }
            match self.examine(path, packaged) {
                Examined::Done(done) => return done,
                Examined::Write(again) => pending = again,
            }
        }
        Done::new(State::Unreadable, RESTLESS)
    }
}

const RESTLESS: &str = "it changes while it is read; its label will be judged when it rests";

/// What a look at an open file found.
struct Looked {
    judged: Judged,
    before: Identity,
    old: Option<Vec<u8>>,
}

enum Written {
    Yes,
    Refused(io::Error),
    /// The file changed, or somebody labelled it (a file with two names is one inode): what was there is there.
    Changed,
}

fn signature(packaged: Option<&PackagedFile>) -> Option<&[u8]> {
    packaged.and_then(|packaged| packaged.signature.as_deref())
}

fn write(pending: &Pending, signature: &[u8]) -> io::Result<Written> {
    let Pending { file, before, old, .. } = pending;
    if changed(file, before)? || file.label()? != *old {
        return Ok(Written::Changed);
    }
    if let Err(error) = file.set_label(signature) {
        return Ok(Written::Refused(error));
    }
    if changed(file, before)? {
        // What was verified is no longer what is there: the old label comes back.
        match old {
            Some(old) => file.set_label(old)?,
            None => file.remove_label()?,
        }
        return Ok(Written::Changed);
    }
    Ok(Written::Yes)
}

fn changed(file: &OpenFile, before: &Identity) -> io::Result<bool> {
    Ok(file.identity()? != *before)
}

fn why_not_written(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EROFS) => " (mount it read-write, or label the image where it is built)",
        Some(libc::ENOSPC | libc::EDQUOT) => " (a label may take a block of its own: free some space)",
        Some(libc::EPERM) => " (root of the initial user namespace is needed, and EVM may forbid it)",
        Some(libc::EACCES) => " (a SETXATTR_CHECK rule or an unavailable hash algorithm)",
        _ => "",
    }
}
