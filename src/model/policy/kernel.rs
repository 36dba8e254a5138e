//! From what a kernel shows of itself to what it makes of the policy language, with the source of each part.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use super::builtin::Boot;
use super::parse::TEMPLATES;
use super::profile::{KernelConfig, KernelProfile, Lsm, Names, version};
use super::readback::are_built_in;
use super::rule::hash_number;

/// What is known of a kernel.
#[derive(Debug, Clone, Default)]
pub struct KernelFacts {
    /// `uname -r`.
    pub release: Option<String>,
    /// Its configuration, and the file that it comes from.
    pub config: Option<(String, KernelConfig)>,
    /// What the kernel shows while it runs; absent for one that does not run here.
    pub running: Option<RunningFacts>,
}

/// What a running kernel shows. Everything of it can be looked at without changing anything.
#[derive(Debug, Clone, Default)]
pub struct RunningFacts {
    /// What of this the kernel's own type information (BTF) holds; absent where it holds no word of the language.
    pub words: Option<NewWords>,
    /// securityfs's folder `ima`.
    pub ima: bool,
    /// The mode of the policy's file; absent where it is gone, as after the only load that a kernel takes.
    pub policy_mode: Option<u32>,
    /// The active rules, where they can be read.
    pub rules: Option<Vec<Vec<u8>>>,
    /// The active security modules, comma-separated.
    pub lsm: Option<String>,
    /// SELinux has a policy.
    pub selinux_policy: bool,
    /// UEFI Secure Boot.
    pub secure_boot: Option<bool>,
    /// The words of the kernel's command line.
    pub command_line: Vec<String>,
}

/// What came late and was taken back into older kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a feature of its own")]
pub struct NewWords {
    /// `fs_subtype=`
    pub fs_subtype: bool,
    /// `dont_audit`
    pub dont_audit: bool,
    /// Signatures of version 3 over files (`digsig_asymmetric.c: asymmetric_verify_v3()`).
    pub sigv3_files: bool,
    /// `CREDS_CHECK` with the new ids (`ima_main.c: ima_creds_check()`).
    pub creds_check: bool,
    /// Rules written as text are measured (`ima_main.c: ima_measure_raw_policy()`).
    pub policy_text: bool,
}

/// A part of a profile, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Which.
    pub name: String,
    /// What it is.
    pub value: String,
    /// A file, the version, or `assumed`.
    pub from: String,
}

/// A kernel that policies are judged for.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// `uname -r`, or the file that its configuration comes from.
    pub name: String,
    /// What it makes of policies.
    pub profile: KernelProfile,
    /// Where that comes from.
    pub parts: Vec<Part>,
}

/// Where a part of the profile comes from that nothing told.
const ASSUMED: &str = "assumed";
const POLICY_FILE: &str = "/sys/kernel/security/ima/policy";
const COMMAND_LINE: &str = "/proc/cmdline";
/// The bits of a file's mode that let its owner read and write.
const READ: u32 = 0o400;
const WRITE: u32 = 0o200;

impl Kernel {
    /// Puts a profile together. A kernel without IMA takes no policy at all; then the answer is for Linux 6.12 with
    /// everything that distributions switch on.
    pub fn from_facts(facts: &KernelFacts) -> Self {
        let has_ima = facts.config.as_ref().is_none_or(|(_, config)| config.has("IMA"));
        if !has_ima {
            let why = "assumed: this kernel has no IMA".to_owned();
            let value = "Linux 6.12, every option of IMA".to_owned();
            let parts = vec![Part { name: "all".to_owned(), value, from: why }];
            return Self { name: "Linux 6.12".to_owned(), profile: KernelProfile::default(), parts };
        }
        let mut build = Build { parts: Vec::new() };
        let mut profile = build.options(facts);
        build.language(&mut profile, facts);
        if let Some(running) = &facts.running {
            build.state(&mut profile, running, facts);
        }
        let config = || facts.config.as_ref().map(|(source, _)| source.clone());
        let name = facts.release.clone().or_else(config).unwrap_or_else(|| "unknown kernel".to_owned());
        Self { name, profile, parts: build.parts }
    }
}

struct Build {
    parts: Vec<Part>,
}

const fn yes(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}

impl Build {
    fn put(&mut self, name: &str, value: impl Into<String>, from: impl Into<String>) {
        self.parts.push(Part { name: name.to_owned(), value: value.into(), from: from.into() });
    }

