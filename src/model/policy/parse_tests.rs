use super::*;
use crate::model::policy::canonical::{loadable, shown};
use crate::model::policy::profile::{Lsm, Names};

fn parse_one(text: &str, profile: &KernelProfile) -> Result<Option<Rule>, RuleError> {
    parse_line(&Line::alone(text.as_bytes()), profile)
}

fn rule(text: &str) -> Rule {
    match parse_one(text, &KernelProfile::default()) {
        Ok(Some(rule)) => rule,
        other => panic!("{text}: {other:?}"),
    }
}

fn reason(text: &str, profile: &KernelProfile) -> Reason {
    parse_one(text, profile).expect_err(text).reason
}

fn shown_as(text: &str) -> String {
    String::from_utf8(shown(&rule(text)).expect("not void")).expect("UTF-8")
}

#[test]
fn rules_are_shown_as_the_kernel_shows_them() {
    for (text, expected) in [
        ("measure", "measure "),
        ("  appraise\tfunc=FILE_MMAP mask=MAY_EXEC", "appraise func=MMAP_CHECK mask=MAY_EXEC "),
        ("audit func=PATH_CHECK mask=^MAY_READ", "audit func=FILE_CHECK mask=^MAY_READ "),
        ("dont_appraise fsmagic=0X01021994", "dont_appraise fsmagic=0x1021994 "),
        ("dont_appraise fsmagic=+ff fsname=a fsname=ext4", "dont_appraise fsmagic=0xff fsname=ext4 "),
        ("dont_hash fsmagic=0 fsmagic=1", "dont_hash fsmagic=0x1 "),
        ("measure uid=+4294967294 egid<007", "measure uid=-2 egid<7 "),
        ("measure fgroup>1 fowner<2 euid>3", "measure euid>3 fowner<2 fgroup>1 "),
        (
            "measure fsuuid=DEADBEEF-0000-0000-0000-00000000000Fxyz",
            "measure fsuuid=deadbeef-0000-0000-0000-00000000000f ",
        ),
        (
            "appraise digest_type=verity appraise_type=sigv3 permit_directio",
            "appraise appraise_type=sigv3 digest_type=verity permit_directio ",
        ),
        (
            "appraise func=MODULE_CHECK appraise_type=imasig appraise_type=imasig|modsig appraise_flag=check_blacklist",
            "appraise func=MODULE_CHECK appraise_type=imasig|modsig ",
        ),
        ("appraise appraise_algos=sha512,sha256", "appraise appraise_algos=sha256,sha512 "),
        ("measure pcr=-0 pcr=63 template=d-ng|n-ng", "measure pcr=63 template=ima-ng "),
        ("measure func=KEY_CHECK keyrings=.ima|.evm uid=0", "measure func=KEY_CHECK keyrings=.ima|.evm uid=0 "),
        ("measure func=CRITICAL_DATA label=selinux", "measure func=CRITICAL_DATA label=selinux "),
        ("appraise func=SETXATTR_CHECK appraise_algos=sha256", "appraise func=SETXATTR_CHECK appraise_algos=sha256 "),
        ("hash digest_type=verity permit_directio", "hash digest_type=verity permit_directio "),
        ("audit fsname=ext4\r", "audit fsname=ext4\r "),
    ] {
        assert_eq!(shown_as(text), expected, "{text}");
    }
    let long = format!("measure fsname={}", "n".repeat(100));
    assert_eq!(shown_as(&long), format!("measure fsname={} ", "n".repeat(63)));
}

#[test]
fn what_is_written_means_the_same() {
    let mut profile = KernelProfile {
        custom_active: true,
        custom_template: Some(b"d-ng|n-ng|iuid".to_vec()),
        ..KernelProfile::default()
    };
    profile.lsm = Lsm::Selinux(Names::Known(vec![(LsmField::ObjType, b"bin_t".to_vec())]));
    for text in [
        "appraise appraise_type=imasig",
        "appraise func=BPRM_CHECK subj_type=nobody_t obj_type=bin_t",
        "appraise digest_type=verity appraise_type=sigv3",
        "measure uid=4294967294 template=d-ng|n-ng|sig pcr=5 fsname=\u{e9}",
        "measure template=d-ng|n-ng|iuid",
        "audit fsname=ext4\r",
        "audit fsname=\u{c}",
    ] {
        let Ok(Some(rule)) = parse_one(text, &profile) else { panic!("{text}") };
        let again = loadable(&rule);
        let line = Line::alone(&again);
        assert_eq!(parse_line(&line, &profile), Ok(Some(rule)), "{text}");
    }
    let unnamed = parse_one("measure template=d-ng|n-ng|iuid", &profile).unwrap().unwrap();
    assert_eq!(shown(&unnamed).as_deref(), Some(&b"measure template= "[..]));
    let void = parse_one("measure subj_type=nobody_t", &profile).unwrap().unwrap();
    assert_eq!(shown(&void), None);
}

