use proptest::prelude::*;

use super::*;
use crate::model::policy::builtin::Boot;
use crate::model::policy::effective::Effective;
use crate::model::policy::event::{Access, Credentials, FileSystem, LsmLabel, OpenMode, Subject};
use crate::model::policy::parse::{PlacedRule, parse};
use crate::model::policy::profile::{KernelProfile, Lsm, Names};

fn profile() -> KernelProfile {
    KernelProfile {
        fs_subtype: true,
        dont_audit: true,
        custom_active: true,
        lsm: Lsm::Selinux(Names::Any),
        ..KernelProfile::default()
    }
}

fn policy(text: &str) -> Effective {
    let parsed = parse(format!("{text}\n").as_bytes(), &profile());
    assert!(parsed.faults.is_empty(), "{text}: {:?}", parsed.faults);
    Effective::of_file("p", &parsed.rules)
}

fn target() -> Target {
    Target {
        fs: FileSystem {
            magic: 0xef53,
            name: b"ext4".to_vec(),
            xattrs: true,
            versioned: true,
            ..FileSystem::default()
        },
        ..Target::default()
    }
}

fn open(subject: &Subject, access: Access) -> Event<'_> {
    Event::new(Func::FileCheck, access, subject)
}

/// Whether the one rule matches.
fn matched(rule: &str, event: &Event<'_>, target: &Target) -> bool {
    policy(rule).decide(event, target).acting(Class::Measure).is_some()
}

#[test]
fn hooks() {
    let subject = Subject::default();
    let funcs = [
        Func::FileCheck,
        Func::MmapCheck,
        Func::MmapCheckReqprot,
        Func::BprmCheck,
        Func::CredsCheck,
        Func::ModuleCheck,
        Func::FirmwareCheck,
        Func::KexecKernelCheck,
        Func::KexecInitramfsCheck,
        Func::PolicyCheck,
        Func::KexecCmdline,
        Func::KeyCheck,
        Func::CriticalData,
    ];
    for asked in funcs {
        let event = Event::new(asked, Access::NONE, &subject);
        let buffers = matches!(asked, Func::KeyCheck | Func::CriticalData);
        assert_eq!(matched("measure", &event, &target()), !buffers, "{asked:?}");
        for named in funcs {
            assert_eq!(matched(&format!("measure func={}", named.name()), &event, &target()), named == asked);
        }
    }
}

#[test]
fn accesses_as_open_asks_for_them() {
    let subject = Subject::default();
    // With O_APPEND, with O_TRUNC; matches mask=MAY_READ, ^MAY_READ, MAY_WRITE, ^MAY_WRITE, ^MAY_APPEND
    for ((mode, append, truncate), wanted) in [
        ((OpenMode::Read, false, false), [true, true, false, false, false]),
        ((OpenMode::Write, false, false), [false, false, true, true, false]),
        ((OpenMode::Both, false, false), [false, true, false, true, false]),
        ((OpenMode::Read, false, true), [false, true, false, true, false]),
        ((OpenMode::Write, true, false), [false, false, false, true, true]),
    ] {
        let event = open(&subject, Access::of_open(mode, append, truncate));
        let masks = ["MAY_READ", "^MAY_READ", "MAY_WRITE", "^MAY_WRITE", "^MAY_APPEND"];
        let found = masks.map(|mask| matched(&format!("measure mask={mask}"), &event, &target()));
        assert_eq!(found, wanted, "{event:?}");
    }
    // What is asked after a creation matches no mask; after chmod every one.
    let made = open(&subject, Access::ACCESS);
    assert!(!matched("measure mask=^MAY_READ", &made, &target()));
    let chmod = Event { hook: Hook::SetAttributes, ..made };
    assert!(matched("measure func=BPRM_CHECK mask=MAY_EXEC", &chmod, &target()));
}

#[test]
fn file_systems() {
    let subject = Subject::default();
    let mut target = target();
    target.fs.uuid = [0xab; 16];
    target.fs.subtype = Some(b"sshfs".to_vec());
    let event = open(&subject, Access::READ);
    for (condition, wanted) in [
        ("fsmagic=0xef53", true),
        ("fsmagic=1", false),
        ("fsname=ext4", true),
        ("fsname=ext", false),
        ("fs_subtype=sshfs", true),
        ("fs_subtype=x", false),
        ("fsuuid=abababab-abab-abab-abab-abababababab", true),
        ("fsuuid=abababab-abab-abab-abab-ababababab00", false),
        ("fsmagic=0xef53 fsname=xfs", false),
    ] {
        assert_eq!(matched(&format!("measure {condition}"), &event, &target), wanted, "{condition}");
    }
    target.fs.subtype = None;
    assert!(!matched("measure fs_subtype=sshfs", &event, &target));
}

