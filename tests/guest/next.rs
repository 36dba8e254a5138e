//! The second generation: Debian forky's system (systemd 262, rpm 6.1, dnf5, dracut 112) on Linux 7.3. `make next`.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what is missing ends the test")]
#![allow(dead_code, reason = "the harness and its questions serve the other tests too")]

#[path = "../peers/corpus.rs"]
mod corpus;
mod harness;
#[path = "labels/suite.rs"]
mod labels;
#[path = "language/suite.rs"]
mod language;
#[path = "../machine.rs"]
mod machine;
mod story;
mod system;
mod verdicts;

use imad::model::policy::profile::KernelProfile;

use harness::{Guest, Setup};

/// Without what imad has the kernel load.
fn without_policy() -> Setup {
    Setup::next()
        .remove("/etc/ima/ima-policy")
        .remove("/etc/keys/ima")
        .symlink("/etc/systemd/system/imad.service", "/dev/null")
}

fn plain() -> Setup {
    language::plain(without_policy())
}

fn guest() -> Guest {
    language::without_modprobe(Guest::boot(plain()))
}

fn profile() -> KernelProfile {
    language::profile_of(&plain().kernel_config())
}

#[test]
fn the_kernel_says_the_same_to_lines() {
    language::lines(&guest(), &profile());
}

#[test]
fn the_kernel_says_the_same_to_lines_after_a_load() {
    language::lines_after_a_load(&guest(), &profile());
}

#[test]
fn the_kernel_says_the_same_to_files() {
    language::files(&guest(), &profile());
}

#[test]
fn the_kernel_shows_policies_as_imad_writes_them() {
    language::shown_policies(&guest(), &profile());
}

#[test]
fn the_kernel_decides_as_predicted() {
    verdicts::try_all_on(without_policy(), "ima_policy=fail_securely", false);
}

#[test]
fn a_thousand_labels_fare_as_with_the_kernel() {
    labels::fare_as_with_the_kernel(Setup::next());
}

#[test]
fn the_story_goes_as_it_is_told() {
    assert_eq!(story::tell(Setup::next()), Vec::<String>::new());
}