#[test]
fn signatures_of_version_3_are_for_files_too_from_linux_7_1_on() {
    let newer = KernelProfile { sigv3_files: true, ..KernelProfile::default() };
    for (text, as_shown) in [
        ("appraise appraise_type=sigv3", "appraise appraise_type=sigv3 "),
        ("appraise appraise_type=sigv3 digest_type=verity", "appraise appraise_type=sigv3 digest_type=verity "),
        ("appraise appraise_type=imasig digest_type=verity", "appraise appraise_type=imasig digest_type=verity "),
        (
            "appraise func=MODULE_CHECK appraise_type=imasig|modsig appraise_type=sigv3",
            "appraise func=MODULE_CHECK appraise_type=sigv3 ",
        ),
    ] {
        let rule = parse_one(text, &newer).expect(text).expect(text);
        assert_eq!(shown(&rule).expect(text), as_shown.as_bytes());
        assert_eq!(parse_line(&Line::alone(&loadable(&rule)), &newer), Ok(Some(rule)), "{text}");
        assert!(parse_one(text, &KernelProfile::default()).is_err());
    }
    let modsig = "appraise func=MODULE_CHECK appraise_type=sigv3 appraise_type=imasig|modsig";
    assert_eq!(reason(modsig, &newer), Reason::ModsigAfterSigv3);
    assert_eq!(
        reason("appraise digest_type=verity appraise_type=imasig", &newer),
        Reason::SignatureWithVerity("imasig")
    );
}

#[test]
fn comments_and_empty_lines_are_no_rules() {
    for text in ["", " \t", "# appraise", "\t#"] {
        assert_eq!(parse_one(text, &KernelProfile::default()), Ok(None));
    }
    let mut profile = KernelProfile::default();
    assert_eq!(reason("measure # all", &profile), Reason::UnknownWord("#".into()));
    profile.trailing_comments = true;
    assert!(parse_one("measure # all", &profile).is_ok());
}