    fn options(&mut self, facts: &KernelFacts) -> KernelProfile {
        let release = facts.release.as_deref().and_then(version);
        let (profile, from) = match &facts.config {
            Some((source, config)) => (KernelProfile::from_config(config, release), source.as_str()),
            None => (KernelProfile::default(), ASSUMED),
        };
        for (name, value) in [
            ("appraisal", profile.appraise),
            ("modsig", profile.modsig),
            ("key measurement", profile.key_measurement),
            ("more than one load", profile.write_policy),
            ("rules can be read", profile.read_policy),
            ("trusted keyring", profile.trusted_keyring),
        ] {
            self.put(name, yes(value), from);
        }
        self.put("hash algorithms", profile.hashes.names().collect::<Vec<_>>().join(" "), from);
        self.put("PCRs", profile.pcrs.to_string(), from);
        profile
    }

    /// Words that came late. The kernel's type information tells some; the version is the last resort, since stable
    /// kernels take words back.
    fn language(&mut self, profile: &mut KernelProfile, facts: &KernelFacts) {
        let release = facts.release.as_deref().and_then(version);
        let version = release.or_else(|| facts.config.as_ref().and_then(|(_, config)| config.version()));
        let from = match version {
            Some((major, minor)) => format!("version {major}.{minor}"),
            None => ASSUMED.to_owned(),
        };
        if let (Some((major, minor)), None) = (version, &facts.config) {
            // Without a configuration nothing has looked at the version yet.
            let bare = KernelProfile::from_config(&KernelConfig::default(), Some((major, minor)));
            profile.trailing_comments = bare.trailing_comments;
            profile.fs_subtype = bare.fs_subtype;
            profile.dont_audit = bare.dont_audit;
            profile.sigv3_files = bare.sigv3_files;
            profile.verdicts.sigv3_files = bare.sigv3_files;
            profile.creds_check_sees_new_ids = bare.creds_check_sees_new_ids;
            profile.tmpfs_exempt_at_open = bare.tmpfs_exempt_at_open;
            profile.configfs_exempt = bare.configfs_exempt;
            profile.secure_boot_modsig = bare.secure_boot_modsig;
            profile.measures_policy_text = bare.measures_policy_text;
        }
        let words = facts.running.as_ref().and_then(|running| running.words);
        let btf = "/sys/kernel/btf/vmlinux";
        if let Some(words) = words {
            profile.fs_subtype = words.fs_subtype;
            profile.dont_audit = words.dont_audit;
            profile.sigv3_files = words.sigv3_files;
            profile.verdicts.sigv3_files = words.sigv3_files;
            // Kernels before 5.8 have it without a function of this name.
            profile.creds_check_sees_new_ids |= words.creds_check;
            profile.measures_policy_text = words.policy_text;
        }
        let from_words = if words.is_some() { btf } else { &from };
        self.put("comments behind rules", yes(profile.trailing_comments), &from);
        self.put("fs_subtype=", yes(profile.fs_subtype), from_words);
        self.put("dont_audit", yes(profile.dont_audit), from_words);
        self.put("sigv3 without fs-verity", yes(profile.sigv3_files), from_words);
        self.put("policies written as text are measured", yes(profile.measures_policy_text), from_words);
    }

    fn state(&mut self, profile: &mut KernelProfile, running: &RunningFacts, facts: &KernelFacts) {
        let option = |name: &str| running.command_line.iter().rev().find_map(|word| word.strip_prefix(name));
        // ima_setup.c: what the kernel does not know leaves the configuration's.
        if let Some(hash) =
            option("ima_hash=").and_then(|name| hash_number(name.as_bytes())).filter(|&hash| profile.hashes.has(hash))
        {
            profile.verdicts.hash = hash;
        }
        if let Some((name, _)) =
            option("ima_template=").and_then(|name| TEMPLATES.iter().find(|(known, _)| *known == name))
        {
            profile.verdicts.template = name.as_bytes().to_vec();
        }
        if let Some(format) = option("ima_template_fmt=") {
            profile.custom_template = Some(format.as_bytes().to_vec());
            self.put("template", format, COMMAND_LINE);
        }
        self.labels(profile, running, facts);
        if !running.ima {
            self.put("custom policy", "unknown, taken for none", "assumed: securityfs is not mounted");
            return;
        }
        if let Some(mode) = running.policy_mode.filter(|mode| mode & READ != 0 || facts.config.is_none()) {
            profile.read_policy = mode & READ != 0;
            self.put("rules can be read", yes(profile.read_policy), format!("{POLICY_FILE}, mode {mode:03o}"));
        }
        let (active, value, from) = custom_policy(profile, running, option("ima_policy=").is_some());
        profile.custom_active = active;
        self.put("custom policy", value, from);
    }

