//! Whether a boot comes through under a policy: each use that it makes of a file, and of the file systems that hold no labels,
//! put to the rules before the kernel has them.
//!
//! Rules cannot be taken back (`ima_policy.c: ima_update_policy()`), and what they deny to PID 1, to the loader or to the
//! shell stops the machine; so the answer comes first.
#![forbid(unsafe_code)]

use super::manifest::{Use, Uses};
use super::policy::cause::Cause;
use super::policy::decide::Class;
use super::policy::effective::Effective;
use super::policy::event::{Event, File, FileSystem, Target};
use super::policy::inode::Inode;
use super::policy::lint::{KERNEL_FS, RAMFS, ROOTFS, TMPFS};
use super::policy::profile::KernelProfile;
use super::policy::steps::{Actors, Way, of_part, of_way};
use super::policy::verdict::{VerdictProfile, judge};
use super::program::Role;

/// A denial that the boot would meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// Which use.
    pub one: Use,
    /// To which user.
    pub uid: u32,
    /// Why.
    pub cause: Cause,
    /// The rule, by its number among the effective ones.
    pub rule: Option<usize>,
}

/// What a verdict depends on beside the file.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// What the kernel's configuration makes of verdicts.
    pub kernel: &'a VerdictProfile,
    /// The rules as they will be in force.
    pub rules: &'a Effective,
    /// See [`KernelProfile::creds_check_sees_new_ids`](super::policy::profile::KernelProfile).
    pub creds_check_sees_new_ids: bool,
}

/// Root, and a user who is nobody in particular.
const USERS: [u32; 2] = [0, 65534];

impl<'a> Judge<'a> {
    /// By what is known of a kernel.
    pub const fn new(kernel: &'a KernelProfile, rules: &'a Effective) -> Self {
        Self { kernel: &kernel.verdicts, rules, creds_check_sees_new_ids: kernel.creds_check_sees_new_ids }
    }
}

impl Judge<'_> {
    /// The first of these uses of a file that is denied. What the kernel only records (`ima_appraise=log`) is not.
    /// Programs and what they pull in are used by every user; modules, firmware and what is read, by root.
    pub fn denial(&self, file: &File, uses: Uses) -> Option<Denial> {
        let everybody = |one| !matches!(one, Use::Module | Use::Firmware | Use::Read);
        let asked = uses.iter().flat_map(|one| USERS.map(|uid| (one, uid)));
        asked.filter(|&(one, uid)| uid == 0 || everybody(one)).find_map(|(one, uid)| self.ask(file, one, uid))
    }

    /// Whether the kernel does not take this file for a policy, where the judge's rules are those that are in force before the
    /// load (`ima_fs.c: ima_read_policy()`, hook `POLICY_CHECK`).
    pub fn policy_denial(&self, file: &File) -> Option<Denial> {
        let actors = Actors::of_user(0, 0, None, None, self.creds_check_sees_new_ids);
        let denied = self.put(file, &of_way(Way::Policy, &actors));
        denied.map(|(cause, rule)| Denial { one: Use::Read, uid: 0, cause, rule })
    }

    fn ask(&self, file: &File, one: Use, uid: u32) -> Option<Denial> {
        let actors = Actors::of_user(uid, uid, None, None, self.creds_check_sees_new_ids);
        self.put(file, &events(one, &actors)).map(|(cause, rule)| Denial { one, uid, cause, rule })
    }

    fn put(&self, file: &File, events: &[Event<'_>]) -> Option<(Cause, Option<usize>)> {
        let mut inode = Inode::default();
        events.iter().find_map(|event| {
            let verdict = judge(self.kernel, self.rules, event, file, &mut inode);
            let rule = verdict.decision.decided(Class::Appraise).map(|decided| decided.rule);
            verdict.cause.filter(|_| !verdict.allowed).map(|cause| (cause, rule))
        })
    }

    /// Whether programs without a label are denied on a file system of this type.
    pub fn denies_programs_on(&self, name: &str, magic: u64) -> bool {
        self.denial(&unlabelled(name, magic, true), Use::Program.into()).is_some()
    }

    /// What is denied of the places that hold no labels and without which nothing goes on: the initramfs, whose programs
    /// run on until the switch to the real root, with this magic number (ramfs, or tmpfs where the command line names no
    /// root: `init/do_mounts.c: init_rootfs()`); the kernel's own file systems; `/run`.
    pub fn surroundings(&self, initramfs: u64) -> Vec<(&'static str, Denial)> {
        let mut found = Vec::new();
        let mut look = |name, file: &File, uses: Uses| {
            if let Some(denial) = self.denial(file, uses) {
                found.push((name, denial));
            }
        };
        let program = Uses::from(Use::Program).with(Use::Library).with(Use::Read);
        look("the initramfs", &unlabelled(ROOTFS, initramfs, initramfs == TMPFS.1), program);
        for fs in KERNEL_FS.iter().filter(|fs| NEEDED.contains(&fs.name)) {
            look(fs.name, &unlabelled(fs.name, fs.magic, false), Use::Read.into());
        }
        look("/run", &unlabelled(TMPFS.0, TMPFS.1, true), Use::Read.into());
        for fs in KERNEL_FS.iter().filter(|fs| WRITTEN.contains(&fs.name)) {
            let actors = Actors::of_user(0, 0, None, None, self.creds_check_sees_new_ids);
            let denied = self.put(&unlabelled(fs.name, fs.magic, false), &of_way(Way::Write, &actors));
            let denial = denied.map(|(cause, rule)| Denial { one: Use::Read, uid: 0, cause, rule });
            if let Some(denial) = denial.filter(|_| !found.iter().any(|(name, _)| *name == fs.name)) {
                found.push((fs.name, denial));
            }
        }
        found
    }
}

