//! imactl under the names of the scripts that distributions ship in ima-evm-utils, with their flags and messages.
#![forbid(unsafe_code)]

mod add_sigs;
mod ima_setup;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// A script's part: its arguments in, its exit status out.
pub(super) type Script = fn(Vec<OsString>) -> ExitCode;

/// The script by whose name imactl was called.
pub(super) fn script(program: Option<&OsStr>) -> Option<Script> {
    match program.and_then(|program| Path::new(program).file_name())?.to_str()? {
        add_sigs::NAME => Some(add_sigs::main),
        ima_setup::NAME => Some(ima_setup::main),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_last_part_of_the_path() {
        let is_called = |program: &str| script(Some(OsStr::new(program))).is_some();
        assert!(is_called("/usr/lib/imad/compat/ima-add-sigs") && is_called("ima-setup"));
        assert!(!is_called("imactl") && !is_called("/usr/bin/ima-setup.sh") && script(None).is_none());
    }
}
