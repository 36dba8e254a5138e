//! imactl under the names of the scripts that distributions ship in ima-evm-utils, with their flags and messages.
#![forbid(unsafe_code)]

mod add_sigs;
mod ima_setup;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use super::exit::{self, Answer, Failure};
use super::render;

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

/// Carries out what was asked for, or prints the usage where that was not understood.
fn carry_out<T>(asked: Option<T>, usage: &str, run: impl FnOnce(&T) -> Result<Answer, Failure>) -> ExitCode {
    let Some(asked) = asked else {
        return match render::print(usage) {
            Ok(()) => ExitCode::from(1),
            Err(failure) => exit::code(Err(failure)),
        };
    };
    match run(&asked) {
        Ok(answer) => exit::code(Ok(answer)),
        // The scripts know no other status.
        Err(failure) => {
            failure.say();
            ExitCode::from(1)
        }
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
