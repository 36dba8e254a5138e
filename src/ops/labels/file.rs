//! One file: opened once, judged, and written through the same descriptor.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::Request;
use super::memory::{Kept, Memory, Sight};
use super::place::Places;
use super::protection::Protection;
use super::sealed::{self, Sealed};
use super::space::Space;
use crate::model::plan::{self, Facts, Judged, Packaged, State};
use crate::model::rpm::PackagedFile;
use crate::model::verify::Verifier;
use crate::sys::file::{OpenError, OpenFile};

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
    pub(super) fn new(state: State, reason: impl Into<String>) -> Self {
        Self::judged(Judged { state, reason: reason.into(), key_id: None })
    }

    pub(super) const fn judged(judged: Judged) -> Self {
        Self { judged, written: false }
    }

    pub(super) fn written(judged: &Judged) -> Self {
        let reason = format!("{}; written", judged.reason);
        Self { judged: Judged { state: State::Good, reason, key_id: judged.key_id }, written: true }
    }
}

/// Judges one file without regard to packages; nothing is written.
pub fn judge_file(request: &Request<'_>, path: &[u8]) -> Done {
    let request = Request { write: None, ..*request };
    let labeller = Labeller::new(&request, None, None);
    match labeller.examine(path, None) {
        Examined::Done(done) => done,
        Examined::Write(Pending::Open(open)) => Done::judged(open.judged),
        Examined::Write(Pending::Sealed(_)) => Done::new(State::Unreadable, sealed::DENIED),
    }
}

/// A file that was looked at.
#[derive(Debug)]
pub(super) enum Examined {
    /// There is nothing to write.
    Done(Done),
    /// Its package's signature is to be written.
    Write(Pending),
}

/// A label that is to be written.
#[derive(Debug)]
pub(super) enum Pending {
    /// It was verified against the open file.
    Open(Open),
    /// The file can be opened only once it has its label.
    Sealed(Sealed),
}

/// An open file, unchanged since it was opened until its package's signature was verified.
#[derive(Debug)]
pub(super) struct Open {
    file: OpenFile,
    old: Option<Vec<u8>>,
    judged: Judged,
    sight: Option<Sight>,
}

/// Judges and labels files for one thread of a run.
#[derive(Debug)]
pub(super) struct Labeller<'a> {
    request: &'a Request<'a>,
    meter: Option<&'a Arc<AtomicU64>>,
    places: Places,
    verifier: RefCell<Verifier<'a>>,
    memory: Option<Memory<'a>>,
    protection: Option<&'a Protection>,
}

impl<'a> Labeller<'a> {
    pub(super) fn new(request: &'a Request<'a>, meter: Option<&'a Arc<AtomicU64>>, memory: Option<Memory<'a>>) -> Self {
        let verifier = request.trust.quick_verifier();
        let verifier = RefCell::new(match &memory {
            Some(memory) => verifier.knowing(memory.known()),
            None => verifier,
        });
        Self { request, meter, places: Places::new(request.root), verifier, memory, protection: None }
    }

    /// Writes nothing that EVM lets nobody write.
    pub(super) fn minding(self, protection: &'a Protection) -> Self {
        Self { protection: Some(protection), ..self }
    }

    /// Why a label that belongs there is not written.
    fn kept_from_writing(&self, path: &[u8], file: &OpenFile) -> Option<String> {
        let image = self.places.image(path, file.opened().dev, file);
        let image = image.map(|image| format!("it lies in {image}, labelled where that is built"));
        image.or_else(|| self.protection?.refuses(file).map(str::to_owned))
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
        if let Some(memory) = &self.memory
            && let Some(done) = memory.remembered(path, signature(packaged))
        {
            return Examined::Done(done);
        }
        let file = match OpenFile::open(self.request.root, path) {
            Ok(file) => file.metered(self.meter.cloned()),
            Err(OpenError::Absent) => return done(State::Absent, "it is not there"),
            Err(OpenError::NotRegular) => return done(State::Modified, "something else than a regular file is there"),
            Err(OpenError::Io(error)) if error.raw_os_error() == Some(libc::EACCES) => {
                return sealed::examine(self.request, path, signature(packaged));
            }
            Err(OpenError::Io(error)) => return done(State::Unreadable, &format!("opening it failed: {error}")),
        };
        match self.judge(file, packaged) {
            Ok(open)
                if self.request.write.is_some() && open.judged.state.is_written() && signature(packaged).is_some() =>
            {
                match self.kept_from_writing(path, &open.file) {
                    None => Examined::Write(Pending::Open(open)),
                    Some(why) => {
                        let Judged { state, reason, key_id } = open.judged;
                        let reason = format!("{reason}; not written: {why}");
                        Examined::Done(Done::judged(Judged { state, reason, key_id }))
                    }
                }
            }
            Ok(Open { file, old, judged, sight }) => {
                if let Some(memory) = &self.memory {
                    memory.note(&file, &judged, old.as_deref(), sight);
                }
                Examined::Done(Done::judged(judged))
            }
            Err(done) => Examined::Done(done),
        }
    }

