//! One at a time: the daemon and imactl never write labels of a root at once.
#![forbid(unsafe_code)]

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};

use super::root::Root;
use super::state_dir::{FOLDER, make_folders};

/// The lock's folder on the running system; of another root it is the journal's.
const RUNNING: &str = "/run/imad";
const NAME: &str = "labels.lock";
/// How often a lock that somebody has is asked for again.
const AGAIN: Duration = Duration::from_millis(50);

/// The lock on a root's labels (`flock(2)`); given back when dropped, and by the kernel when the process ends.
#[derive(Debug)]
pub struct LabelLock {
    file: File,
}

/// Why the lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("{path}: labels are being written by {holder}, and still were after {waited:?}")]
    Held {
        /// The lock's file.
        path: String,
        /// `process 123 (imactl)`, as far as it is known.
        holder: String,
        /// Its number.
        pid: Option<u32>,
        /// How long was waited.
        waited: Duration,
    },
    /// The file cannot be opened or locked.
    #[error("{path}: {error}")]
    Io {
        /// The lock's file.
        path: String,
        /// What the system said.
        error: io::Error,
    },
}

impl LockError {
    /// The step that mends it.
    pub fn next_step(&self) -> String {
        match self {
            Self::Held { pid: Some(pid), .. } => format!("wait until it is done, or look at it: ps -fp {pid}"),
            Self::Held { path, .. } => format!("wait until it is done, or look for it: fuser -v {path}"),
            Self::Io { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => "run it as root".to_owned(),
            Self::Io { path, error } if error.raw_os_error() == Some(libc::EROFS) => {
                format!("mount it read-write: findmnt -T {path}")
            }
            Self::Io { path, .. } => format!("ls -ld {path}"),
        }
    }
}

impl LabelLock {
    /// Takes the lock; waits for it so long at most.
    pub fn take(root: &Root, patience: Duration) -> Result<Self, LockError> {
        let folder = if root.is_running() { RUNNING } else { FOLDER };
        let path = root.path().join(folder.trim_start_matches('/')).join(NAME).display().to_string();
        Self::wait(root, folder, patience, &path).unwrap_or_else(|error| Err(LockError::Io { path, error }))
    }

    fn wait(root: &Root, folder: &str, patience: Duration, path: &str) -> io::Result<Result<Self, LockError>> {
        let mode = if folder == RUNNING { Mode::from_raw_mode(0o755) } else { Mode::RWXU };
        make_folders(root, folder, mode)?;
        let dir = root.open_dir(folder)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mut file = File::from(rustix::fs::openat(&dir, NAME, flags, Mode::RUSR | Mode::WUSR)?);
        let begin = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => {}
            }
            let waited = begin.elapsed();
            if waited >= patience {
                let (holder, pid) = holder(&mut file)?;
                return Ok(Err(LockError::Held { path: path.to_owned(), holder, pid, waited }));
            }
            std::thread::sleep(AGAIN.min(patience.saturating_sub(waited)));
        }
        // Who has it, for those who wait. It is no more than a help: a full disk does not keep anybody from his work.
        let note = format!("{} {}\n", std::process::id(), program().unwrap_or_default());
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(note.as_bytes()));
        match written {
            Err(error) if !matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT)) => Err(error),
            _ => Ok(Ok(Self { file })),
        }
    }

    /// Whether the lock's file is still the one that others would lock.
    pub fn is_held(&self) -> bool {
        rustix::fs::fstat(&self.file).is_ok_and(|stat| stat.st_nlink > 0)
    }
}

/// What the lock's file says of who has it.
fn holder(file: &mut File) -> io::Result<(String, Option<u32>)> {
    let mut text = String::new();
    file.rewind()?;
    file.take(256).read_to_string(&mut text)?;
    let mut words = text.split_whitespace();
    let pid = words.next().and_then(|word| word.parse().ok());
    Ok(match (pid, words.next()) {
        (Some(pid), Some(program)) => (format!("process {pid} ({program})"), Some(pid)),
        (Some(pid), None) => (format!("process {pid}"), Some(pid)),
        (None, _) => ("another process".to_owned(), None),
    })
}

fn program() -> Option<String> {
    let path = std::env::current_exe().ok()?;
    Some(path.file_name()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_the_other_is_told_who() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let first = LabelLock::take(&root, Duration::ZERO).unwrap();
        assert!(first.is_held());
        let begin = Instant::now();
        let error = LabelLock::take(&root, Duration::from_millis(120)).unwrap_err();
        assert!(begin.elapsed() >= Duration::from_millis(120) && begin.elapsed() < Duration::from_secs(20));
        assert!(error.to_string().contains(&format!("process {} (imad-", std::process::id())), "{error}");
        assert_eq!(error.next_step(), format!("wait until it is done, or look at it: ps -fp {}", std::process::id()));
        drop(first);
        let second = LabelLock::take(&root, Duration::ZERO).unwrap();
        std::fs::remove_file(dir.path().join("var/lib/imad/labels.lock")).unwrap();
        assert!(!second.is_held());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("var"), b"").unwrap();
        let error = LabelLock::take(&Root::open(dir.path()).unwrap(), Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("var/lib/imad/labels.lock: "), "{error}");
    }
}
