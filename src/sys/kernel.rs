//! What the running kernel and firmware say of themselves.
#![forbid(unsafe_code)]

use std::io;

use crate::model::command_line::parameters;

/// `uname -r`.
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The kernel's command line.
pub fn command_line_text() -> io::Result<String> {
    std::fs::read_to_string("/proc/cmdline")
}

/// The parameters of the kernel's command line.
pub fn command_line() -> io::Result<Vec<String>> {
    Ok(parameters(&command_line_text()?))
}

/// Whether UEFI Secure Boot is on; `None` where there is no such variable.
pub fn secure_boot() -> io::Result<Option<bool>> {
    // Four bytes of attributes, then the value (UEFI specification, 3.3 Globally Defined Variables).
    const VARIABLE: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    match std::fs::read(VARIABLE) {
        Ok(bytes) => Ok(bytes.get(4).map(|&value| value == 1)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
