//! `MESSAGE_ID`s of the journal lines that a person acts on; `conf/catalog/imad.catalog` explains each.
#![forbid(unsafe_code)]

/// The kernel took a certificate into `.ima`.
pub const BOOT_KEY_ACCEPTED: &str = "76d3204ae7ae4b2487e747507fa3c285";
/// The kernel refused a certificate, or takes it in vain.
pub const BOOT_KEY_REFUSED: &str = "affb4f041f0646f589c567b28b81acc7";
/// imad-boot loaded the policy, and verified that.
pub const BOOT_POLICY_LOADED: &str = "ee65cc9b8a4744f0984e69439d1d5701";
/// imad-boot did not load the policy.
pub const BOOT_POLICY_NOT_LOADED: &str = "621b782eec78491d95ff977d09d57628";
/// `/etc/ima` could not be hidden from PID 1, or not be shown again.
pub const BOOT_POLICY_NOT_HIDDEN: &str = "70d257cf9740489ba11317627e5ff54d";
/// The kernel has no IMA.
pub const BOOT_NO_IMA: &str = "8d4ce0ee9eff47d3a31532f41ae12a6d";
/// The kernel has no trusted keyring.
pub const BOOT_NO_TRUSTED_KEYRING: &str = "147c82770a5d4ee08255c627a342a147";
/// A configuration file has a fault and is not used.
pub const CONFIGURATION_FAULT: &str = "3ae3eeda126d47e0bc9ce2a60935d6d5";
/// Labels were written.
pub const LABELS_WRITTEN: &str = "a52124a70746473ebbc172dd58989248";
/// A label cannot be verified, so it was not written.
pub const LABEL_NOT_VERIFIABLE: &str = "8dfcda195dec43349ec7185ae30546f6";
/// A package brought files without a signature.
pub const PACKAGE_WITHOUT_SIGNATURE: &str = "65e51a1014774167af3e5a0d185fb503";
/// The package database cannot be read.
pub const DATABASE_UNREADABLE: &str = "3347de580fdd4aeab227d9e4414ae17e";
/// The package database can be read again.
pub const DATABASE_RECOVERED: &str = "040bcff70270415fa052dd8e8a9c8c6e";
/// The daemon's state cannot be written down.
pub const STATE_NOT_WRITABLE: &str = "0747a01a771642b38904850d27da3da0";
/// The daemon re-executes itself, because its program was replaced.
pub const DAEMON_REEXEC: &str = "c7af0b91bf4142aea40b3ac6818fe704";
