//! Labels where the policy appraises reads too: what has no label cannot even be opened, by imad either.

use imad::model::plan::State;

use crate::harness::Guest;
use crate::system::{TRUSTED, label};

/// The kernel's own `appraise_tcb` (`ima_policy.c: default_appraise_rules`), without what this guest does not mount.
const READS: &str = "\
dont_appraise fsmagic=0x9fa0
dont_appraise fsmagic=0x62656572
dont_appraise fsmagic=0x64626720
dont_appraise fsmagic=0x1021994
dont_appraise fsmagic=0x1cd1
dont_appraise fsmagic=0x42494e4d
dont_appraise fsmagic=0x73636673
dont_appraise fsmagic=0x63677270
dont_appraise fsmagic=0x6e736673
appraise fowner=0
";

/// A packaged file that nobody reads but this test.
const FILE: &str = "/usr/share/perl5/Debconf/Log.pm";

/// A guest that appraises every read of root's files. What packages do not sign gets hashes first, as `ima_appraise=fix`
/// would give them.
fn guest() -> Guest {
    let guest = TRUSTED.guest();
    guest
        .sh("find / -xdev -type f -user root -print0 | xargs -0 getfattr -h -n security.ima 2>&1 >/dev/null \
             | sed -n 's/^\\(.*\\): security.ima: No such attribute$/\\1/p' >/run/bare; \
             tr '\\n' '\\0' </run/bare | xargs -0 -n 1 evmctl ima_hash -a sha256 >/dev/null")
        .ok();
    guest.put("/root/reads", READS, 0o600);
    let signature = imad::model::cert::hex(&label(READS.as_bytes(), "ima"));
    guest.sh(&format!("setfattr -n security.ima -v 0x{signature} /root/reads")).ok();
    guest.sh("echo /root/reads >/sys/kernel/security/ima/policy").ok();
    guest
}

fn state_of(guest: &Guest, arguments: &[&str]) -> (State, String, bool) {
    let text = guest.run(&[&["imactl", "--json"], arguments, &[FILE]].concat()).stdout;
    let report: imad::model::report::LabelReport =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let file = report.files.into_iter().next().unwrap();
    (file.state, file.reason, file.written)
}

#[test]
fn a_file_that_may_not_be_opened_gets_its_label() {
    let guest = guest();
    let before = guest.sh(&format!("getfattr --only-values -e hex -n security.ima {FILE} | sha256sum")).text();
    assert!(guest.run(&["cat", FILE]).success());

    guest.sh(&format!("setfattr -x security.ima {FILE}")).ok();
    assert!(!guest.run(&["cat", FILE]).success());
    let (state, reason, _) = state_of(&guest, &["relabel", "--dry-run"]);
    assert!(state == State::Unreadable && reason.contains("a rule appraises reads"), "{state}: {reason}");
    let (state, reason, written) = state_of(&guest, &["relabel"]);
    assert!(state == State::Good && written, "{state}: {reason}");
    assert!(guest.run(&["cat", FILE]).success());
    let after = guest.sh(&format!("getfattr --only-values -e hex -n security.ima {FILE} | sha256sum")).text();
    assert_eq!(before, after);

    // Tampered with (the kernel opens no signed file for writing, so with a hash label in between): the label goes on, the
    // kernel says no, what was there comes back.
    guest
        .sh(&format!("evmctl ima_hash -a sha256 {FILE} && echo more >>{FILE} && setfattr -x security.ima {FILE}"))
        .ok();
    assert!(!guest.run(&["cat", FILE]).success());
    let (state, reason, written) = state_of(&guest, &["relabel"]);
    assert!(state == State::Unreadable && !written && reason.contains("with its package's signature too"), "{reason}");
    assert!(!guest.run(&["getfattr", "-n", "security.ima", FILE]).success());
}
