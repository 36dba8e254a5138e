//! Any bytes as a policy, for any kernel: nothing panics, errors have their place within their line, and a rule that is
//! written and read again is the same.
#![no_main]

use imad::model::policy;
use libfuzzer_sys::fuzz_target;
use policy::canonical::{loadable, shown};
use policy::lex::{Line, lines};
use policy::parse::{Verdict, parse, parse_line};
use policy::profile::{KernelProfile, Lsm, Names};
use policy::rule::{HASH_NAMES, HashSet};

/// The kernel that the first byte chooses.
fn profile(choice: u8) -> KernelProfile {
    let has = |bit: u8| choice >> bit & 1 == 1;
    KernelProfile {
        modsig: has(0),
        key_measurement: has(1),
        trailing_comments: has(2),
        fs_subtype: has(3),
        dont_audit: has(3),
        sigv3_files: has(4),
        hashes: if has(5) { HashSet::of(&HASH_NAMES) } else { HashSet::of(&["sha1", "sha256"]) },
        lsm: [Lsm::KnowsNothing, Lsm::Selinux(Names::Any), Lsm::Smack, Lsm::AppArmor(Names::Any)]
            [usize::from(choice >> 6)]
        .clone(),
        custom_template: has(5).then(|| b"d-ng".to_vec()),
        custom_active: has(4),
        ..KernelProfile::default()
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let profile = profile(choice);
    let policy = parse(bytes, &profile);
    let all: Vec<_> = lines(bytes).collect();
    for fault in &policy.faults {
        let length = all.get(fault.line - 1).map_or(0, |line| line.bytes.len());
        assert!(fault.span.start <= fault.span.end && fault.span.end <= length, "{fault:?}");
        assert!(!fault.kind.to_string().is_empty());
        let _ = fault.kind.help();
    }
    let accepted = policy.verdict() == Verdict::Accepted;
    assert_eq!(accepted, policy.faults.is_empty());
    assert!(!accepted || !policy.rules.is_empty());

    let mut file = Vec::new();
    for placed in &policy.rules {
        let text = loadable(&placed.rule);
        let again = parse_line(&Line::alone(&text), &profile).expect("it is read again").expect("it is a rule");
        assert_eq!(again, placed.rule, "{}", text.escape_ascii());
        assert_eq!(loadable(&again), text);
        assert_eq!(shown(&again), shown(&placed.rule));
        file.extend_from_slice(&text);
        file.push(b'\n');
    }
    let again = parse(&file, &profile);
    assert!(again.rules.iter().map(|placed| &placed.rule).eq(policy.rules.iter().map(|placed| &placed.rule)));
});
