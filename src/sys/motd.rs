//! A line for whoever logs in: pam_motd(8) shows what lies in `/run/motd.d`.
#![forbid(unsafe_code)]

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::Mode;

use super::durable;
use super::root::Root;
use super::state_dir::make_folders;

/// The file.
pub const FILE: &str = "/run/motd.d/imad";
const FOLDER: &str = "/run/motd.d";

/// Puts a text there, or takes away what is there.
pub fn put(root: &Root, text: Option<&str>) -> io::Result<()> {
    let folder = match (root.open_dir(FOLDER), text) {
        (Ok(folder), _) => folder,
        (Err(error), None) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        (Err(error), Some(_)) if error.kind() == io::ErrorKind::NotFound => {
            make_folders(root, FOLDER, Mode::from_raw_mode(0o755))?;
            let folder = root.open_dir(FOLDER)?;
            // The umask may have taken bits that other users need.
            rustix::fs::fchmod(&folder, Mode::from_raw_mode(0o755))?;
            folder
        }
        (Err(error), _) => return Err(error),
    };
    let path = Root::fd_path(&folder).join("imad");
    match text {
        Some(text) => {
            durable::replace(&path, text.as_bytes())?;
            std::fs::set_permissions(&path, Permissions::from_mode(0o644))
        }
        None => match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        put(&root, None).unwrap();
        assert!(!dir.path().join("run").exists());
        let file = dir.path().join("run/motd.d/imad");
        for text in ["one\n", "two\n"] {
            put(&root, Some(text)).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
        put(&root, None).unwrap();
        put(&root, None).unwrap();
        assert!(!file.exists());
    }
}
