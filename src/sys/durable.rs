//! Files that are whole or not there, whenever the power goes.
#![forbid(unsafe_code)]

use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Replaces a file's content: written beside it, synced, renamed over it, the folder synced.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    put(path, content, None)
}

/// Replaces the content of a file that is there; it keeps its owner and mode, but no extended attribute.
pub fn rewrite(path: &Path, content: &[u8]) -> io::Result<()> {
    put(path, content, Some(&std::fs::metadata(path)?))
}

fn put(path: &Path, content: &[u8], like: Option<&Metadata>) -> io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file's path"));
    };
    let partial = dir.join(format!(".{}.partial", name.to_string_lossy()));
    let write = || {
        // What a killed process left; and nothing that somebody put there is written through.
        match std::fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::create_new(&partial)?;
        if let Some(like) = like {
            // The owner first: a change of owner may take mode bits away.
            std::os::unix::fs::fchown(&file, Some(like.uid()), Some(like.gid()))?;
            file.set_permissions(like.permissions())?;
        }
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)?;
        File::open(dir)?.sync_all()
    };
    write().inspect_err(|_| {
        // What failed is reported; that its left-over cannot be removed either adds nothing.
        std::fs::remove_file(&partial).unwrap_or_default();
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        assert!(replace(&dir.path().join("folder"), b"x").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
    #[test]
    fn a_file_that_is_written_anew_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy");
        assert_eq!(rewrite(&path, b"x").unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, "one").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        rewrite(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }
}
