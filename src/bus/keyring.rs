//! `org.imad1.Keyring`: the kernel's keys for file signatures, and the certificates that are to become such.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use zbus::{OwnedVariant, Type, Variant, interface};

use super::manager::keyring_name;
use super::request::Desk;
use super::view::problems;
use crate::model::report::CertificateInfo;

/// The interface's object.
#[derive(Debug)]
pub struct Keyring {
    desk: Desk,
}

impl Keyring {
    /// An object that reads at this desk.
    pub const fn new(desk: Desk) -> Self {
        Self { desk }
    }
}

/// A certificate on the bus, `(ssssssba(ss))`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct Certificate {
    /// The file.
    pub file: String,
    /// Subject's common name.
    pub subject: String,
    /// Issuer's common name.
    pub issuer: String,
    /// The key's id in labels; empty where it has none.
    pub key_id: String,
    /// Kind and size of the key.
    pub key: String,
    /// End of validity.
    pub not_after: String,
    /// The key is in the kernel's keyring.
    pub in_keyring: bool,
    /// Why the kernel does not take it, or takes it in vain, with the next step.
    pub problems: Vec<(String, String)>,
}

impl From<&CertificateInfo> for Certificate {
    fn from(info: &CertificateInfo) -> Self {
        Self {
            file: info.file.clone(),
            subject: info.subject.clone(),
            issuer: info.issuer.clone(),
            key_id: info.key_id.clone().unwrap_or_default(),
            key: info.key.clone(),
            not_after: info.not_after.clone(),
            in_keyring: info.in_keyring,
            problems: problems(&info.problems),
        }
    }
}

#[interface(
    name = "org.imad1.Keyring",
    proxy(default_service = "org.imad1", default_path = "/org/imad1", visibility = "pub")
)]
impl Keyring {
    /// The keyring in use: "trusted" (.ima), "untrusted" (_ima, which takes any certificate) or "absent".
    #[zbus(property)]
    fn kind(&self) -> String {
        keyring_name(self.desk.view().status.kernel.keyring).to_owned()
    }

    /// The keys in it: serial number, the kernel's description, the file with its certificate (empty where the keys
    /// folder has none).
    #[zbus(property)]
    fn keys(&self) -> Vec<(i32, String, String)> {
        let view = self.desk.view();
        let key = |key: &crate::model::report::KeyInfo| {
            (key.serial, key.description.clone(), key.file.clone().unwrap_or_default())
        };
        view.status.keys.iter().map(key).collect()
    }

    /// The certificates of the keys folder: file, subject, issuer, key id in labels, kind of key, end of validity,
    /// whether the kernel has the key, problems (what and next step).
    #[zbus(property)]
    fn certificates(&self) -> Vec<Certificate> {
        self.desk.view().status.certificates.iter().map(Certificate::from).collect()
    }
}