#[test]
fn users_and_groups() {
    // uid, euid, suid, capable; matches uid=5, euid=5
    for (ids, capable, wanted) in [
        ([5, 0, 0], false, [true, false]),
        ([0, 5, 0], false, [false, true]),
        ([0, 0, 5], false, [false, false]),
        ([0, 0, 5], true, [false, true]),
        ([5, 0, 0], true, [true, true]),
        ([0, 0, 0], true, [false, false]),
    ] {
        let [uid, euid, suid] = ids;
        let of_user = Subject {
            credentials: Credentials { uid, euid, suid, ..Credentials::default() },
            cap_setuid: capable,
            ..Subject::default()
        };
        let of_group = Subject {
            credentials: Credentials { gid: uid, egid: euid, sgid: suid, ..Credentials::default() },
            cap_setgid: capable,
            ..Subject::default()
        };
        for (name, subject) in [("uid", &of_user), ("gid", &of_group)] {
            let event = open(subject, Access::READ);
            let found = ["", "e"].map(|real| matched(&format!("measure {real}{name}=5"), &event, &target()));
            assert_eq!(found, wanted, "{name} {ids:?} {capable}");
        }
    }
    let subject = Subject { credentials: Credentials::of(7, 8), ..Subject::default() };
    let event = open(&subject, Access::READ);
    let file = Target { owner: 70, group: 80, ..target() };
    for (condition, wanted) in [
        ("uid>6", true),
        ("uid>7", false),
        ("uid<8", true),
        ("uid<7", false),
        ("gid>7", true),
        ("gid<8", false),
        ("fowner=70", true),
        ("fowner>70", false),
        ("fowner<71", true),
        ("fgroup=80", true),
        ("fgroup>79", true),
        ("fgroup<80", false),
    ] {
        assert_eq!(matched(&format!("measure {condition}"), &event, &file), wanted, "{condition}");
    }
}

#[test]
fn keys_and_critical_data() {
    let subject = Subject { credentials: Credentials::of(0, 0), ..Subject::default() };
    let text = Event { data: Some(b"text"), ..Event::new(Func::PolicyCheck, Access::NONE, &subject) };
    for (rule, is_about) in [
        ("measure func=POLICY_CHECK", true),
        ("measure func=POLICY_CHECK uid=0 fsname=ext4 fowner=7", true),
        ("measure func=POLICY_CHECK uid=1", false),
        ("measure", false),
    ] {
        assert_eq!(matched(rule, &text, &target()), is_about, "{rule}");
    }
    let key = Event { data: Some(b".ima"), ..Event::new(Func::KeyCheck, Access::NONE, &subject) };
    let data = Event { data: Some(b"selinux"), ..Event::new(Func::CriticalData, Access::NONE, &subject) };
    for (rule, event, wanted) in [
        ("measure func=KEY_CHECK", key, true),
        ("measure func=KEY_CHECK keyrings=.evm|.ima", key, true),
        ("measure func=KEY_CHECK keyrings=.evm", key, false),
        ("measure func=KEY_CHECK keyrings=.ima", Event { data: None, ..key }, false),
        ("measure func=KEY_CHECK uid=0", key, true),
        ("measure func=KEY_CHECK uid=1", key, false),
        // Groups are taken and never looked at.
        ("measure func=KEY_CHECK gid=1", key, true),
        ("measure func=CRITICAL_DATA label=selinux", data, true),
        ("measure func=CRITICAL_DATA label=kernel_info", data, false),
        ("measure func=CRITICAL_DATA uid=1", data, false),
        ("measure uid=0", key, false),
    ] {
        assert_eq!(matched(rule, &event, &target()), wanted, "{rule}");
    }
}

#[test]
fn security_labels() {
    let is = |text: &str| LsmValue::Is(text.as_bytes().to_vec());
    let subject = Subject { label: LsmLabel { kind: is("init_t"), ..LsmLabel::default() }, ..Subject::default() };
    let event = open(&subject, Access::READ);
    let mut file = target();
    file.label = LsmLabel { user: is("system_u"), role: LsmValue::Untold, kind: is("bin_t") };
    for (rule, wanted) in [
        ("measure obj_type=bin_t", true),
        ("measure obj_type=lib_t", false),
        ("measure obj_user=system_u obj_type=bin_t subj_type=init_t", true),
        ("measure subj_type=bin_t", false),
        ("measure subj_user=system_u", false),
    ] {
        assert_eq!(matched(rule, &event, &file), wanted, "{rule}");
    }
    let policy = policy("dont_measure obj_role=object_r\ndont_measure obj_role=r obj_type=x\nmeasure");
    let decision = policy.decide(&event, &file);
    assert_eq!((decision.untold, decision.acting(Class::Measure)), (Some(0), Some(2)));
}

