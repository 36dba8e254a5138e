//! What happens to a file, by whom, and what the kernel knows of the file when it asks the policy.
//!
//! Plain data. Whoever gathers it looks at the same things as the kernel: owner and group as the mount shows them,
//! the superblock of the file system on which the path lies (an overlay's own, not the layers').
#![forbid(unsafe_code)]

use super::super::verify;
use super::rule::{Func, LsmField, Text};

/// Where the kernel asks the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// A hook that rules can name.
    Rule(Func),
    /// After chmod(2) and chown(2): rules match whatever their `func=` and `mask=` (`POST_SETATTR`).
    SetAttributes,
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpenMode {
    /// `O_RDONLY`
    Read,
    /// `O_WRONLY`
    Write,
    /// `O_RDWR`
    Both,
}

/// The bits of an access (`MAY_*`, `include/linux/fs.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Access(pub u8);

impl Access {
    /// `MAY_EXEC`
    pub const EXEC: Self = Self(1);
    /// `MAY_WRITE`
    pub const WRITE: Self = Self(2);
    /// `MAY_READ`
    pub const READ: Self = Self(4);
    /// `MAY_APPEND`
    pub const APPEND: Self = Self(8);
    /// `MAY_ACCESS`: what is asked after a file was made or its attributes set.
    pub const ACCESS: Self = Self(16);
    /// No bit: buffers.
    pub const NONE: Self = Self(0);

    /// What open(2) asks for, with `O_APPEND` and `O_TRUNC` or without (`fs/open.c: build_open_flags()`).
    pub const fn of_open(mode: OpenMode, append: bool, truncate: bool) -> Self {
        let mut bits = match mode {
            OpenMode::Read => Self::READ.0,
            OpenMode::Write => Self::WRITE.0,
            OpenMode::Both => Self::READ.0 | Self::WRITE.0,
        };
        if truncate {
            bits |= Self::WRITE.0;
        }
        if append {
            bits |= Self::APPEND.0;
        }
        Self(bits)
    }

    /// Whether one of the other's bits is among these.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// User and group ids of a task, or those that an execve(2) is about to give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Credentials {
    /// The real user.
    pub uid: u32,
    /// The effective user.
    pub euid: u32,
    /// The saved user.
    pub suid: u32,
    /// The real group.
    pub gid: u32,
    /// The effective group.
    pub egid: u32,
    /// The saved group.
    pub sgid: u32,
}

impl Credentials {
    /// All user ids and all group ids alike.
    pub const fn of(uid: u32, gid: u32) -> Self {
        Self { uid, euid: uid, suid: uid, gid, egid: gid, sgid: gid }
    }
}

/// A part of a security label.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LsmValue {
    /// There is none: no condition on it holds.
    #[default]
    Nothing,
    /// It could not be found out.
    Untold,
    /// This, by the name that the rule would use.
    Is(Text),
}

/// A security label.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LsmLabel {
    /// The user; Smack's whole label.
    pub user: LsmValue,
    /// The role; AppArmor's profile.
    pub role: LsmValue,
    /// The type.
    pub kind: LsmValue,
}

impl LsmLabel {
    /// A label of which nothing could be found out.
    pub const UNTOLD: Self = Self { user: LsmValue::Untold, role: LsmValue::Untold, kind: LsmValue::Untold };

    /// The part that a condition is about.
    pub const fn part(&self, field: LsmField) -> &LsmValue {
        match field {
            LsmField::ObjUser | LsmField::SubjUser => &self.user,
            LsmField::ObjRole | LsmField::SubjRole => &self.role,
            LsmField::ObjType | LsmField::SubjType => &self.kind,
        }
    }
}

/// Who does it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject {
    /// The credentials that are looked at: for `CREDS_CHECK` those that the program is about to have, before Linux 6.19
    /// still without what set-user-ID gives.
    pub credentials: Credentials,
    /// The running task has CAP_SETUID; for `CREDS_CHECK` still the caller.
    pub cap_setuid: bool,
    /// The running task has CAP_SETGID.
    pub cap_setgid: bool,
    /// The task's security label; for `CREDS_CHECK` the new one.
    pub label: LsmLabel,
}

/// What a denial becomes for the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Place {
    /// A system call returns its errno.
    #[default]
    Call,
    /// execve(2) maps the program or its ELF interpreter: too late for an errno, the program is killed.
    Exec,
}

/// One question to the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "flags of an open file that go together freely")]
pub struct Event<'a> {
    /// Where it is asked.
    pub hook: Hook,
    /// The access.
    pub access: Access,
    /// By whom.
    pub subject: &'a Subject,
    /// The keyring (`KEY_CHECK`) or the data's label (`CRITICAL_DATA`).
    pub data: Option<&'a [u8]>,
    /// The file is open for writing (`FMODE_WRITE`).
    pub writable: bool,
    /// This open created the file (`FMODE_CREATED`).
    pub created: bool,
    /// `O_DIRECT`
    pub direct: bool,
    /// The kernel holds the whole content in memory (modules, firmware, kexec, policies): an appended signature is
    /// looked for there and nowhere else.
    pub buffered: bool,
    /// What a denial becomes.
    pub place: Place,
}