    fn labels(&mut self, profile: &mut KernelProfile, running: &RunningFacts, facts: &KernelFacts) {
        let config = facts.config.as_ref();
        if let Some((source, _)) = config.filter(|(_, config)| !config.has("IMA_LSM_RULES")) {
            self.put("labels", "no conditions on labels", source.clone());
            return;
        }
        let from = "/sys/kernel/security/lsm";
        let Some(active) = running.lsm.as_deref() else {
            let from = if running.selinux_policy { "/sys/fs/selinux" } else { "assumed: securityfs is not mounted" };
            if running.selinux_policy {
                profile.lsm = Lsm::Selinux(Names::Any);
            }
            self.put("labels", if running.selinux_policy { "SELinux, any name" } else { "none known" }, from);
            return;
        };
        let has = |name: &str| active.trim().split(',').any(|module| module == name);
        let (lsm, value) = if has("selinux") && running.selinux_policy {
            (Lsm::Selinux(Names::Any), "SELinux, any name")
        } else if has("selinux") {
            (Lsm::KnowsNothing, "SELinux without a policy: none known")
        } else if has("smack") {
            (Lsm::Smack, "Smack")
        } else if has("apparmor") {
            (Lsm::AppArmor(Names::Any), "AppArmor, any profile")
        } else {
            (Lsm::KnowsNothing, "none known")
        };
        profile.lsm = lsm;
        self.put("labels", value, from);
    }
}

/// Whether a custom policy is active already: yes or no, in words, and by what.
fn custom_policy(profile: &KernelProfile, running: &RunningFacts, built_in: bool) -> (bool, &'static str, String) {
    let file = |what: &str| format!("{POLICY_FILE}: {what}");
    let boot = Boot { secure_boot: running.secure_boot == Some(true), ..Boot::from_parameters(&running.command_line) };
    match (running.policy_mode, &running.rules) {
        (None, _) => (true, "active", file("it is gone, as after the only load")),
        (Some(mode), _) if mode & WRITE == 0 => (true, "active", file("it can no longer be written")),
        (Some(_), Some(rules)) if rules.is_empty() => (false, "none", file("no rules")),
        (Some(_), Some(rules)) if are_built_in(rules, &boot, profile) => {
            (false, "none", file("the rules that the kernel brings by itself"))
        }
        (Some(_), Some(_)) if !built_in && !has_own_rules(profile, running) => (true, "active", file("rules")),
        // A kernel that takes one load and still takes it has had none.
        (Some(_), _) if !profile.write_policy => (false, "none", file("it can still be written, for the only load")),
        (Some(_), Some(_)) => (false, "unknown, taken for none", file("rules, which may be built in")),
        (Some(_), None) => (false, "unknown, taken for none", file("the rules cannot be read")),
    }
}

