//! What a kernel must say to lines and files, and show of its rules. Each function asks one kernel: a guest without a policy of
//! its own, and what imad makes of its configuration.

mod faults;
mod files;
mod generator;
mod hits;
mod random;

use std::time::{Duration, Instant};

use imad::model::policy;
use policy::canonical::shown;
use policy::lex::Line;
use policy::parse::{Policy, Verdict, parse, parse_line};
use policy::profile::{KernelConfig, KernelProfile};
use policy::rule::Func;

use crate::harness::{Guest, Setup};
use generator::Dialect;
use hits::Hits;
use random::Random;

const FEEDER: &str = "/root/policy_feeder.pl";
/// The kernel's rules.
const RULES: &str = "/sys/kernel/security/ima/policy";

/// A guest in which such a kernel boots.
pub(crate) fn plain(setup: Setup) -> Setup {
    setup.command_line("audit=0 init_on_alloc=1")
}

/// The guest, which looks for no module any more at each hash algorithm that it lacks: that starts modprobe twice.
pub(crate) fn without_modprobe(guest: Guest) -> Guest {
    guest.sh("echo >/proc/sys/kernel/modprobe").ok();
    guest
}

/// What the kernel said to one write, and to the load.
#[derive(Debug)]
struct Said {
    returned: i64,
    errno: i32,
    outcome: Option<String>,
}

fn feed(guest: &Guest, mode: &str, records: &[Vec<u8>]) -> Vec<Said> {
    let begun = Instant::now();
    let framed = |record: &Vec<u8>| [&u32::try_from(record.len()).unwrap().to_be_bytes()[..], record].concat();
    guest.put(FEEDER, include_str!("../tools/policy_feeder.pl"), 0o755);
    guest.put("/run/records", records.iter().flat_map(framed).collect::<Vec<u8>>(), 0o600);
    guest.sh("dmesg -n 1").ok();
    let run = guest.command(&["perl", FEEDER, mode, "/run/records"]).timeout(Duration::from_secs(900));
    let text = run.output().text();
    let said: Vec<Said> = text
        .lines()
        .map(|line| {
            let mut words = line.split(' ');
            let mut number = || words.next().unwrap().parse().unwrap();
            let (returned, errno) = (number(), i32::try_from(number()).unwrap());
            Said { returned, errno, outcome: words.next().map(str::to_owned) }
        })
        .collect();
    assert_eq!(said.len(), records.len());
    println!("{mode}: {} writes in {:.1} s", records.len(), begun.elapsed().as_secs_f32());
    said
}

/// What a kernel's configuration makes of the language.
pub(crate) fn profile_of(config: &str) -> KernelProfile {
    let config = KernelConfig::parse(config);
    assert!(!config.is_empty() && config.version().is_some());
    KernelProfile::from_config(&config, None)
}

/// So many that what is rarest at random, once in some seven hundred lines, is certain to be hit often enough.
const LINES: u64 = 40_000;

fn announced() -> u64 {
    let seed = random::seed();
    println!("IMAD_SEED={seed:#x}");
    seed
}

/// Panics with what the kernel and imad do not agree about.
fn agree(seed: u64, disagreements: &[String], of: usize) {
    println!("{} disagreements of {of}", disagreements.len());
    let shown = disagreements[..disagreements.len().min(60)].join("\n");
    assert!(disagreements.is_empty(), "IMAD_SEED={seed:#x}: {} of {of}:\n{shown}", disagreements.len());
}

/// Feeds lines, one write each, and compares what the kernel returned with what imad says.
fn lines_agree(guest: &Guest, seed: u64, lines: &[Vec<u8>], profile: &KernelProfile) -> Hits {
    let mut hits = Hits::default();
    let mut disagreements = Vec::new();
    for (number, (bytes, said)) in lines.iter().zip(feed(guest, "lines", lines)).enumerate() {
        let line = Line::alone(bytes);
        let result = parse_line(&line, profile);
        hits.count(&line, &result);
        let expected = match &result {
            // One line is consumed, with what ends it, be it there or not.
            Ok(_) => (i64::try_from(line.bytes.len()).unwrap() + 1, 0),
            Err(error) => (-1, error.errno().number()),
        };
        if (said.returned, said.errno) != expected {
            disagreements
                .push(format!("line {number}: \"{}\": kernel {said:?}, imad {result:?}", bytes.escape_ascii()));
        }
    }
    println!("{}", hits.table(profile));
    agree(seed, &disagreements, lines.len());
    hits
}

