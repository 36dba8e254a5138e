//! What the kernel would find out about a file before it judges it.
#![forbid(unsafe_code)]

use rustix::io::Errno;

use crate::model::algo::HashAlgo;
use crate::model::label::Label;
use crate::model::plan::Content as _;
use crate::model::policy::event::{Content, Evm, File, FileSystem, LabelRead, LsmLabel, LsmValue, Signature, Target};
use crate::model::policy::verdict::{Kernel, hash_algo};
use crate::model::verify::Trust;
use crate::sys::file::{OpenError, OpenFile};
use crate::sys::root::Root;
use crate::sys::{filesystem, securityfs};

/// `S_ISUID`, `S_ISGID` and the group's right to execute, without which the former means something else.
const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;
const GROUP_EXECUTES: u32 = 0o010;

/// A file's facts.
#[derive(Debug, Clone)]
pub struct Facts {
    /// For the verdict.
    pub file: File,
    /// The user whose program it becomes.
    pub set_uid: Option<u32>,
    /// The group.
    pub set_gid: Option<u32>,
    /// Somebody may execute it.
    pub is_executable: bool,
    /// What could not be found out and counts as the kernel's usual case.
    pub untold: Vec<String>,
}

/// Gathers the facts of a file, by its real path.
pub fn gather(root: &Root, path: &[u8], trust: &Trust, kernel: &Kernel) -> Result<Facts, OpenError> {
    let mut open = OpenFile::open(root, path)?;
    let mut untold = Vec::new();
    let mount = filesystem::of(&open)?;
    let identity = open.identity()?;
    let owner = open.owner()?;
    let (label, xattrs) = label(&open, &mount.name);
    let content = content(&mut open, hash_algo(&label, kernel));
    let signature = signature(&label, &content, trust, &mut untold);
    let evm = evm(&open, &label, &mut untold)?;
    let security = selinux(&open);
    let set = |bit| identity.mode & bit == bit;
    let file = File {
        target: Target {
            fs: FileSystem {
                magic: mount.magic,
                unverifiable: mount.name == "fuse",
                name: mount.name.into_bytes(),
                subtype: mount.subtype.map(String::into_bytes),
                uuid: mount.uuid.unwrap_or_default(),
                xattrs,
                ..FileSystem::default()
            },
            owner: owner.0,
            group: owner.1,
            label: security,
        },
        empty: identity.size == 0,
        label,
        content,
        signature,
        evm,
        ..File::default()
    };
    Ok(Facts {
        file,
        set_uid: set(SET_UID).then_some(owner.0),
        set_gid: set(SET_GID | GROUP_EXECUTES).then_some(owner.1),
        is_executable: identity.mode & 0o111 != 0,
        untold,
    })
}

/// The label, and whether the file system can have labels.
fn label(open: &OpenFile, filesystem: &str) -> (LabelRead, bool) {
    match open.label() {
        Ok(Some(bytes)) => (LabelRead::Bytes(bytes), true),
        Ok(None) => (LabelRead::None, true),
        // NFS has attributes, and this one not among them (`IOP_XATTR` is set).
        Err(error) if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => {
            (LabelRead::NotSupported, filesystem.starts_with("nfs"))
        }
        Err(_) => (LabelRead::Failed, true),
    }
}

fn content(open: &mut OpenFile, algo: u8) -> Content {
    match HashAlgo::from_kernel_id(algo) {
        Some(algo) => open.digest(algo).map_or(Content::Unreadable, Content::Digest),
        None => Content::NoAlgorithm,
    }
}

fn signature(label: &LabelRead, content: &Content, trust: &Trust, untold: &mut Vec<String>) -> Signature {
    let (LabelRead::Bytes(bytes), Content::Digest(digest)) = (label, content) else { return Signature::Bad };
    match Label::parse(bytes) {
        Ok(Label::Signature(signature)) => trust.verify(&signature, digest).into(),
        Ok(Label::VeritySignature(_)) => {
            untold.push("imad does not verify fs-verity signatures; it counts as bad".to_owned());
            Signature::Unsupported
        }
        _ => Signature::Bad,
    }
}

fn evm(open: &OpenFile, label: &LabelRead, untold: &mut Vec<String>) -> Result<Evm, OpenError> {
    /// HMACs, or signatures, are verified.
    const ACTIVE: u64 = 3;
    const PORTABLE: u8 = 5;
    if securityfs::evm().ok().flatten().is_none_or(|bits| bits & ACTIVE == 0) {
        return Ok(Evm::Unknown);
    }
    Ok(match (open.evm_type()?, label) {
        (None, LabelRead::Bytes(_)) => Evm::NoLabel,
        (None, _) => Evm::NoXattrs,
        (Some(kind), _) => {
            untold.push("imad does not verify security.evm; it counts as good".to_owned());
            if kind == PORTABLE { Evm::PassImmutable } else { Evm::Pass }
        }
    })
}

/// `user:role:type:level` of security.selinux; nothing is told where there is none.
fn selinux(open: &OpenFile) -> LsmLabel {
    let Ok(Some(context)) = open.selinux() else { return LsmLabel::UNTOLD };
    let text = context.strip_suffix(&[0]).unwrap_or(&context);
    let mut parts = text.split(|&byte| byte == b':').map(<[u8]>::to_vec);
    let mut next = || parts.next().map_or(LsmValue::Untold, LsmValue::Is);
    LsmLabel { user: next(), role: next(), kind: next() }
}
