//! The handlers of binfmt_misc that the running kernel knows.
#![forbid(unsafe_code)]

use std::io;

use crate::model::binfmt::Handler;

const FOLDER: &str = "/proc/sys/fs/binfmt_misc";

/// The handlers, in the order in which the kernel asks them: the newest first, as it lists the folder too. None where
/// the file system is not mounted or all are switched off.
pub fn handlers() -> io::Result<Vec<Handler>> {
    let entries = match std::fs::read_dir(FOLDER) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let (mut handlers, mut on) = (Vec::new(), false);
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if name == "register" {
            continue;
        }
        let text = std::fs::read(entry.path())?;
        if name == "status" {
            on = text.starts_with(b"enabled");
        } else {
            handlers.extend(Handler::parse(&text));
        }
    }
    Ok(if on { handlers } else { Vec::new() })
}
