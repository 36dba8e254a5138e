use super::*;

const POLICY: &str = "/etc/ima/ima-policy";

struct Place {
    folder: tempfile::TempDir,
    root: Root,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path.trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(MACHINE_ID, "0123\n");
        write(POLICY, "measure func=POLICY_CHECK\n");
        std::fs::create_dir_all(folder.path().join("etc/imad/state")).unwrap();
        let root = Root::open(folder.path()).unwrap();
        Self { folder, root }
    }

    fn confirm(&self, fingerprint: u8, policy: Sum) -> Vec<Problem> {
        confirm(
            &self.root,
            &Confirmation {
                fingerprint: Sum([fingerprint; 32]),
                policy,
                policy_path: POLICY.to_owned(),
                kernel: "6.12".to_owned(),
                units: vec!["getty@tty1.service".to_owned()],
            },
        )
    }

    fn policy(&self) -> Sum {
        Sum::of(&self.root.read(POLICY, 4096).unwrap())
    }
}

fn outcome(fingerprint: Sum) -> TrialOutcome {
    TrialOutcome {
        fingerprint: fingerprint.to_string(),
        policy: Sum([9; 32]).to_string(),
        decision: TrialDecision::Exhausted,
        attempt: 2,
        limit: 2,
        store: None,
        fallback: false,
        fallback_fingerprint: None,
        fallback_policy: None,
        problem: Some(Problem::new("it failed", "look")),
        problems: Vec::new(),
        confirmed: false,
        unconfirmed: Vec::new(),
    }
}

#[test]
fn a_confirmed_boot_is_remembered_with_its_policy() {
    let place = Place::new();
    let policy = place.policy();
    assert_eq!(fallback(&place.root, state(&place.root).unwrap().as_ref(), Sum::ZERO), None);
    assert_eq!(place.confirm(1, policy), []);
    let known = state(&place.root).unwrap().unwrap();
    assert!(known.is_confirmed(Sum([1; 32])));
    assert_eq!((known.last_policy, &known.units[..]), (Some(policy), &["getty@tty1.service".to_owned()][..]));
    // Never in its own place, and not once the copy was touched.
    assert_eq!(fallback(&place.root, Some(&known), policy), None);
    assert_eq!(fallback(&place.root, Some(&known), Sum::ZERO), Some(policy));
    std::fs::write(place.folder.path().join("etc/imad/state/confirmed-policy"), "other\n").unwrap();
    assert_eq!(fallback(&place.root, Some(&known), Sum::ZERO), None);
}

#[test]
fn a_policy_that_changed_since_the_load_is_not_kept() {
    let place = Place::new();
    let problems = place.confirm(1, Sum([4; 32]));
    assert_eq!(problems.len(), 1);
    assert!(problems[0].what.contains("was changed since it was loaded"), "{problems:?}");
    let known = state(&place.root).unwrap().unwrap();
    assert!(known.is_confirmed(Sum([1; 32])));
    assert_eq!(known.last_policy, None);
    assert!(!place.root.exists(CONFIRMED_POLICY));
}

#[test]
fn what_is_rolled_back_is_shown_until_it_is_acknowledged() {
    let place = Place::new();
    let one = outcome(Sum([5; 32]));
    assert_eq!(roll_back(&place.root, &one, "6.12"), Ok(true));
    assert_eq!(roll_back(&place.root, &one, "6.12"), Ok(false));
    let report = status(&place.root, None);
    let rolled_back = report.rolled_back.unwrap();
    assert_eq!((rolled_back.why.as_str(), rolled_back.attempts, rolled_back.acknowledged), ("it failed", 2, false));
    assert_eq!(problems(&place.root, None).iter().map(|it| it.what.as_str()).collect::<Vec<_>>(), ["it failed"]);
    let done = acknowledge(&place.root, None).unwrap();
    assert_eq!(done.given_up, [Sum([5; 32])]);
    assert!(status(&place.root, None).rolled_back.unwrap().acknowledged);
    assert_eq!(acknowledge(&place.root, None).unwrap().given_up, []);
    assert_eq!(problems(&place.root, None), []);
    // When it fails again it is news again.
    assert_eq!(roll_back(&place.root, &one, "6.12"), Ok(true));
}

#[test]
fn another_machines_state_counts_as_none() {
    let place = Place::new();
    let policy = place.policy();
    assert_eq!(place.confirm(1, policy), []);
    std::fs::write(place.folder.path().join("etc/machine-id"), "4567\n").unwrap();
    let (known, _, problems) = read(&place.root);
    assert_eq!(known, None);
    assert!(problems[0].what.contains("with the id 0123; it counts as none"), "{problems:?}");
    // The next confirmation replaces it, and says so.
    assert_eq!(place.confirm(1, policy), problems);
    assert_eq!(state(&place.root).unwrap().unwrap().machine_id, "4567");
}

#[test]
fn the_manifest_is_part_of_the_candidate() {
    let place = Place::new();
    let made = |place: &Place| candidate(&place.root, Sum::ZERO, &[], "6.12").unwrap();
    assert_eq!(made(&place).manifest, Sum::ZERO);
    std::fs::write(place.folder.path().join("etc/imad/state/manifest"), "x").unwrap();
    assert_eq!(made(&place).manifest, Sum::of(b"x"));
}
