//! What one rule says (`struct ima_rule_entry`).
#![forbid(unsafe_code)]

/// Bytes as the kernel compares them: names and labels need not be UTF-8.
pub type Text = Vec<u8>;

/// What a rule does with what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Add to the measurement list.
    Measure,
    /// Do not, whatever later rules say.
    DontMeasure,
    /// Let through only with a good label.
    Appraise,
    /// Let through, whatever later rules say.
    DontAppraise,
    /// Write an audit record.
    Audit,
    /// Do not, whatever later rules say (Linux 6.19).
    DontAudit,
    /// Write a hash label at the last close.
    Hash,
    /// Do not, whatever later rules say.
    DontHash,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 8] = [
        Self::Measure,
        Self::DontMeasure,
        Self::Appraise,
        Self::DontAppraise,
        Self::Audit,
        Self::DontAudit,
        Self::Hash,
        Self::DontHash,
    ];

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Measure => "measure",
            Self::DontMeasure => "dont_measure",
            Self::Appraise => "appraise",
            Self::DontAppraise => "dont_appraise",
            Self::Audit => "audit",
            Self::DontAudit => "dont_audit",
            Self::Hash => "hash",
            Self::DontHash => "dont_hash",
        }
    }
}

/// The hook that a rule is for (`enum ima_hooks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Func {
    /// open(2), and kernel reads that have no hook of their own.
    FileCheck,
    /// Mapped executable, as the mapping turns out.
    MmapCheck,
    /// Mapped executable, as asked for.
    MmapCheckReqprot,
    /// execve(2), with the caller's credentials.
    BprmCheck,
    /// execve(2), with the new credentials.
    CredsCheck,
    /// Kernel modules.
    ModuleCheck,
    /// Firmware.
    FirmwareCheck,
    /// The kernel that kexec_file_load(2) loads.
    KexecKernelCheck,
    /// Its initramfs.
    KexecInitramfsCheck,
    /// A policy that is loaded by path.
    PolicyCheck,
    /// The command line of a kernel loaded by kexec.
    KexecCmdline,
    /// A key that comes into a keyring.
    KeyCheck,
    /// Data of the kernel's own.
    CriticalData,
    /// security.ima is written.
    SetxattrCheck,
}

impl Func {
    /// Every hook, under the name that the kernel prints.
    pub const ALL: [Self; 14] = [
        Self::FileCheck,
        Self::MmapCheck,
        Self::MmapCheckReqprot,
        Self::BprmCheck,
        Self::CredsCheck,
        Self::ModuleCheck,
        Self::FirmwareCheck,
        Self::KexecKernelCheck,
        Self::KexecInitramfsCheck,
        Self::PolicyCheck,
        Self::KexecCmdline,
        Self::KeyCheck,
        Self::CriticalData,
        Self::SetxattrCheck,
    ];

    /// Older names that the kernel still takes.
    pub const ALIASES: [(&'static str, Self); 2] = [("PATH_CHECK", Self::FileCheck), ("FILE_MMAP", Self::MmapCheck)];

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FileCheck => "FILE_CHECK",
            Self::MmapCheck => "MMAP_CHECK",
            Self::MmapCheckReqprot => "MMAP_CHECK_REQPROT",
            Self::BprmCheck => "BPRM_CHECK",
            Self::CredsCheck => "CREDS_CHECK",
            Self::ModuleCheck => "MODULE_CHECK",
            Self::FirmwareCheck => "FIRMWARE_CHECK",
            Self::KexecKernelCheck => "KEXEC_KERNEL_CHECK",
            Self::KexecInitramfsCheck => "KEXEC_INITRAMFS_CHECK",
            Self::PolicyCheck => "POLICY_CHECK",
            Self::KexecCmdline => "KEXEC_CMDLINE",
            Self::KeyCheck => "KEY_CHECK",
            Self::CriticalData => "CRITICAL_DATA",
            Self::SetxattrCheck => "SETXATTR_CHECK",
        }
    }

