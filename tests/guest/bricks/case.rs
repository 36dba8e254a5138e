//! A case: a sabotage, and what the machine is expected to make of it.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use crate::harness::{Guest, Setup};

/// What a sabotage is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The policy's file.
    Policy,
    /// Certificates and keyrings.
    Keys,
    /// Files' labels, and files under their labels.
    Labels,
    /// Package transactions.
    Packages,
    /// File systems, imad's state in them, the clock.
    Storage,
    /// The course of a boot: power cuts, a panic, a hang.
    Boots,
    /// Kernels, their command lines and their initramfs images.
    Kernels,
    /// imad's own programs and what they work with.
    Imad,
}

impl Kind {
    /// Every kind, in the order of the report.
    pub(crate) const ALL: [Self; 8] =
        [Self::Policy, Self::Keys, Self::Labels, Self::Packages, Self::Storage, Self::Boots, Self::Kernels, Self::Imad];

    /// Its heading in the report.
    pub(crate) const fn heading(self) -> &'static str {
        match self {
            Self::Policy => "The policy",
            Self::Keys => "Certificates and keyrings",
            Self::Labels => "Labels",
            Self::Packages => "Package transactions",
            Self::Storage => "Storage and state",
            Self::Boots => "Boots that are cut off",
            Self::Kernels => "Kernels, command lines, initramfs images",
            Self::Imad => "imad itself",
        }
    }
}

/// Whether the policy is to be in force at the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Armed {
    /// An unlabelled program is denied.
    Yes,
    /// It runs, and the status says why.
    No,
    /// It depends on the instant: either of the two.
    Either,
}

/// What is expected, written down before the case is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Expected {
    /// Whether the policy is in force.
    pub(crate) armed: Armed,
    /// Words that the status holds; empty where there is nothing to tell.
    pub(crate) cause: String,
    /// A login is there within so many boots, the sabotaged one included.
    pub(crate) boots: u32,
}

/// Something done to the running system, as root.
type Deed = Box<dyn Fn(&Guest) + Send + Sync>;
/// A change of the machine for boots that follow.
type Change = Box<dyn Fn(Setup) -> Setup + Send + Sync>;

/// A sabotage of a machine that was booted under its policy and confirmed, and what comes of it.
pub(crate) struct Case {
    /// A stable name, of lower-case letters, digits and hyphens: the result's file is called so.
    pub(crate) name: String,
    /// What is sabotaged.
    pub(crate) kind: Kind,
    /// The sabotage in one sentence, without its subject's name and without a full stop.
    pub(crate) what: String,
    /// What is expected of imad.
    pub(crate) expected: Expected,
    /// The same makes sense on a machine without imad.
    pub(crate) control: bool,
    /// It belongs to every check, not to the campaign alone.
    pub(crate) ci: bool,
    /// Where the first boot is cut off, by this seed.
    pub(crate) cut: Option<u64>,
    pub(super) running: Vec<Deed>,
    pub(super) every_boot: Vec<Change>,
    pub(super) first_boot: Vec<Change>,
}

impl Case {
    /// A case that does nothing yet, expected to be armed with nothing to tell at the first boot.
    pub(crate) fn new(kind: Kind, name: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind,
            what: what.into(),
            expected: Expected { armed: Armed::Yes, cause: String::new(), boots: 1 },
            control: false,
            ci: false,
            cut: None,
            running: Vec::new(),
            every_boot: Vec::new(),
            first_boot: Vec::new(),
        }
    }

    /// Done as root in the running system, before its power goes. What is to last it writes to the disk itself.
    pub(crate) fn running(mut self, deed: impl Fn(&Guest) + Send + Sync + 'static) -> Self {
        self.running.push(Box::new(deed));
        self
    }

    /// A change of kernel, command line or hardware that stays.
    pub(crate) fn hereafter(mut self, change: impl Fn(Setup) -> Setup + Send + Sync + 'static) -> Self {
        self.every_boot.push(Box::new(change));
        self
    }

    /// The same for one boot, as somebody picks another entry of the boot menu once.
    pub(crate) fn once(mut self, change: impl Fn(Setup) -> Setup + Send + Sync + 'static) -> Self {
        self.first_boot.push(Box::new(change));
        self
    }

    /// The power goes in the first boot, at an instant that the seed gives.
    pub(crate) const fn cut(mut self, seed: u64) -> Self {
        self.cut = Some(seed);
        self
    }

    /// The policy is in force, and the status says this.
    pub(crate) fn armed(self, cause: &str) -> Self {
        self.expect(Armed::Yes, cause)
    }

    /// The policy is not in force, and the status says this.
    pub(crate) fn open(self, cause: &str) -> Self {
        self.expect(Armed::No, cause)
    }

    /// The policy is in force or it is not, and then the status says why.
    pub(crate) fn either(self) -> Self {
        self.expect(Armed::Either, "")
    }

    fn expect(mut self, armed: Armed, cause: &str) -> Self {
        (self.expected.armed, self.expected.cause) = (armed, cause.to_owned());
        self
    }

    /// There is a login within so many boots (1).
    pub(crate) const fn within(mut self, boots: u32) -> Self {
        self.expected.boots = boots;
        self
    }

    /// It is tried without imad too.
    pub(crate) const fn controlled(mut self) -> Self {
        self.control = true;
        self
    }

    /// It is part of every check.
    pub(crate) const fn checked(mut self) -> Self {
        self.ci = true;
        self
    }
}
