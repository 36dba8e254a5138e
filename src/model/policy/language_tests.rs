//! The language by lines at random, those that the guests' test feeds to real kernels (`tests/guest/language.rs`, which
//! says how to reproduce a seed).

#[path = "../../../tests/guest/language/faults.rs"]
mod faults;
#[path = "../../../tests/guest/language/generator.rs"]
mod generator;
#[path = "../../../tests/guest/language/hits.rs"]
mod hits;
#[path = "../../../tests/guest/language/random.rs"]
mod random;

use std::fmt;

use crate::model::policy;

use super::canonical::{loadable, shown};
use super::lex::{Line, LineKind};
use super::parse::parse_line;
use super::profile::{KernelProfile, Lsm, Names};
use super::rule::{HASH_NAMES, HashSet, LsmField};
use generator::Dialect;
use hits::Hits;

const LINES: u64 = 5_000;

/// Kernels that differ in what they take: the usual one, one with little, one with all that is newer, and one with a
/// policy loaded already.
fn profiles() -> [(&'static str, KernelProfile); 4] {
    let plain = KernelProfile::default();
    let bare = KernelProfile {
        modsig: false,
        key_measurement: false,
        pcrs: 32,
        lsm: Lsm::AppArmor(Names::Known(vec![(LsmField::SubjRole, b"unconfined".to_vec())])),
        ..plain.clone()
    };
    let newest = KernelProfile {
        trailing_comments: true,
        fs_subtype: true,
        dont_audit: true,
        sigv3_files: true,
        hashes: HashSet::of(&HASH_NAMES),
        custom_template: Some(b"d-ng".to_vec()),
        lsm: Lsm::Selinux(Names::Any),
        ..plain.clone()
    };
    let loaded = KernelProfile { custom_active: true, ..plain.clone() };
    [("plain", plain), ("bare", bare), ("newest", newest), ("loaded", loaded)]
}

fn dialect(profile: &KernelProfile) -> Dialect {
    let fields = LsmField::ALL.into_iter();
    let known = fields.filter(|&field| profile.custom_active || profile.lsm.resolves(field, b"unconfined"));
    hits::dialect(profile, &known.map(|field| (field.name(), "unconfined")).collect::<Vec<_>>())
}

/// Where a line comes from; made into words only where something is wrong with it.
struct Origin<'a> {
    seed: u64,
    profile: &'a str,
    number: usize,
    line: &'a [u8],
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, profile, number, line } = self;
        write!(f, "IMAD_SEED={seed:#x}, profile {profile}, line {number}: \"{}\"", line.escape_ascii())
    }
}

/// Every line of a seed, for each kernel.
fn each_line(mut check: impl FnMut(&KernelProfile, &[u8], &Origin<'_>)) {
    let seed = random::seed();
    println!("IMAD_SEED={seed:#x}");
    for (name, profile) in profiles() {
        let dialect = dialect(&profile);
        for (number, line) in generator::lines(seed, LINES, &dialect).iter().enumerate() {
            check(&profile, line, &Origin { seed, profile: name, number, line });
        }
    }
}

#[test]
fn rules_that_are_written_and_read_again_are_the_same() {
    let mut rules = 0;
    each_line(|profile, bytes, what| {
        let Ok(Some(rule)) = parse_line(&Line::alone(bytes), profile) else { return };
        rules += 1;
        let text = loadable(&rule);
        let again = parse_line(&Line::alone(&text), profile);
        assert_eq!(again.as_ref(), Ok(&Some(rule.clone())), "{what}\n{}", text.escape_ascii());
        assert_eq!(loadable(&rule), text, "{what}");
        let shown_again = again.ok().flatten().and_then(|rule| shown(&rule));
        assert_eq!(shown_again, shown(&rule), "{what}");
        assert_eq!(shown(&rule).is_none(), rule.is_void(), "{what}");
    });
    assert!(rules > 15_000, "only {rules} rules");
}

#[test]
fn every_refusal_has_words_and_a_place_in_its_line() {
    each_line(|profile, bytes, what| {
        let line = Line::alone(bytes);
        match parse_line(&line, profile) {
            Ok(rule) => assert_eq!(rule.is_some(), line.kind() == LineKind::Rule, "{what}"),
            Err(error) => {
                assert!(error.span.start <= error.span.end && error.span.end <= line.bytes.len(), "{what}: {error:?}");
                assert!(!error.span.is_empty(), "{what}: {error:?}");
                assert!(!error.reason.to_string().is_empty(), "{what}");
                assert!(!error.reason.help().is_empty(), "{what}");
            }
        }
    });
}

/// What the comparison with real kernels rests upon.
#[test]
fn lines_at_random_hit_every_word_and_every_reason() {
    let seed = random::seed();
    println!("IMAD_SEED={seed:#x}");
    for (name, profile) in profiles().into_iter().filter(|(name, _)| *name != "newest") {
        let dialect = dialect(&profile);
        let mut hits = Hits::default();
        for bytes in generator::lines(seed, 8 * LINES, &dialect) {
            let line = Line::alone(&bytes);
            hits.count(&line, &parse_line(&line, &profile));
        }
        println!("{name}:\n{}", hits.table(&profile));
        assert!(hits.taken() >= 40, "{name}: {} % are taken", hits.taken());
        assert_eq!(hits.lacking(&profile), Vec::<String>::new(), "{name}");
    }
}
