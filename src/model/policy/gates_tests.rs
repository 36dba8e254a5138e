use super::super::verdict::tests::{policy, signed, started};
use super::*;

#[test]
fn mprotect_is_denied_by_rules_alone() {
    let subject = Subject::default();
    for rule in ["appraise func=MMAP_CHECK", "appraise func=MMAP_CHECK_REQPROT", "appraise"] {
        for policy in [policy(rule), started("ima_appraise=log", rule), started("ima_appraise=fix", rule)] {
            let verdict = judge_mprotect(&policy, &subject, &signed().target);
            assert_eq!(verdict.seen.and_then(Seen::errno), Some(1));
            assert_eq!(verdict.records, [Record::failed(Cause::FailedMprotect)]);
        }
    }
    let measured = judge_mprotect(&policy("appraise uid=7\nmeasure func=MMAP_CHECK"), &subject, &signed().target);
    assert!(measured.allowed);
    assert_eq!(measured.records, [Record { cause: Cause::FailedMprotect, res: true }]);
    for rule in ["measure func=MMAP_CHECK", "appraise func=BPRM_CHECK", "dont_appraise\nappraise"] {
        assert!(judge_mprotect(&policy(rule), &subject, &signed().target).records.is_empty());
    }
}

#[test]
fn loads_without_a_file() {
    let all = "appraise func=MODULE_CHECK\nappraise func=FIRMWARE_CHECK\nappraise func=KEXEC_KERNEL_CHECK";
    let loads = [Fileless::Kexec { locked: false }, Fileless::Firmware, Fileless::Module { sig_enforced: false }];
    for load in loads {
        assert!(!allows_fileless(&policy(all), load));
        assert!(allows_fileless(&policy("appraise"), load));
        assert!(allows_fileless(&started("ima_appraise=log", all), load));
    }
    assert!(allows_fileless(&policy(all), Fileless::Module { sig_enforced: true }));
    assert!(!allows_fileless(&policy("measure"), Fileless::Kexec { locked: true }));
}

#[test]
fn labels_that_may_be_written() {
    let kernel = VerdictProfile::default();
    let available = HashSet::of(&["sha512"]);
    let any = policy("appraise");
    let strict = policy("appraise func=SETXATTR_CHECK appraise_algos=sha512");
    let (sha256, sha512, sha384) = ([4, 4, 0], [4, 6, 0], [4, 5, 0]);
    for (policy, label, wanted) in [
        (&any, &sha256[..], Ok(())),
        (&any, &sha512, Ok(())),
        (&any, &sha384, Err(LabelRefused::UnavailableAlgorithm)),
        (&strict, &sha512, Ok(())),
        (&strict, &sha256, Err(LabelRefused::DeniedAlgorithm)),
        (&any, b"", Err(LabelRefused::NotALabel)),
        (&any, &[7, 1], Err(LabelRefused::NotALabel)),
        // Nothing else is looked at.
        (&any, &[0], Ok(())),
        (&any, &[3, 2], Ok(())),
    ] {
        assert_eq!(check_label(&kernel, policy, available, label), wanted, "{label:?}");
    }
}
