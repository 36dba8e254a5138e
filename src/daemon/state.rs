//! `/var/lib/imad`: what outlives a restart. All of it can be rebuilt, so no fault here stops the daemon.
#![forbid(unsafe_code)]

use std::io;

use super::record::Saved;
use crate::model::report::{Problem, VERSION};
use crate::sys::durable;
use crate::sys::root::Root;

const FOLDER: &str = "/var/lib/imad";
const FILE: &str = "last-transaction.json";
/// No such file is longer.
const LIMIT: u64 = 1 << 24;

/// What the daemon wrote down when it ran last; nothing where there is nothing that can be used.
pub(super) fn load(root: &Root) -> Saved {
    let path = format!("{FOLDER}/{FILE}");
    let parsed = match root.read(&path, LIMIT) {
        Ok(bytes) => serde_json::from_slice::<Saved>(&bytes).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Saved::default(),
        Err(error) => Err(error.to_string()),
    };
    match parsed {
        Ok(saved) if saved.version == VERSION => saved,
        Ok(_) => Saved::default(),
        Err(why) => {
            tracing::warn!("{path}: {why}. It is written anew");
            Saved::default()
        }
    }
}

/// Writes it down.
pub(super) fn save(root: &Root, saved: &Saved) -> Result<(), Problem> {
    let write = || {
        let folder = match root.open_dir(FOLDER) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::fs::create_dir_all(root.path().join(FOLDER.trim_start_matches('/')))?;
                root.open_dir(FOLDER)?
            }
            result => result?,
        };
        durable::replace(&Root::fd_path(&folder).join(FILE), &serde_json::to_vec(saved)?)
    };
    write().map_err(|error: io::Error| {
        let next = match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => format!("free some space: df -h {FOLDER}"),
            Some(libc::EROFS) => format!("mount it read-write: findmnt -T {FOLDER}"),
            _ => format!("ls -ld {FOLDER}"),
        };
        Problem::new(format!("{FOLDER}/{FILE} cannot be written: {error}"), next)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_garbage_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(load(&root), Saved::default());
        let saved = Saved { newest: 7, ..Saved::default() };
        save(&root, &saved).unwrap();
        assert_eq!(load(&root), saved);
        std::fs::write(dir.path().join("var/lib/imad").join(FILE), b"{").unwrap();
        assert_eq!(load(&root), Saved::default());
        std::fs::remove_dir_all(dir.path().join("var/lib/imad")).unwrap();
        std::fs::write(dir.path().join("var/lib/imad"), b"").unwrap();
        assert!(save(&root, &saved).unwrap_err().what.contains("cannot be written"));
    }
}
