//! The rules that a kernel has by itself: by its command line, by Secure Boot, by its configuration
//! (`ima_policy.c: ima_init_policy()`, `ima_efi.c`).
#![forbid(unsafe_code)]

use super::super::command_line::parameters;
use super::profile::KernelProfile;
use super::rule::{Action, Comparison, Demands, Func, IdCondition, Mask, MaskCondition, OwnerCondition, Rule};

const PROC: u64 = 0x9fa0;
const SYSFS: u64 = 0x6265_6572;
const DEBUGFS: u64 = 0x6462_6720;
const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;
const DEVPTS: u64 = 0x1cd1;
const BINFMTFS: u64 = 0x4249_4e4d;
const SECURITYFS: u64 = 0x7363_6673;
const SELINUX: u64 = 0xf97c_ff8c;
const SMACK: u64 = 0x4341_5d53;
const CGROUP: u64 = 0x0027_e0eb;
const CGROUP2: u64 = 0x6367_7270;
const NSFS: u64 = 0x6e73_6673;
const EFIVARFS: u64 = 0xde5e_81e4;
const CONFIGFS: u64 = 0x6265_6570;

/// What `tcb` does not measure.
const UNMEASURED: [u64; 13] =
    [PROC, SYSFS, DEBUGFS, TMPFS, DEVPTS, BINFMTFS, SECURITYFS, SELINUX, SMACK, CGROUP, CGROUP2, NSFS, EFIVARFS];

/// What `appraise_tcb` does not appraise.
const UNAPPRAISED: [u64; 14] =
    [PROC, SYSFS, DEBUGFS, TMPFS, RAMFS, DEVPTS, BINFMTFS, SECURITYFS, SELINUX, SMACK, NSFS, EFIVARFS, CGROUP, CGROUP2];

/// Which rules measure the trusted computing base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tcb {
    /// `ima_tcb`
    Original,
    /// `ima_policy=tcb`
    Default,
}

/// `ima_appraise=`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Denials deny.
    Enforce,
    /// Everything is evaluated and recorded, nothing denied.
    Log,
    /// Like log, and files get hash labels.
    Fix,
    /// Appraise rules count only where others make the kernel keep appraisal.
    Off,
}

/// How a kernel was started, as far as its policy is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of its own")]
pub struct Boot {
    /// `ima_tcb`, `ima_policy=tcb`: whichever came first.
    pub tcb: Option<Tcb>,
    /// `ima_policy=appraise_tcb`, `ima_appraise_tcb`
    pub appraise_tcb: bool,
    /// `ima_policy=secure_boot`
    pub secure_boot_rules: bool,
    /// `ima_policy=critical_data`
    pub critical_data: bool,
    /// `ima_policy=fail_securely`
    pub fail_securely: bool,
    /// `ima_appraise=`; the last counts.
    pub appraise: Option<String>,
    /// Words of `ima_policy=` that no kernel knows.
    pub unknown: Vec<String>,
    /// The firmware says that Secure Boot is on.
    pub secure_boot: bool,
}

impl Boot {
    /// Reads a command line as the kernel does: blanks part parameters except within double quotes, `-` and `_` are the
    /// same in names, and what follows `--` is for init.
    pub fn from_command_line(line: &str) -> Self {
        Self::from_parameters(&parameters(line))
    }

    /// Reads the parameters of a command line, parted already.
    pub fn from_parameters(parameters: &[String]) -> Self {
        let mut boot = Self::default();
        for parameter in parameters.iter().take_while(|parameter| *parameter != "--") {
            let (name, value) = parameter.split_once('=').map_or((parameter.as_str(), None), |(n, v)| (n, Some(v)));
            let name = name.replace('-', "_");
            match (name.as_str(), value) {
                ("ima_policy", Some(words)) => boot.words(words),
                ("ima_appraise", Some(value)) => boot.appraise = Some(value.to_owned()),
                // The kernel takes every name that begins so.
                (name, _) if name.starts_with("ima_appraise_tcb") => boot.appraise_tcb = true,
                (name, _) if name.starts_with("ima_tcb") => {
                    boot.tcb.get_or_insert(Tcb::Original);
                }
                _ => {}
            }
        }
        boot
    }

    fn words(&mut self, words: &str) {
        for word in words.split([' ', '|', '\n']) {
            match word {
                "tcb" if self.tcb.is_none() => self.tcb = Some(Tcb::Default),
                "appraise_tcb" => self.appraise_tcb = true,
                "secure_boot" => self.secure_boot_rules = true,
                "critical_data" => self.critical_data = true,
                "fail_securely" => self.fail_securely = true,
                other => self.unknown.push(other.to_owned()),
            }
        }
    }

    /// The mode that this start asks for, and whether Secure Boot has the kernel pass it over
    /// (`ima_appraise.c: ima_appraise_parse_cmdline()`).
    pub fn mode(&self, profile: &KernelProfile) -> (Mode, bool) {
        if !profile.appraise {
            return (Mode::Off, false);
        }
        let asked = self.appraise.as_deref().filter(|_| profile.appraise_bootparam).and_then(|value| {
            let modes =
                [("off", Mode::Off), ("log", Mode::Log), ("fix", Mode::Fix), ("enforce", Mode::Enforce)].into_iter();
            modes.into_iter().find(|(word, _)| value.starts_with(word)).map(|(_, mode)| mode)
        });
        match asked {
            Some(mode) if !self.secure_boot => (mode, false),
            asked => (Mode::Enforce, asked.is_some_and(|mode| mode != Mode::Enforce)),
        }
    }
}

/// Where a rule that no file holds comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// `ima_policy=` and its older forms: this word.
    CommandLine(&'static str),
    /// Secure Boot (`CONFIG_IMA_ARCH_POLICY`).
    Arch,
    /// `CONFIG_IMA_APPRAISE_REQUIRE_…_SIGS`
    Build,
}