    /// Judges an open file, again if it changes meanwhile. An `Err` is all that can be said of it.
    pub(super) fn judge(&self, mut file: OpenFile, packaged: Option<&PackagedFile>) -> Result<Open, Done> {
        for _ in 0..TRIES {
            let sight = self.memory.as_ref().and_then(|memory| memory.sight(&file));
            let looked = match self.look(&mut file, packaged) {
                Ok(Some((judged, old))) => return Ok(Open { file, old, judged, sight }),
                Ok(None) => file.look_again(),
                Err(error) => Err(error),
            };
            match looked {
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                    return Err(Done::new(State::Excluded, "its file system has no extended attributes"));
                }
                Err(error) => return Err(Done::new(State::Unreadable, error.to_string())),
            }
        }
        Err(Done::new(State::Unreadable, RESTLESS))
    }

    /// One look at an open file: its state, and the label on which that rests. `None`: it changed since it was opened.
    fn look(
        &self,
        file: &mut OpenFile,
        packaged: Option<&PackagedFile>,
    ) -> io::Result<Option<(Judged, Option<Vec<u8>>)>> {
        let old = file.label()?;
        let facts = Facts {
            packaged: packaged.map(|packaged| Packaged {
                signature: packaged.signature.as_deref(),
                digest: packaged.digest.as_ref().map(|(algo, digest)| (*algo, &digest[..])),
            }),
            label: old.as_deref(),
        };
        let judged = plan::judge(&facts, &mut self.verifier.borrow_mut(), file).map_err(io::Error::other)?;
        Ok((!changed(file)?).then_some((judged, old)))
    }

    /// Writes a label, unless the file is no longer what was looked at: then it is looked at again.
    pub(super) fn settle(&self, path: &[u8], packaged: Option<&PackagedFile>, mut pending: Pending) -> Done {
        let Some(signature) = signature(packaged) else { return Done::new(State::Unsigned, "it has no signature") };
        for _ in 0..TRIES {
            let settled = match pending {
                Pending::Open(open) => self.write(open, signature),
                Pending::Sealed(sealed) => sealed.write(signature, |file| self.judge(file, packaged)),
            };
            match settled {
                Ok(Some(done)) => return done,
                Ok(None) => {}
                Err(error) => return Done::new(State::Unreadable, error.to_string()),
            }
            match self.examine(path, packaged) {
                Examined::Done(done) => return done,
                Examined::Write(again) => pending = again,
            }
        }
        Done::new(State::Unreadable, RESTLESS)
    }

    /// Writes a label. `None`: the file changed, or somebody labelled it (a file with two names is one inode); what was
    /// there is there.
    fn write(&self, open: Open, signature: &[u8]) -> io::Result<Option<Done>> {
        let Open { file, old, judged, sight } = open;
        let kept = Kept::seal(file, sight);
        let file = kept.file();
        if changed(file)? || file.label()? != old {
            return Ok(None);
        }
        if let Err(error) = file.set_label(signature) {
            return Ok(Some(not_written(&judged, &error)));
        }
        if changed(file)? {
            // What was verified is no longer what is there: the old label comes back.
            match old {
                Some(old) => file.set_label(&old)?,
                None => file.remove_label()?,
            }
            return Ok(None);
        }
        if let Some(memory) = &self.memory {
            memory.written(kept, signature);
        }
        Ok(Some(Done::written(&judged)))
    }

    /// What is left to be done after the last file.
    pub(super) fn finish(&self) {
        if let Some(memory) = &self.memory {
            memory.finish();
        }
    }
}

impl Pending {
    /// Whether its file system has room for the run's labels; a file that cannot be opened yet is not asked.
    pub(super) fn has_room(&self, space: &Space<'_>) -> bool {
        match self {
            Self::Open(Open { file, .. }) => space.is_enough(file.opened().dev, file),
            Self::Sealed(_) => true,
        }
    }

    /// Device, inode number, and the label that is there.
    pub(super) fn before(&self) -> (u64, u64, Option<&[u8]>) {
        match self {
            Self::Open(Open { file, old, .. }) => (file.opened().dev, file.opened().ino, old.as_deref()),
            Self::Sealed(sealed) => sealed.before(),
        }
    }
}

impl Open {
    /// What was found.
    pub(super) fn into_judged(self) -> Judged {
        self.judged
    }
}

const RESTLESS: &str = "it changes while it is read; its label will be judged when it rests";

fn signature(packaged: Option<&PackagedFile>) -> Option<&[u8]> {
    packaged.and_then(|packaged| packaged.signature.as_deref())
}

fn changed(file: &OpenFile) -> io::Result<bool> {
    Ok(file.identity()? != *file.opened())
}

/// A label that could not be written, and why.
pub(super) fn not_written(judged: &Judged, error: &io::Error) -> Done {
    let why = match error.raw_os_error() {
        Some(libc::EROFS) => " (mount it read-write, or label the image where it is built)",
        Some(libc::ENOSPC | libc::EDQUOT) => " (a label may take a block of its own: free some space)",
        Some(libc::EPERM) => " (root of the initial user namespace is needed, and EVM may forbid it)",
        Some(libc::EACCES) => " (a SETXATTR_CHECK rule or an unavailable hash algorithm)",
        _ => "",
    };
    let reason = format!("{}; writing the label failed: {error}{why}", judged.reason);
    Done::judged(Judged { state: judged.state, reason, key_id: judged.key_id })
}