#[test]
fn every_reason_is_given() {
    let plain = KernelProfile::default();
    let bare = KernelProfile { modsig: false, key_measurement: false, ..KernelProfile::default() };
    let unknown = |word: &str| Reason::UnknownWord(word.into());
    let cases: Vec<(&str, &KernelProfile, Reason)> = vec![
        ("allow", &plain, unknown("allow")),
        ("Measure", &plain, unknown("Measure")),
        ("measure \\", &plain, unknown("\\")),
        ("measure\r", &plain, unknown("measure\r")),
        ("dont_audit", &plain, unknown("dont_audit")),
        ("measure fs_subtype=x", &plain, unknown("fs_subtype=x")),
        ("measure permit_directio=1", &plain, unknown("permit_directio=1")),
        ("measure uid=", &plain, Reason::EmptyValue("uid=".into())),
        ("measure udi=", &plain, unknown("udi=")),
        ("measure audit", &plain, Reason::SecondAction("audit")),
        ("func=BPRM_CHECK", &plain, Reason::NoAction),
        ("measure func=BPRM_CHECK func=BPRM_CHECK", &plain, Reason::Twice("func=")),
        ("measure mask=MAY_EXEC mask=^MAY_EXEC", &plain, Reason::Twice("mask=")),
        ("measure fsmagic=1 fsmagic=1", &plain, Reason::Twice("fsmagic=")),
        ("measure uid=0 euid=0", &plain, Reason::SecondId("uid")),
        ("measure gid=0 egid<5", &plain, Reason::SecondId("gid")),
        ("measure fowner=0 fowner>5", &plain, Reason::Twice("fowner")),
        ("measure func=POST_SETATTR", &plain, Reason::UnknownFunc("POST_SETATTR".into())),
        ("measure func=KEY_CHECK", &bare, Reason::FuncNotBuilt("KEY_CHECK")),
        ("measure mask=^", &plain, Reason::UnknownMask("^".into())),
        ("measure uid=0x1", &plain, Reason::NotANumber { value: "0x1".into(), base: "decimal" }),
        ("measure fsmagic=0x", &plain, Reason::NotANumber { value: "0x".into(), base: "hexadecimal" }),
        ("measure uid=18446744073709551616z", &plain, Reason::TooLarge("18446744073709551616z".into())),
        ("measure fsmagic=10000000000000000", &plain, Reason::TooLarge("10000000000000000".into())),
        ("measure uid=4294967295", &plain, Reason::NoSuchId("4294967295".into())),
        ("measure fsuuid=1", &plain, Reason::NotAUuid("1".into())),
        ("measure pcr=64", &plain, Reason::NoSuchPcr { value: "64".into(), last: 63 }),
        (
            "measure pcr=99999999999999999999",
            &plain,
            Reason::NoSuchPcr { value: "99999999999999999999".into(), last: 63 },
        ),
        ("measure template=ima-nh", &plain, Reason::UnknownTemplate("ima-nh".into())),
        ("template=ima-ng measure", &plain, Reason::TemplateWithoutMeasure),
        ("measure template=ima template=ima", &plain, Reason::Twice("template=")),
        ("measure digest_type=sha", &plain, Reason::UnknownDigestType("sha".into())),
        ("appraise appraise_type=imasig digest_type=verity", &plain, Reason::DigestTypeTooLate),
        ("appraise appraise_type=modsig", &plain, Reason::UnknownAppraiseType("modsig".into())),
        ("appraise digest_type=verity appraise_type=imasig", &plain, Reason::SignatureWithVerity("imasig")),
        ("appraise appraise_type=sigv3", &plain, Reason::Sigv3WithoutVerity),
        ("appraise func=MODULE_CHECK appraise_type=imasig|modsig", &bare, Reason::ModsigNotBuilt),
        ("appraise appraise_algos=sha256,", &plain, Reason::UnknownHash(String::new())),
        ("appraise appraise_algos=md5", &plain, Reason::UnavailableHash("md5")),
        ("measure func=KEY_CHECK keyrings=a||b", &plain, Reason::EmptyItem("keyrings=")),
        ("measure keyrings=a", &bare, Reason::KeyringsNotBuilt),
        ("measure obj_type=bin_t", &plain, Reason::UnknownLabel("bin_t".into())),
        ("appraise pcr=5", &plain, Reason::WrongAction { key: "pcr=", wanted: "measure" }),
        ("measure appraise_type=imasig", &plain, Reason::WrongAction { key: "appraise_type=", wanted: "appraise" }),
        (
            "appraise appraise_type=imasig|modsig",
            &plain,
            Reason::NotForFunc { key: "appraise_type=imasig|modsig", func: None },
        ),
        (
            "measure func=KEXEC_CMDLINE mask=MAY_READ",
            &plain,
            Reason::NotForFunc { key: "mask=", func: Some(Func::KexecCmdline) },
        ),
        ("audit func=KEY_CHECK", &plain, Reason::ActionNotForFunc { action: Action::Audit, func: Func::KeyCheck }),
        ("appraise func=SETXATTR_CHECK", &plain, Reason::SetxattrWithoutAlgos),
        ("appraise digest_type=verity", &plain, Reason::VerityWithoutSigv3),
    ];
    for (text, profile, expected) in cases {
        assert_eq!(reason(text, profile), expected, "{text}");
        assert!(!expected.to_string().is_empty());
        assert!(!expected.help().is_empty(), "{text}");
    }
}

#[test]
fn errors_name_their_place() {
    let error = parse_one("appraise func=BPRM_CHEK uid=0", &KernelProfile::default()).unwrap_err();
    assert_eq!(error.span, 14..23);
    assert!(error.reason.help().starts_with("did you mean `BPRM_CHECK`?"));
    let error =
        parse_one(&format!("appraise func={}", "BPRM_CHECK".repeat(200_000)), &KernelProfile::default()).unwrap_err();
    assert!(error.reason.help().starts_with("hooks: "));
    let error = parse_one("appraise  pcr=5 uid=0", &KernelProfile::default()).unwrap_err();
    assert_eq!(error.span, 10..15);
    let error = parse_one(" func=BPRM_CHECK ", &KernelProfile::default()).unwrap_err();
    assert_eq!(error.span, 1..16);
}

#[test]
fn files_are_taken_whole_or_not_at_all() {
    let verdict = |bytes: &[u8]| parse(bytes, &KernelProfile::default()).verdict();
    let invalid = Verdict::Refused(Errno::Invalid);
    assert_eq!(verdict(b"measure\n"), Verdict::Accepted);
    assert_eq!(verdict(b"measure\naudit\0"), Verdict::Accepted);
    assert_eq!(verdict(b"measure"), invalid);
    assert_eq!(verdict(b"measure\0audit\n"), invalid);
    assert_eq!(verdict(b""), invalid);
    assert_eq!(verdict(b"#\n\n"), Verdict::NoRules);
    assert_eq!(verdict(b"measure uid=99999999999999999999\nallow\n"), Verdict::Refused(Errno::Range));
    assert_eq!(verdict(b"allow\nmeasure uid=99999999999999999999\n"), invalid);
    let policy = parse(b"allow\nmeasure\n\nfoo\n", &KernelProfile::default());
    assert_eq!(policy.faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [1, 4]);
    assert_eq!(policy.rules[0].line, 2);
}
