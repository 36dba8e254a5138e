//! What the doctor looks at.
#![forbid(unsafe_code)]

use crate::model::evm::Evm;
use crate::model::initramfs::Contents;
use crate::model::next_boot::NextBoot;
use crate::model::policy::builtin::Boot;
use crate::model::policy::profile::{KernelConfig, KernelProfile};
use crate::model::report::{LabelCounts, Problem};

/// Everything. The default is a machine of which nothing is known.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What `imactl status` names.
    pub status: Vec<Problem>,
    /// The policy of the next boot.
    pub policy: Policy,
    /// The kernels that are installed, or runs.
    pub kernels: Vec<KernelBuild>,
    /// Their command lines.
    pub command_lines: Vec<CommandLine>,
    /// EVM as the running kernel has it; `None` without EVM.
    pub evm: Option<Evm>,
    /// The folder with the certificates.
    pub keys_dir: String,
    /// The certificates that could be read.
    pub certificates: Vec<CertificateFacts>,
    /// What `imactl check --next-boot` says; `None` where it was not asked.
    pub next_boot: Option<NextBoot>,
    /// What images of an initramfs hold.
    pub images: Vec<ImageFacts>,
    /// dracut's own module for IMA.
    pub dracut: Dracut,
    /// rpm's plugin that labels files while they are installed.
    pub plugin: Plugin,
    /// What packages bring; `None` where there is no package database, which the status names.
    pub packages: Option<Packages>,
    /// Where program files of containers lie.
    pub containers: Containers,
    /// Labels as the daemon counted them last.
    pub labels: Option<LabelCounts>,
    /// File systems on which packages have files.
    pub places: Vec<Place>,
    /// Units of imad's own.
    pub units: Vec<Unit>,
    /// Folders of imad's own.
    pub folders: Vec<Folder>,
}

/// The policy of the next boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Its file.
    pub path: String,
    /// The file is there.
    pub exists: bool,
    /// It refuses files for want of a label.
    pub refuses_files: bool,
}

/// What a kernel is built with.
#[derive(Debug, Clone, Default)]
pub struct KernelBuild {
    /// `uname -r`.
    pub release: String,
    /// Its configuration, and the file that it comes from; `None` where it was not found.
    pub config: Option<(String, KernelConfig)>,
}

/// A kernel's command line.
#[derive(Debug, Clone, Default)]
pub struct CommandLine {
    /// Whose, in words.
    pub of: String,
    /// What it says to IMA.
    pub boot: Boot,
    /// The kernel that it is for.
    pub profile: KernelProfile,
}

/// A certificate of the keys folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The file.
    pub file: String,
    /// Subject's common name.
    pub subject: String,
    /// Kind and size of the key, e.g. `EC 256`.
    pub key: String,
    /// Whole days until the end of its time, negative after it.
    pub days_left: i32,
    /// Whole days until its time begins; zero or less once it did.
    pub days_until_begin: i32,
}

/// What an image of an initramfs holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// The kernel that it is for.
    pub release: String,
    /// What it holds.
    pub contents: Contents,
}

/// dracut's own module for IMA, `integrity`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dracut {
    /// The policy that it loads, where that is there.
    pub policy: Option<String>,
    /// Files of dracut's configuration that put it into images.
    pub settings: Vec<String>,
}

/// rpm's plugin that labels files before they come into their place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Plugin {
    /// There is no rpm to have one.
    #[default]
    NoRpm,
    /// rpm uses it.
    Enabled {
        /// Its file.
        path: String,
    },
    /// The macro `%__transaction_ima` names it, and it is not there.
    Missing {
        /// Where rpm looks for it.
        path: String,
    },
    /// The macro is not set, or empty.
    Disabled,
    /// It could not be found out.
    Unknown {
        /// Why.
        why: String,
    },
}

/// What the packages of the database bring.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packages {
    /// Packages with files that could be labelled.
    pub count: u64,
    /// Those of them that bring no signature for any file.
    pub unsigned: Vec<Unsigned>,
    /// What kept packages from being read.
    pub problems: Vec<Problem>,
}

/// A package whose files are not signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unsigned {
    /// Its name.
    pub name: String,
    /// `NAME-[EPOCH:]VERSION-RELEASE.ARCH`
    pub nevra: String,
    /// Its regular files.
    pub files: u64,
    /// Of these, programs and libraries.
    pub programs: u64,
}

/// Storage of containers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Containers {
    /// Folders of it that are there.
    pub storage: Vec<String>,
    /// The policy of the next boot denies programs without a label on an overlay.
    pub denied: bool,
}

/// How a file system takes labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LabelSupport {
    /// It keeps them.
    #[default]
    Kept,
    /// It keeps them, and is mounted read-only.
    ReadOnly,
    /// It is an image that is verified and never written.
    Image,
    /// It keeps none (`EOPNOTSUPP`).
    NotKept,
}

/// A file system on which packages have files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Where it is mounted.
    pub mounted_at: String,
    /// Its type.
    pub filesystem: String,
    /// A folder of packaged files on it.
    pub folder: String,
    /// Labels there.
    pub labels: LabelSupport,
}

/// A unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// What `systemctl is-enabled` says: `enabled`, `disabled`, `static`, `masked`, `not-found`, …; or why it says nothing.
    pub state: Result<String, String>,
}

/// A folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folder {
    /// Its path.
    pub path: String,
    /// What is with it.
    pub state: FolderState,
}

/// Whether a folder can be written to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FolderState {
    /// It can.
    #[default]
    Writable,
    /// It is not there.
    Missing,
    /// It cannot.
    Refused {
        /// Why.
        why: String,
    },
}
