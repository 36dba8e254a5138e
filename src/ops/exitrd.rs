//! The shutdown out of an unpacked initramfs (systemd calls it exitrd), labelled.
//!
//! Where the root's storage has to be taken apart, dracut unpacks the initramfs into `/run/initramfs` at shutdown
//! (`dracut-initramfs-restore`), and `systemd-shutdown` makes that its root and executes `/shutdown` there. No archive carries
//! `security.ima`, so a policy that does not exempt tmpfs denies every program. All of them are copies of packaged files:
//! each gets the label that its package brings for the same bytes.
//!
//! What would be denied nevertheless must not be begun: PID 1 dies of a denied library, and a script without `reboot` ends in
//! a shell that nobody sits before. Without `/run/initramfs/shutdown` systemd ends the system by itself.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, OFlags};

use super::guard::{self, Case, Depth, Refused};
use super::labels::RunError;
use super::predict::usual_way;
use super::{in_force, profile};
use crate::model::algo::HashAlgo;
use crate::model::config::Config;
use crate::model::label::Label;
use crate::model::plan::Content as _;
use crate::model::policy::steps::Way;
use crate::model::report::{Exitrd, Problem, VERSION};
use crate::model::rpm::Header;
use crate::model::verify::{Trust, Verdict};
use crate::sys::file::{Identity, OpenFile};
use crate::sys::kept;
use crate::sys::root::Root;
use crate::sys::rpmdb::Database;

/// Where the initramfs is unpacked, and where systemd looks.
pub const FOLDER: &str = "/run/initramfs";
/// What systemd executes there (`shutdown.c`), seen from the folder.
const START: &str = "/shutdown";
/// Its name until everything is labelled: whatever ends the work before, systemd then finds nothing to execute.
const ASIDE: &str = "/shutdown.imad";
/// What dracut's script executes on its way to the machine's end (`99shutdown/shutdown.sh`); what an image lacks is not
/// asked about.
const PROGRAMS: [&str; 12] =
    ["sh", "mount", "umount", "losetup", "stat", "sleep", "timeout", "mkdir", "rm", "reboot", "poweroff", "halt"];
/// The script's PATH.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Labels what is unpacked, and takes `shutdown` away where the policy in force would deny it on its way. Where nothing is
/// unpacked, nothing is done.
pub fn prepare(root: &Root, config: &Config, trust: &Trust) -> Result<Exitrd, RunError> {
    let mut report = Exitrd { version: VERSION, ..Exitrd::default() };
    let start = format!("{FOLDER}{START}");
    if !root.exists(&start) {
        return Ok(report);
    }
    report.unpacked = true;
    let place = match Root::open(&root.path().join(FOLDER.trim_start_matches('/'))) {
        Ok(place) => place,
        Err(error) => {
            report.problems.push(Problem::new(format!("{FOLDER}: {error}"), format!("ls -ld {FOLDER}")));
            return Ok(report);
        }
    };
    if let Err(error) = rename(&place, START, ASIDE) {
        report.problems.push(Problem::new(format!("{start} cannot be put aside: {error}"), format!("rm {start}")));
        return Ok(report);
    }
    let labelled = label(root, &place, trust, &mut report);
    let refusal = refusal(root, config, trust, &place);
    let ended = if refusal.is_none() {
        rename(&place, ASIDE, START)
    } else {
        kept::remove(root, &format!("{FOLDER}{ASIDE}")).map(drop)
    };
    report.kept = refusal.is_none() && ended.is_ok();
    report.problems.extend(refusal);
    if let Err(error) = ended {
        let what = format!("{FOLDER}{ASIDE} cannot be renamed or removed: {error}");
        report.problems.push(Problem::new(what, format!("ls -l {FOLDER}")));
    }
    labelled.map(|()| report)
}

fn rename(place: &Root, from: &str, to: &str) -> std::io::Result<()> {
    let folder = place.open_dir("/")?;
    let name = |path: &str| path.trim_start_matches('/').to_owned();
    Ok(rustix::fs::renameat(&folder, name(from), &folder, name(to))?)
}

/// Why the policy would not let the shutdown come to its end; `None` where it would.
fn refusal(root: &Root, config: &Config, trust: &Trust, place: &Root) -> Option<Problem> {
    let kernel = profile::running(root).0.profile;
    let rules = match in_force::of_root(root, config, &kernel) {
        Ok(found) => found.rules,
        Err(problem) => return Some(problem),
    };
    let found = |name: &&str| FOLDERS.iter().map(|folder| format!("{folder}/{name}")).find(|path| place.exists(path));
    let programs: Vec<String> = std::iter::once(ASIDE.to_owned()).chain(PROGRAMS.iter().filter_map(found)).collect();
    let programs: Vec<&str> = programs.iter().map(String::as_str).collect();
    let case = Case {
        root: place,
        manifest: None,
        trust,
        kernel: &kernel,
        rules: &rules,
        initramfs: 0,
        depth: Depth::Content,
    };
    let Refused { path, why, .. } = guard::check_programs(&case, &programs).refused.into_iter().next()?;
    let path = format!("{FOLDER}{}", String::from_utf8_lossy(&path));
    Some(Problem::new(format!("{path}: {why}"), "build the images anew: dracut --force --regenerate-all"))
}

/// A program or library that was unpacked.
struct Copy {
    path: Vec<u8>,
    identity: Identity,
    labelled: bool,
}

