//! Which events a rule matches, as far as its words alone tell (`ima_policy.c: ima_match_rules()`).
#![forbid(unsafe_code)]

use crate::model::policy::rule::{
    Action, Comparison, Func, IdCondition, LsmCondition, Mask, OwnerCondition, Rule, Text,
};

/// A file system of the kernel's own: it holds what the kernel says, and nobody can put a program there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelFs {
    /// Its type's name.
    pub name: &'static str,
    /// Its magic number.
    pub magic: u64,
    /// It holds regular files that are opened in the course of things.
    pub read: bool,
}

/// File systems of the kernel's own (`include/uapi/linux/magic.h`).
pub const KERNEL_FS: [KernelFs; 19] = [
    KernelFs { name: "proc", magic: 0x9fa0, read: true },
    KernelFs { name: "sysfs", magic: 0x6265_6572, read: true },
    KernelFs { name: "debugfs", magic: 0x6462_6720, read: true },
    KernelFs { name: "tracefs", magic: 0x7472_6163, read: true },
    KernelFs { name: "securityfs", magic: 0x7363_6673, read: true },
    KernelFs { name: "selinuxfs", magic: 0xf97c_ff8c, read: true },
    KernelFs { name: "smackfs", magic: 0x4341_5d53, read: true },
    KernelFs { name: "cgroup", magic: 0x0027_e0eb, read: true },
    KernelFs { name: "cgroup2", magic: 0x6367_7270, read: true },
    KernelFs { name: "nsfs", magic: 0x6e73_6673, read: true },
    KernelFs { name: "binfmt_misc", magic: 0x4249_4e4d, read: true },
    KernelFs { name: "configfs", magic: 0x6265_6570, read: true },
    KernelFs { name: "efivarfs", magic: 0xde5e_81e4, read: true },
    KernelFs { name: "pstore", magic: 0x6165_676c, read: true },
    KernelFs { name: "fusectl", magic: 0x6573_5543, read: true },
    KernelFs { name: "devpts", magic: 0x1cd1, read: false },
    KernelFs { name: "bpf", magic: 0xcafe_4a11, read: false },
    KernelFs { name: "mqueue", magic: 0x1980_0202, read: false },
    KernelFs { name: "autofs", magic: 0x0187, read: false },
];

/// `/tmp`, `/run`, `/dev/shm`, memfds.
pub const TMPFS: (&str, u64) = ("tmpfs", 0x0102_1994);
/// The initramfs, and what anybody mounts as ramfs.
pub const RAMFS: (&str, u64) = ("ramfs", 0x8584_58f6);
/// The type of the initramfs's file system; nobody can mount another.
pub const ROOTFS: &str = "rootfs";
/// Other file systems whose rules are mostly written by magic number.
const OTHER_FS: [(&str, u64); 10] = [
    ("overlay", 0x794c_7630),
    ("fuse", 0x6573_5546),
    ("hugetlbfs", 0x9584_58f6),
    ("squashfs", 0x7371_7368),
    ("erofs", 0xe0f5_e1e2),
    ("vfat", 0x4d44),
    ("iso9660", 0x9660),
    ("nfs", 0x6969),
    ("9p", 0x0102_1997),
    ("btrfs", 0x9123_683e),
];

/// The magic number of the file systems with this type, where all of them have one.
fn magic(name: &[u8]) -> Option<u64> {
    let kernel = KERNEL_FS.iter().map(|fs| (fs.name, fs.magic));
    kernel.chain([TMPFS, RAMFS]).chain(OTHER_FS).find(|(known, _)| known.as_bytes() == name).map(|(_, magic)| magic)
}

/// Where a rule's file system conditions confine it to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere.
    Anywhere,
    /// A file system of the kernel's own.
    Kernel,
    /// The initramfs.
    Initramfs,
    /// Another kind of file system, by the name that a person knows it by.
    Kind(String),
    /// One file system, or one subtype.
    One,
}

/// Where a rule's file system conditions confine it to.
pub(super) fn place(rule: &Rule) -> Place {
    if rule.fsuuid.is_some() || rule.fs_subtype.is_some() {
        return Place::One;
    }
    match (rule.fsname.as_deref(), rule.fsmagic) {
        (Some(name), _) if name == ROOTFS.as_bytes() => Place::Initramfs,
        (Some(name), _) if KERNEL_FS.iter().any(|fs| fs.name.as_bytes() == name) => Place::Kernel,
        (Some(name), _) => Place::Kind(String::from_utf8_lossy(name).into_owned()),
        (None, Some(magic)) if KERNEL_FS.iter().any(|fs| fs.magic == magic) => Place::Kernel,
        (None, Some(magic)) => {
            let known = [TMPFS, RAMFS].into_iter().chain(OTHER_FS).find(|&(_, known)| known == magic);
            Place::Kind(known.map_or_else(|| format!("{magic:#x}"), |(name, _)| name.to_owned()))
        }
        (None, None) => Place::Anywhere,
    }
}