/// The rules in force when the kernel has started, first rule first.
pub fn default_rules(boot: &Boot, profile: &KernelProfile) -> Vec<(Source, Rule)> {
    let mut rules = Vec::new();
    if let Some(tcb) = boot.tcb {
        let word = if tcb == Tcb::Original { "ima_tcb" } else { "tcb" };
        rules.extend(measure_rules(tcb, profile).into_iter().map(|rule| (Source::CommandLine(word), rule)));
    }
    rules.extend(arch_rules(boot, profile));
    if boot.secure_boot_rules {
        let mut module = signed(Func::ModuleCheck);
        module.demands.modsig = profile.secure_boot_modsig;
        let others = [Func::FirmwareCheck, Func::KexecKernelCheck, Func::PolicyCheck].map(signed);
        let all = std::iter::once(module).chain(others);
        rules.extend(all.map(|rule| (Source::CommandLine("secure_boot"), rule)));
    } else {
        // They are among those of secure_boot.
        rules.extend(build_rules(profile));
    }
    if boot.appraise_tcb {
        rules.extend(appraise_rules(profile).into_iter().map(|rule| (Source::CommandLine("appraise_tcb"), rule)));
    }
    if boot.critical_data {
        rules.push((Source::CommandLine("critical_data"), of(Action::Measure, Func::CriticalData)));
    }
    rules
}

/// The rules in front of every custom policy.
pub fn lasting_rules(boot: &Boot, profile: &KernelProfile) -> Vec<(Source, Rule)> {
    let mut rules = arch_rules(boot, profile);
    rules.extend(build_rules(profile));
    rules
}

fn of(action: Action, func: Func) -> Rule {
    Rule { func: Some(func), ..Rule::new(action) }
}

fn signed(func: Func) -> Rule {
    Rule { demands: Demands { signature: true, ..Demands::default() }, ..of(Action::Appraise, func) }
}

const ROOT: IdCondition = IdCondition { effective: false, comparison: Comparison::Equal, id: 0 };

fn measure_rules(tcb: Tcb, profile: &KernelProfile) -> Vec<Rule> {
    let exempt = |magic| Rule {
        fsmagic: Some(magic),
        func: (magic == TMPFS && profile.tmpfs_exempt_at_open).then_some(Func::FileCheck),
        ..Rule::new(Action::DontMeasure)
    };
    let executed =
        |func| Rule { mask: Some(MaskCondition { mask: Mask::Exec, among: false }), ..of(Action::Measure, func) };
    let read = |among, effective| Rule {
        mask: Some(MaskCondition { mask: Mask::Read, among }),
        uid: Some(IdCondition { effective, ..ROOT }),
        ..of(Action::Measure, Func::FileCheck)
    };
    let mut rules: Vec<Rule> = UNMEASURED.map(exempt).into();
    rules.extend(profile.configfs_exempt.then(|| exempt(CONFIGFS)));
    rules.extend([Func::MmapCheck, Func::BprmCheck].map(executed));
    match tcb {
        Tcb::Original => rules.push(read(false, false)),
        Tcb::Default => rules.extend([read(true, true), read(true, false)]),
    }
    rules.extend([Func::ModuleCheck, Func::FirmwareCheck].map(|func| of(Action::Measure, func)));
    if tcb == Tcb::Default {
        rules.push(of(Action::Measure, Func::PolicyCheck));
    }
    rules
}

fn appraise_rules(profile: &KernelProfile) -> Vec<Rule> {
    let exempt = |magic| Rule { fsmagic: Some(magic), ..Rule::new(Action::DontAppraise) };
    let mut rules: Vec<Rule> = UNAPPRAISED.map(exempt).into();
    rules.extend(profile.configfs_exempt.then(|| exempt(CONFIGFS)));
    if profile.write_policy {
        rules.push(signed(Func::PolicyCheck));
    }
    rules.push(Rule {
        fowner: Some(OwnerCondition { comparison: Comparison::Equal, id: 0 }),
        demands: Demands { signature: profile.signed_init, ..Demands::default() },
        ..Rule::new(Action::Appraise)
    });
    rules
}

/// As for EFI; powerpc has others, and no other architecture has any.
fn arch_rules(boot: &Boot, profile: &KernelProfile) -> Vec<(Source, Rule)> {
    if !(profile.arch_policy && boot.secure_boot) {
        return Vec::new();
    }
    let measured = || Rule { label: Some(vec![b"ima_policy".to_vec()]), ..of(Action::Measure, Func::CriticalData) };
    let rules = [
        (!profile.kexec_sig).then(|| signed(Func::KexecKernelCheck)),
        Some(of(Action::Measure, Func::KexecKernelCheck)),
        (!profile.module_sig).then(|| signed(Func::ModuleCheck)),
        profile.arch_policy_signed.then(|| signed(Func::PolicyCheck)),
        (!profile.arch_policy_signed && profile.measures_policy_text).then(measured),
        Some(of(Action::Measure, Func::ModuleCheck)),
    ];
    rules.into_iter().flatten().map(|rule| (Source::Arch, rule)).collect()
}

fn build_rules(profile: &KernelProfile) -> Vec<(Source, Rule)> {
    let build = profile.build;
    let rules = [
        (build.module, Func::ModuleCheck),
        (build.firmware, Func::FirmwareCheck),
        (build.kexec, Func::KexecKernelCheck),
        (build.policy, Func::PolicyCheck),
    ];
    rules.into_iter().filter(|(built, _)| *built).map(|(_, func)| (Source::Build, signed(func))).collect()
}

#[cfg(test)]
#[path = "builtin_tests.rs"]
mod tests;
