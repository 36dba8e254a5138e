//! How fast policies are read and asked: `make bench`.
#![forbid(unsafe_code)]

use std::fmt::Write as _;

use divan::{Bencher, black_box};
use imad::model::policy::decide::{Class, Decision};
use imad::model::policy::effective::Effective;
use imad::model::policy::event::{Access, Credentials, Event, FileSystem, Subject, Target};
use imad::model::policy::parse::{Policy, parse};
use imad::model::policy::profile::KernelProfile;
use imad::model::policy::rule::Func;

const RULES_TO_READ: usize = 10_000;
const RULES_TO_ASK: usize = 100;
const EVENTS: usize = 1_000_000;

fn main() {
    divan::main();
}

/// As many rules as wanted, of kinds that policies have.
fn text(rules: usize) -> String {
    const ACTIONS: [&str; 4] = ["dont_measure", "measure", "dont_appraise", "appraise"];
    let mut text = String::new();
    for number in 0..rules {
        let action = ACTIONS[number % ACTIONS.len()];
        let condition = match number % 7 {
            0 => format!("fsmagic={:#x}", 0x0102_0000 + number),
            1 => format!("func=BPRM_CHECK mask=MAY_EXEC fowner={}", number + 1000),
            2 => format!("func=MMAP_CHECK mask=MAY_EXEC uid={}", number + 1000),
            3 => format!("func=FILE_CHECK mask=^MAY_READ euid={}", number + 1000),
            4 => format!("fsname=fs{number}"),
            5 => format!("fsuuid=00000000-0000-0000-0000-{number:012x}"),
            _ => format!("func=FILE_CHECK fgroup>{}", number + 100_000),
        };
        let demand = if action == "appraise" { " appraise_type=imasig" } else { "" };
        writeln!(text, "{action} {condition}{demand}").expect("strings grow");
    }
    text
}

fn read(text: &str) -> Policy {
    let policy = parse(text.as_bytes(), &KernelProfile::default());
    assert!(policy.faults.is_empty(), "{:?}", policy.faults);
    policy
}

#[divan::bench(sample_count = 100)]
fn parse_10_000_rules(bencher: Bencher<'_, '_>) {
    let text = text(RULES_TO_READ);
    assert_eq!(read(&text).rules.len(), RULES_TO_READ);
    bencher.bench_local(|| parse(black_box(text.as_bytes()), &KernelProfile::default()));
}

/// Asks once for each event; none of the rules matches, so that each is looked at.
fn ask(bencher: Bencher<'_, '_>, text: &str, wanted: fn(&Decision) -> bool) {
    let policy = Effective::of_file("policy", &read(text).rules);
    assert_eq!(policy.rules().len(), RULES_TO_ASK);
    let subjects: Vec<_> = (0..64)
        .map(|id| Subject { credentials: Credentials::of(id, id), cap_setuid: id == 0, ..Subject::default() })
        .collect();
    let fs = FileSystem { magic: 0xef53, name: b"ext4".to_vec(), xattrs: true, ..FileSystem::default() };
    let targets: Vec<_> =
        (0..64).map(|owner| Target { fs: fs.clone(), owner, group: owner, ..Target::default() }).collect();
    let hooks = [
        (Func::BprmCheck, Access::EXEC),
        (Func::MmapCheck, Access::EXEC),
        (Func::FileCheck, Access::READ),
        (Func::ModuleCheck, Access::READ),
    ];
    bencher.bench_local(|| {
        let mut found = 0;
        for number in 0..EVENTS {
            let (func, access) = hooks[number % hooks.len()];
            let event = Event::new(func, access, &subjects[number / 4 % subjects.len()]);
            let decision = policy.decide(black_box(&event), black_box(&targets[number / 7 % targets.len()]));
            found += usize::from(wanted(&decision));
        }
        assert_eq!(found, EVENTS);
        found
    });
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn ask_100_rules_a_million_times_to_the_end(bencher: Bencher<'_, '_>) {
    ask(bencher, &text(RULES_TO_ASK), Decision::is_empty);
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn ask_100_rules_a_million_times_with_a_last_that_matches(bencher: Bencher<'_, '_>) {
    let text = text(RULES_TO_ASK - 1) + "appraise appraise_type=imasig\n";
    ask(bencher, &text, |decision| decision.acting(Class::Appraise) == Some(RULES_TO_ASK - 1));
}
