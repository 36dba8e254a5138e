//! The model against the kernel: generated files, rules and accesses are tried in a guest, and what comes of each step,
//! every audit record and the label in the end is what was predicted.
//!
//! `IMAD_SEED=N` tries other cases.

mod case;
mod generate;
mod make;
mod predict;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use imad::model::policy::builtin::Boot;
use imad::model::policy::cause::Cause;
use imad::model::policy::effective::Effective;
use imad::model::policy::parse::parse;
use imad::model::policy::profile::{KernelConfig, KernelProfile};
use imad::model::policy::verdict::VerdictProfile;
use openssl::base64::decode_block;
use serde_json::{Value, json};

use self::case::{Case, Do};
use self::generate::{Generator, Suite, VFAT_OWNERS};
use self::predict::{Course, Outcome, World};
use crate::harness::{Guest, Need, Setup};
use crate::system::key_file;

const SEED: u64 = 0x1a3d_5e11;
/// What denies in the guests; each is to do so some times. docs/limits.md tells why others do not occur.
const PRODUCED: [Cause; 21] = [
    Cause::DeniedHashAlgorithm,
    Cause::Failed,
    Cause::FailedDirectIo,
    Cause::FailedMprotect,
    Cause::InvalidFailImmutable,
    Cause::InvalidHash,
    Cause::InvalidHmac,
    Cause::InvalidSignature,
    Cause::InvalidSignatureVersion,
    Cause::InvalidVeritySignature,
    Cause::MappedWriters,
    Cause::MissingHash,
    Cause::MissingHmac,
    Cause::NoVerityDigest,
    Cause::NoXattrs,
    Cause::SignatureRequired,
    Cause::SignedFileWritten,
    Cause::Unknown,
    Cause::UnknownData,
    Cause::UnverifiableSignature,
    Cause::VeritySignatureRequired,
];
/// Cases by dice, beside one or more for each cause.
const BY_DICE: usize = 300;
const WORK: &str = "/root/verdicts";

/// Tries the cases of a seed on a kernel that was started so.
pub(crate) fn try_all(command_line: &str) {
    try_all_on(Setup::base(), command_line, true);
}

/// The same on another guest, one without a policy of its own; `kexec`: there is a machine on which its kernel can load
/// another.
pub(crate) fn try_all_on(setup: Setup, command_line: &str, kexec: bool) {
    let seed = std::env::var("IMAD_SEED").map_or(SEED, |text| text.parse().unwrap());
    println!("IMAD_SEED={seed}");
    let mut generator = Generator::new(seed);
    generator.each_cause();
    if command_line.contains("log") {
        generator.restrict_labels();
    }
    for _ in 0..BY_DICE {
        generator.any();
    }
    let setup = setup.command_line(command_line);
    let profile = KernelProfile::from_config(&KernelConfig::parse(&setup.kernel_config()), None);
    generator.third(profile.sigv3_files);
    let (suite, signers) = generator.finish();
    let world = world(&suite, profile, command_line);
    let predicted: Vec<_> = suite.cases.iter().map(|case| Course::new(&world, case).run()).collect();
    println!("{}", table(&suite, &predicted));
    if world.policy.appraisal().enforces() {
        is_wide_enough(&predicted, &world.kernel);
    }

    // User-mode Linux cannot load another kernel.
    let (of_kexec, rest): (Vec<_>, Vec<_>) = suite
        .cases
        .iter()
        .zip(&predicted)
        .partition(|(case, _)| case.steps.iter().any(|step| matches!(step.what, Do::Kexec)));
    let mut wrong = String::new();
    let parts = [(setup.clone(), rest), (setup.needs(Need::Kexec), of_kexec)];
    for (setup, cases) in parts.into_iter().take(if kexec { 2 } else { 1 }) {
        let (cases, predicted): (Vec<Case>, Vec<_>) =
            cases.into_iter().map(|(case, then)| (case.clone(), then)).unzip();
        println!("{} cases on {:?}", cases.len(), setup.kind());
        let part = Suite { cases, rules: suite.rules.clone() };
        let image = tempfile::NamedTempFile::new().unwrap();
        make::ext4(&part.cases, &signers.good, image.path());
        let found = attempt(&Guest::boot(setup.disk(image.path())), &part);
        for (case, (expected, _)) in part.cases.iter().zip(predicted) {
            let outcome = outcome(&found, case);
            if outcome != *expected {
                let rules: Vec<_> = part.rules.iter().filter(|rule| rule.contains(&case.owner.to_string())).collect();
                writeln!(wrong, "{case:?}\n  {rules:?}\n  predicted {expected:?}\n  found     {outcome:?}").unwrap();
            }
        }
    }
    let count = wrong.matches("\n  predicted").count();
    assert!(wrong.is_empty(), "{count} of {} cases came out otherwise (IMAD_SEED={seed}):\n{wrong}", suite.cases.len());
}

/// The kernel's policy and what else verdicts depend on.
fn world(suite: &Suite, profile: KernelProfile, command_line: &str) -> World {
    let parsed = parse(policy(suite).as_bytes(), &profile);
    assert!(parsed.faults.is_empty(), "{:?}", parsed.faults);
    let mut policy = Effective::at_boot(&Boot::from_command_line(command_line), &profile);
    policy.load("policy", &parsed.rules).unwrap();
    World {
        kernel: profile.verdicts,
        policy,
        hashes: profile.hashes,
        creds_check_sees_new_ids: profile.creds_check_sees_new_ids,
    }
}

fn policy(suite: &Suite) -> String {
    suite.rules.iter().map(|rule| rule.clone() + "\n").collect()
}

