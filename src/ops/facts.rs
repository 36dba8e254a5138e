//! What the kernel would find out about a file before it judges it.
#![forbid(unsafe_code)]

use rustix::io::Errno;

use crate::model::algo::HashAlgo;
use crate::model::label::{EVM_PORTABLE_SIGNATURE, Label};
use crate::model::plan::Content as _;
use crate::model::policy::event::{
    Content, Evm, File, FileSystem, LabelRead, LsmLabel, LsmValue, Signature, Target, VerityDigest,
};
use crate::model::policy::verdict::{VerdictProfile, hash_algo};
use crate::model::verify::{Trust, Verdict};
use crate::sys::file::{OpenError, OpenFile};
use crate::sys::filesystem::Filesystems;
use crate::sys::root::Root;
use crate::sys::securityfs;

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

/// A file that is open, as far as it is known without reading it.
#[derive(Debug)]
pub struct Look {
    open: OpenFile,
    target: Target,
    label: LabelRead,
    empty: bool,
    mode: u32,
}

/// What was found when a file's label was verified before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earlier<'a> {
    /// `security.ima`
    pub label: &'a [u8],
    /// Size in bytes.
    pub size: u64,
    /// Modification time: seconds and nanoseconds.
    pub mtime: (i64, i64),
}

/// Opens a file, by its real path, and looks at all but its content.
pub fn look(root: &Root, path: &[u8]) -> Result<Look, OpenError> {
    look_among(root, path, &mut Filesystems::default())
}

/// The same, for whoever looks at many files.
pub fn look_among(root: &Root, path: &[u8], filesystems: &mut Filesystems) -> Result<Look, OpenError> {
    let open = OpenFile::open(root, path)?;
    let mount = filesystems.of(&open, open.opened().dev)?.clone();
    let identity = open.opened();
    let (owner, group) = open.owner()?;
    let (label, xattrs) = label(&open, &mount.name);
    let fs = FileSystem {
        magic: mount.magic,
        unverifiable: mount.name == "fuse",
        name: mount.name.into_bytes(),
        subtype: mount.subtype.map(String::into_bytes),
        uuid: mount.uuid.unwrap_or_default(),
        xattrs,
        ..FileSystem::default()
    };
    let target = Target { fs, owner, group, label: selinux(&open) };
    let (empty, mode) = (identity.size == 0, identity.mode);
    Ok(Look { open, target, label, empty, mode })
}

impl Look {
    /// What the conditions of rules look at.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Somebody may execute it.
    pub const fn is_executable(&self) -> bool {
        self.mode & 0o111 != 0
    }

    /// It has a label of some kind, or may have one that cannot be read.
    pub const fn is_labelled(&self) -> bool {
        !matches!(self.label, LabelRead::None | LabelRead::NotSupported)
    }

    /// The facts of a file that has no label: its content decides nothing.
    pub fn unread(self) -> Facts {
        self.facts(Content::Digest(Vec::new()), None, Signature::Bad, Evm::Unknown, Vec::new())
    }

    /// Takes what was found earlier for the file's facts, if it is still of that size and time and has that label: nothing
    /// is read. Otherwise it gives itself back, to be verified. The label has to be by a key that counts now.
    pub fn as_found_earlier(self, earlier: &Earlier<'_>, trust: &Trust) -> Result<Result<Facts, Self>, OpenError> {
        let identity = self.open.opened();
        let same = identity.size == earlier.size
            && identity.mtime == earlier.mtime
            && matches!(&self.label, LabelRead::Bytes(bytes) if bytes == earlier.label);
        let (content, signature) = match Label::parse(earlier.label) {
            Ok(Label::Digest { digest, .. }) => (Content::Digest(digest.to_vec()), Signature::Bad),
            Ok(Label::Signature(signature)) => {
                let known = !trust.with_id(signature.key_id).is_empty();
                (Content::Digest(Vec::new()), if known { Signature::Good } else { Signature::UnknownKey })
            }
            // Whether the file has fs-verity is not recorded.
            _ => return Ok(Err(self)),
        };
        if !same {
            return Ok(Err(self));
        }
        let mut untold = Vec::new();
        let evm = evm(&self.open, &self.label, trust, &mut untold)?;
        Ok(Ok(self.facts(content, None, signature, evm, untold)))
    }