/// What an action is about: `X` and `dont_X` are of one class, and the first that matches decides it.
pub(super) const fn class(action: Action) -> Action {
    match action {
        Action::Measure | Action::DontMeasure => Action::Measure,
        Action::Appraise | Action::DontAppraise => Action::Appraise,
        Action::Audit | Action::DontAudit => Action::Audit,
        Action::Hash | Action::DontHash => Action::Hash,
    }
}

/// The class of an exemption.
pub(super) const fn exempts(action: Action) -> Option<Action> {
    match action {
        Action::DontMeasure | Action::DontAppraise | Action::DontAudit | Action::DontHash => Some(class(action)),
        Action::Measure | Action::Appraise | Action::Audit | Action::Hash => None,
    }
}

/// The access with which a hook asks; `None` where it differs, or where rules have no `mask=`.
pub(super) const fn access(func: Func) -> Option<Mask> {
    match func {
        Func::BprmCheck | Func::CredsCheck | Func::MmapCheck | Func::MmapCheckReqprot => Some(Mask::Exec),
        Func::ModuleCheck
        | Func::FirmwareCheck
        | Func::KexecKernelCheck
        | Func::KexecInitramfsCheck
        | Func::PolicyCheck => Some(Mask::Read),
        Func::FileCheck | Func::KexecCmdline | Func::KeyCheck | Func::CriticalData | Func::SetxattrCheck => None,
    }
}

/// Hooks by which a program or library comes to run.
pub(super) const CODE: [Func; 4] = [Func::BprmCheck, Func::CredsCheck, Func::MmapCheck, Func::MmapCheckReqprot];

/// The rule as it is for one of the hooks that it matches.
pub(super) fn at(rule: &Rule, func: Func) -> Rule {
    Rule { func: Some(func), ..rule.clone() }
}

/// The rule matches this hook, with whatever access the hook asks.
pub(super) fn matches_hook(rule: &Rule, func: Func) -> bool {
    let reached = match rule.func {
        Some(own) => own == func,
        None => !matches!(func, Func::KeyCheck | Func::CriticalData | Func::SetxattrCheck),
    };
    reached && !matches_nothing(&at(rule, func))
}

/// No event fits the rule: its hook never asks for its access, or no id is that small or large.
pub(super) fn matches_nothing(rule: &Rule) -> bool {
    let wrong_access = match (rule.func.and_then(access), rule.mask) {
        (Some(access), Some(mask)) => access != mask.mask,
        _ => false,
    };
    let empty = |range: Option<Range>| range.is_some_and(Range::is_empty);
    wrong_access
        || rule.is_void()
        || empty(rule.uid.map(|id| range(id.comparison, id.id)))
        || empty(rule.gid.filter(|_| !is_data(rule.func)).map(|id| range(id.comparison, id.id)))
        || empty(rule.fowner.map(|id| range(id.comparison, id.id)))
        || empty(rule.fgroup.map(|id| range(id.comparison, id.id)))
}

/// A hook on data: only `uid` and the list of names are looked at.
fn is_data(func: Option<Func>) -> bool {
    matches!(func, Some(Func::KeyCheck | Func::CriticalData))
}

/// The ids that a comparison takes, ends included.
#[derive(Clone, Copy)]
struct Range(u64, u64);

impl Range {
    const fn is_empty(self) -> bool {
        self.0 > self.1
    }

    const fn holds(self, other: Self) -> bool {
        self.0 <= other.0 && other.1 <= self.1
    }

    const fn meets(self, other: Self) -> bool {
        self.0 <= other.1 && other.0 <= self.1
    }
}

fn range(comparison: Comparison, id: u32) -> Range {
    let id = u64::from(id);
    match comparison {
        Comparison::Equal => Range(id, id),
        Comparison::Greater => Range(id + 1, u64::from(u32::MAX) - 1),
        Comparison::Less if id == 0 => Range(1, 0),
        Comparison::Less => Range(0, id - 1),
    }
}

/// Every event that `b` matches, `a` matches.
pub(super) fn covers(a: &Rule, b: &Rule) -> bool {
    // Most pairs of rules differ in their hooks.
    if a.func.is_some() && a.func != b.func {
        return false;
    }
    if a.is_void() || b.func == Some(Func::SetxattrCheck) {
        return false;
    }
    if let (true, Some(func)) = (is_data(b.func), b.func) {
        let lists = |rule: &Rule| if func == Func::KeyCheck { rule.keyrings.clone() } else { rule.label.clone() };
        return a.func == b.func && list_covers(lists(a), lists(b)) && id_covers(a.uid, b.uid);
    }
    id_covers(a.uid, b.uid)
        && mask_covers(a, b)
        && fs_covers(a, b)
        && id_covers(a.gid, b.gid)
        && owner_covers(a.fowner, b.fowner)
        && owner_covers(a.fgroup, b.fgroup)
        && a.lsm.iter().all(|condition| b.lsm.contains(condition))
}

fn list_covers(a: Option<Vec<Text>>, b: Option<Vec<Text>>) -> bool {
    a.is_none_or(|a| b.is_some_and(|b| b.iter().all(|item| a.contains(item))))
}

