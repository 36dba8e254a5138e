//! Temporary folders that do not stay behind for ever when their process is killed.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Once;

/// The beginning of every folder's name.
const PREFIX: &str = "imad-guest.";
static SWEPT: Once = Once::new();

/// A temporary folder. It goes when it is dropped; where its process was killed, the next one removes it.
pub(super) struct Folder {
    folder: tempfile::TempDir,
    _alive: File,
}

impl Folder {
    pub(super) fn new() -> Result<Self, String> {
        let failed = |error: io::Error| format!("temporary folders in {}: {error}", env::temp_dir().display());
        // Nobody sweeps between the making of a folder and the locking of its file.
        let alone = File::create(env::temp_dir().join(format!("{PREFIX}lock"))).map_err(failed)?;
        alone.lock().map_err(failed)?;
        let mut swept = Ok(());
        SWEPT.call_once(|| swept = sweep());
        swept.map_err(failed)?;
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir().map_err(failed)?;
        let alive = File::create(folder.path().join("alive")).map_err(failed)?;
        alive.lock().map_err(failed)?;
        Ok(Self { folder, _alive: alive })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the folders of processes that are gone.
fn sweep() -> io::Result<()> {
    for entry in fs::read_dir(env::temp_dir())? {
        let path = entry?.path();
        let ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        if !ours || !path.is_dir() {
            continue;
        }
        match File::create(path.join("alive"))?.try_lock() {
            Ok(()) => fs::remove_dir_all(&path)?,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(())
}
