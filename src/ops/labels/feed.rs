//! The reader of a run: takes the packages out of the database and hands their files out.
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};

use super::collected::Collected;
use super::selection::Picked;
use super::worker::Batch;
use super::{Progress, Request, RunError, judge_file};
use crate::model::report::Problem;
use crate::model::rpm::{Package, PackagedFile};
use crate::sys::rpmdb::Database;

/// Files handed to a worker at a time: small enough to spread one large package over all cores.
const BATCH: usize = 32;

/// Reads the packages with these numbers and hands their files out; the workers end when the sender is dropped here.
#[expect(clippy::needless_pass_by_value, reason = "dropping the sender ends the workers")]
pub(super) fn feed(
    database: &Database,
    request: &Request<'_>,
    numbers: &[i64],
    sender: SyncSender<Batch>,
    collected: &Mutex<Collected>,
    progress: &Progress,
) -> Result<(), RunError> {
    let mut picked = Picked::new(request.selection, request.root);
    for &number in numbers {
        if progress.is_canceled() {
            return Ok(());
        }
        // A package that went away since its number was read has no files to label.
        let Some(blob) = database.header(number)? else { continue };
        let package = match Package::parse(&blob) {
            Ok(package) => package,
            Err(error) => {
                let what = format!("{}: header {number}: {error}", database.path());
                Collected::problem(collected, Problem::new(what, "rpmdb --verifydb; rpmdb --rebuilddb"));
                continue;
            }
        };
        let Package { name, nevra, files, .. } = package;
        let mut files: Vec<PackagedFile> = files
            .into_iter()
            .filter(|file| file.is_regular() && file.is_installed() && picked.pick(request.root, file))
            .collect();
        if files.is_empty() && !picked.is_every() {
            continue;
        }
        progress.total.fetch_add(files.len() as u64, Ordering::Relaxed);
        let place = Collected::package(collected, number, &name, &nevra);
        let (name, nevra): (Arc<str>, Arc<str>) = (name.into(), nevra.into());
        while !files.is_empty() {
            let rest = files.split_off(files.len().min(BATCH));
            let batch = std::mem::replace(&mut files, rest);
            let batch = Batch { place, package: nevra.clone(), name: name.clone(), files: batch };
            if sender.send(batch).is_err() {
                return Ok(());
            }
        }
    }
    for path in picked.without_owner() {
        let done = judge_file(request, &path);
        Collected::file(collected, &path, &done, None, true);
    }
    Ok(())
}
