//! A boot that is a rehearsal: nothing that appraises is loaded with effect, and the kernel tells what would have been
//! denied.
#![forbid(unsafe_code)]

use super::load;
use super::run::{on_console, warn};
use crate::model::boot_switches::Switches;
use crate::model::config::Guard;
use crate::model::message_id;
use crate::model::policy::measuring::Measuring;
use crate::model::policy::outline::outline;
use crate::model::rehearsal::{POLICY, RehearsalOutcome, RehearsalWay, Request, way};
use crate::model::report::{BootReport, Outcome, Problem};
use crate::ops::{in_force, profile, rehearsal};
use crate::sys::root::Root;
use crate::sys::securityfs;

/// What is asked of this boot, if it may be one.
pub(super) fn asked(root: &Root, switches: &Switches, report: &mut BootReport) -> Option<Request> {
    let problem = match rehearsal::armed(root) {
        Ok(None) => return None,
        Ok(Some(request)) => match why_not(switches) {
            None => return Some(request),
            Some(why) => {
                let what = format!("this boot is no rehearsal of {}, though one is armed: {why}", request.policy);
                Problem::new(what, "imactl rehearse --cancel, or boot without that")
            }
        },
        Err(problem) => problem,
    };
    warn(message_id::BOOT_REHEARSAL, &problem);
    report.problems.push(problem);
    None
}

fn why_not(switches: &Switches) -> Option<&'static str> {
    if switches.policy_off {
        Some("imad.policy=off is on the kernel command line")
    } else if switches.guard == Guard::Closed {
        Some("a closed guard lets no boot go on without the policy")
    } else {
        None
    }
}

/// Makes this boot the rehearsal that is asked for. False where it cannot be one: then it is like any other.
pub(super) fn begin(root: &Root, request: &Request, armed: &str, report: &mut BootReport) -> (Outcome, bool) {
    let bytes = rehearsal::policy(root, &request.policy_sha256);
    // What is asked goes in any case: before anything is loaded, and where it cannot be done.
    let taken = rehearsal::take(root);
    let ready = bytes.and_then(|bytes| taken.map(|taken| (bytes, taken)));
    let (bytes, (store, problem)) = match ready {
        Ok(ready) => ready,
        Err(problem) => {
            let what = format!("this boot is no rehearsal of {}: {}", request.policy, problem.what);
            let problem = Problem::new(what, problem.next);
            warn(message_id::BOOT_REHEARSAL, &problem);
            report.problems.push(problem);
            return (Outcome::Failed, false);
        }
    };
    let mut outcome = RehearsalOutcome {
        policy: request.policy.clone(),
        policy_sha256: request.policy_sha256.clone(),
        store,
        problems: problem.into_iter().collect(),
        ..RehearsalOutcome::default()
    };
    outcome.measured_before = securityfs::measurement_count().unwrap_or(0);
    match load(root, request, &bytes) {
        Ok(loaded) => {
            (outcome.way, outcome.rules) = (loaded.way, loaded.rules);
            outcome.verified_by = Some(loaded.verified_by);
            outcome.problems.extend(loaded.problems);
        }
        Err(why) => {
            let what = format!("nothing is loaded for the rehearsal of {}: {why}", request.policy);
            let next = "none is needed: its report is by what units and programs name alone";
            outcome.problems.push(Problem::new(what, next));
        }
    }
    armed.clone_into(&mut report.policy.path);
    report.policy.exists = root.exists(armed);
    let policy = format!("{armed} is not loaded: this boot is a rehearsal of {}", request.policy);
    report.policy.problem = report.policy.exists.then(|| Problem::new(policy, "imactl rehearse; then reboot"));
    say(&outcome);
    let done = if outcome.way == RehearsalWay::Nothing { Outcome::Failed } else { Outcome::Done };
    report.rehearsal = Some(outcome);
    (done, true)
}

struct Loaded {
    way: RehearsalWay,
    rules: u64,
    verified_by: String,
    problems: Vec<Problem>,
}