/// Gives each program and library the label of a packaged file with the same content.
fn label(root: &Root, place: &Root, trust: &Trust, report: &mut Exitrd) -> Result<(), RunError> {
    let mut copies = copies(place, report);
    report.files = copies.len() as u64;
    let database = Database::open(root)?;
    let mut by_digest: HashMap<HashAlgo, HashMap<Vec<u8>, Vec<usize>>> = HashMap::new();
    let (mut blob, mut digest, mut signature) = (Vec::new(), Vec::new(), Vec::new());
    for number in database.numbers()? {
        // A package that went away since has no copies that are still wanted.
        if !database.read(number, &mut blob)? {
            continue;
        }
        let told = |error: &dyn std::fmt::Display| {
            let what = format!("{}: header {number}: {error}", database.path());
            Problem::new(what, "rpmdb --verifydb; rpmdb --rebuilddb")
        };
        let files = match Header::parse(&blob).and_then(|header| header.files()) {
            Ok(files) => files,
            Err(error) => {
                report.problems.push(told(&error));
                continue;
            }
        };
        for file in &files {
            let found =
                file.and_then(|file| Ok((file.digest_into(&mut digest)?, file.signature_into(&mut signature)?)));
            let algo = match found {
                Ok((Some(algo), true)) => algo,
                Ok(_) => continue,
                Err(error) => {
                    report.problems.push(told(&error));
                    break;
                }
            };
            let known = by_digest.entry(algo).or_insert_with(|| digests(place, &copies, algo, &mut report.problems));
            for &at in known.get(&digest).into_iter().flatten() {
                let Some(copy) = copies.get_mut(at).filter(|copy| !copy.labelled) else { continue };
                if verifies(trust, algo, &digest, &signature) {
                    copy.labelled = write(place, copy, &signature, &mut report.problems);
                    report.labelled += u64::from(copy.labelled);
                }
            }
        }
    }
    Ok(())
}

/// Every program and library of the folder.
fn copies(place: &Root, report: &mut Exitrd) -> Vec<Copy> {
    let mut found = Vec::new();
    let mut folders = vec![Vec::new()];
    while let Some(folder) = folders.pop() {
        let names = std::str::from_utf8(&folder).map_err(|_| std::io::Error::other("not UTF-8"));
        let names = match names.and_then(|folder| place.list(if folder.is_empty() { "/" } else { folder })) {
            Ok(names) => names,
            Err(error) => {
                report.problems.push(of_copy(&folder, &error));
                continue;
            }
        };
        for name in names {
            let path = [&folder[..], b"/", name.as_os_str().as_bytes()].concat();
            let stat =
                place.open_with(&path, OFlags::PATH | OFlags::NOFOLLOW).and_then(|fd| Ok(rustix::fs::fstat(fd)?));
            match stat.map(|stat| (FileType::from_raw_mode(stat.st_mode), stat.st_mode & 0o111 != 0)) {
                Ok((FileType::Directory, _)) => folders.push(path),
                Ok((FileType::RegularFile, is_executable)) => {
                    if matches!(usual_way(is_executable, &path), Way::Exec | Way::Mmap) {
                        match OpenFile::open(place, &path) {
                            Ok(file) => found.push(Copy { path, identity: *file.opened(), labelled: false }),
                            Err(error) => report.problems.push(of_copy(&path, &error)),
                        }
                    }
                }
                Ok(_) => {}
                Err(error) => report.problems.push(of_copy(&path, &error)),
            }
        }
    }
    found
}

/// The copies by their digests.
fn digests(place: &Root, copies: &[Copy], algo: HashAlgo, problems: &mut Vec<Problem>) -> HashMap<Vec<u8>, Vec<usize>> {
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for (at, copy) in copies.iter().enumerate() {
        let digest =
            OpenFile::open(place, &copy.path).map_err(|error| error.to_string()).and_then(|mut file| file.digest(algo));
        match digest {
            Ok(digest) => found.entry(digest).or_default().push(at),
            Err(error) => problems.push(of_copy(&copy.path, &error)),
        }
    }
    found
}

/// Whether a package's label is a signature over this digest by a key that counts.
fn verifies(trust: &Trust, algo: HashAlgo, digest: &[u8], label: &[u8]) -> bool {
    match Label::parse(label) {
        Ok(Label::Signature(signature)) if signature.hash_algo() == Some(algo) => {
            trust.verify(&signature, digest) == Verdict::Good
        }
        _ => false,
    }
}

/// Writes a label, if the file is still the one that was hashed.
fn write(place: &Root, copy: &Copy, label: &[u8], problems: &mut Vec<Problem>) -> bool {
    let written = OpenFile::open(place, &copy.path).map_err(|error| error.to_string()).and_then(|file| {
        if *file.opened() != copy.identity {
            return Err("it changed while it was looked at".to_owned());
        }
        file.set_label(label).map_err(|error| format!("writing the label failed: {error}"))
    });
    written.inspect_err(|error| problems.push(of_copy(&copy.path, error))).is_ok()
}

fn of_copy(path: &[u8], error: &dyn std::fmt::Display) -> Problem {
    let path = format!("{FOLDER}{}", String::from_utf8_lossy(path));
    Problem::new(format!("{path}: {error}"), format!("ls -l {path}"))
}
