//! Rules by themselves.
#![forbid(unsafe_code)]

use super::reach::{CODE, matches_hook, matches_nothing};
use super::{Findings, appraises, catalog};
use crate::model::policy::lex::Line;
use crate::model::policy::parse::PlacedRule;
use crate::model::policy::profile::KernelProfile;
use crate::model::policy::rule::{Action, Func, Mask, Rule};

/// The last PCR for which the kernel has a bit.
const LAST_PCR: u8 = 31;
/// What a write of one line takes (`ima_fs.c: ima_write_policy()`).
const CONTENT_LIMIT: usize = 4095;
/// The characters of a UUID.
const UUID_LENGTH: usize = 36;

pub(super) fn check(findings: &mut Findings, rules: &[PlacedRule], profile: &KernelProfile) {
    for PlacedRule { line, rule } in rules {
        conditions(findings, *line, rule);
        appraisal(findings, *line, rule);
        costs(findings, *line, rule);
    }
    let labelled = |rule: &Rule| rule.lsm.iter().find(|condition| condition.resolved).map(|condition| condition.field);
    let mut at_boot = rules.iter().filter_map(|placed| Some((placed.line, labelled(&placed.rule)?)));
    if let Some((line, field)) = at_boot.next() {
        let more = at_boot.count();
        let more = if more > 0 { format!(" ({more} more rules too)") } else { String::new() };
        findings.add(
            &catalog::LSM_BEFORE_SELINUX,
            line,
            field.name(),
            format!("label conditions cannot be loaded from the initramfs{more}"),
            "tell files apart by `fsuuid=`, `fowner=` or `fsname=`, or load this policy after SELinux's",
        );
    }
    let signed = rules.iter().find(|placed| appraises(&placed.rule) && placed.rule.demands.signature);
    if let (Some(placed), false) = (signed, profile.trusted_keyring) {
        findings.add(
            &catalog::SIGNATURE_WITHOUT_TRUSTED_KEYRING,
            placed.line,
            "appraise_type=",
            "this kernel has no trusted keyring for signatures",
            "use a kernel with CONFIG_INTEGRITY_TRUSTED_KEYRING",
        );
    }
    let appraised = rules.iter().find(|placed| appraises(&placed.rule));
    if let (Some(placed), false) = (appraised, profile.appraise) {
        findings.add(
            &catalog::NO_APPRAISAL,
            placed.line,
            "appraise",
            "this kernel cannot appraise",
            "use a kernel with CONFIG_IMA_APPRAISE",
        );
    }
}