/// Lines at random, and nothing is applied.
pub(crate) fn lines(guest: &Guest, profile: &KernelProfile) {
    let seed = announced();
    let lines = generator::lines(seed, LINES, &hits::dialect(profile, &[]));
    let hits = lines_agree(guest, seed, &lines, profile);
    are_enough(&hits, profile);
    assert_eq!(guest.get_text(RULES), "");
}

/// With a policy of its own active the kernel takes conditions on labels that no one knows.
pub(crate) fn lines_after_a_load(guest: &Guest, profile: &KernelProfile) {
    let seed = announced();
    assert_eq!(feed(guest, "load", &[b"audit fsuuid=1ad00000-0000-4000-8000-000000000000\n".to_vec()])[0].errno, 0);
    let profile = KernelProfile { custom_active: true, ..profile.clone() };
    let lines = generator::lines(seed, LINES, &hits::dialect(&profile, &ANY_LABEL));
    let hits = lines_agree(guest, seed, &lines, &profile);
    are_enough(&hits, &profile);
}

/// Fewer lines, for a kernel that starts modprobe twice for each algorithm that it lacks: with conditions on labels that it
/// takes, and these lines more.
pub(crate) fn few_lines(
    guest: &Guest,
    profile: &KernelProfile,
    labels: &[(&'static str, &'static str)],
    more: impl Iterator<Item = Vec<u8>>,
) {
    let seed = announced();
    let mut lines: Vec<_> =
        generator::lines(seed, 4_000, &hits::dialect(profile, labels)).into_iter().step_by(4).collect();
    lines.extend(more);
    let hits = lines_agree(guest, seed, &lines, profile);
    assert!(hits.taken() >= 40, "only {} % are taken", hits.taken());
}

fn are_enough(hits: &Hits, profile: &KernelProfile) {
    assert!(hits.taken() >= 40, "only {} % are taken", hits.taken());
    assert_eq!(hits.lacking(profile), Vec::<String>::new(), "hit less than {} times", hits::ENOUGH);
}

const ANY_LABEL: [(&str, &str); 6] = [
    ("obj_user=", "nobody_u"),
    ("obj_role=", "nobody_r"),
    ("obj_type=", "nobody_t"),
    ("subj_user=", "nobody_u"),
    ("subj_role=", "nobody_r"),
    ("subj_type=", "nobody_t"),
];

fn expected_of(policy: &Policy) -> (bool, i32, &'static str) {
    match policy.verdict() {
        Verdict::Accepted => (true, 0, "completed"),
        Verdict::NoRules => (true, 0, "failed"),
        Verdict::Refused(errno) => (false, errno.number(), "failed"),
    }
}

/// Files at random, and nothing is applied.
pub(crate) fn files(guest: &Guest, profile: &KernelProfile) {
    let seed = announced();
    let dialect = hits::dialect(profile, &[]);
    let files: Vec<_> = (0..1_000).map(|number| files::file(&mut Random::nth(seed, number), &dialect)).collect();
    let mut counts = [0; 4];
    let mut disagreements = Vec::new();
    for (number, (bytes, said)) in files.iter().zip(feed(guest, "files", &files)).enumerate() {
        let policy = parse(bytes, profile);
        let (taken, errno, _) = expected_of(&policy);
        let kind = match policy.verdict() {
            Verdict::Accepted => 0,
            Verdict::NoRules => 1,
            Verdict::Refused(policy::error::Errno::Invalid) => 2,
            Verdict::Refused(policy::error::Errno::Range) => 3,
        };
        counts[kind] += 1;
        if (said.errno == 0, said.errno) != (taken, errno) || said.outcome.as_deref() != Some("failed") {
            let faults: Vec<_> = policy.faults.iter().take(3).collect();
            disagreements
                .push(format!("file {number}: \"{}\": kernel {said:?}, imad {faults:?}", bytes.escape_ascii()));
        }
    }
    println!("accepted, without a rule, EINVAL, ERANGE: {counts:?}");
    agree(seed, &disagreements, files.len());
    assert!(counts[0] >= 300 && counts[1] >= 20 && counts[2] >= 200 && counts[3] >= 5, "{counts:?}");
    assert_eq!(guest.get_text(RULES), "");
}

