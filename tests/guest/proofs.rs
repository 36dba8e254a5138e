//! What was verified once in a boot is not read again, and a change shows all the same.

use imad::model::plan::State;
use imad::model::report::LabelReport;

use crate::harness::Guest;
use crate::system::{TRUSTED, settled};

/// A packaged file that nothing runs.
const FILE: &str = "/usr/share/perl5/Debconf/Log.pm";

fn relabel(guest: &Guest, arguments: &[&str]) -> LabelReport {
    let text = guest.run(&[&["imactl", "--json", "relabel"], arguments].concat()).stdout;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn states(report: &LabelReport) -> Vec<(&str, State)> {
    report.files.iter().map(|file| (file.path.as_str(), file.state)).collect()
}

#[test]
fn what_was_verified_is_not_read_again_and_a_change_shows() {
    let guest = TRUSTED.guest();
    // The machine may have been looked at in an earlier boot.
    guest.sh("systemctl stop imad && rm -rf /var/lib/imad/* && systemctl start imad").ok();
    let first = settled(&guest).labels.unwrap();
    guest.run(&["systemctl", "restart", "imad"]).ok();
    let second = settled(&guest).labels.unwrap();
    assert_eq!(first.by_state, second.by_state);
    println!("{} files: {} us, then {} us", first.files, first.duration_us, second.duration_us);
    assert!(second.duration_us * 3 < first.duration_us, "{} us, then {} us", first.duration_us, second.duration_us);

    // Another byte, the same size, the old times put back.
    let change = format!(
        "touch -r {FILE} /run/times && printf x | dd of={FILE} conv=notrunc 2>&1 && touch -r /run/times {FILE}"
    );
    guest.sh(&change).ok();
    assert_eq!(states(&relabel(&guest, &[])), [(FILE, State::Modified)]);
    assert_eq!(states(&relabel(&guest, &[])), [(FILE, State::Modified)]);
    // And everything is read where that is asked for.
    let full = relabel(&guest, &["--full"]);
    assert_eq!(states(&full), [(FILE, State::Modified)]);
    assert!(full.counts.duration_us > 2 * second.duration_us, "{} us", full.counts.duration_us);
}