#[test]
fn a_label_that_nobody_knows_matches_nothing_and_exempts_nothing() {
    let subject = Subject::default();
    let unknown = KernelProfile { lsm: Lsm::KnowsNothing, ..profile() };
    let rules = parse(b"dont_appraise obj_type=tmp_t\nappraise\n", &unknown).rules;
    let file = Target { label: LsmLabel { kind: LsmValue::Is(b"tmp_t".to_vec()), ..LsmLabel::default() }, ..target() };
    let decision = Effective::of_file("p", &rules).decide(&open(&subject, Access::READ), &file);
    assert_eq!(decision.acting(Class::Appraise), Some(1));
}

#[test]
fn the_first_rule_of_a_class_decides() {
    let subject = Subject::default();
    let policy = policy(
        "dont_appraise fsname=xfs\nmeasure pcr=11 template=ima-ng\ndont_appraise fowner=0\nappraise\naudit\n\
         measure pcr=12\ndont_audit",
    );
    let decision = policy.decide(&open(&subject, Access::READ), &target());
    let decided = |class| decision.decided(class).map(|decided| (decided.rule, decided.acts));
    assert_eq!(decided(Class::Appraise), Some((2, false)));
    assert_eq!(decided(Class::Measure), Some((1, true)));
    assert_eq!(decided(Class::Audit), Some((4, true)));
    assert_eq!(decided(Class::Hash), None);
    assert_eq!((decision.pcr(&policy), decision.slot), (Some(11), None));
    assert_eq!(decision.template(&policy).unwrap(), b"ima-ng");
    let other = Target { owner: 1, ..target() };
    assert_eq!(policy.decide(&open(&subject, Access::READ), &other).acting(Class::Appraise), Some(3));
}

#[test]
fn a_class_without_a_rule_that_acts_is_not_looked_at() {
    let subject = Subject::default();
    let policy = policy("dont_measure permit_directio\nappraise");
    let decision = policy.decide(&open(&subject, Access::READ), &target());
    assert_eq!(decision.decided(Class::Measure), None);
    assert!(decision.flags.is_empty());
}

#[test]
fn demands_come_from_every_rule_that_matches() {
    let subject = Subject::default();
    let policy = policy(
        "measure digest_type=verity\ndont_hash permit_directio\nappraise appraise_type=imasig appraise_algos=sha256\n\
         hash\naudit func=BPRM_CHECK digest_type=verity",
    );
    let decision = policy.decide(&open(&subject, Access::READ), &target());
    for (flag, rules) in [
        (Flag::Verity, &[0][..]),
        (Flag::DirectIo, &[1]),
        (Flag::Signature, &[2]),
        (Flag::Blacklist, &[2]),
        (Flag::Modsig, &[]),
        (Flag::FailSecurely, &[]),
    ] {
        assert_eq!(decision.bringing(flag).collect::<Vec<_>>(), rules, "{flag:?}");
        assert_eq!(decision.flags.has(flag), !rules.is_empty());
    }
    assert_eq!(decision.algos(&policy).unwrap().names().collect::<Vec<_>>(), ["sha256"]);
}

#[test]
fn fail_securely_comes_with_appraisal() {
    let subject = Subject::default();
    let rules: Vec<PlacedRule> = parse(b"appraise\n", &profile()).rules;
    let mut policy = Effective::at_boot(&Boot::from_command_line("ima_policy=fail_securely"), &profile());
    policy.load("p", &rules).unwrap();
    assert!(policy.decide(&open(&subject, Access::READ), &target()).flags.has(Flag::FailSecurely));
}

#[test]
fn an_appraise_rule_takes_back_a_hash_rule_before_it_only() {
    let subject = Subject::default();
    let event = open(&subject, Access::READ);
    assert_eq!(policy("hash\nappraise").decide(&event, &target()).acting(Class::Hash), None);
    assert_eq!(policy("appraise\nhash").decide(&event, &target()).acting(Class::Hash), Some(1));
    assert_eq!(policy("hash\ndont_appraise\nappraise").decide(&event, &target()).acting(Class::Hash), Some(0));
}