fn mask_covers(a: &Rule, b: &Rule) -> bool {
    let Some(mask) = a.mask else { return true };
    if let Some(access) = b.func.and_then(access) {
        return mask.mask == access;
    }
    b.mask.is_some_and(|other| other.mask == mask.mask && (mask.among || !other.among))
}

fn fs_covers(a: &Rule, b: &Rule) -> bool {
    let name = match (&a.fsname, &b.fsname) {
        (None, _) => true,
        (Some(a), Some(b)) => a == b,
        // The kernel's own file systems have a magic number each.
        (Some(a), None) => KERNEL_FS.iter().any(|fs| fs.name.as_bytes() == a.as_slice() && Some(fs.magic) == b.fsmagic),
    };
    let number = match (a.fsmagic, b.fsmagic) {
        (None, _) => true,
        (Some(a), Some(b)) => a == b,
        (Some(a), None) => b.fsname.as_deref().and_then(magic) == Some(a),
    };
    name && number
        && (a.fs_subtype.is_none() || a.fs_subtype == b.fs_subtype)
        && (a.fsuuid.is_none() || a.fsuuid == b.fsuuid)
}

fn id_covers(a: Option<IdCondition>, b: Option<IdCondition>) -> bool {
    let Some(a) = a else { return true };
    b.is_some_and(|b| a.effective == b.effective && range(a.comparison, a.id).holds(range(b.comparison, b.id)))
}

fn owner_covers(a: Option<OwnerCondition>, b: Option<OwnerCondition>) -> bool {
    let Some(a) = a else { return true };
    b.is_some_and(|b| range(a.comparison, a.id).holds(range(b.comparison, b.id)))
}

/// Some event may match both. Said too often rather than too seldom.
pub(super) fn meets(a: &Rule, b: &Rule) -> bool {
    if matches_nothing(a) || matches_nothing(b) {
        return false;
    }
    let hooks = match (a.func, b.func) {
        (Some(a), Some(b)) => a == b,
        (Some(func), None) => matches_hook(b, func),
        (None, Some(func)) => matches_hook(a, func),
        (None, None) => true,
    };
    let masks = match (a.mask, b.mask) {
        (Some(a), Some(b)) => a.among || b.among || a.mask == b.mask,
        _ => true,
    };
    let ids = |a: Option<IdCondition>, b: Option<IdCondition>| match (a, b) {
        (Some(a), Some(b)) if a.effective == b.effective => {
            a.effective || range(a.comparison, a.id).meets(range(b.comparison, b.id))
        }
        _ => true,
    };
    hooks && masks && ids(a.uid, b.uid) && ids(a.gid, b.gid) && files_meet(a, b) && lsm_meets(&a.lsm, &b.lsm)
}

/// Some file may be of both rules.
pub(super) fn files_meet(a: &Rule, b: &Rule) -> bool {
    fn same<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
        a.is_none() || b.is_none() || a == b
    }
    let owners = |a: Option<OwnerCondition>, b: Option<OwnerCondition>| match (a, b) {
        (Some(a), Some(b)) => range(a.comparison, a.id).meets(range(b.comparison, b.id)),
        _ => true,
    };
    let magics = |rule: &Rule| rule.fsmagic.or_else(|| rule.fsname.as_deref().and_then(magic));
    same(a.fsname.as_ref(), b.fsname.as_ref())
        && same(magics(a).as_ref(), magics(b).as_ref())
        && same(a.fs_subtype.as_ref(), b.fs_subtype.as_ref())
        && same(a.fsuuid.as_ref(), b.fsuuid.as_ref())
        && owners(a.fowner, b.fowner)
        && owners(a.fgroup, b.fgroup)
}

fn lsm_meets(a: &[LsmCondition], b: &[LsmCondition]) -> bool {
    a.iter().all(|a| b.iter().all(|b| a.field != b.field || a.value == b.value))
}

/// The rule, as far as it is about the files of the initramfs, which are root's and are used by root; `None` where its
/// conditions leave these out. Labels of security modules are not known there.
pub(super) fn in_initramfs(rule: &Rule) -> Option<Rule> {
    let zero = |comparison: Comparison, id: u32| comparison.holds(0, id);
    let root = rule.uid.is_none_or(|id| zero(id.comparison, id.id))
        && rule.gid.is_none_or(|id| zero(id.comparison, id.id))
        && rule.fowner.is_none_or(|id| zero(id.comparison, id.id))
        && rule.fgroup.is_none_or(|id| zero(id.comparison, id.id));
    let there = place(rule) == Place::Initramfs
        || place(rule) == Place::Anywhere
        || (rule.fsname.is_none() && rule.fsmagic == Some(RAMFS.1) && rule.fsuuid.is_none());
    (root && there && rule.lsm.is_empty()).then(|| Rule {
        fsname: Some(ROOTFS.into()),
        fsmagic: Some(RAMFS.1),
        ..rule.clone()
    })
}
