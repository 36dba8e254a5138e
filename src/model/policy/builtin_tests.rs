use super::*;
use crate::model::policy::canonical::loadable;
use crate::model::policy::profile::BuildRules;

/// The rules as text, each with where it is from.
fn shown(rules: &[(Source, Rule)]) -> Vec<(Source, String)> {
    rules.iter().map(|(source, rule)| (*source, String::from_utf8(loadable(rule)).unwrap())).collect()
}

fn texts(boot: &Boot, profile: &KernelProfile) -> Vec<String> {
    shown(&default_rules(boot, profile)).into_iter().map(|(_, text)| text).collect()
}

const EXEMPT: [&str; 13] = [
    "0x9fa0",
    "0x62656572",
    "0x64626720",
    "0x1021994",
    "0x1cd1",
    "0x42494e4d",
    "0x73636673",
    "0xf97cff8c",
    "0x43415d53",
    "0x27e0eb",
    "0x63677270",
    "0x6e736673",
    "0xde5e81e4",
];

fn exempt(action: &str, magics: &[&str]) -> Vec<String> {
    magics.iter().map(|magic| format!("{action} fsmagic={magic}")).collect()
}

#[test]
fn tcb_measures_what_runs_and_what_root_reads() {
    let boot = Boot::from_command_line("ro ima_policy=tcb quiet");
    let mut wanted = exempt("dont_measure", &EXEMPT);
    wanted.extend(
        [
            "measure func=MMAP_CHECK mask=MAY_EXEC",
            "measure func=BPRM_CHECK mask=MAY_EXEC",
            "measure func=FILE_CHECK mask=^MAY_READ euid=0",
            "measure func=FILE_CHECK mask=^MAY_READ uid=0",
            "measure func=MODULE_CHECK",
            "measure func=FIRMWARE_CHECK",
            "measure func=POLICY_CHECK",
        ]
        .map(str::to_owned),
    );
    assert_eq!(texts(&boot, &KernelProfile::default()), wanted);
    let newer = KernelProfile { tmpfs_exempt_at_open: true, ..KernelProfile::default() };
    assert_eq!(texts(&boot, &newer)[3], "dont_measure func=FILE_CHECK fsmagic=0x1021994");
}

/// As `ima_policy.c` and `ima_efi.c` of Linux 7.3 have them.
#[test]
fn linux_7_3_has_more_rules_of_its_own() {
    let newer = KernelProfile {
        configfs_exempt: true,
        secure_boot_modsig: true,
        measures_policy_text: true,
        ..KernelProfile::default()
    };
    let boot = Boot::from_command_line("ima_policy=tcb|appraise_tcb|secure_boot");
    let rules = texts(&boot, &newer);
    assert_eq!(rules[12..14], ["dont_measure fsmagic=0xde5e81e4", "dont_measure fsmagic=0x62656570"]);
    assert_eq!(rules[21], "appraise func=MODULE_CHECK appraise_type=imasig|modsig");
    assert_eq!(rules[25 + 13..][..2], ["dont_appraise fsmagic=0x63677270", "dont_appraise fsmagic=0x62656570"]);
    let secure = Boot { secure_boot: true, ..Boot::default() };
    let measured =
        ["measure func=KEXEC_KERNEL_CHECK", "measure func=CRITICAL_DATA label=ima_policy", "measure func=MODULE_CHECK"];
    assert_eq!(texts(&secure, &newer), measured);
    let signed = KernelProfile { arch_policy_signed: true, ..newer };
    assert_eq!(texts(&secure, &signed)[1], "appraise func=POLICY_CHECK appraise_type=imasig");
}

#[test]
fn ima_tcb_is_older() {
    let boot = Boot::from_command_line("ima_tcb ima_policy=tcb");
    assert_eq!(boot.tcb, Some(Tcb::Original));
    // To the kernel the second is then a word it does not know.
    assert_eq!(boot.unknown, ["tcb"]);
    let rules = texts(&boot, &KernelProfile::default());
    assert_eq!(rules.len(), 13 + 5);
    assert_eq!(rules[15], "measure func=FILE_CHECK mask=MAY_READ uid=0");
    assert!(!rules.contains(&"measure func=POLICY_CHECK".to_owned()));
}

#[test]
fn appraise_tcb_depends_on_the_configuration() {
    let boot = Boot::from_command_line("ima_appraise_tcb");
    assert!(boot.appraise_tcb && boot.appraise.is_none());
    let rules = texts(&boot, &KernelProfile::default());
    assert_eq!(rules[..5], exempt("dont_appraise", &["0x9fa0", "0x62656572", "0x64626720", "0x1021994", "0x858458f6"]));
    assert_eq!(rules[14..], ["appraise func=POLICY_CHECK appraise_type=imasig", "appraise fowner=0"]);
    let strict = KernelProfile { write_policy: false, signed_init: true, ..KernelProfile::default() };
    assert_eq!(texts(&boot, &strict)[14..], ["appraise fowner=0 appraise_type=imasig"]);
}