#[test]
fn slots() {
    let subject = Subject::default();
    for (func, slot) in [
        (Func::FileCheck, Slot::File),
        (Func::MmapCheck, Slot::Mmap),
        (Func::MmapCheckReqprot, Slot::Mmap),
        (Func::BprmCheck, Slot::Bprm),
        (Func::CredsCheck, Slot::Creds),
        (Func::ModuleCheck, Slot::Read),
        (Func::FirmwareCheck, Slot::Read),
        (Func::KexecKernelCheck, Slot::Read),
        (Func::KexecInitramfsCheck, Slot::Read),
        (Func::PolicyCheck, Slot::Read),
    ] {
        let event = Event::new(func, Access::EXEC, &subject);
        let named = policy(&format!("appraise func={}", func.name()));
        assert_eq!(named.decide(&event, &target()).slot, Some(slot));
        assert_eq!(policy("appraise").decide(&event, &target()).slot, Some(Slot::File));
        assert_eq!(policy("dont_appraise\nappraise").decide(&event, &target()).slot, None);
    }
}

/// The kernel's own loop, word for word, over the rules themselves.
fn reference(policy: &Effective, event: &Event<'_>, target: &Target) -> (u32, u8) {
    const MEASURE: u32 = 1;
    const APPRAISE: u32 = 4;
    const AUDIT: u32 = 0x40;
    const HASH: u32 = 0x100;
    let bits = |action| match action {
        Action::Measure => MEASURE,
        Action::DontMeasure => MEASURE << 1,
        Action::Appraise => APPRAISE,
        Action::DontAppraise => APPRAISE << 1,
        Action::Audit => AUDIT,
        Action::DontAudit => AUDIT << 1,
        Action::Hash => HASH,
        Action::DontHash => HASH << 1,
    };
    let doing = MEASURE | APPRAISE | AUDIT | HASH;
    let mut flag = 0;
    for rule in policy.rules() {
        if rule.rule.func != Some(Func::SetxattrCheck) {
            flag |= bits(rule.rule.action) & doing;
        }
    }
    let (mut action, mut flags, mut mask) = (0, Flags::NONE, flag | flag << 1);
    for (at, rule) in policy.rules().iter().enumerate() {
        let bit = bits(rule.rule.action);
        if bit & mask == 0 || !matches!(matches(&policy.compact[at], || &rule.rule, event, target), Match::Yes) {
            continue;
        }
        flags = flags.and(Flags::of(rule));
        action |= bit & doing;
        if bit == APPRAISE {
            action &= !HASH;
        }
        mask &= !(bit | if bit & doing == 0 { bit >> 1 } else { bit << 1 });
        if mask == 0 {
            break;
        }
    }
    (action, flags.0)
}

prop_compose! {
    fn rule_text()(
        action in prop::sample::select(Action::ALL.to_vec()),
        func in prop::sample::select(vec!["", " func=FILE_CHECK", " func=BPRM_CHECK", " func=MMAP_CHECK"]),
        mask in prop::sample::select(vec!["", "", " mask=MAY_READ", " mask=^MAY_EXEC"]),
        fs in prop::sample::select(vec!["", "", " fsname=ext4", " fsmagic=0xef53", " fsname=xfs"]),
        owner in prop::sample::select(vec!["", "", " fowner=0", " fowner>0", " uid=0", " euid>3"]),
        directio in prop::sample::select(vec!["", " permit_directio"]),
    ) -> String {
        format!("{}{func}{mask}{fs}{owner}{directio}", action.name())
    }
}

proptest! {
    #[test]
    fn decisions_are_those_of_the_kernel_s_loop(
        rules in prop::collection::vec(rule_text(), 1..12),
        func in prop::sample::select(vec![Func::FileCheck, Func::BprmCheck, Func::MmapCheck]),
        access in 0_u8..16,
        uid in 0_u32..6,
        owner in 0_u32..3,
    ) {
        let policy = policy(&rules.join("\n"));
        let subject = Subject { credentials: Credentials::of(uid, uid), ..Subject::default() };
        let event = Event::new(func, Access(access), &subject);
        let target = Target { owner, ..target() };
        let decision = policy.decide(&event, &target);
        let bit = |class, bit| if decision.acting(class).is_some() { bit } else { 0 };
        let action =
            bit(Class::Measure, 1) | bit(Class::Appraise, 4) | bit(Class::Audit, 0x40) | bit(Class::Hash, 0x100);
        prop_assert_eq!((action, decision.flags.0), reference(&policy, &event, &target));
        // Each rule that decided is the first of its class that matches.
        for class in Class::ALL {
            if let Some(decided) = decision.decided(class) {
                let earlier = policy.compact[..decided.rule].iter().zip(policy.rules());
                let matching = earlier.filter(|(short, whole)| {
                    short.class == class && matches!(matches(short, || &whole.rule, &event, &target), Match::Yes)
                });
                prop_assert_eq!(matching.count(), 0);
            }
        }
    }
}
