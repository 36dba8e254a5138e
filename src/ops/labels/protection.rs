//! What EVM lets nobody write, found out before it is tried: each refused try is a record of the audit.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::evm::{Evm, Refusal, UNPROTECTED};
use crate::model::report::Problem;
use crate::sys::file::OpenFile;
use crate::sys::{kernel, securityfs};

/// EVM's part in a run, shared by its threads.
#[derive(Debug, Default)]
pub(super) struct Protection {
    refusal: Option<Refusal>,
    /// Files that got no label for it.
    files: AtomicU64,
}

impl Protection {
    /// EVM as it is set up in the running kernel, which protects the files of other roots as well.
    pub(super) fn of_running_kernel() -> Self {
        let Ok(Some(bits)) = securityfs::evm() else { return Self::default() };
        if bits == 0 {
            return Self::default();
        }
        let fix = kernel::command_line().is_ok_and(|parameters| Evm::is_fix(&parameters));
        let evm = Evm { bits, locked: securityfs::evm_is_locked(), fix };
        Self { refusal: evm.refusal(), files: AtomicU64::new(0) }
    }

    /// Why this file's label cannot be written. What cannot be found out is tried.
    pub(super) fn refuses(&self, file: &OpenFile) -> Option<&'static str> {
        let refusal = self.refusal?;
        if file.fs_magic().is_ok_and(|magic| UNPROTECTED.contains(&magic)) || file.evm().ok()?.is_some() {
            return None;
        }
        self.files.fetch_add(1, Ordering::Relaxed);
        Some(refusal.reason())
    }

    /// What is said once of all such files.
    pub(super) fn into_problem(self) -> Option<Problem> {
        let (refusal, files) = (self.refusal?, self.files.into_inner());
        let what = format!("labels of {files} files were not written: {}", refusal.reason());
        (files > 0).then(|| Problem::new(what, refusal.remedy()))
    }
}