/// The kernel may have rules although nobody loaded any.
fn has_own_rules(profile: &KernelProfile, running: &RunningFacts) -> bool {
    let build = profile.build;
    let old_words = ["ima_tcb", "ima_appraise_tcb"];
    build.module
        || build.firmware
        || build.kexec
        || build.policy
        || (profile.arch_policy && running.secure_boot == Some(true))
        || running.command_line.iter().any(|word| old_words.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> (String, KernelConfig) {
        ("/boot/config".to_owned(), KernelConfig::parse(text))
    }

    fn running() -> RunningFacts {
        RunningFacts { ima: true, policy_mode: Some(0o600), ..RunningFacts::default() }
    }

    fn kernel(config: (String, KernelConfig), running: Option<RunningFacts>) -> Kernel {
        Kernel::from_facts(&KernelFacts { release: Some("6.12.5-1".to_owned()), config: Some(config), running })
    }

    fn part<'a>(kernel: &'a Kernel, name: &str) -> (&'a str, &'a str) {
        let part = kernel.parts.iter().rfind(|part| part.name == name).unwrap();
        (&part.value, &part.from)
    }

    const IMA: &str = "CONFIG_IMA=y\nCONFIG_IMA_LSM_RULES=y\nCONFIG_IMA_WRITE_POLICY=y\n";

    #[test]
    fn the_kernels_own_words_count_for_more_than_its_version() {
        let plain = kernel(config(IMA), Some(running()));
        assert!(!plain.profile.dont_audit && part(&plain, "dont_audit").1 == "version 6.12");
        let words = Some(NewWords { dont_audit: true, sigv3_files: true, policy_text: true, ..NewWords::default() });
        let probed = kernel(config(IMA), Some(RunningFacts { words, ..running() }));
        assert!(probed.profile.dont_audit && !probed.profile.fs_subtype);
        assert!(probed.profile.sigv3_files && probed.profile.verdicts.sigv3_files);
        assert!(probed.profile.measures_policy_text && !probed.profile.creds_check_sees_new_ids);
        assert_eq!(part(&probed, "policies written as text are measured"), ("yes", "/sys/kernel/btf/vmlinux"));
        assert_eq!(part(&probed, "dont_audit"), ("yes", "/sys/kernel/btf/vmlinux"));
        let none = Kernel::from_facts(&KernelFacts { release: Some("6.19.0".to_owned()), ..KernelFacts::default() });
        assert!(none.profile.dont_audit && none.profile.modsig);
        assert!(none.profile.creds_check_sees_new_ids && none.profile.secure_boot_modsig);
        assert_eq!(part(&none, "modsig").1, ASSUMED);
    }

    #[test]
    fn a_kernel_without_ima_is_no_measure() {
        let kernel = kernel(config("CONFIG_64BIT=y\n"), None);
        assert_eq!(kernel.profile, KernelProfile::default());
        assert!(kernel.parts[0].from.contains("no IMA"));
    }

    #[test]
    fn labels_are_known_when_their_module_has_a_policy() {
        let lsm = |lsm: &str, selinux_policy| {
            let running = RunningFacts { lsm: Some(lsm.to_owned()), selinux_policy, ..running() };
            kernel(config(IMA), Some(running)).profile.lsm
        };
        assert_eq!(lsm("lockdown,capability,selinux\n", true), Lsm::Selinux(Names::Any));
        assert_eq!(lsm("lockdown,capability,selinux", false), Lsm::KnowsNothing);
        assert_eq!(lsm("capability,apparmor", false), Lsm::AppArmor(Names::Any));
        assert_eq!(lsm("smack", false), Lsm::Smack);
        assert_eq!(lsm("capability,bpf", true), Lsm::KnowsNothing);
        let without = kernel(config("CONFIG_IMA=y\n"), Some(RunningFacts { lsm: Some("smack".into()), ..running() }));
        assert_eq!(without.profile.lsm, Lsm::KnowsNothing);
    }

    fn three() -> Vec<Vec<u8>> {
        vec![b"audit ".to_vec(); 3]
    }

    #[test]
    fn a_custom_policy_is_seen_where_it_can_be() {
        let active = |options: &str, change: &dyn Fn(&mut RunningFacts)| {
            let mut running = running();
            change(&mut running);
            kernel(config(&format!("{IMA}{options}")), Some(running)).profile.custom_active
        };
        let once = "# CONFIG_IMA_WRITE_POLICY is not set\n";
        assert!(active(once, &|running| running.policy_mode = None));
        assert!(active(once, &|running| running.policy_mode = Some(0o400)));
        assert!(active("", &|running| running.rules = Some(three())));
        assert!(!active("", &|running| running.rules = Some(Vec::new())));
        assert!(!active("", &|_| {}));
        assert!(!active("CONFIG_IMA_APPRAISE_REQUIRE_POLICY_SIGS=y\n", &|running| running.rules = Some(three())));
        let secure_boot = |running: &mut RunningFacts| {
            running.rules = Some(three());
            running.secure_boot = Some(true);
        };
        assert!(!active("CONFIG_IMA_ARCH_POLICY=y\n", &secure_boot));
        assert!(active("", &secure_boot));
        let brought = RunningFacts {
            rules: Some(["measure func=KEXEC_KERNEL_CHECK ", "measure func=MODULE_CHECK "].map(Into::into).into()),
            secure_boot: Some(true),
            ..running()
        };
        let options = "CONFIG_IMA_ARCH_POLICY=y\nCONFIG_MODULE_SIG=y\nCONFIG_KEXEC_SIG=y\n";
        assert_eq!(part(&kernel(config(&format!("{IMA}{options}")), Some(brought)), "custom policy").0, "none");
        let built_in = |running: &mut RunningFacts| {
            running.rules = Some(three());
            running.command_line = vec!["ima_policy=tcb".to_owned()];
        };
        assert!(!active("", &built_in));
    }

    #[test]
    fn the_custom_template_comes_from_the_command_line() {
        let command_line = vec!["ima_template_fmt=d-ng|n-ng".to_owned(), "ima_template_fmt=d-ng|iuid".to_owned()];
        let kernel = kernel(config(IMA), Some(RunningFacts { command_line, ..running() }));
        assert_eq!(kernel.profile.custom_template.as_deref(), Some(&b"d-ng|iuid"[..]));
    }
}
