use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::model::policy::decide::Class;
use crate::model::policy::effective::{Effective, Origin};
use crate::model::policy::event::{Access, Credentials, Event, FileSystem, LsmLabel, LsmValue, Subject, Target};
use crate::model::policy::fmt::every_word;
use crate::model::policy::parse::parse;

fn translated(policy: &str) -> Measuring {
    let policy = parse(policy.as_bytes(), &every_word(None));
    assert_eq!(policy.faults, []);
    Measuring::of(&policy.rules)
}

fn text(policy: &str) -> String {
    translated(policy).text().into_iter().map(|(_, rule)| String::from_utf8(rule).unwrap() + "\n").collect()
}

#[test]
fn appraisal_becomes_measuring_in_the_same_order() {
    for (policy, expected) in [
        (
            "# why\ndont_appraise fsname=rootfs\n\nappraise func=FILE_MMAP mask=MAY_EXEC appraise_type=imasig\n",
            "dont_measure fsname=rootfs\nmeasure func=MMAP_CHECK mask=MAY_EXEC template=ima-sig\n",
        ),
        // What measures, audits and hashes by itself is no part of it.
        (
            "measure func=FILE_CHECK\ndont_measure fsname=tmpfs\naudit uid=0\nhash uid=0\ndont_hash uid=1\n\
             measure func=KEY_CHECK keyrings=.ima\nappraise fowner=0\n",
            "measure fowner=0 template=ima-sig\n",
        ),
        // Conditions stay; what is said of labels goes.
        (
            "appraise func=FILE_CHECK mask=^MAY_READ fsmagic=0xef53 fsuuid=deadbeef-0000-0000-0000-00000000000f euid=0 \
             gid<5 fowner>1 fgroup=0 obj_type=etc_t subj_role=r appraise_algos=sha256 appraise_type=imasig permit_directio\n",
            "measure func=FILE_CHECK mask=^MAY_READ fsmagic=0xef53 fsuuid=deadbeef-0000-0000-0000-00000000000f euid=0 \
             gid<5 fowner>1 fgroup=0 obj_type=etc_t subj_role=r template=ima-sig permit_directio\n",
        ),
        (
            "appraise func=FILE_CHECK digest_type=verity appraise_type=sigv3\ndont_appraise digest_type=verity fs_subtype=s\n",
            "measure func=FILE_CHECK template=ima-sig\ndont_measure fs_subtype=s\n",
        ),
        ("appraise func=MODULE_CHECK appraise_type=imasig|modsig\n", "measure func=MODULE_CHECK template=ima-sig\n"),
    ] {
        assert_eq!(text(policy), expected, "{policy}");
    }
}

#[test]
fn each_hook_of_files_is_measured() {
    let of_files = Func::ALL
        .into_iter()
        .filter(|func| !matches!(func, Func::KexecCmdline | Func::KeyCheck | Func::CriticalData | Func::SetxattrCheck));
    for func in of_files {
        let name = func.name();
        assert_eq!(text(&format!("appraise func={name}\n")), format!("measure func={name} template=ima-sig\n"));
        assert_eq!(text(&format!("dont_appraise func={name}\n")), format!("dont_measure func={name}\n"));
    }
}

#[test]
fn what_has_no_translation_is_named() {
    let algos = translated("appraise fowner=0\nappraise func=SETXATTR_CHECK appraise_algos=sha256\n");
    assert_eq!((algos.rules.len(), algos.left_out[0].line), (1, 2));
    let long = translated(&format!("dont_appraise fsname={}\nappraise\n", "x".repeat(LONGEST)));
    assert_eq!((long.rules[0].line, long.left_out[0].line), (2, 1));
    assert!(long.left_out[0].why.contains("longer"));
    assert!(translated("appraise fowner=0\n").measures());
    assert!(!translated("dont_appraise fowner=0\nmeasure\n").measures());
}