    /// Hashes the content and verifies the label.
    pub fn verify(mut self, trust: &Trust, kernel: &VerdictProfile) -> Result<Facts, OpenError> {
        let mut untold = Vec::new();
        let content = content(&mut self.open, hash_algo(&self.label, kernel));
        let verity = verity(&mut self.open, &mut untold);
        let signature = signature(&self.label, &content, verity.as_ref(), trust);
        let evm = evm(&self.open, &self.label, trust, &mut untold)?;
        Ok(self.facts(content, verity, signature, evm, untold))
    }

    fn facts(
        self,
        content: Content,
        verity: Option<(HashAlgo, Vec<u8>)>,
        signature: Signature,
        evm: Evm,
        untold: Vec<String>,
    ) -> Facts {
        let set = |bit| self.mode & bit == bit;
        let (set_uid, set_gid) = (set(SET_UID), set(SET_GID | GROUP_EXECUTES));
        let is_executable = self.is_executable();
        let (owner, group) = (self.target.owner, self.target.group);
        let file = File {
            target: self.target,
            empty: self.empty,
            label: self.label,
            content,
            verity: verity.map(|(algo, digest)| VerityDigest { algo: algo.kernel_id(), digest }),
            signature,
            evm,
            ..File::default()
        };
        let (set_uid, set_gid) = (set_uid.then_some(owner), set_gid.then_some(group));
        Facts { file, set_uid, set_gid, is_executable, untold }
    }
}

/// Gathers the facts of a file, by its real path.
pub fn gather(root: &Root, path: &[u8], trust: &Trust, kernel: &VerdictProfile) -> Result<Facts, OpenError> {
    look(root, path)?.verify(trust, kernel)
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

/// The fs-verity digest. Where it cannot be found out, the file counts as one without.
fn verity(open: &mut OpenFile, untold: &mut Vec<String>) -> Option<(HashAlgo, Vec<u8>)> {
    open.verity_digest().unwrap_or_else(|why| {
        untold.push(format!("{why}; it counts as a file without fs-verity"));
        None
    })
}

/// What verifying says, over what the label's type says its signature is made of.
fn signature(label: &LabelRead, content: &Content, verity: Option<&(HashAlgo, Vec<u8>)>, trust: &Trust) -> Signature {
    let LabelRead::Bytes(bytes) = label else { return Signature::Bad };
    match (Label::parse(bytes), content, verity) {
        // A kernel that does not know version 3 says so before it looks at the signature.
        (Ok(Label::Signature(signature)), Content::Digest(digest), _) if signature.version == 3 => {
            trust.verifier().verify_third(&signature, digest).into()
        }
        (Ok(Label::Signature(signature)), Content::Digest(digest), _) => trust.verify(&signature, digest).into(),
        (Ok(Label::VeritySignature(signature)), _, Some((algo, digest))) => {
            trust.verifier().verify_verity(&signature, *algo, digest).into()
        }
        _ => Signature::Bad,
    }
}

fn evm(open: &OpenFile, label: &LabelRead, trust: &Trust, untold: &mut Vec<String>) -> Result<Evm, OpenError> {
    /// HMACs, or signatures, are verified.
    const ACTIVE: u64 = 3;
    if securityfs::evm().ok().flatten().is_none_or(|bits| bits & ACTIVE == 0) {
        return Ok(Evm::Unknown);
    }
    Ok(match (open.evm()?, label) {
        (None, LabelRead::Bytes(_)) => Evm::NoLabel,
        (None, _) => Evm::NoXattrs,
        (Some(evm), _) if evm.first() == Some(&EVM_PORTABLE_SIGNATURE) => {
            match trust.verifier().verify_portable(&evm, &open.metadata()?) {
                Verdict::Good => Evm::PassImmutable,
                Verdict::Bad => Evm::FailImmutable,
                Verdict::UnknownKey(id) => {
                    untold.push(format!(
                        "security.evm is signed by key {id}, which is not in /etc/keys/evm: it counts as bad"
                    ));
                    Evm::FailImmutable
                }
                Verdict::Unsupported => {
                    untold.push("imad does not verify this security.evm; it counts as good".to_owned());
                    Evm::PassImmutable
                }
            }
        }
        (Some(_), _) => {
            untold.push("imad does not verify security.evm of this kind; it counts as good".to_owned());
            Evm::Pass
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