#[test]
fn secure_boot_stands_for_the_build_time_rules_until_a_custom_policy() {
    let all = BuildRules { module: true, firmware: true, kexec: true, policy: true };
    let profile = KernelProfile { build: all, ..KernelProfile::default() };
    let signed = ["MODULE_CHECK", "FIRMWARE_CHECK", "KEXEC_KERNEL_CHECK", "POLICY_CHECK"]
        .map(|func| format!("appraise func={func} appraise_type=imasig"));
    let word = Boot::from_command_line("ima_policy=secure_boot");
    let with = |source| signed.clone().map(|text| (source, text)).to_vec();
    assert_eq!(shown(&default_rules(&word, &profile)), with(Source::CommandLine("secure_boot")));
    assert_eq!(shown(&default_rules(&Boot::default(), &profile)), with(Source::Build));
    for boot in [word, Boot::default()] {
        assert_eq!(shown(&lasting_rules(&boot, &profile)), with(Source::Build));
    }
}

#[test]
fn critical_data_and_fail_securely() {
    let boot = Boot::from_command_line(r#"ima_policy="critical_data fail_securely|nonsense""#);
    assert!(boot.fail_securely);
    assert_eq!(boot.unknown, ["nonsense"]);
    assert_eq!(texts(&boot, &KernelProfile::default()), ["measure func=CRITICAL_DATA"]);
}

#[test]
fn efi_secure_boot_brings_rules_that_stay() {
    let boot = Boot { secure_boot: true, ..Boot::default() };
    let profile = KernelProfile::default();
    let measured = ["measure func=KEXEC_KERNEL_CHECK", "measure func=MODULE_CHECK"];
    assert_eq!(texts(&boot, &profile), measured);
    assert_eq!(shown(&lasting_rules(&boot, &profile))[0].0, Source::Arch);
    let all = KernelProfile { kexec_sig: false, module_sig: false, arch_policy_signed: true, ..profile.clone() };
    assert_eq!(
        texts(&boot, &all),
        [
            "appraise func=KEXEC_KERNEL_CHECK appraise_type=imasig",
            "measure func=KEXEC_KERNEL_CHECK",
            "appraise func=MODULE_CHECK appraise_type=imasig",
            "appraise func=POLICY_CHECK appraise_type=imasig",
            "measure func=MODULE_CHECK",
        ]
    );
    assert!(texts(&Boot::default(), &all).is_empty());
    assert!(texts(&boot, &KernelProfile { arch_policy: false, ..all }).is_empty());
}

#[test]
fn words_come_in_the_kernel_s_order() {
    let boot =
        Boot { secure_boot: true, ..Boot::from_command_line("ima_policy=critical_data|appraise_tcb|secure_boot|tcb") };
    let mut sources: Vec<_> =
        default_rules(&boot, &KernelProfile::default()).into_iter().map(|(source, _)| source).collect();
    sources.dedup();
    assert_eq!(
        sources,
        [
            Source::CommandLine("tcb"),
            Source::Arch,
            Source::CommandLine("secure_boot"),
            Source::CommandLine("appraise_tcb"),
            Source::CommandLine("critical_data"),
        ]
    );
}

#[test]
fn the_mode_is_asked_for_and_may_be_passed_over() {
    let profile = KernelProfile::default();
    for (line, mode) in [
        ("", Mode::Enforce),
        ("ima_appraise=log", Mode::Log),
        ("ima-appraise=fix", Mode::Fix),
        ("ima_appraise=off", Mode::Off),
        ("ima_appraise=offline", Mode::Off),
        ("ima_appraise=off ima_appraise=enforce", Mode::Enforce),
        ("ima_appraise=nonsense", Mode::Enforce),
        ("-- ima_appraise=log", Mode::Enforce),
        ("\"ima_appraise=log\"", Mode::Log),
        ("x=\"a ima_appraise=log\"", Mode::Enforce),
    ] {
        let boot = Boot::from_command_line(line);
        assert_eq!(boot.mode(&profile), (mode, false), "{line}");
        let secure = Boot { secure_boot: true, ..boot };
        assert_eq!(secure.mode(&profile), (Mode::Enforce, mode != Mode::Enforce), "{line}");
    }
    let log = Boot::from_command_line("ima_appraise=log");
    assert_eq!(log.mode(&KernelProfile { appraise_bootparam: false, ..profile.clone() }), (Mode::Enforce, false));
    assert_eq!(log.mode(&KernelProfile { appraise: false, ..profile }), (Mode::Off, false));
}