/// Rules about appraisal and others, and lines that are none.
fn line() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "appraise",
        "appraise",
        "dont_appraise",
        "measure",
        "dont_measure",
        "func=FILE_CHECK",
        "func=FILE_MMAP",
        "func=BPRM_CHECK",
        "func=MODULE_CHECK",
        "func=SETXATTR_CHECK",
        "func=KEY_CHECK",
        "mask=^MAY_READ",
        "mask=MAY_EXEC",
        "fsmagic=ef53",
        "fsname=ext4",
        "fs_subtype=s",
        "uid=0",
        "euid>5",
        "egid<7",
        "fowner=7",
        "fgroup>1",
        "obj_type=b_t",
        "subj_user=u",
        "appraise_type=imasig",
        "appraise_type=imasig|modsig",
        "digest_type=verity",
        "appraise_type=sigv3",
        "permit_directio",
        "appraise_algos=sha512",
        "pcr=10",
        "template=ima-ng",
        "# and why",
    ]);
    vec(word, 1..5).prop_map(|words| words.join(" "))
}

fn lsm() -> impl Strategy<Value = LsmValue> {
    prop::sample::select(vec![
        LsmValue::Nothing,
        LsmValue::Untold,
        LsmValue::Is(b"b_t".to_vec()),
        LsmValue::Is(b"u".to_vec()),
    ])
}

/// The line of the rule by which a class acts.
fn acting(rules: &Effective, class: Class, event: &Event<'_>, target: &Target) -> Option<usize> {
    let decision = rules.decide(event, target);
    decision.acting(class).and_then(|at| match rules.rules()[at].origin {
        Origin::File { line, .. } => Some(line),
        _ => None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_measured_is_what_was_appraised(
        lines in vec(line(), 1..6),
        func in prop::sample::select(vec![Func::FileCheck, Func::MmapCheck, Func::BprmCheck, Func::CredsCheck, Func::ModuleCheck]),
        (access, uid, euid, egid) in (prop::sample::select(vec![1_u8, 2, 4, 6]), 0_u32..9, 0_u32..9, 0_u32..9),
        (owner, group) in (6_u32..9, 0_u32..3),
        (magic, ext4, subtype) in (prop::sample::select(vec![0xef53_u64, 1]), any::<bool>(), any::<bool>()),
        (object, subject) in (lsm(), lsm()),
    ) {
        let profile = every_word(None);
        let parsed = parse(format!("{}\n", lines.join("\n")).as_bytes(), &profile);
        let measuring = Measuring::of(&parsed.rules);
        let mut text: Vec<u8> = measuring.text().into_iter().flat_map(|(_, rule)| [rule, b"\n".to_vec()].concat()).collect();
        // So that there is always something to read.
        text.extend(b"audit func=POLICY_CHECK\n");
        let again = parse(&text, &profile);
        prop_assert_eq!(&again.faults, &[]);
        let rules = |rules: &[PlacedRule]| rules.iter().map(|placed| placed.rule.clone()).collect::<Vec<_>>();
        prop_assert_eq!(&rules(&again.rules[..again.rules.len() - 1]), &rules(&measuring.rules));

        let subject = Subject {
            credentials: Credentials { uid, euid, egid, ..Credentials::default() },
            label: LsmLabel { user: subject, ..LsmLabel::default() },
            ..Subject::default()
        };
        let target = Target {
            fs: FileSystem {
                magic,
                name: if ext4 { b"ext4".to_vec() } else { b"xfs".to_vec() },
                subtype: subtype.then(|| b"s".to_vec()),
                ..FileSystem::default()
            },
            owner,
            group,
            label: LsmLabel { kind: object, ..LsmLabel::default() },
        };
        let event = Event::new(func, Access(access), &subject);
        let before = Effective::of_file("policy", &parsed.rules);
        let after = Effective::of_file("measuring", &measuring.rules);
        prop_assert_eq!(
            acting(&after, Class::Measure, &event, &target),
            acting(&before, Class::Appraise, &event, &target)
        );
        // And nothing is denied.
        prop_assert_eq!(acting(&after, Class::Appraise, &event, &target), None);
        prop_assert!(!after.refuses_text());
    }
}
