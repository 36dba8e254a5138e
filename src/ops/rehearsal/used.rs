//! What the kernel told of in a rehearsal: the files that it measured, or recorded as denied.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::OFlags;

use crate::model::boot_files::measured::{self, Measured};
use crate::model::manifest::{Use, Uses};
use crate::model::policy::effective::Effective;
use crate::model::policy::rule::{Action, Func};
use crate::model::policy::steps::Way;
use crate::model::rehearsal::{RehearsalOutcome, RehearsalWay};
use crate::model::report::{BootReport, Problem};
use crate::ops::{predict, recorded};
use crate::sys::file::OpenFile;
use crate::sys::processes;
use crate::sys::root::Root;

/// The root, as the initramfs sees it: what was used before the switch is recorded so.
const SYSROOT: &[u8] = b"/sysroot";

/// What it told of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// Files that are still there, by their real paths.
    pub(super) files: BTreeSet<Vec<u8>>,
    /// Names of what is not, each with what is known of it.
    pub(super) gone: BTreeMap<Vec<u8>, Gone>,
    /// What kept it from being complete.
    pub(super) problems: Vec<Problem>,
}

/// What is known of a file that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gone {
    /// It was measured, with a signature, without, or it cannot be told.
    Measured(Option<bool>),
    /// The kernel would have denied it, for this cause.
    Denied(String),
}

impl Used {
    pub(super) fn gather(root: &Root, outcome: &RehearsalOutcome, boot: &BootReport) -> Self {
        match outcome.way {
            RehearsalWay::Nothing => Self::default(),
            RehearsalWay::Measure => {
                let list = processes::measurements();
                let before = usize::try_from(outcome.measured_before).unwrap_or(usize::MAX);
                match list {
                    Ok(list) => Self::of(root, measured::files(&list.unwrap_or_default(), before)),
                    Err(error) => {
                        let what = format!("the kernel's list of measurements cannot be read: {error}");
                        Self { problems: vec![Problem::new(what, "run it as root")], ..Self::default() }
                    }
                }
            }
            RehearsalWay::Log => {
                let mut notes = Vec::new();
                let since = boot.steps.iter().find(|step| step.name == "rehearsal").map_or(0, |step| step.begin_us);
                let denials = recorded::denials(root, since, &mut notes);
                let mut used = Self::default();
                for denial in denials {
                    used.add(root, &denial.path, Gone::Denied(denial.cause));
                }
                let unsure =
                    notes.into_iter().map(|what| Problem::new(what, "imactl check --next-boot tells the rest"));
                used.problems.extend(unsure);
                used
            }
        }
    }

    fn of(root: &Root, files: Vec<Measured>) -> Self {
        let mut used = Self::default();
        for file in files {
            used.add(root, &file.name, Gone::Measured(file.signed));
        }
        used
    }

    fn add(&mut self, root: &Root, name: &[u8], gone: Gone) {
        match real(root, name) {
            Some(path) => {
                self.files.insert(path);
            }
            None => {
                self.gone.insert(name.to_vec(), gone);
            }
        }
    }

    /// How many files it told of.
    pub(super) fn count(&self) -> u64 {
        (self.files.len() + self.gone.len()) as u64
    }
}

/// The file of a recorded name, if it is there: of the root that the initramfs was about to switch to too, and with blanks
/// where the list has `_`.
fn real(root: &Root, name: &[u8]) -> Option<Vec<u8>> {
    if !name.starts_with(b"/") {
        return None;
    }
    let of_sysroot = name.strip_prefix(SYSROOT).filter(|rest| rest.starts_with(b"/"));
    let blank = with_blanks(root, name);
    [Some(name), of_sysroot, blank.as_deref()].into_iter().flatten().find_map(|path| {
        let fd = root.open_with(path, OFlags::PATH).ok()?;
        let path = root.real_path(fd).ok()?;
        OpenFile::open(root, &path).is_ok_and(|file| file.identity().is_ok()).then_some(path)
    })
}

