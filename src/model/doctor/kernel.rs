//! Kernels: what they are built with, what their command lines say to IMA, EVM.
#![forbid(unsafe_code)]

use super::{Area, CommandLine, Facts, Findings, KernelBuild, Severity};
use crate::model::policy::builtin::{Mode, Tcb};
use crate::model::policy::profile::KernelConfig;
use crate::model::report::Problem;

/// An option that is missed where it is not set.
struct Wanted {
    name: &'static str,
    severity: Severity,
    /// What comes of it, in words that can follow "so ".
    consequence: &'static str,
    /// Nothing more is said of a kernel without it.
    ends: bool,
}

const OPTIONS: [Wanted; 7] = [
    Wanted { name: "IMA", severity: Severity::Fault, consequence: "nothing is appraised or measured", ends: true },
    Wanted {
        name: "IMA_APPRAISE",
        severity: Severity::Fault,
        consequence: "no file is denied, whatever a policy says",
        ends: true,
    },
    Wanted {
        name: "INTEGRITY_TRUSTED_KEYRING",
        severity: Severity::Fault,
        consequence: "there is no keyring .ima, and imad-boot loads no policy",
        ends: false,
    },
    Wanted {
        name: "IMA_WRITE_POLICY",
        severity: Severity::Warning,
        consequence: "it takes one policy a boot, and a mended one only after a reboot",
        ends: false,
    },
    Wanted {
        name: "IMA_READ_POLICY",
        severity: Severity::Note,
        consequence: "its rules cannot be read back: imad goes by what was loaded",
        ends: false,
    },
    Wanted {
        name: "IMA_APPRAISE_BOOTPARAM",
        severity: Severity::Note,
        consequence: "ima_appraise= has no effect there: imad.policy=off is what lets it boot without a policy",
        ends: false,
    },
    Wanted {
        name: "IMA_KEYRINGS_PERMIT_SIGNED_BY_BUILTIN_OR_SECONDARY",
        severity: Severity::Note,
        consequence: "only keys that are built into it vouch for certificates of .ima, not those that mokutil enrols",
        ends: false,
    },
];

pub(super) fn judge(facts: &Facts, found: &mut Findings) {
    for kernel in &facts.kernels {
        if let Some((source, config)) = &kernel.config {
            options(facts, kernel, source, config, found);
        } else {
            let what = format!("the configuration of kernel {} was not found", kernel.release);
            let next = format!("ls /boot/config-{0} /lib/modules/{0}/config", kernel.release);
            let problem = Problem::new(what, next);
            found.add("kernel-config-unknown", Area::Kernel, Severity::Note, &kernel.release, problem);
        }
    }
    for line in &facts.command_lines {
        appraise(line, found);
        rules(line, found);
    }
    evm(facts, found);
}

fn options(facts: &Facts, kernel: &KernelBuild, source: &str, config: &KernelConfig, found: &mut Findings) {
    let release = &kernel.release;
    for option in OPTIONS.iter().filter(|option| !config.has(option.name)) {
        let what = format!("kernel {release} lacks CONFIG_{}, so {}", option.name, option.consequence);
        let problem = Problem::new(what, format!("grep {} {source}; boot a kernel that has it", option.name));
        found.add("kernel-option", Area::Kernel, option.severity, release, problem);
        if option.ends {
            return;
        }
    }
    let elliptic = facts.certificates.iter().find(|certificate| certificate.key.starts_with("EC "));
    if let Some(certificate) = elliptic.filter(|_| !config.has("CRYPTO_ECDSA")) {
        let what = format!(
            "kernel {release} lacks CONFIG_CRYPTO_ECDSA, so it verifies no label by the key of {} ({})",
            certificate.file, certificate.key
        );
        let problem = Problem::new(what, format!("grep ECDSA {source}; boot a kernel that has it"));
        found.add("kernel-ecdsa", Area::Kernel, Severity::Fault, release, problem);
    }
}

