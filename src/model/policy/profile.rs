//! What a kernel's configuration, version and state make of the policy language.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use super::rule::{HashSet, LsmField, Text, hash_number};
use super::verdict::VerdictProfile;

/// What the security modules know when a policy is loaded (`security_audit_rule_init()`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Lsm {
    /// No module knows any label: none is active, `CONFIG_IMA_LSM_RULES` is off, or SELinux has no policy yet.
    #[default]
    KnowsNothing,
    /// SELinux with its policy loaded.
    Selinux(Names),
    /// Smack: labels of `obj_user` and `subj_user`, any text.
    Smack,
    /// AppArmor: profiles, by `subj_role` only.
    AppArmor(Names),
}

/// Names that a security module's policy holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Names {
    /// They could not be listed: every name counts as known.
    #[default]
    Any,
    /// These.
    Known(Vec<(LsmField, Text)>),
}

impl Names {
    fn has(&self, field: LsmField, value: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Known(names) => names.iter().any(|(known, name)| *known == field && name == value),
        }
    }
}

impl Lsm {
    /// Whether a module takes the condition.
    pub fn resolves(&self, field: LsmField, value: &[u8]) -> bool {
        match self {
            Self::KnowsNothing => false,
            Self::Selinux(names) => names.has(field, value),
            Self::Smack => matches!(field, LsmField::ObjUser | LsmField::SubjUser),
            Self::AppArmor(names) => field == LsmField::SubjRole && apparmor_knows(names, value),
        }
    }
}

/// Whether AppArmor finds all profiles of a label (`aa_label_strn_parse()`): `//&` stands after each name but the last
/// (`stacksplitdfa`: and after no `/`), and one `&` before them for the label that all others are stacked upon. Namespaces (`:name:profile`) are not looked into:
/// they count as unknown.
fn apparmor_knows(names: &Names, label: &[u8]) -> bool {
    // Blanks as the kernel's isspace() knows them: a no-break space of Latin-1 too.
    let blank = |byte: &u8| matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0);
    let skip = |text: &[u8]| text.iter().take_while(|byte| blank(byte)).count();
    let label = &label[skip(label)..];
    if label.is_empty() {
        return false;
    }
    let mut rest = label.strip_prefix(b"&").unwrap_or(label);
    loop {
        let split = rest.windows(4).position(|at| at[0] != b'/' && &at[1..] == b"//&").map(|at| at + 1);
        let name = &rest[..split.unwrap_or(rest.len())];
        let name = &name[skip(name)..];
        // No name is the namespace's own profile, `unconfined`, which the kernel knows by any beginning of its name.
        if !b"unconfined".starts_with(name) && !names.has(LsmField::SubjRole, name) {
            return false;
        }
        match split {
            Some(at) => rest = &rest[at + 3..],
            None => return true,
        }
    }
}

/// Rules that `CONFIG_IMA_APPRAISE_REQUIRE_…_SIGS` builds in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a configuration option of its own")]
pub struct BuildRules {
    /// `…_MODULE_SIGS`
    pub module: bool,
    /// `…_FIRMWARE_SIGS`
    pub firmware: bool,
    /// `…_KEXEC_SIGS`
    pub kexec: bool,
    /// `…_POLICY_SIGS`
    pub policy: bool,
}