/// The one file of a folder that is called so but for blanks. Blanks in the folder's own path are not looked for.
fn with_blanks(root: &Root, path: &[u8]) -> Option<Vec<u8>> {
    let at = path.iter().rposition(|&byte| byte == b'/')?;
    let (folder, name) = (path.get(..at)?, path.get(at + 1..)?);
    if !name.contains(&b'_') {
        return None;
    }
    let listed = |byte: &u8| if *byte == b' ' { b'_' } else { *byte };
    let names = root.list(std::str::from_utf8(folder).ok()?).ok()?;
    let mut alike = names.iter().map(|found| found.as_os_str().as_bytes()).filter(|found| {
        *found != name && found.len() == name.len() && found.iter().map(listed).eq(name.iter().copied())
    });
    let found = alike.next()?;
    alike.next().is_none().then(|| [folder, b"/", found].concat())
}

/// What a measured file may have been used for, of which the list does not tell: what such a file is for. One that is for
/// being read, under a policy that looks at no reads, was mapped executable.
pub(super) fn uses(is_executable: bool, path: &[u8], rules: &Effective) -> Uses {
    let way = predict::usual_way(is_executable, path);
    let reads = appraising(rules).any(|func| matches!(func, None | Some(Func::FileCheck)));
    let usual = match way {
        Way::Module => Use::Module,
        Way::Firmware => Use::Firmware,
        Way::Exec => Use::Program,
        Way::Mmap => Use::Library,
        _ if reads => Use::Read,
        _ => Use::Library,
    };
    if reads { Uses::from(usual).with(Use::Read) } else { usual.into() }
}

fn appraising(rules: &Effective) -> impl Iterator<Item = Option<Func>> {
    let appraise = rules.rules().iter().filter(|effective| effective.rule.action == Action::Appraise);
    appraise.map(|effective| effective.rule.func).filter(|func| *func != Some(Func::SetxattrCheck))
}

/// Whether every rule that appraises wants a signature: then what had none would have been denied.
pub(super) fn wants_signatures(rules: &Effective) -> bool {
    let mut appraise = rules.rules().iter().map(|effective| &effective.rule);
    appraise
        .all(|rule| rule.action != Action::Appraise || rule.demands.signature || rule.func == Some(Func::SetxattrCheck))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy::parse::parse;
    use crate::model::policy::profile::KernelProfile;

    fn rules(text: &str) -> Effective {
        Effective::of_file("policy", &parse(text.as_bytes(), &KernelProfile::default()).rules)
    }

    #[test]
    fn names_of_the_list_are_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        std::fs::create_dir_all(dir.path().join("usr/bin")).unwrap();
        for name in ["usr/bin/a", "usr/bin/b c", "usr/bin/d_e", "usr/bin/d e"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        std::os::unix::fs::symlink("usr/bin", dir.path().join("bin")).unwrap();
        let measured = |name: &str, signed| Measured { name: name.as_bytes().to_vec(), signed: Some(signed) };
        let used = Used::of(
            &root,
            vec![
                measured("/sysroot/usr/bin/a", true),
                measured("/bin/a", true),
                measured("/usr/bin/b_c", true),
                measured("/usr/bin/d_e", true),
                measured("/usr/bin", true),
                measured("/tmp/gone", false),
                measured("memfd:x", false),
            ],
        );
        let files: Vec<_> = used.files.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
        assert_eq!(files, ["/usr/bin/a", "/usr/bin/b c", "/usr/bin/d_e"]);
        let gone: Vec<_> = used.gone.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(gone, ["/tmp/gone", "/usr/bin", "memfd:x"]);
        assert_eq!(used.gone[&b"memfd:x"[..]], Gone::Measured(Some(false)));
        assert_eq!(used.count(), 6);
    }

    #[test]
    fn a_file_is_asked_for_what_may_have_had_it_measured() {
        let code =
            rules("appraise func=BPRM_CHECK appraise_type=imasig\nappraise func=MMAP_CHECK appraise_type=imasig\n");
        let all = rules("appraise fowner=0\n");
        assert_eq!(uses(true, b"/usr/bin/x", &code), Use::Program.into());
        assert_eq!(uses(false, b"/usr/lib/x.so.1", &code), Use::Library.into());
        // Nothing but a mapping has this policy look at it.
        assert_eq!(uses(false, b"/usr/lib/plugin", &code), Use::Library.into());
        assert_eq!(uses(false, b"/etc/passwd", &all), Use::Read.into());
        assert_eq!(uses(true, b"/usr/bin/x", &all), Uses::from(Use::Program).with(Use::Read));
        assert_eq!(uses(false, b"/usr/lib/modules/6.12/x.ko.xz", &code), Use::Module.into());
        assert!(wants_signatures(&code) && !wants_signatures(&all));
    }
}
