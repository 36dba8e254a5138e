use super::*;
use crate::model::policy::parse::parse;
use crate::model::policy::profile::{BuildRules, Names};
use crate::model::policy::rule::LsmField;

fn placed(text: &str) -> Vec<PlacedRule> {
    let profile = KernelProfile { custom_active: true, ..KernelProfile::default() };
    let policy = parse(text.as_bytes(), &profile);
    assert!(policy.faults.is_empty(), "{text}: {:?}", policy.faults);
    policy.rules
}

fn origins(effective: &Effective) -> Vec<String> {
    let name = |rule: &EffectiveRule| match &rule.origin {
        Origin::Builtin(word) => (*word).to_owned(),
        Origin::Arch => "arch".to_owned(),
        Origin::Build => "build".to_owned(),
        Origin::File { name, line } => format!("{name}:{line}"),
    };
    let mut names: Vec<_> = effective.rules().iter().map(name).collect();
    names.dedup();
    names
}

fn profile() -> KernelProfile {
    KernelProfile { build: BuildRules { module: true, ..BuildRules::default() }, ..KernelProfile::default() }
}

#[test]
fn the_first_policy_replaces_what_is_built_in_and_later_ones_follow() {
    let boot = Boot { secure_boot: true, ..Boot::from_command_line("ima_policy=tcb|appraise_tcb") };
    let mut effective = Effective::at_boot(&boot, &profile());
    assert_eq!(origins(&effective), ["tcb", "arch", "build", "appraise_tcb"]);
    assert!(!effective.is_custom());
    effective.load("first", &placed("# head\nmeasure func=BPRM_CHECK\n")).unwrap();
    assert_eq!(origins(&effective), ["arch", "build", "first:2"]);
    effective.load("second", &placed("appraise func=BPRM_CHECK\n")).unwrap();
    assert_eq!(origins(&effective), ["arch", "build", "first:2", "second:1"]);
    assert!(effective.is_custom() && effective.takes_another());
}

#[test]
fn a_kernel_without_write_policy_takes_one_policy() {
    let mut effective =
        Effective::at_boot(&Boot::default(), &KernelProfile { write_policy: false, ..KernelProfile::default() });
    assert_eq!(effective.load("empty", &[]), Err(Unloadable::NoRules));
    assert!(effective.takes_another());
    effective.load("one", &placed("audit\n")).unwrap();
    assert_eq!(effective.load("two", &placed("audit\n")), Err(Unloadable::LoadedAlready));
    assert_eq!(effective.rules().len(), 1);
}

#[test]
fn bits_of_gone_rules_stay() {
    let boot = Boot::from_command_line("ima_policy=secure_boot");
    let mut effective = Effective::at_boot(&boot, &KernelProfile::default());
    assert!(effective.refuses_text());
    effective.load("p", &placed("measure\n")).unwrap();
    assert_eq!(origins(&effective), ["p:1"]);
    let Appraisal { modules, firmware, policy, kexec, .. } = effective.appraisal();
    assert!(modules && firmware && policy && kexec && effective.refuses_text());
    // The initramfs of kexec has no bit.
    let mut other = Effective::at_boot(&Boot::default(), &KernelProfile::default());
    other.load("p", &placed("appraise func=KEXEC_INITRAMFS_CHECK\nmeasure func=POLICY_CHECK\n")).unwrap();
    assert_eq!(other.appraisal(), Appraisal::new(Mode::Enforce));
}

#[test]
fn off_drops_appraise_rules_unless_one_of_them_has_a_bit() {
    let off = Boot::from_command_line("ima_appraise=off");
    let mut effective = Effective::at_boot(&off, &KernelProfile::default());
    effective.load("p", &placed("appraise func=BPRM_CHECK\nmeasure\n")).unwrap();
    assert!(!effective.classes.has(Class::Appraise) && effective.classes.has(Class::Measure));
    effective.load("q", &placed("appraise func=MODULE_CHECK\n")).unwrap();
    assert!(effective.classes.has(Class::Appraise) && !effective.appraisal().enforces());
}

#[test]
fn exempting_rules_open_no_class() {
    let effective = Effective::of_file("p", &placed("dont_appraise\ndont_measure\ndont_hash\nhash\n"));
    let open: Vec<_> = Class::ALL.into_iter().filter(|class| effective.classes.has(*class)).collect();
    assert_eq!(open, [Class::Hash]);
}

#[test]
fn the_first_setxattr_rule_since_boot_counts() {
    let mut effective = Effective::of_file("p", &placed("appraise func=SETXATTR_CHECK appraise_algos=sha256\n"));
    assert!(effective.classes.is_empty());
    effective.load("q", &placed("appraise func=SETXATTR_CHECK appraise_algos=sha512\n")).unwrap();
    let (algos, origin) = effective.label_algos().unwrap();
    assert_eq!(algos.names().collect::<Vec<_>>(), ["sha256"]);
    assert_eq!(*origin, Origin::File { name: "p".into(), line: 1 });
}

#[test]
fn rules_that_were_never_text_do_not_look_into_the_blacklist() {
    let boot = Boot { secure_boot: true, ..Boot::default() };
    let profile = KernelProfile { module_sig: false, ..profile() };
    let mut effective = Effective::at_boot(&boot, &profile);
    effective.load("p", &placed("appraise func=BPRM_CHECK appraise_type=imasig\n")).unwrap();
    let looks: Vec<_> = effective
        .rules()
        .iter()
        .filter(|rule| rule.rule.demands.signature)
        .map(|rule| (rule.origin.clone(), rule.looks_into_blacklist()))
        .collect();
    let file = Origin::File { name: "p".into(), line: 1 };
    assert_eq!(looks, [(Origin::Arch, true), (Origin::Build, false), (file, true)]);
}

#[test]
fn label_conditions_come_alive_with_the_security_module_s_policy() {
    let mut effective = Effective::of_file("p", &placed("dont_appraise obj_type=bin_t\n"));
    assert!(effective.rules()[0].rule.is_void());
    effective.lsm_changed(&Lsm::Selinux(Names::Known(vec![(LsmField::ObjType, b"bin_t".to_vec())])));
    assert!(!effective.rules()[0].rule.is_void());
}
