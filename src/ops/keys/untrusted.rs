//! `_ima`, on kernels without a trusted keyring. The kernel does not make it: it looks for it in the keyrings of the process
//! that verifies first, and keeps what it found until it is switched off (`digsig.c: integrity_keyring_from_id()`).
#![forbid(unsafe_code)]

use std::io::{self, Read};
use std::process::{Command, Stdio};

use rustix::fs::OFlags;

use super::UNTRUSTED_KEYRING;
use crate::model::program::Role;
use crate::model::report::Problem;
use crate::ops::loading::Linking;
use crate::sys::keyring::{self, Serial};
use crate::sys::root::Root;

/// Makes the keyring.
pub fn make() -> io::Result<Serial> {
    keyring::add_keyring(c"_ima")
}

/// Has the kernel find the keyring: the root's loader is read, mapped and executed by a process that has it, under a policy
/// that is loaded already. Other processes, whose sessions have other keyrings, would not find it and be denied.
pub fn prime(root: &Root) -> Result<(), Problem> {
    let problem =
        |what: String| Problem::new(what, "imad.policy=off on the kernel command line, and boot a kernel with .ima");
    let before = usage().map_err(|error| problem(format!("/proc/keys: {error}")))?;
    let tried = verify(root).map_err(|why| why.to_string());
    let after = usage().map_err(|error| problem(format!("/proc/keys: {error}")))?;
    if after > before {
        return Ok(());
    }
    let why = tried.err().unwrap_or_else(|| "the policy asks no label of the loader".to_owned());
    Err(problem(format!(
        "the kernel has not found the keyring {UNTRUSTED_KEYRING} yet, and may not find it later: {why}"
    )))
}

fn usage() -> io::Result<u64> {
    keyring::usage(UNTRUSTED_KEYRING)?.ok_or_else(|| io::Error::other(format!("{UNTRUSTED_KEYRING} is not there")))
}

fn verify(root: &Root) -> io::Result<()> {
    let parts = Linking::new(root, Vec::new()).execution(b"/bin/sh").parts;
    let loader = parts.iter().find(|part| part.role == Role::Loader);
    let loader = loader.ok_or_else(|| io::Error::other("/bin/sh has no loader"))?;
    let file = root.open_with(&loader.path, OFlags::PATH)?;
    let path = std::fs::read_link(Root::fd_path(&file))?;
    // A policy about files that are read asks here, one about programs below. The one may say no, the other not be asked.
    let read = std::fs::File::open(&path).and_then(|file| file.take(1).read_to_end(&mut Vec::new()));
    let quiet = || Stdio::null();
    let run = Command::new(&path).arg("--version").stdin(quiet()).stdout(quiet()).stderr(quiet()).status();
    run.and(read).map(drop)
}