/// A kernel, as far as policies are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a feature of its own")]
pub struct KernelProfile {
    /// There is IMA at all (`CONFIG_IMA`).
    pub ima: bool,
    /// Appraisal (`CONFIG_IMA_APPRAISE`); without it the words are taken and have no effect.
    pub appraise: bool,
    /// `appraise_type=imasig|modsig` (`CONFIG_IMA_APPRAISE_MODSIG`).
    pub modsig: bool,
    /// `func=KEY_CHECK`, `keyrings=` (`CONFIG_IMA_MEASURE_ASYMMETRIC_KEYS`).
    pub key_measurement: bool,
    /// A policy can be loaded more than once (`CONFIG_IMA_WRITE_POLICY`).
    pub write_policy: bool,
    /// The rules can be read (`CONFIG_IMA_READ_POLICY`).
    pub read_policy: bool,
    /// Keys come from `.ima` (`CONFIG_INTEGRITY_TRUSTED_KEYRING`), not from `_ima`.
    pub trusted_keyring: bool,
    /// `ima_appraise=` is honoured (`CONFIG_IMA_APPRAISE_BOOTPARAM`).
    pub appraise_bootparam: bool,
    /// Secure Boot brings rules of its own (`CONFIG_IMA_ARCH_POLICY`).
    pub arch_policy: bool,
    /// `CONFIG_MODULE_SIG`: the arch policy then asks for no module signature.
    pub module_sig: bool,
    /// `CONFIG_KEXEC_SIG`: likewise for kexec.
    pub kexec_sig: bool,
    /// `CONFIG_INTEGRITY_MACHINE_KEYRING` and `CONFIG_IMA_KEYRINGS_PERMIT_SIGNED_BY_BUILTIN_OR_SECONDARY`: under Secure
    /// Boot a policy then has to be signed.
    pub arch_policy_signed: bool,
    /// `CONFIG_IMA_APPRAISE_SIGNED_INIT`: `appraise_tcb` asks for signatures.
    pub signed_init: bool,
    /// Rules that are built in.
    pub build: BuildRules,
    /// Hash algorithms that the kernel can compute, modules included.
    pub hashes: HashSet,
    /// `# …` after a rule is a comment (Linux 6.14).
    pub trailing_comments: bool,
    /// `fs_subtype=` (Linux 6.19).
    pub fs_subtype: bool,
    /// `dont_audit` (Linux 6.19).
    pub dont_audit: bool,
    /// `appraise_type=sigv3` without fs-verity (Linux 7.1).
    pub sigv3_files: bool,
    /// `CREDS_CHECK` sees the ids that a set-user-ID program brings (Linux 6.19; before 5.8 too). In between it sees the
    /// caller's: the kernel asks before it computes the new ones (`fs/exec.c: begin_new_exec()`). Since 6.19 it is not
    /// asked about scripts: that goes for all that see the new ids here.
    pub creds_check_sees_new_ids: bool,
    /// `tcb` exempts tmpfs only at open (Linux 6.14).
    pub tmpfs_exempt_at_open: bool,
    /// `tcb` and `appraise_tcb` exempt configfs (Linux 7.3).
    pub configfs_exempt: bool,
    /// `secure_boot` takes modules with an appended signature (Linux 6.19).
    pub secure_boot_modsig: bool,
    /// Rules that are written as text are measured by `measure func=POLICY_CHECK`, and what is in force after a load as the
    /// critical data `ima_policy` (Linux 7.3).
    pub measures_policy_text: bool,
    /// `pcr=` may be smaller than this: the bits of a long.
    pub pcrs: u8,
    /// What configuration and command line make of verdicts.
    pub verdicts: VerdictProfile,
    /// The format of `ima_template_fmt=`, which then counts as a template.
    pub custom_template: Option<Text>,
    /// What the security modules know.
    pub lsm: Lsm,
    /// A custom policy is active already; label conditions that nobody knows are then taken, and match nothing.
    pub custom_active: bool,
}

impl Default for KernelProfile {
    /// Linux 6.12 with everything that RHEL and Fedora switch on, before SELinux's policy.
    fn default() -> Self {
        Self {
            ima: true,
            appraise: true,
            modsig: true,
            key_measurement: true,
            write_policy: true,
            read_policy: true,
            trusted_keyring: true,
            appraise_bootparam: true,
            arch_policy: true,
            module_sig: true,
            kexec_sig: true,
            arch_policy_signed: false,
            signed_init: false,
            build: BuildRules::default(),
            hashes: HashSet::of(&["sha1", "sha224", "sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"]),
            trailing_comments: false,
            fs_subtype: false,
            dont_audit: false,
            sigv3_files: false,
            creds_check_sees_new_ids: false,
            tmpfs_exempt_at_open: false,
            configfs_exempt: false,
            secure_boot_modsig: false,
            measures_policy_text: false,
            pcrs: 64,
            verdicts: VerdictProfile::default(),
            custom_template: None,
            lsm: Lsm::KnowsNothing,
            custom_active: false,
        }
    }
}

/// Kernel configuration options and the algorithms that each brings.
const HASH_OPTIONS: [(&str, &[&str]); 16] = [
    ("CRYPTO_MD4", &["md4"]),
    ("CRYPTO_MD5", &["md5"]),
    ("CRYPTO_SHA1", &["sha1"]),
    ("CRYPTO_RMD160", &["rmd160"]),
    ("CRYPTO_SHA256", &["sha256", "sha224"]),
    ("CRYPTO_SHA512", &["sha512", "sha384"]),
    ("CRYPTO_WP512", &["wp256", "wp384", "wp512"]),
    ("CRYPTO_SM3", &["sm3"]),
    ("CRYPTO_SM3_GENERIC", &["sm3"]),
    ("CRYPTO_SM3_AVX_X86_64", &["sm3"]),
    ("CRYPTO_SM3_NEON", &["sm3"]),
    ("CRYPTO_SM3_ARM64_CE", &["sm3"]),
    ("CRYPTO_STREEBOG", &["streebog256", "streebog512"]),
    ("CRYPTO_SHA3", &["sha3-256", "sha3-384", "sha3-512"]),
    ("CRYPTO_SHA3_256_S390", &["sha3-256"]),
    ("CRYPTO_SHA3_512_S390", &["sha3-384", "sha3-512"]),
];

