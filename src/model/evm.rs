//! What EVM lets nobody write (`security/integrity/evm/evm_main.c`), and what its portable signatures are made over.
#![forbid(unsafe_code)]

/// HMACs are verified and made (`EVM_INIT_HMAC`).
const HMAC: u64 = 1;
/// Signatures are verified (`EVM_INIT_X509`).
const X509: u64 = 2;
/// Attributes may be changed all the same (`EVM_ALLOW_METADATA_WRITES`).
const ALLOW_WRITES: u64 = 4;

/// How EVM is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evm {
    /// What its file in securityfs says.
    pub bits: u64,
    /// Whether its setup is complete (`EVM_SETUP_COMPLETE`), which that file does not tell; `None` where it is not known.
    pub locked: Option<bool>,
    /// `evm=fix`: attributes may be changed, and HMACs follow.
    pub fix: bool,
}

/// Why a file without `security.evm` gets no label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// An HMAC is wanted, and this file has none.
    Hmac,
    /// An HMAC key may still be loaded: the setup is not complete.
    Unlocked,
}

impl Evm {
    /// Whether `evm=fix` is among the kernel's parameters (`evm_set_fixmode()`; another value changes nothing).
    pub fn is_fix(parameters: &[String]) -> bool {
        parameters.iter().any(|parameter| parameter == "evm=fix")
    }

    /// Whether files are looked at by it at all (`evm_key_loaded()`).
    pub const fn is_active(&self) -> bool {
        self.bits & (HMAC | X509) != 0
    }

    /// Why a file without `security.evm` gets no label, if so (`evm_protect_xattr()`: neither `INTEGRITY_NOLABEL` nor
    /// `INTEGRITY_NOXATTRS` passes, but where no HMAC will ever be made).
    pub const fn refusal(&self) -> Option<Refusal> {
        if self.bits & (HMAC | X509) == 0 || self.bits & ALLOW_WRITES != 0 || self.fix {
            return None;
        }
        match self.locked {
            _ if self.bits & HMAC != 0 => Some(Refusal::Hmac),
            Some(false) => Some(Refusal::Unlocked),
            Some(true) | None => None,
        }
    }
}

impl Refusal {
    /// The reason, in words that can follow "not written: ".
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Hmac => "EVM wants an HMAC where a label changes, and the file has none (security.evm)",
            Self::Unlocked => "EVM lets nobody label a file without security.evm until its setup is locked",
        }
    }

    /// What mends it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Hmac => "boot once with evm=fix on the kernel command line, and: imactl relabel",
            Self::Unlocked => "echo 0x80000002 >/sys/kernel/security/integrity/evm/evm; imactl relabel",
        }
    }
}

/// File systems whose files get labels whatever EVM says: `TMPFS_MAGIC`, and overlayfs, on which it makes no HMACs
/// (`SB_I_EVM_HMAC_UNSUPPORTED`).
pub const UNPROTECTED: [i64; 2] = [0x0102_1994, 0x794c_7630];

/// The attributes that EVM protects, in its order (`evm_config_default_xattrnames`). Those that
/// `/sys/kernel/security/integrity/evm/evm_xattrs` adds are missing.
pub const PROTECTED: [&str; 8] = [
    "security.selinux",
    "security.SMACK64",
    "security.SMACK64EXEC",
    "security.SMACK64TRANSMUTE",
    "security.SMACK64MMAP",
    "security.apparmor",
    "security.ima",
    "security.capability",
];

/// What a portable signature vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The values of those [protected attributes](PROTECTED) that the file has, in that order.
    pub xattrs: Vec<Vec<u8>>,
    /// Owner, in the initial user namespace.
    pub owner: u32,
    /// Group, in the initial user namespace.
    pub group: u32,
    /// `st_mode`, with the kind of file.
    pub mode: u16,
}

impl Metadata {
    /// What is hashed and signed (`evm_calc_hmac_or_hash()`, `hmac_add_misc()`): the attributes' values, one after the
    /// other, and then 24 bytes, in the machine's byte order:
    ///
    /// | offset | bytes | field |
    /// |---|---|---|
    /// | 0 | 12 | zero: inode number and generation, which portable signatures leave out |
    /// | 12 | 4 | owner |
    /// | 16 | 4 | group |
    /// | 20 | 2 | mode |
    /// | 22 | 2 | zero |
    pub fn message(&self) -> Vec<u8> {
        let mut message = self.xattrs.concat();
        message.extend([0; 12]);
        message.extend(self.owner.to_ne_bytes());
        message.extend(self.group.to_ne_bytes());
        message.extend(self.mode.to_ne_bytes());
        message.extend([0; 2]);
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_evm_refuses() {
        let evm = |bits, locked| Evm { bits, locked, fix: false };
        for (evm, refusal) in [
            (evm(0, Some(false)), None),
            (evm(HMAC, Some(true)), Some(Refusal::Hmac)),
            (evm(HMAC | X509, None), Some(Refusal::Hmac)),
            (evm(X509, Some(false)), Some(Refusal::Unlocked)),
            (evm(X509, Some(true)), None),
            (evm(X509, None), None),
            (evm(X509 | ALLOW_WRITES, Some(false)), None),
            (Evm { fix: true, ..evm(HMAC, Some(true)) }, None),
        ] {
            assert_eq!(evm.refusal(), refusal, "{evm:?}");
        }
    }
}