/// `ima_appraise=`, and what it does with this kernel.
fn appraise(line: &CommandLine, found: &mut Findings) {
    let Some(value) = &line.boot.appraise else { return };
    let (mode, passed_over) = line.boot.mode(&line.profile);
    let word = format!("ima_appraise={value}");
    let of = &line.of;
    let (severity, what) = if passed_over {
        (Severity::Note, format!("{word} on the command line of {of} has no effect: Secure Boot is on"))
    } else if !line.profile.appraise_bootparam {
        let what = format!("{word} on the command line of {of} has no effect: no CONFIG_IMA_APPRAISE_BOOTPARAM");
        (Severity::Note, what)
    } else {
        let effect = match mode {
            Mode::Enforce if value.starts_with("enforce") => return,
            Mode::Enforce => "is no mode that the kernel knows, and changes nothing",
            Mode::Log => "has every denial recorded and none enforced",
            Mode::Fix => "has files labelled with mere hashes when they are used, and none denied",
            Mode::Off => "switches appraisal off",
        };
        (Severity::Warning, format!("{word} on the command line of {of} {effect}"))
    };
    let problem = Problem::new(what, format!("take {word} off the boot entry"));
    found.add("ima-appraise", Area::CommandLine, severity, of, problem);
}

/// `ima_policy=` and its older forms.
fn rules(line: &CommandLine, found: &mut Findings) {
    let of = &line.of;
    let mut add = |severity, word: &str, effect: &str| {
        let what = format!("{word} on the command line of {of} {effect}");
        let next = format!("take {word} off the boot entry where that is not wanted");
        found.add("ima-policy", Area::CommandLine, severity, of, Problem::new(what, next));
    };
    if line.boot.appraise_tcb {
        let effect = "has every file of root's appraised from the first process on, and whatever has no label denied, \
                      until a policy is loaded";
        add(Severity::Warning, "ima_policy=appraise_tcb", effect);
    }
    if line.boot.secure_boot_rules {
        let effect = "asks for a signature on modules, firmware, kexec images and policies, beside any policy";
        add(Severity::Note, "ima_policy=secure_boot", effect);
    }
    if let Some(tcb) = line.boot.tcb {
        let word = if tcb == Tcb::Original { "ima_tcb" } else { "ima_policy=tcb" };
        add(Severity::Note, word, "has the kernel measure what root runs and reads, until a policy is loaded");
    }
    if line.boot.critical_data {
        add(Severity::Note, "ima_policy=critical_data", "has the kernel measure its own critical data");
    }
    if line.boot.fail_securely {
        let effect = "has files denied on file systems that cannot be trusted to tell of changes (FUSE)";
        add(Severity::Note, "ima_policy=fail_securely", effect);
    }
    for word in line.boot.unknown.iter().filter(|word| !word.is_empty()) {
        add(Severity::Warning, &format!("ima_policy={word}"), "is nothing that a kernel knows, and has no effect");
    }
}

fn evm(facts: &Facts, found: &mut Findings) {
    let Some(evm) = &facts.evm else { return };
    let place = "/sys/kernel/security/integrity/evm/evm";
    if let Some(refusal) = evm.refusal() {
        let what = format!("labels cannot be written to files without security.evm: {}", refusal.reason());
        found.add("evm-refuses-labels", Area::Kernel, Severity::Fault, place, Problem::new(what, refusal.remedy()));
    }
    if evm.is_active() {
        let severity = if facts.policy.refuses_files { Severity::Warning } else { Severity::Note };
        let what = format!(
            "EVM is active ({}): an appraised file without security.evm is denied, and packages bring none",
            evm.bits
        );
        let next = "label with portable signatures (evmctl sign --portable), or start no EVM: /etc/keys/evm, evmkey=";
        found.add("evm-active", Area::Kernel, severity, place, Problem::new(what, next));
    }
}