/// What a kernel configuration (`/boot/config-…`, `/proc/config.gz`) sets.
#[derive(Debug, Clone, Default)]
pub struct KernelConfig {
    options: HashMap<String, String>,
    version: Option<(u32, u32)>,
}

impl KernelConfig {
    /// Reads a configuration; lines that set nothing are passed over, as the kernel's own tools do.
    pub fn parse(text: &str) -> Self {
        let mut config = Self::default();
        for line in text.lines() {
            if let Some((key, value)) = line.strip_prefix("CONFIG_").and_then(|line| line.split_once('=')) {
                config.options.insert(key.to_owned(), value.trim_matches('"').to_owned());
            } else if let Some((_, rest)) = line.split_once("Linux/").filter(|_| line.starts_with('#')) {
                // "# Linux/x86 6.12.117 Kernel Configuration"
                config.version = rest.split_whitespace().nth(1).and_then(version);
            }
        }
        config
    }

    /// Nothing was set: not a kernel configuration.
    pub fn is_empty(&self) -> bool {
        self.options.is_empty()
    }

    /// The option is built in or a module.
    pub fn has(&self, option: &str) -> bool {
        self.options.get(option).is_some_and(|value| value == "y" || value == "m")
    }

    /// The value of an option; `None` where it is not set.
    pub fn value(&self, option: &str) -> Option<&str> {
        self.options.get(option).map(String::as_str)
    }

    /// The kernel's version, from the configuration's head line.
    pub const fn version(&self) -> Option<(u32, u32)> {
        self.version
    }
}

/// The kernel's number of sha256.
const SHA256: u8 = 4;

/// Major and minor number at the start of `6.12.117-1-amd64`.
pub fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