/// A policy that the kernel takes and that concerns no file: its rules are for a file system that is not there, where
/// they can be, and beyond that for keys, the kernel's own data and new labels.
fn harmless(random: &mut Random, dialect: &Dialect, profile: &KernelProfile) -> Vec<u8> {
    let mut lines = Vec::new();
    let count = 1 + random.below(12);
    while lines.len() < count {
        if random.chance(20) {
            lines.push(generator::no_rule(random));
        }
        let mut line = generator::rule(random, dialect);
        let Ok(Some(rule)) = parse_line(&Line::alone(&line), profile) else { continue };
        let bound = matches!(rule.func, Some(Func::KeyCheck | Func::CriticalData | Func::SetxattrCheck));
        // The null UUID is that of every file system without one.
        if !bound && rule.fsuuid.is_none_or(|uuid| uuid == [0; 16]) {
            let uuid = random.next() >> 16;
            line.extend(format!(" fsuuid=1ad00000-0000-4000-8000-{uuid:012x}").into_bytes());
        }
        if profile.trailing_comments && random.chance(10) {
            line.extend_from_slice(b" # audit");
        }
        lines.push(line);
    }
    let mut bytes = files::whole(&lines);
    if random.chance(10) {
        bytes.pop();
        bytes.push(0);
    }
    bytes
}

/// Policies at random, one after the other, and what the kernel then shows of them all.
pub(crate) fn shown_policies(guest: &Guest, profile: &KernelProfile) {
    let seed = announced();
    let mut profile = profile.clone();
    let mut files = vec![b"audit fsuuid=1ad00000-0000-4000-8000-000000000000\n".to_vec()];
    let mut policies = vec![parse(&files[0], &profile)];
    profile.custom_active = true;
    let dialect = Dialect { comments: false, ..hits::dialect(&profile, &ANY_LABEL) };
    for number in 0..800 {
        let random = &mut Random::nth(seed, number);
        let mut bytes = harmless(random, &dialect, &profile);
        match random.below(20) {
            0 => bytes.extend_from_slice(b"nonsense\n"),
            1 => bytes = files::whole(&[generator::no_rule(random), generator::no_rule(random)]),
            _ => {}
        }
        policies.push(parse(&bytes, &profile));
        files.push(bytes);
    }
    let accepted = policies.iter().filter(|policy| policy.verdict() == Verdict::Accepted).count();
    let mut disagreements = Vec::new();
    for (number, (policy, said)) in policies.iter().zip(feed(guest, "load", &files)).enumerate() {
        let (taken, errno, outcome) = expected_of(policy);
        if (said.errno == 0, said.errno, said.outcome.as_deref()) != (taken, errno, Some(outcome)) {
            let text = files[number].escape_ascii();
            disagreements.push(format!("file {number}: \"{text}\": kernel {said:?}, imad {:?}", policy.verdict()));
        }
    }
    agree(seed, &disagreements, files.len());
    assert!(accepted >= 500, "only {accepted} were accepted");

    let all = policies.iter().enumerate().filter(|(_, policy)| policy.verdict() == Verdict::Accepted);
    let rules = all.flat_map(|(number, policy)| policy.rules.iter().map(move |placed| (number, &placed.rule)));
    let expected: Vec<(usize, Vec<u8>)> = rules.filter_map(|(number, rule)| Some((number, shown(rule)?))).collect();
    let text = guest.get(RULES);
    let actual: Vec<&[u8]> = text.strip_suffix(b"\n").unwrap().split(|&byte| byte == b'\n').collect();
    println!("{accepted} policies accepted, {} rules shown", actual.len());
    for ((number, expected), actual) in expected.iter().zip(&actual) {
        if expected != actual {
            let (kernel, imad) = (actual.escape_ascii(), expected.escape_ascii());
            disagreements.push(format!("file {number}: kernel shows \"{kernel}\", imad \"{imad}\""));
        }
    }
    agree(seed, &disagreements, expected.len());
    assert_eq!(actual.len(), expected.len());
}