    /// The hook with this name or alias.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let plain = Self::ALL.into_iter().find(|func| func.name().as_bytes() == name);
        plain.or_else(|| Self::ALIASES.into_iter().find(|(alias, _)| alias.as_bytes() == name).map(|(_, func)| func))
    }
}

/// A bit of an access (`MAY_*` in `include/linux/fs.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Mask {
    /// `MAY_EXEC`, 1.
    Exec = 1,
    /// `MAY_WRITE`, 2.
    Write = 2,
    /// `MAY_READ`, 4.
    Read = 4,
    /// `MAY_APPEND`, 8.
    Append = 8,
}

impl Mask {
    /// Every mask.
    pub const ALL: [Self; 4] = [Self::Exec, Self::Write, Self::Read, Self::Append];

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exec => "MAY_EXEC",
            Self::Write => "MAY_WRITE",
            Self::Read => "MAY_READ",
            Self::Append => "MAY_APPEND",
        }
    }

    /// The kernel's bit.
    pub const fn bit(self) -> u8 {
        self as u8
    }
}

/// `mask=`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MaskCondition {
    /// The bit.
    pub mask: Mask,
    /// With `^`: the bit is among the access's bits; without: it is the only one.
    pub among: bool,
}

/// How a number is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `>`
    Greater,
    /// `<`
    Less,
}

impl Comparison {
    /// The character.
    pub const fn symbol(self) -> char {
        match self {
            Self::Equal => '=',
            Self::Greater => '>',
            Self::Less => '<',
        }
    }

    /// Compares.
    pub const fn holds(self, actual: u32, wanted: u32) -> bool {
        match self {
            Self::Equal => actual == wanted,
            Self::Greater => actual > wanted,
            Self::Less => actual < wanted,
        }
    }
}

/// `fowner`, `fgroup`: the file's owner or group, as seen through its mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnerCondition {
    /// How.
    pub comparison: Comparison,
    /// With what.
    pub id: u32,
}

/// `uid`, `euid`, `gid`, `egid`: the kernel keeps one of `uid` and `euid`, and one of `gid` and `egid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdCondition {
    /// `euid`, `egid`; with CAP_SETUID (CAP_SETGID) the real and saved ones count too.
    pub effective: bool,
    /// How.
    pub comparison: Comparison,
    /// With what.
    pub id: u32,
}

/// Which part of whose security label a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LsmField {
    /// The file's user.
    ObjUser,
    /// The file's role.
    ObjRole,
    /// The file's type.
    ObjType,
    /// The task's user.
    SubjUser,
    /// The task's role.
    SubjRole,
    /// The task's type.
    SubjType,
}

impl LsmField {
    /// Every field, in the kernel's order.
    pub const ALL: [Self; 6] =
        [Self::ObjUser, Self::ObjRole, Self::ObjType, Self::SubjUser, Self::SubjRole, Self::SubjType];

    /// The word, with its operator.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ObjUser => "obj_user=",
            Self::ObjRole => "obj_role=",
            Self::ObjType => "obj_type=",
            Self::SubjUser => "subj_user=",
            Self::SubjRole => "subj_role=",
            Self::SubjType => "subj_type=",
        }
    }
}

/// A condition on a security label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LsmCondition {
    /// Which part.
    pub field: LsmField,
    /// What it is to be.
    pub value: Text,
    /// The security module knows the value; if not, the rule matches nothing.
    pub resolved: bool,
}

/// A set of hash algorithms, one bit for each of the kernel's numbers (`include/uapi/linux/hash_info.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct HashSet(pub u32);

/// The kernel's names of hash algorithms, by number (`crypto/hash_info.c: hash_algo_name[]`).
pub const HASH_NAMES: [&str; 23] = [
    "md4",
    "md5",
    "sha1",
    "rmd160",
    "sha256",
    "sha384",
    "sha512",
    "sha224",
    "rmd128",
    "rmd256",
    "rmd320",
    "wp256",
    "wp384",
    "wp512",
    "tgr128",
    "tgr160",
    "tgr192",
    "sm3",
    "streebog256",
    "streebog512",
    "sha3-256",
    "sha3-384",
    "sha3-512",
];