/// What a rule matches.
fn conditions(findings: &mut Findings, line: usize, rule: &Rule) {
    if let Some(condition) = rule.lsm.iter().find(|condition| !condition.resolved) {
        let label = String::from_utf8_lossy(&condition.value);
        findings.add(
            &catalog::VOID_RULE,
            line,
            condition.field.name(),
            format!("no security module knows `{label}`, so the rule matches nothing"),
            "write a label that the loaded policy has (seinfo -t), or take the rule out",
        );
    } else if matches_nothing(rule) {
        let wrong_access = rule
            .func
            .zip(rule.mask)
            .filter(|(func, mask)| super::reach::access(*func).is_some_and(|access| access != mask.mask));
        let (key, message, help) = match wrong_access {
            Some((func, mask)) => {
                let access = super::reach::access(func).map_or("", Mask::name);
                let message = format!("`func={}` never asks for `{}`", func.name(), mask.mask.name());
                ("mask=", message, format!("leave `mask=` out, or write `mask={access}`"))
            }
            None => ("", "no user, group or owner fits this rule".to_owned(), "write another number".to_owned()),
        };
        findings.add(&catalog::MATCHES_NOTHING, line, key, message, help);
    }
    if let Some(mask) = rule.mask.filter(|mask| !mask.among && matches!(mask.mask, Mask::Read | Mask::Write))
        && matches!(rule.func, None | Some(Func::FileCheck))
    {
        let name = mask.mask.name();
        findings.add(
            &catalog::MASK_EQUAL_MISSES_RDWR,
            line,
            "mask=",
            format!("`mask={name}` misses files that are opened for reading and writing"),
            format!("write `mask=^{name}`"),
        );
    }
    if let Some(name) = rule.fsname.as_deref().filter(|name| name.contains(&b'.')) {
        let name = String::from_utf8_lossy(name);
        let (kind, subtype) = name.split_once('.').unwrap_or((&name, ""));
        findings.add(
            &catalog::FSNAME_WITH_DOT,
            line,
            "fsname=",
            format!("no file system type is called `{name}`"),
            format!("write `fsname={kind}`, on Linux 6.19 and later with `fs_subtype={subtype}`"),
        );
    }
    if rule.gid.is_some() && matches!(rule.func, Some(Func::KeyCheck | Func::CriticalData)) {
        let effective = if rule.gid.is_some_and(|gid| gid.effective) { "egid" } else { "gid" };
        findings.add(
            &catalog::GID_IGNORED,
            line,
            effective,
            format!("`{effective}` is not looked at here"),
            format!("leave `{effective}` out, or tell tasks apart by `uid`"),
        );
    }
    if let Some(pcr) = rule.pcr.filter(|&pcr| pcr > LAST_PCR) {
        findings.add(
            &catalog::PCR_ABOVE_31,
            line,
            "pcr=",
            format!("PCR {pcr} is beyond what the kernel keeps track of"),
            "write a PCR from 8 to 15, or leave `pcr=` out for the default, 10",
        );
    }
}

/// What a rule demands.
fn appraisal(findings: &mut Findings, line: usize, rule: &Rule) {
    if rule.permit_directio {
        findings.add(
            &catalog::PERMIT_DIRECTIO,
            line,
            "permit_directio",
            "`permit_directio` lets files through unappraised",
            "leave it out; if a database needs it, confine the rule to its file system with `fsuuid=`",
        );
    }
    if rule.demands.verity && !matches!(rule.action, Action::Appraise | Action::Measure) {
        findings.add(
            &catalog::VERITY_ON_OTHER_ACTION,
            line,
            "digest_type=",
            format!("`digest_type=verity` has an effect on a rule that says `{}`", rule.action.name()),
            "leave `digest_type=verity` out",
        );
    }
    if !appraises(rule) || matches_nothing(rule) {
        return;
    }
    if rule.demands.verity {
        findings.add(
            &catalog::VERITY_ONLY,
            line,
            "digest_type=",
            "only files with fs-verity pass",
            "confine the rule with `fsuuid=` to a file system whose files have fs-verity",
        );
    }
    if !rule.demands.signature && rule.func.is_some_and(|func| func != Func::FileCheck) {
        let what = match rule.func {
            Some(func) if CODE.contains(&func) => "code",
            Some(Func::ModuleCheck) => "kernel modules",
            Some(Func::FirmwareCheck) => "firmware",
            Some(Func::PolicyCheck) => "policies",
            _ => "kernels and initramfs images",
        };
        findings.add(
            &catalog::HASH_LABEL_SUFFICES,
            line,
            "appraise",
            format!("{what} without a signature can pass"),
            "add `appraise_type=imasig`",
        );
    }
    let writes = rule.mask.is_none_or(|mask| matches!(mask.mask, Mask::Write | Mask::Append));
    if matches!(rule.func, None | Some(Func::FileCheck)) && writes {
        let (message, help) = if rule.demands.signature {
            (
                "files that are written under this rule cannot be opened again",
                "ask for signatures where files are executed and mapped (`func=BPRM_CHECK`, `func=MMAP_CHECK`), or for \
                 reading alone where nothing is ever written (`fsuuid=` of a read-only file system)",
            )
        } else {
            (
                "what is written under this rule is labelled, and passes from then on",
                "add rules with `appraise_type=imasig` for `func=BPRM_CHECK` and `func=MMAP_CHECK` before it",
            )
        };
        findings.add(&catalog::HASH_LABELS_WRITTEN, line, "appraise", message, help);
    }
}