impl<'a> Event<'a> {
    /// A question with no more to it.
    pub const fn new(func: Func, access: Access, subject: &'a Subject) -> Self {
        Self {
            hook: Hook::Rule(func),
            access,
            subject,
            data: None,
            writable: false,
            created: false,
            direct: false,
            buffered: matches!(
                func,
                Func::ModuleCheck
                    | Func::FirmwareCheck
                    | Func::KexecKernelCheck
                    | Func::KexecInitramfsCheck
                    | Func::PolicyCheck
            ),
            place: Place::Call,
        }
    }
}

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the kernel's superblock")]
pub struct FileSystem {
    /// `s_magic`
    pub magic: u64,
    /// `s_type->name`: `fuse`, never `fuse.sshfs`.
    pub name: Text,
    /// `s_subtype`: `sshfs`.
    pub subtype: Option<Text>,
    /// `s_uuid`; zeros where there is none.
    pub uuid: [u8; 16],
    /// Its inodes can have extended attributes (`IOP_XATTR`).
    pub xattrs: bool,
    /// It can change content behind the kernel's back (`SB_I_IMA_UNVERIFIABLE_SIGNATURE`): FUSE.
    pub unverifiable: bool,
    /// It was mounted by somebody without privileges (`SB_I_UNTRUSTED_MOUNTER`).
    pub untrusted_mounter: bool,
    /// It tells content changes by a version (`i_version`); without one every close of a writer counts as a change.
    pub versioned: bool,
    /// An attribute that is written with the value that it has moves the version on: tmpfs, but not ext4.
    pub notes_same_value: bool,
}

/// What the conditions of rules look at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// The file system.
    pub fs: FileSystem,
    /// The owner as the mount shows it.
    pub owner: u32,
    /// The group as the mount shows it.
    pub group: u32,
    /// The file's security label.
    pub label: LsmLabel,
}

/// `security.ima` as the kernel reads it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LabelRead {
    /// There is none (`ENODATA`).
    #[default]
    None,
    /// `EOPNOTSUPP`, from a file system that has extended attributes otherwise (NFS).
    NotSupported,
    /// Another error.
    Failed,
    /// These bytes.
    Bytes(Vec<u8>),
}

/// What hashing the content gives, by the algorithm that [`super::verdict::hash_algo`] names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A digest.
    Digest(Vec<u8>),
    /// The kernel cannot compute the algorithm.
    NoAlgorithm,
    /// The file ends before its size says so (`EINVAL`): files of sysfs and its like.
    Short,
    /// Reading fails.
    Unreadable,
}

/// The file's fs-verity digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerityDigest {
    /// The kernel's number of its algorithm.
    pub algo: u8,
    /// The digest.
    pub digest: Vec<u8>,
}

/// What verifying the label's signature with the kernel's keys says, over what the label's type says it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Signature {
    /// Good, by a key in `.ima`.
    Good,
    /// Good, by a key in `.platform` alone.
    GoodByPlatform,
    /// Not by the key that it names, or malformed.
    #[default]
    Bad,
    /// No key has its id.
    UnknownKey,
    /// The key is in `.ima_blacklist`.
    Revoked,
    /// The kernel lacks the algorithm.
    Unsupported,
}

impl From<verify::Verdict> for Signature {
    fn from(verdict: verify::Verdict) -> Self {
        match verdict {
            verify::Verdict::Good => Self::Good,
            verify::Verdict::Bad => Self::Bad,
            verify::Verdict::UnknownKey(_) => Self::UnknownKey,
            verify::Verdict::Unsupported => Self::Unsupported,
        }
    }
}

/// A signature appended to the content (`~Module signature appended~`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Appended {
    /// None that can be read.
    #[default]
    None,
    /// Good, by a key in `.ima`.
    Good,
    /// Good, by a key in `.platform` alone.
    GoodByPlatform,
    /// Not good.
    Bad,
}

/// What EVM says of the file's metadata (`evm_verifyxattr()`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Evm {
    /// Not active, or it does not look at this file system.
    #[default]
    Unknown,
    /// Good HMAC or signature.
    Pass,
    /// Good portable signature.
    PassImmutable,
    /// Bad HMAC or signature.
    Fail,
    /// Bad portable signature.
    FailImmutable,
    /// No `security.evm`, though there are attributes that it would protect.
    NoLabel,
    /// No `security.evm`, and nothing to protect.
    NoXattrs,
}

/// The inode below an overlay's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stacked {
    /// Its file system tells content changes by a version.
    pub versioned: bool,
    /// Content or inode is another than when it was last looked at.
    pub changed: bool,
    /// The metadata's inode is another or of another version than EVM last saw. Without EVM, always: every access is
    /// appraised anew.
    pub metadata_changed: bool,
}

/// What the verdict depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
pub struct File {
    /// What rules look at.
    pub target: Target,
    /// A regular file: nothing else is ever looked at.
    pub regular: bool,
    /// Of size 0.
    pub empty: bool,
    /// Its label.
    pub label: LabelRead,
    /// Its content.
    pub content: Content,
    /// Its fs-verity digest.
    pub verity: Option<VerityDigest>,
    /// What verifying the label says, where it is a signature.
    pub signature: Signature,
    /// The appended signature.
    pub appended: Appended,
    /// The digest is in `.blacklist` (`bin:`).
    pub blacklisted: bool,
    /// The digest that the appended signature covers is.
    pub appended_blacklisted: bool,
    /// EVM's answer.
    pub evm: Evm,
    /// Somebody has it mapped shared and writable.
    pub mapped_writable: bool,
    /// On an overlay: what lies below.
    pub stacked: Option<Stacked>,
    /// The kernel can write a label: neither read-only nor immutable.
    pub label_writable: bool,
}

impl Default for File {
    /// An unlabelled file.
    fn default() -> Self {
        Self {
            target: Target::default(),
            regular: true,
            empty: false,
            label: LabelRead::None,
            content: Content::Digest(Vec::new()),
            verity: None,
            signature: Signature::Bad,
            appended: Appended::None,
            blacklisted: false,
            appended_blacklisted: false,
            evm: Evm::Unknown,
            mapped_writable: false,
            stacked: None,
            label_writable: true,
        }
    }
}
