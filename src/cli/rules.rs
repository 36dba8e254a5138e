//! The rules that a verb judges by: a named policy's, a file's, or those in force.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use super::exit::Failure;
use super::target::Target;
use crate::model::policy::profile::KernelProfile;
use crate::model::report::Problem;
use crate::ops::in_force::{self, InForce};
use crate::ops::{policy_files, profile};
use crate::sys::root::Root;

/// The kernel that is asked about: of a root's kernels the first.
pub(super) fn profile(target: &Target) -> (KernelProfile, Vec<Problem>) {
    if target.root.is_running() {
        let (kernel, problems) = profile::running(&target.root);
        (kernel.profile, problems)
    } else {
        let (kernels, problems) = profile::of_root(&target.root);
        (kernels.into_iter().next().map(|kernel| kernel.profile).unwrap_or_default(), problems)
    }
}

/// A policy's name, or a file's path.
pub(super) fn named_or_file(root: &Root, policy: &Path) -> Result<PathBuf, Failure> {
    use std::os::unix::ffi::OsStrExt;
    if !policy.as_os_str().as_bytes().contains(&b'/') {
        let named =
            policy_files::named(root, None).map_err(|error| Failure::system(error.to_string(), "run it as root"))?;
        if let Some(found) = named.iter().find(|named| policy == Path::new(&named.name)) {
            return Ok(PathBuf::from(&found.path));
        }
    }
    Ok(policy.to_owned())
}

/// The rules of a policy that somebody names, as if it were loaded first.
pub(super) fn named(target: &Target, policy: &Path, profile: &KernelProfile) -> Result<InForce, Failure> {
    let path = named_or_file(&target.root, policy)?;
    let name = path.display().to_string();
    let bytes = policy_files::read(&target.root, &path)
        .map_err(|error| Failure::input(format!("{name}: {error}"), "imactl policy list"))?;
    let (boot, problems) = if target.root.is_running() { in_force::boot() } else { Default::default() };
    let found = in_force::of_file(&name, &bytes, &boot, profile)
        .map_err(|problem| Failure::input(problem.what, problem.next))?;
    Ok(InForce { problems, ..found })
}
