//! `org.imad1.Policy`: the policy file, and what of it is active.
#![forbid(unsafe_code)]

use zbus::interface;

use super::manager::number;
use super::request::Desk;
use crate::model::report::{Loader, PolicyState};

/// The interface's object.
#[derive(Debug)]
pub struct Policy {
    desk: Desk,
}

impl Policy {
    /// An object that reads at this desk.
    pub const fn new(desk: Desk) -> Self {
        Self { desk }
    }

    fn read<T>(&self, read: impl FnOnce(&PolicyState) -> T) -> T {
        read(&self.desk.view().status.policy)
    }
}

#[interface(
    name = "org.imad1.Policy",
    proxy(default_service = "org.imad1", default_path = "/org/imad1", visibility = "pub")
)]
impl Policy {
    /// The file that is loaded at boot.
    #[zbus(property)]
    fn path(&self) -> String {
        self.read(|policy| policy.path.clone())
    }

    /// SHA-256 of the file; empty where there is none.
    #[zbus(property)]
    fn sha256(&self) -> String {
        self.read(|policy| policy.sha256.clone().unwrap_or_default())
    }

    /// Rules in the file; -1 where there is no file that a kernel takes.
    #[zbus(property)]
    fn file_rules(&self) -> i64 {
        self.read(|policy| number(policy.file_rules))
    }

    /// State of the file's own label, as in org.imad1.Labels; empty where there is no file.
    #[zbus(property)]
    fn label_state(&self) -> String {
        self.read(|policy| policy.label.map(|state| state.name().to_owned()).unwrap_or_default())
    }

    /// Why the file's label is in that state.
    #[zbus(property)]
    fn label_reason(&self) -> String {
        self.read(|policy| policy.label_reason.clone().unwrap_or_default())
    }

    /// Whether a custom policy is known to be active.
    #[zbus(property)]
    fn loaded(&self) -> bool {
        self.read(|policy| matches!(policy.loaded_by, Loader::ImadBoot | Loader::Other))
    }

    /// Who loaded the active policy: "imad-boot", "other", "nobody", or "unknown" where the kernel does not let its
    /// rules be read.
    #[zbus(property)]
    fn loaded_by(&self) -> String {
        self.read(|policy| match policy.loaded_by {
            Loader::Nobody => "nobody",
            Loader::ImadBoot => "imad-boot",
            Loader::Other => "other",
            Loader::Unknown => "unknown",
        })
        .to_owned()
    }

    /// SHA-256 of the file that imad-boot loaded; empty where it loaded none.
    #[zbus(property)]
    fn loaded_sha256(&self) -> String {
        self.read(|policy| policy.loaded_sha256.clone().unwrap_or_default())
    }

    /// Rules that are active in the kernel; -1 where it does not let them be read.
    #[zbus(property)]
    fn active_rules(&self) -> i64 {
        self.read(|policy| number(policy.active_rules))
    }
}