/// The magic number of the initramfs's file system under this command line.
pub fn initramfs_magic(has_root: bool) -> u64 {
    if has_root { RAMFS.1 } else { TMPFS.1 }
}

/// File systems of the kernel's without which PID 1 or a login does not go on.
const NEEDED: [&str; 5] = ["proc", "sysfs", "cgroup2", "cgroup", "selinuxfs"];
/// Those that PID 1 writes into for every service.
const WRITTEN: [&str; 3] = ["proc", "sysfs", "cgroup2"];

fn unlabelled(name: &str, magic: u64, xattrs: bool) -> File {
    let fs = FileSystem { magic, name: name.as_bytes().into(), xattrs, ..FileSystem::default() };
    File { target: Target { fs, ..Target::default() }, ..File::default() }
}

/// The questions about a use.
fn events(one: Use, actors: &Actors) -> Vec<Event<'_>> {
    match one {
        Use::Program => of_part(Role::Program, actors),
        Use::Script => of_part(Role::Script, actors),
        Use::Loader => of_part(Role::Loader, actors),
        Use::Library => of_part(Role::Library, actors),
        Use::Module => of_way(Way::Module, actors),
        Use::Firmware => of_way(Way::Firmware, actors),
        Use::Read => of_way(Way::Read, actors),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy::builtin::Boot;
    use crate::model::policy::event::{LabelRead, Signature};
    use crate::model::policy::parse::parse;

    fn rules(text: &str, command_line: &str) -> Effective {
        let profile = KernelProfile::default();
        let policy = parse(text.as_bytes(), &profile);
        assert!(policy.faults.is_empty(), "{:?}", policy.faults);
        let mut rules = Effective::at_boot(&Boot::from_command_line(command_line), &profile);
        rules.load("policy", &policy.rules).unwrap();
        rules
    }

    fn with<T>(rules: &Effective, ask: impl FnOnce(Judge<'_>) -> T) -> T {
        ask(Judge { kernel: &VerdictProfile::default(), rules, creds_check_sees_new_ids: true })
    }

    fn signed(signature: Signature) -> File {
        let file = unlabelled("ext4", 0xef53, true);
        File { label: LabelRead::Bytes([&[3, 2, 4, 1, 2, 3, 4, 0, 8][..], &[9; 8]].concat()), signature, ..file }
    }

    const CODE: &str = "dont_appraise fsname=rootfs\nappraise func=BPRM_CHECK appraise_type=imasig\n\
                        appraise func=MMAP_CHECK mask=MAY_EXEC appraise_type=imasig\n";

    #[test]
    fn a_use_is_denied_for_what_its_label_lacks() {
        let all = Use::ALL.into_iter().fold(Uses::default(), Uses::with);
        let code = rules(CODE, "");
        with(&code, |judge| {
            assert_eq!(judge.denial(&signed(Signature::Good), all), None);
            let denial = judge.denial(&signed(Signature::UnknownKey), all).unwrap();
            assert_eq!((denial.one, denial.uid, denial.rule), (Use::Program, 0, Some(1)));
            let unlabelled = unlabelled("ext4", 0xef53, true);
            assert_eq!(judge.denial(&unlabelled, Use::Library.into()).unwrap().rule, Some(2));
            for one in [Use::Module, Use::Firmware, Use::Read] {
                assert_eq!(judge.denial(&unlabelled, one.into()), None, "{one:?}");
            }
        });
        // A rule for others than root denies others than root.
        with(&rules("appraise func=BPRM_CHECK uid>0 appraise_type=imasig\n", ""), |judge| {
            assert_eq!(judge.denial(&signed(Signature::Bad), Use::Script.into()).unwrap().uid, 65534);
        });
        // Nothing is denied where the kernel only records.
        with(&rules(CODE, "ima_appraise=log"), |judge| {
            assert_eq!(judge.denial(&signed(Signature::Bad), all), None);
        });
    }

    /// As Secure Boot and `ima_policy=secure_boot` have it.
    #[test]
    fn a_policy_is_denied_where_earlier_rules_want_its_signature() {
        let signed_only = rules("appraise func=POLICY_CHECK appraise_type=imasig\n", "");
        with(&signed_only, |judge| {
            assert_eq!(judge.policy_denial(&signed(Signature::Good)), None);
            assert_eq!(judge.policy_denial(&signed(Signature::UnknownKey)).unwrap().rule, Some(0));
            assert!(judge.policy_denial(&unlabelled("ext4", 0xef53, true)).is_some());
        });
        with(&rules(CODE, ""), |judge| assert_eq!(judge.policy_denial(&unlabelled("ext4", 0xef53, true)), None));
    }

    #[test]
    fn what_holds_no_labels_has_to_be_exempt() {
        let names = |text: &str, magic| {
            with(&rules(text, ""), |judge| judge.surroundings(magic).iter().map(|(name, _)| *name).collect::<Vec<_>>())
        };
        assert_eq!(names(CODE, initramfs_magic(true)), [""; 0]);
        assert_eq!(names(CODE, initramfs_magic(false)), [""; 0]);
        assert_eq!(names("appraise func=BPRM_CHECK appraise_type=imasig\n", initramfs_magic(true)), ["the initramfs"]);
        let by_magic = "dont_appraise fsmagic=0x858458f6\nappraise func=BPRM_CHECK appraise_type=imasig\n";
        assert_eq!(names(by_magic, initramfs_magic(true)), [""; 0]);
        assert_eq!(names(by_magic, initramfs_magic(false)), ["the initramfs"]);
        let reads = "dont_appraise fsname=rootfs\nappraise func=FILE_CHECK appraise_type=imasig\n";
        assert_eq!(names(reads, initramfs_magic(true)), ["proc", "sysfs", "selinuxfs", "cgroup", "cgroup2", "/run"]);
        let writes = "dont_appraise fsname=rootfs\nappraise func=FILE_CHECK mask=MAY_WRITE fsname=cgroup2\n";
        assert_eq!(names(writes, initramfs_magic(true)), ["cgroup2"]);
    }
}