/// Loads what lets the kernel tell.
fn load(root: &Root, request: &Request, bytes: &[u8]) -> Result<Loaded, String> {
    if !securityfs::has_ima() {
        return Err("this kernel has no IMA, or securityfs is not mounted".to_owned());
    }
    // What could not be found out of the kernel counts as usual, and the kernel's own verdict on the load counts.
    let (kernel, _) = profile::running(root);
    let (boot, _) = in_force::boot();
    let path = &request.policy;
    let (way, why_nothing) = way(&boot, &kernel.profile);
    match way {
        RehearsalWay::Nothing => Err(why_nothing.unwrap_or("this kernel leaves no way").to_owned()),
        RehearsalWay::Log => {
            let outline = outline(bytes).map_err(|error| format!("{path}: {error}"))?;
            let verified_by = load::load(root, POLICY, &outline)?;
            Ok(Loaded { way, rules: outline.rules.len() as u64, verified_by, problems: Vec::new() })
        }
        RehearsalWay::Measure => {
            let rules = in_force::parsed(path, bytes, &kernel.profile).map_err(|problem| problem.what)?;
            let measuring = Measuring::of(&rules);
            let text = measuring.text();
            let verified_by = load::load_text(path, &text)?;
            let problems = measuring.left_out.iter().map(|left_out| {
                let what = format!("{path}:{}: this rule is not rehearsed: {}", left_out.line, left_out.why);
                Problem::new(what, "none is needed: every other rule is")
            });
            Ok(Loaded { way, rules: text.len() as u64, verified_by, problems: problems.collect() })
        }
    }
}

/// In the journal and on the console: whoever sits there is to know that nothing is protected.
fn say(outcome: &RehearsalOutcome) {
    let summary = outcome.summary();
    tracing::warn!(
        message_id = message_id::BOOT_REHEARSAL,
        what = summary,
        next = "imactl rehearse, when it has come up",
        policy = outcome.policy,
        sha256 = outcome.policy_sha256,
        store = outcome.store,
        "{summary}"
    );
    on_console(&summary);
    for problem in &outcome.problems {
        warn(message_id::BOOT_REHEARSAL, problem);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::trial::Sum;
    use crate::ops::rehearsal::{Ask, arm};

    const STRICT: &str = "dont_appraise fsname=rootfs\nappraise func=BPRM_CHECK appraise_type=imasig\n";

    /// A root with this policy, beside the test program: /tmp may be in memory, which keeps nothing.
    fn place() -> (tempfile::TempDir, Root) {
        let program = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
        std::fs::create_dir_all(folder.path().join("etc/imad/policies")).unwrap();
        std::fs::write(folder.path().join("etc/imad/policies/strict"), STRICT).unwrap();
        let root = Root::open(folder.path()).unwrap();
        (folder, root)
    }

    fn armed(root: &Root) -> Request {
        let plan = arm(&Ask { root, policy: "strict", dry_run: false, who: "test" }).unwrap();
        assert!(plan.armed && plan.request.policy_sha256 == Sum::of(STRICT.as_bytes()).to_string(), "{plan:?}");
        plan.request
    }

    fn switches() -> Switches {
        Switches { policy_off: false, guard: Guard::Open, unheeded: Vec::new() }
    }

    #[test]
    fn a_boot_that_must_not_be_one_leaves_it_armed() {
        let (_folder, root) = place();
        let mut report = BootReport::default();
        assert_eq!(asked(&root, &switches(), &mut report), None);
        let request = armed(&root);
        assert_eq!(asked(&root, &switches(), &mut report), Some(request.clone()));
        assert!(report.problems.is_empty());
        for switches in [Switches { policy_off: true, ..switches() }, Switches { guard: Guard::Closed, ..switches() }] {
            let mut report = BootReport::default();
            assert_eq!(asked(&root, &switches, &mut report), None);
            assert!(report.problems[0].what.contains("though one is armed"), "{report:?}");
        }
        assert_eq!(rehearsal::armed(&root), Ok(Some(request)));
    }

    #[test]
    fn what_was_changed_is_taken_and_not_rehearsed() {
        let (folder, root) = place();
        let request = armed(&root);
        std::fs::write(folder.path().join("etc/imad/state/rehearsal-policy"), "appraise\n").unwrap();
        let mut report = BootReport::default();
        assert_eq!(begin(&root, &request, "/etc/ima/ima-policy", &mut report), (Outcome::Failed, false));
        assert!(report.rehearsal.is_none() && report.problems[0].what.contains("is no rehearsal"), "{report:?}");
        assert_eq!(rehearsal::armed(&root), Ok(None));
        // Nor is what cannot be taken.
        assert!(!begin(&root, &request, "/etc/ima/ima-policy", &mut report).1);
    }

    #[test]
    fn damaged_requests_are_none_and_told() {
        let (folder, root) = place();
        armed(&root);
        std::fs::write(folder.path().join("etc/imad/state/rehearsal"), "{").unwrap();
        let mut report = BootReport::default();
        assert_eq!(asked(&root, &switches(), &mut report), None);
        assert!(report.problems[0].what.contains("/etc/imad/state/rehearsal: "), "{report:?}");
    }
}