/// What is predicted of each case, and why its accesses are denied.
type Predicted = [(Outcome, Vec<Cause>)];

/// How often each cause denies.
fn causes(predicted: &Predicted) -> BTreeMap<Cause, usize> {
    let mut causes = BTreeMap::new();
    for cause in predicted.iter().flat_map(|(_, causes)| causes) {
        *causes.entry(*cause).or_default() += 1;
    }
    causes
}

fn is_wide_enough(predicted: &Predicted, kernel: &VerdictProfile) {
    let causes = causes(predicted);
    for cause in PRODUCED.into_iter().chain(kernel.sigv3_files.then_some(Cause::Sigv3Required)) {
        assert!(causes.get(&cause).is_some_and(|count| *count >= 5), "{cause:?} denies less than five times");
    }
    let denied = predicted.iter().filter(|(_, causes)| !causes.is_empty()).count();
    assert!(predicted.len() >= 400 && denied * 100 >= predicted.len() * 40, "{denied} of {}", predicted.len());
}

fn table(suite: &Suite, predicted: &Predicted) -> String {
    let denied = predicted.iter().filter(|(_, causes)| !causes.is_empty()).count();
    let steps: usize = suite.cases.iter().map(|case| case.steps.len()).sum();
    let mut table = format!("{} cases, {steps} steps, {denied} cases with a denial\n", suite.cases.len());
    for (cause, count) in causes(predicted) {
        writeln!(table, "{count:5} denials  {cause:?} {:?}", cause.record()).unwrap();
    }
    let mut records = BTreeMap::<_, usize>::new();
    for record in predicted.iter().flat_map(|(outcome, _)| &outcome.records) {
        *records.entry(record).or_default() += 1;
    }
    for ((op, cause, res), count) in records {
        writeln!(table, "{count:5} records  {op} {cause} res={}", u8::from(*res)).unwrap();
    }
    table
}

/// Has everything done in the guest.
fn attempt(guest: &Guest, suite: &Suite) -> Value {
    for name in ["ima.der", "accepted/rsa.der", "accepted/p384.der"] {
        let path = format!("/root/{}", name.replace('/', "-"));
        guest.put(&path, key_file(name), 0o644);
        let rings: &[&str] = match name {
            "ima.der" => &[".ima", ".evm"],
            "accepted/p384.der" => &[".ima", ".ima_blacklist"],
            _ => &[".ima"],
        };
        for ring in rings {
            guest.sh(&format!("keyctl padd asymmetric '' %keyring:{ring} < {path}")).ok();
        }
    }
    for owner in VFAT_OWNERS {
        guest.put(&format!("/root/vfat{owner}"), make::vfat(), 0o644);
    }
    // Whatever disks are before it.
    let disk = format!("UUID={}", make::UUID);
    let vfat = VFAT_OWNERS
        .map(|owner| format!("mkdir /t/vfat{owner} && mount -o loop,uid={owner},gid={owner},umask=000 /root/vfat{owner} /t/vfat{owner}"))
        .join(" && ");
    guest
        .sh(&format!(
            "mkdir -p /t /t/ext4 /t/overlay /t/tmpfs /t/ramfs /t/fuse && mount {disk} /t/ext4 && \
             mount -t overlay -o lowerdir=/t/ext4/lower,upperdir=/t/ext4/upper,workdir=/t/ext4/work overlay /t/overlay && \
             mount -t tmpfs tmpfs /t/tmpfs && mount -t ramfs ramfs /t/ramfs && chmod 777 /t/* && {vfat}"
        ))
        .ok();
    let cases: Vec<_> = suite.cases.iter().map(Case::json).collect();
    guest.put("/root/policy", policy(suite), 0o644);
    guest.put("/root/fuse_files.py", include_str!("../tools/fuse_files.py"), 0o644);
    guest.put("/root/attempt.py", include_str!("../tools/attempt.py"), 0o755);
    guest.put(WORK, json!({"policy": "/root/policy", "cases": cases}).to_string(), 0o644);
    guest.command(&["/root/attempt.py", WORK, "/root/found"]).timeout(Duration::from_secs(900)).output().ok();
    serde_json::from_slice(&guest.get("/root/found")).unwrap()
}

/// What was found of a case.
fn outcome(found: &Value, case: &Case) -> Outcome {
    let of_case = &found["results"][&case.name];
    let steps = of_case["steps"].as_array().unwrap().iter().map(|step| step.as_str().unwrap().to_owned()).collect();
    let mut outcome = Outcome {
        steps,
        label: of_case["label"].as_str().map(|text| decode_block(text).unwrap()),
        ..Outcome::default()
    };
    for record in found["records"].as_array().unwrap() {
        let text = record[1].as_str().unwrap();
        let named = |key: &str| text.split_once(&format!(" {key}=\"")).and_then(|(_, rest)| rest.split('"').next());
        let is_this = |path: &str| path.rsplit('/').next() == Some(case.name.as_str());
        match record[0].as_u64() {
            Some(1805) => {
                let path = text.split_once("file=\"").and_then(|(_, rest)| rest.split('"').next());
                outcome.audits += usize::from(path.is_some_and(is_this));
            }
            _ if named("name").is_some_and(is_this) => {
                let (_, rest) = text.split_once(" op=").unwrap();
                let (op, rest) = rest.split_once(" cause=").unwrap();
                let (why, rest) = rest.split_once(" comm=").unwrap();
                outcome.records.push((op.to_owned(), why.to_owned(), rest.contains(" res=1")));
            }
            _ => {}
        }
    }
    outcome
}
