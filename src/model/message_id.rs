//! `MESSAGE_ID`s of the journal, one per event that a person acts on. `conf/catalog/imad.catalog` explains each.
//!
//! An id is chosen once (`systemd-id128 new`) and never changes or moves to another event.
#![forbid(unsafe_code)]

/// imad-boot: the kernel took a certificate into `.ima`.
pub const BOOT_KEY_ACCEPTED: &str = "284a10958f934d7e8853f9a6e60d21c8";
/// imad-boot: the kernel refused a certificate, or none could be read.
pub const BOOT_KEY_REFUSED: &str = "78a0c0fc525b493480f26821b468e37d";
/// imad-boot: the policy is loaded, and that was verified.
pub const BOOT_POLICY_LOADED: &str = "4c1b68200f764577b495fccacef59502";
/// imad-boot: the policy is not loaded; the boot goes on without it.
pub const BOOT_POLICY_NOT_LOADED: &str = "ecd32a3ba46c42b3a5dfea015250c067";
/// imad-boot: `/etc/ima` could not be hidden from PID 1, or not be shown again.
pub const BOOT_POLICY_NOT_HIDDEN: &str = "1385c0e021fa421b892492e9f6b67983";
/// imad-boot: the kernel has no IMA.
pub const BOOT_NO_IMA: &str = "558266fc049d4e74b6e7ecf4ba6cd583";
/// imad-boot: the kernel has no trusted keyring `.ima`.
pub const BOOT_NO_TRUSTED_KEYRING: &str = "8f5d9574656a42c99526e35f11950f56";
/// imad-boot: the policy is not loaded (again), for the boots on trial that it did not carry.
pub const TRIAL_NOT_LOADED: &str = "0355e5d8e13e4f39bd0c93c30d7926d3";
/// imad-boot: what earlier boots recorded cannot be read, or this one left a file system writable.
pub const TRIAL_STATE_UNREADABLE: &str = "76b4d8c1d23247148e059ffa0cc29abe";
/// imad-boot: this boot is confirmed.
pub const TRIAL_CONFIRMED: &str = "e40d2fd2c0b7404188178c2c08e8b359";
/// imad-boot: this boot is not confirmed.
pub const TRIAL_NOT_CONFIRMED: &str = "f401741d92694f5e8107d3aa17be7290";
/// A configuration file has a fault and is not used.
pub const CONFIGURATION_FAULT: &str = "0a8dda79eb1c4463bc7539cce7fa6bb7";
/// imad: labels were written.
pub const LABELS_WRITTEN: &str = "9cd0e3e418184745aa35de98037ae475";
/// imad: the package's signature of a file does not verify, so no label was written.
pub const LABEL_NOT_VERIFIABLE: &str = "52f45482eecb440893e206accd2c8db8";
/// imad: a verified label could not be written.
pub const LABEL_NOT_WRITTEN: &str = "ddbe133299b546a7ac942d6f1bfb4c54";
/// imad: a package carries no file signatures.
pub const PACKAGE_WITHOUT_SIGNATURE: &str = "f35a58819352448eb6dcd5de8eb14872";
/// imad: the package database cannot be read.
pub const DATABASE_UNREADABLE: &str = "e049feaf5cf94400ab743ef3e24bd7fb";
/// imad: the package database can be read again.
pub const DATABASE_RECOVERED: &str = "a8e627ee1618413b987a424cbc6ae5b1";
/// imad: `/var/lib/imad` cannot be written.
pub const STATE_NOT_WRITABLE: &str = "2abba012df7c446d94e6521751b99ab6";
/// imad: it executes its new version.
pub const DAEMON_REEXEC: &str = "c4a912ed9e1f4ee59df78fa958fd4e47";
/// imad: it could not execute its new version and goes on as it is.
pub const DAEMON_REEXEC_FAILED: &str = "e5cf0b6c086545c88dcc258386493919";
/// imad: the system bus cannot be reached; labelling goes on.
pub const BUS_UNREACHABLE: &str = "7ba00c529a7e42e3aef2cf58a14f2a43";
/// imad: the next boot would not come through under the policy, or not be protected.
pub const NEXT_BOOT_NOT_READY: &str = "ec2f5d463b4621d29fd64b055471ac91";
/// imad: the next boot comes through again.
pub const NEXT_BOOT_READY: &str = "160a17edf1f859d59b2b98a6b9fe1067";
/// imad-boot: this boot is a rehearsal, or is none though one was asked for.
pub const BOOT_REHEARSAL: &str = "5b0f1d7c6f3e4a2d9a5e3c8f70b1d264";
/// imad-boot: what came of a rehearsal.
pub const REHEARSAL_REPORT: &str = "c1d93a0e8f524b67b2a46d90e7351fa8";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// Every constant of this file with its value.
    fn constants() -> Vec<(&'static str, &'static str)> {
        include_str!("message_id.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("pub const ")?.strip_suffix("\";")?.split_once(": &str = \""))
            .collect()
    }

    #[test]
    fn ids_are_ids_and_differ() {
        let constants = constants();
        assert!(constants.len() > 10);
        for (name, id) in &constants {
            assert!(id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{name}");
        }
        assert_eq!(constants.iter().map(|(_, id)| id).collect::<BTreeSet<_>>().len(), constants.len());
    }

    #[test]
    fn the_catalog_explains_each_and_no_other() {
        let explained: BTreeSet<_> = include_str!("../../conf/catalog/imad.catalog")
            .lines()
            .filter_map(|line| line.strip_prefix("-- "))
            .map(str::trim)
            .collect();
        assert_eq!(explained, constants().into_iter().map(|(_, id)| id).collect());
    }
}