/// What comes with a rule that does what it says.
fn costs(findings: &mut Findings, line: usize, rule: &Rule) {
    if !appraises(rule) {
        return;
    }
    if rule.func.is_none() {
        findings.add(
            &catalog::FUNC_LESS_USES_FILE_SLOT,
            line,
            "appraise",
            "a rule for every hook",
            "write one rule for each `func=` that you mean",
        );
    }
    if matches_hook(rule, Func::MmapCheck) || matches_hook(rule, Func::MmapCheckReqprot) {
        findings.add(
            &catalog::MMAP_MAKES_MPROTECT_FAIL,
            line,
            if rule.func.is_some() { "func=" } else { "" },
            "mappings of files cannot be made executable afterwards",
            "nothing, where signed libraries are what you want; programs that need it run from a file system that an \
             exemption names",
        );
    }
    let (cost, message, help) = match rule.func {
        Some(Func::ModuleCheck) => (
            &catalog::INIT_MODULE_STOPS,
            "modules can be loaded from files alone",
            "nothing, where modprobe uses finit_module(2), as kmod does",
        ),
        Some(Func::FirmwareCheck) => (
            &catalog::FIRMWARE_FALLBACK_STOPS,
            "firmware can be loaded from files alone",
            "nothing, unless a driver needs CONFIG_FW_LOADER_USER_HELPER",
        ),
        Some(Func::KexecKernelCheck) => {
            (&catalog::KEXEC_LOAD_STOPS, "kexec works with files alone", "use `kexec -s`, for kdump too")
        }
        Some(Func::KexecInitramfsCheck) => (
            &catalog::KEXEC_INITRAMFS_UNSIGNED,
            "this machine's own initramfs images carry no signature",
            "sign each image when it is made (evmctl ima_sign), or leave the rule out",
        ),
        _ => return,
    };
    findings.add(cost, line, "func=", message, help);
}

/// What is seen in a rule's words and no longer in the rule.
pub(super) fn check_words(findings: &mut Findings, lines: &[Line<'_>], rules: &[PlacedRule]) {
    for PlacedRule { line: number, rule } in rules {
        let Some(line) = lines.get(number - 1) else { continue };
        let words = || line.words().take_while(|word| !word.text.starts_with(b"#"));
        let count = |key: &[u8]| words().filter(|word| word.text.starts_with(key)).count();
        for (key, set) in [("fsname=", rule.fsname.is_some()), ("pcr=", rule.pcr.is_some())] {
            if set && count(key.as_bytes()) > 1 {
                findings.add(
                    &catalog::LAST_ONE_WINS,
                    *number,
                    key,
                    format!("`{key}` stands more than once; this one counts"),
                    "write a rule for each",
                );
            }
        }
        let uuid = words().find(|word| word.text.starts_with(b"fsuuid="));
        if uuid.is_some_and(|word| word.text.len() > "fsuuid=".len() + UUID_LENGTH) {
            findings.add(
                &catalog::FSUUID_TAIL,
                *number,
                "fsuuid=",
                "the UUID is longer than a UUID",
                "write its 36 characters (findmnt -no UUID)",
            );
        }
        if count(b"appraise_flag=") > 0 {
            findings.add(
                &catalog::APPRAISE_FLAG_IGNORED,
                *number,
                "appraise_flag=",
                "`appraise_flag=` has no effect",
                "leave it out",
            );
        }
        if line.bytes.len() > CONTENT_LIMIT {
            findings.add(
                &catalog::LONG_LINE,
                *number,
                "",
                format!("the line has {} bytes", line.bytes.len()),
                "split the rule, or load the policy by its path alone",
            );
        }
    }
}
