//! The daemon's first start on a root that nobody has labelled.

use std::time::Duration;

use imad::model::plan::State;
use imad::model::report::Loader;

use crate::harness::{Guest, Setup};
use crate::system::{POLICY, journal, status, wait};

/// Thousands of signatures are verified on an emulated processor.
const LIMIT: Duration = Duration::from_secs(420);

#[test]
fn a_root_without_labels_is_labelled_and_then_boots_protected() {
    let guest = Guest::boot(Setup::trusted().remove(POLICY));
    guest
        .sh("systemctl stop imad; find / -xdev -type f -print0 | xargs -0 setfattr -x security.ima 2>/dev/null; true")
        .ok();
    assert!(!guest.run(&["getfattr", "-n", "security.ima", "/usr/lib/systemd/systemd"]).success());

    guest.run(&["systemctl", "start", "imad"]).ok();
    let after = wait(&guest, LIMIT, "every label", || Some(status(&guest)).filter(|status| status.labels.is_some()));
    let labels = after.labels.as_ref().unwrap();
    let found: Vec<State> = labels.by_state.keys().copied().collect();
    assert_eq!(found, [State::Excluded, State::Good], "{labels:?}");
    // A file with two names is written once.
    let names = guest.sh("find / -xdev -type f -links +1 | wc -l").text().parse::<u64>().unwrap();
    let (good, written) = (labels.by_state[&State::Good], labels.written);
    assert!(written > 5000 && written <= good && good - written <= names / 2, "{names} names, {labels:?}");
    assert!(journal(&guest, "imad").contains(&format!("{written} labels written")), "{}", journal(&guest, "imad"));

    // Now the policy can be switched on.
    guest.sh(&format!("cp --preserve=xattr /usr/share/imad/policies/01-* {POLICY}")).ok();
    guest.reboot();
    let status = status(&guest);
    assert_eq!(status.policy.loaded_by, Loader::ImadBoot, "{}", status.summary);
    assert_eq!(guest.run(&["systemctl", "is-system-running"]).stdout.trim(), "running");
}