impl KernelProfile {
    /// The kernel with this configuration. What no option tells comes from the version: newer words of the language
    /// may have been taken back into older kernels, so what was probed is better (set the fields after).
    pub fn from_config(config: &KernelConfig, version: Option<(u32, u32)>) -> Self {
        let version = version.or(config.version()).unwrap_or((6, 12));
        let names = HASH_OPTIONS.iter().filter(|(option, _)| config.has(option)).flat_map(|(_, names)| *names);
        Self {
            ima: config.has("IMA"),
            appraise: config.has("IMA_APPRAISE"),
            modsig: config.has("IMA_APPRAISE_MODSIG"),
            key_measurement: config.has("IMA_MEASURE_ASYMMETRIC_KEYS"),
            write_policy: config.has("IMA_WRITE_POLICY"),
            read_policy: config.has("IMA_READ_POLICY"),
            trusted_keyring: config.has("INTEGRITY_TRUSTED_KEYRING"),
            appraise_bootparam: config.has("IMA_APPRAISE_BOOTPARAM"),
            arch_policy: config.has("IMA_ARCH_POLICY"),
            module_sig: config.has("MODULE_SIG"),
            kexec_sig: config.has("KEXEC_SIG"),
            arch_policy_signed: config.has("INTEGRITY_MACHINE_KEYRING")
                && config.has("IMA_KEYRINGS_PERMIT_SIGNED_BY_BUILTIN_OR_SECONDARY"),
            signed_init: config.has("IMA_APPRAISE_SIGNED_INIT"),
            build: BuildRules {
                module: config.has("IMA_APPRAISE_REQUIRE_MODULE_SIGS"),
                firmware: config.has("IMA_APPRAISE_REQUIRE_FIRMWARE_SIGS"),
                kexec: config.has("IMA_APPRAISE_REQUIRE_KEXEC_SIGS"),
                policy: config.has("IMA_APPRAISE_REQUIRE_POLICY_SIGS"),
            },
            hashes: HashSet::of(&names.copied().collect::<Vec<_>>()),
            trailing_comments: version >= (6, 14),
            fs_subtype: version >= (6, 19),
            dont_audit: version >= (6, 19),
            sigv3_files: version >= (7, 1),
            creds_check_sees_new_ids: !((5, 8)..(6, 19)).contains(&version),
            tmpfs_exempt_at_open: version >= (6, 14),
            configfs_exempt: version >= (7, 3),
            secure_boot_modsig: version >= (6, 19),
            measures_policy_text: version >= (7, 3),
            pcrs: if config.has("64BIT") { 64 } else { 32 },
            verdicts: VerdictProfile {
                hash: config.value("IMA_DEFAULT_HASH").and_then(|name| hash_number(name.as_bytes())).unwrap_or(SHA256),
                template: config.value("IMA_DEFAULT_TEMPLATE").unwrap_or("ima-ng").as_bytes().to_vec(),
                pcr: config.value("IMA_MEASURE_PCR_IDX").and_then(|pcr| pcr.parse().ok()).unwrap_or(10),
                platform_keyring: config.has("INTEGRITY_PLATFORM_KEYRING"),
                sigv3_files: version >= (7, 1),
            },
            custom_template: None,
            lsm: Lsm::KnowsNothing,
            custom_active: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_becomes_a_profile() {
        let text = "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.12.117 Kernel Configuration\n#\n\
                    CONFIG_64BIT=y\nCONFIG_IMA=y\n# CONFIG_IMA_WRITE_POLICY is not set\nCONFIG_CRYPTO_SHA256=m\n";
        let config = KernelConfig::parse(text);
        assert_eq!(config.version(), Some((6, 12)));
        let profile = KernelProfile::from_config(&config, None);
        assert!(profile.ima && !profile.write_policy && !profile.trailing_comments);
        assert_eq!(profile.hashes.names().collect::<Vec<_>>(), ["sha256", "sha224"]);
        assert_eq!(profile.pcrs, 64);
        let settings = "CONFIG_IMA_DEFAULT_HASH=\"sha512\"\nCONFIG_IMA_DEFAULT_TEMPLATE=\"ima-sig\"\n";
        let verdicts = KernelProfile::from_config(&KernelConfig::parse(settings), None).verdicts;
        assert_eq!((verdicts.hash, verdicts.template.as_slice(), verdicts.pcr), (6, &b"ima-sig"[..], 10));
        assert!(KernelProfile::from_config(&config, version("6.19.0-rc1")).dont_audit);
        let of = |release| KernelProfile::from_config(&config, version(release));
        let later = |profile: &KernelProfile| {
            [profile.tmpfs_exempt_at_open, profile.secure_boot_modsig, profile.sigv3_files, profile.configfs_exempt]
        };
        assert_eq!(later(&of("6.13")), [false; 4]);
        assert_eq!(later(&of("6.14")), [true, false, false, false]);
        assert_eq!(later(&of("6.19")), [true, true, false, false]);
        assert_eq!(later(&of("7.2.12")), [true, true, true, false]);
        assert!(of("7.3.4").configfs_exempt && of("7.3.4").measures_policy_text && !of("7.2").measures_policy_text);
        assert!(KernelConfig::parse("not a configuration").is_empty());
    }

    #[test]
    fn modules_know_their_own_fields() {
        let known = Names::Known(vec![(LsmField::ObjType, b"bin_t".to_vec())]);
        assert!(Lsm::Selinux(known.clone()).resolves(LsmField::ObjType, b"bin_t"));
        assert!(!Lsm::Selinux(known).resolves(LsmField::SubjType, b"bin_t"));
        assert!(Lsm::AppArmor(Names::Any).resolves(LsmField::SubjRole, b"unconfined"));
        let apparmor = Lsm::AppArmor(Names::Known(vec![(LsmField::SubjRole, b"/usr/bin/man".to_vec())]));
        for known in ["/usr/bin/man", "unconfined", "un", "&un", "\r&\run", "&", "un//&/usr/bin/man", "un//&"] {
            assert!(apparmor.resolves(LsmField::SubjRole, known.as_bytes()), "{known}");
        }
        for unknown in ["/usr/bin/ma", "unconfinedx", "\r", "&&un", "un//&x", "x//&un", ":x:un", "//&", "un///&un"] {
            assert!(!apparmor.resolves(LsmField::SubjRole, unknown.as_bytes()), "{unknown}");
        }
        assert!(!Lsm::AppArmor(Names::Any).resolves(LsmField::ObjType, b"unconfined"));
        assert!(Lsm::Smack.resolves(LsmField::ObjUser, b"_"));
        assert!(!Lsm::KnowsNothing.resolves(LsmField::ObjUser, b"_"));
    }
}