/// The kernel's number of a hash algorithm.
pub fn hash_number(name: &[u8]) -> Option<u8> {
    (0..).zip(HASH_NAMES).find(|(_, known)| known.as_bytes() == name).map(|(number, _)| number)
}

impl HashSet {
    /// The set with these names; unknown ones are left out.
    pub fn of(names: &[&str]) -> Self {
        let bit = |name: &&str| hash_number(name.as_bytes()).map_or(0, |number| 1 << number);
        Self(names.iter().map(bit).fold(0, |set, bit| set | bit))
    }

    /// Whether the algorithm with this kernel number is in it.
    pub const fn has(self, number: u8) -> bool {
        number < 32 && self.0 >> number & 1 == 1
    }

    /// The names, in the kernel's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        (0..).zip(HASH_NAMES).filter(move |&(number, _)| self.has(number)).map(|(_, name)| name)
    }
}

/// What an `appraise` rule wants of the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the kernel's flags")]
pub struct Demands {
    /// A signature (`IMA_DIGSIG_REQUIRED`); implies the look into the blacklist.
    pub signature: bool,
    /// An appended signature does too (`IMA_MODSIG_ALLOWED`).
    pub modsig: bool,
    /// The digest is fs-verity's (`digest_type=verity`).
    pub verity: bool,
    /// `appraise_type=sigv3`: the signature is of version 3; before Linux 7.1 only with verity, whose signatures are.
    pub sigv3: bool,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// What to do.
    pub action: Action,
    /// At which hook; without, at each but `KEY_CHECK` and `CRITICAL_DATA`.
    pub func: Option<Func>,
    /// With which access.
    pub mask: Option<MaskCondition>,
    /// The file system's magic number (`s_magic`).
    pub fsmagic: Option<u64>,
    /// The file system type's name (`s_type->name`).
    pub fsname: Option<Text>,
    /// The file system's subtype (`s_subtype`; Linux 6.19).
    pub fs_subtype: Option<Text>,
    /// The file system's UUID (`s_uuid`).
    pub fsuuid: Option<[u8; 16]>,
    /// The task's user.
    pub uid: Option<IdCondition>,
    /// The task's group; the kernel never looks at it for keys and critical data.
    pub gid: Option<IdCondition>,
    /// The file's owner.
    pub fowner: Option<OwnerCondition>,
    /// The file's group.
    pub fgroup: Option<OwnerCondition>,
    /// Security labels, by field.
    pub lsm: Vec<LsmCondition>,
    /// What the label must be; `verity` may stand on any action.
    pub demands: Demands,
    /// `permit_directio`.
    pub permit_directio: bool,
    /// `appraise_algos=`.
    pub algos: Option<HashSet>,
    /// `pcr=`.
    pub pcr: Option<u8>,
    /// `template=`: the template's name; the format where it is the one of `ima_template_fmt=`, which has no name.
    pub template: Option<Text>,
    /// `keyrings=`.
    pub keyrings: Option<Vec<Text>>,
    /// `label=`.
    pub label: Option<Vec<Text>>,
}

impl Rule {
    /// A rule with an action and no condition.
    pub const fn new(action: Action) -> Self {
        Self {
            action,
            func: None,
            mask: None,
            fsmagic: None,
            fsname: None,
            fs_subtype: None,
            fsuuid: None,
            uid: None,
            gid: None,
            fowner: None,
            fgroup: None,
            lsm: Vec::new(),
            demands: Demands { signature: false, modsig: false, verity: false, sigv3: false },
            permit_directio: false,
            algos: None,
            pcr: None,
            template: None,
            keyrings: None,
            label: None,
        }
    }

    /// A condition names a security label that no security module knows: the rule matches nothing, and the kernel leaves
    /// it out when it shows the rules.
    pub fn is_void(&self) -> bool {
        self.lsm.iter().any(|condition| !condition.resolved)
    }
}
