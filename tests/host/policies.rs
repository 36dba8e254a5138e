//! The policies that imad ships: every kernel takes them, and they keep what they promise.

use std::path::Path;

use imad::model::policy::canonical::loadable;
use imad::model::policy::parse::{Policy, Verdict, parse};
use imad::model::policy::profile::{KernelConfig, KernelProfile};
use imad::model::policy::rule::{Action, Func, Rule};

/// The least that they need of a kernel's configuration. Debian's kernel has this, and little more: one load, rules
/// that cannot be read, no signatures inside of files.
const LEAST: &str =
    "CONFIG_IMA=y\nCONFIG_IMA_APPRAISE=y\nCONFIG_IMA_MEASURE_ASYMMETRIC_KEYS=y\nCONFIG_CRYPTO_SHA256=y\n";
/// tmpfs's magic number.
const TMPFS: u64 = 0x0102_1994;

fn shipped() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/policies");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn rules(bytes: &[u8]) -> Vec<Rule> {
    parse(bytes, &KernelProfile::default()).rules.into_iter().map(|placed| placed.rule).collect()
}

fn is(rule: &Rule, action: Action, func: Func) -> bool {
    rule.action == action && rule.func == Some(func)
}

#[test]
fn every_kernel_takes_them() {
    let least = KernelConfig::parse(LEAST);
    for (name, bytes) in shipped() {
        let expected: Vec<_> = rules(&bytes);
        assert!(!expected.is_empty(), "{name}");
        for version in [(6, 1), (6, 12), (7, 2)] {
            let Policy { rules, faults } = parse(&bytes, &KernelProfile::from_config(&least, Some(version)));
            assert!(faults.is_empty(), "{name} {version:?}: {faults:?}");
            assert!(rules.iter().map(|placed| &placed.rule).eq(&expected), "{name} {version:?}");
        }
        assert_eq!(parse(&bytes, &KernelProfile::default()).verdict(), Verdict::Accepted, "{name}");
        // As the kernel's order of words has it, the rules are the same.
        let written: Vec<u8> = expected.iter().flat_map(|rule| [loadable(rule), b"\n".to_vec()].concat()).collect();
        assert_eq!(rules(&written), expected, "{name}");
    }
}

#[test]
fn they_are_fit_for_the_initramfs_and_exempt_no_tmpfs() {
    for (name, bytes) in shipped() {
        for rule in rules(&bytes) {
            // Before SELinux has its policy, a condition on its labels has the kernel drop the whole file.
            assert!(rule.lsm.is_empty(), "{name}: {rule:?}");
            let tmpfs = rule.fsmagic == Some(TMPFS) || rule.fsname.as_deref() == Some(b"tmpfs");
            assert!(!tmpfs, "{name}: {rule:?}");
        }
    }
}

#[test]
fn what_appraises_lets_no_unsigned_policy_in_and_the_initramfs_run() {
    for (name, bytes) in shipped() {
        let rules = rules(&bytes);
        let Some(first) = rules.iter().find(|rule| [Action::Appraise, Action::DontAppraise].contains(&rule.action))
        else {
            continue;
        };
        assert!(is(first, Action::Appraise, Func::PolicyCheck), "{name}: {first:?}");
        assert!(first.demands.signature && first.fsname.is_none(), "{name}: {first:?}");
        let place = |wanted: &dyn Fn(&Rule) -> bool| rules.iter().position(wanted);
        let exempt = |rule: &Rule| rule.action == Action::DontAppraise && rule.fsname.as_deref() == Some(b"rootfs");
        if let Some(executed) = place(&|rule| is(rule, Action::Appraise, Func::BprmCheck)) {
            assert!(place(&exempt).is_some_and(|exempt| exempt < executed), "{name}");
        }
    }
}

#[test]
fn measuring_only_holds_no_rule_that_could_deny() {
    let (_, bytes) = shipped().into_iter().find(|(name, _)| name == "10-measure-only").unwrap();
    for rule in rules(&bytes) {
        assert!([Action::Measure, Action::DontMeasure].contains(&rule.action), "{rule:?}");
    }
}

#[test]
fn all_code_is_all_that_enters_the_kernel_and_more() {
    let (_, all) = shipped().into_iter().find(|(name, _)| name == "03-appraise-all-code").unwrap();
    let (_, less) =
        shipped().into_iter().find(|(name, _)| name == "01-appraise-executable-and-lib-signatures").unwrap();
    let (all, less) = (rules(&all), rules(&less));
    for func in [Func::ModuleCheck, Func::FirmwareCheck, Func::KexecKernelCheck, Func::KexecInitramfsCheck] {
        assert!(all.iter().any(|rule| is(rule, Action::Appraise, func) && rule.demands.signature), "{func:?}");
    }
    assert!(less.iter().all(|rule| all.contains(rule)), "a rule of 01 is not in 03");
}

/// Keylime fails a machine whose list holds a template that it does not know.
#[test]
fn what_is_measured_is_written_in_templates_that_keylime_reads() {
    let mut seen = 0;
    for (name, bytes) in shipped() {
        for rule in rules(&bytes).iter().filter(|rule| rule.action == Action::Measure) {
            // What is not a file has a template of its own, ima-buf.
            let file = !matches!(rule.func, Some(Func::KeyCheck | Func::KexecCmdline));
            assert_eq!(rule.template.as_deref(), file.then_some(&b"ima-sig"[..]), "{name}: {rule:?}");
            seen += 1;
        }
    }
    assert!(seen > 0);
}
