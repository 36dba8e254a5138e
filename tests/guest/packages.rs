//! Package transactions under the strict policy: what a signed package brings runs, the rest is denied and named.
//!
//! Debian's rpm has no `ima` plugin, so every label here is written by the daemon.

use std::time::Duration;

use imad::model::plan::State;
use imad::model::report::Transaction;

use crate::harness::{Guest, Output};
use crate::system::{TRUSTED, journal, settled, status, wait};

const LIMIT: Duration = Duration::from_secs(60);

/// Runs a transaction and waits until the daemon is through with it.
fn transaction(guest: &Guest, line: &str) -> (Output, Transaction) {
    let before = status(guest).last_transaction.map_or(0, |transaction| transaction.finished_time_us);
    let output = guest.command(&["sh", "-c", line]).timeout(Duration::from_secs(300)).output().ok();
    let transaction = wait(guest, LIMIT, "the daemon to see the transaction through", || {
        status(guest).last_transaction.filter(|transaction| transaction.finished_time_us > before)
    });
    (output, transaction)
}

#[test]
fn rpm_installs_upgrades_and_erases() {
    let guest = TRUSTED.guest();
    let files = settled(&guest).labels.unwrap().files;
    let (_, seen) = transaction(&guest, "rpm -i /srv/repo/good/imad-hello-1.0-*.rpm");
    assert_eq!(seen.added.len(), 1, "{seen:?}");
    assert!(seen.added[0].starts_with("imad-hello-1.0-"), "{seen:?}");
    assert!(seen.labels.written > 0 && seen.denied.is_empty(), "{seen:?}");
    assert!(guest.run(&["imad-hello"]).text().contains("1.0"));
    let installed = status(&guest).labels.unwrap();
    assert!(installed.files > files);

    let (_, seen) = transaction(&guest, "rpm -U /srv/repo/newer/imad-hello-2.0-*.rpm");
    assert_eq!((seen.added.len(), seen.removed), (1, 1), "{seen:?}");
    assert!(guest.run(&["imad-hello"]).text().contains("2.0"));

    let (_, seen) = transaction(&guest, "rpm -e imad-hello");
    assert_eq!((seen.added.len(), seen.removed), (0, 1), "{seen:?}");
    assert_eq!(status(&guest).labels.unwrap().files, files);
}

#[test]
fn a_signed_package_from_dnf_runs_at_once() {
    let guest = TRUSTED.guest();
    settled(&guest);
    let (_, seen) = transaction(&guest, "dnf -q -y --disablerepo='*' --enablerepo=imad-good install imad-hello");
    println!("labelled {} files {} us after the lock fell", seen.labels.written, seen.duration_us);
    assert!(guest.run(&["imad-hello"]).text().contains("1.0"));
    let check = guest.run(&["dnf", "-q", "check"]).ok();
    assert_eq!(check.stdout, "", "{check}");
}

#[test]
fn unsigned_and_foreign_packages_are_denied_and_named() {
    let guest = TRUSTED.guest();
    settled(&guest);
    for (repository, state, words) in [
        ("unsigned", State::Unsigned, "carries no signature"),
        ("foreign", State::UntrustedKey, "which is not trusted here"),
    ] {
        let (_, seen) = transaction(&guest, &format!("rpm -U --oldpackage /srv/repo/{repository}/imad-hello-*.rpm"));
        let denied = seen.denied.iter().find(|file| file.path == "/usr/bin/imad-hello");
        let denied = denied.unwrap_or_else(|| panic!("{repository}: not named: {seen:?}"));
        assert_eq!(denied.state, state, "{denied:?}");
        assert!(denied.reason.contains(words) && !denied.next.is_empty(), "{denied:?}");
        let output = guest.run(&["/usr/bin/imad-hello"]);
        assert!(output.denied(), "{repository}: {output}");
        assert!(journal(&guest, "imad").contains("imad-hello"), "{repository}: not in the journal");
        let explained = guest.run(&["imactl", "explain", "/usr/bin/imad-hello"]);
        assert!(explained.stdout.contains(words), "{explained}");
    }
}
