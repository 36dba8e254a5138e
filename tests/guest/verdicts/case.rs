//! A case: one file, the rules that are about it alone, and what is done with it.

use std::collections::BTreeMap;

use imad::model::algo::HashAlgo;
use imad::model::policy::event::{Appended, Signature};
use openssl::base64::encode_block;
use serde_json::{Value, json};

/// Where a file lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The image's file system.
    Ext4,
    /// An overlay, the file in its lower layer.
    Overlay,
    Tmpfs,
    /// No extended attributes.
    Ramfs,
    /// No extended attributes, and one owner for all files of a mount.
    Vfat,
    /// A file system whose content the kernel cannot vouch for.
    Fuse,
}

/// The `security.ima` of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct MadeLabel {
    pub(super) bytes: Vec<u8>,
    /// Where it is a signature: over which content, and what the kernel finds if the content is still that.
    pub(super) signature: Option<(Vec<u8>, Signature)>,
}

/// A step. The user has the id, the group of the same number, and no other.
#[derive(Debug, Clone)]
pub(super) enum Do {
    Exec,
    Map,
    Protect,
    Open(Opening),
    /// mknod(2).
    Node,
    /// `O_TMPFILE`, written, named and closed.
    Temporary(Vec<u8>),
    /// finit_module(2).
    Module,
    /// kexec_file_load(2).
    Kexec,
    /// The path written to the kernel's policy file.
    Policy,
    /// `security.ima` is written.
    Label(MadeLabel),
    /// chmod(2).
    Attributes,
}

#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of open(2)")]
pub(super) struct Opening {
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) append: bool,
    pub(super) truncate: bool,
    pub(super) direct: bool,
    pub(super) create: bool,
    /// What is written before the close.
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) uid: u32,
    pub(super) what: Do,
}

/// `security.evm` of a file, which counts once EVM is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evm {
    None,
    GoodPortable,
    BadPortable,
    /// Of the other type, with nonsense in it.
    Bad,
}

#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) place: Place,
    /// Its own, so that its rules are about no other file.
    pub(super) owner: u32,
    pub(super) mode: u32,
    /// `None` where the steps create the file.
    pub(super) content: Option<Vec<u8>>,
    pub(super) label: Option<MadeLabel>,
    pub(super) verity: bool,
    /// Somebody has it mapped shared and writable all the time.
    pub(super) held: bool,
    pub(super) evm: Option<Evm>,
    /// The signature that is appended to the content.
    pub(super) appended: Appended,
    pub(super) steps: Vec<Step>,
}

impl Case {
    pub(super) fn path(&self) -> String {
        let name = &self.name;
        match self.place {
            Place::Ext4 => format!("/t/ext4/files/{name}"),
            Place::Overlay => format!("/t/overlay/{name}"),
            Place::Tmpfs => format!("/t/tmpfs/{name}"),
            Place::Ramfs => format!("/t/ramfs/{name}"),
            Place::Vfat => format!("/t/vfat{}/{name}", self.owner),
            Place::Fuse => format!("/t/fuse/{name}"),
        }
    }

    /// For attempt.py.
    pub(super) fn json(&self) -> Value {
        // The image holds these already.
        let in_image = matches!(self.place, Place::Ext4 | Place::Overlay);
        json!({
            "name": self.name,
            "path": self.path(),
            "content": self.content.as_ref().filter(|_| !in_image).map(|bytes| encode_block(bytes)),
            "chown": self.place != Place::Vfat,
            "owner": self.owner,
            "mode": self.mode,
            "label": self.label.as_ref().filter(|_| !in_image).map(|label| encode_block(&label.bytes)),
            "verity": self.verity,
            "held": self.held,
            "late": self.evm.is_some(),
            "steps": self.steps.iter().map(Step::json).collect::<Vec<_>>(),
        })
    }
}

impl Step {
    fn json(&self) -> Value {
        let mut step = BTreeMap::from([("uid", json!(self.uid))]);
        let name = match &self.what {
            Do::Exec => "exec",
            Do::Map => "map",
            Do::Protect => "protect",
            Do::Node => "node",
            Do::Module => "module",
            Do::Kexec => "kexec",
            Do::Policy => "policy",
            Do::Attributes => "attributes",
            Do::Temporary(bytes) => {
                step.insert("write", json!(encode_block(bytes)));
                "temporary"
            }
            Do::Label(label) => {
                step.insert("label", json!(encode_block(&label.bytes)));
                "label"
            }
            Do::Open(opening) => {
                let mode = match (opening.read, opening.write) {
                    (true, true) => "both",
                    (false, true) => "write",
                    _ => "read",
                };
                step.insert("mode", json!(mode));
                step.insert("append", json!(opening.append));
                step.insert("truncate", json!(opening.truncate));
                step.insert("direct", json!(opening.direct));
                step.insert("create", json!(opening.create));
                if !opening.bytes.is_empty() {
                    step.insert("write", json!(encode_block(&opening.bytes)));
                }
                "open"
            }
        };
        step.insert("do", json!(name));
        json!(step)
    }
}

/// A digest by the kernel's number, as far as imad and the kernel can.
pub(super) fn digest(algo: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    let algo = HashAlgo::from_kernel_id(algo)?;
    imad::model::verify::digest(algo, bytes).ok()
}
