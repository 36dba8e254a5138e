//! Power cut while labels are written: what is there after the next boot was there before or is what the packages say,
//! and the next run ends the work. `IMAD_CUTS=20` has it as `make soak` does.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::harness::Guest;
use crate::system::{TRUSTED, settled};

/// Packaged files that nothing at the boot reads.
const FOLDER: &str = "/usr/share";
/// Power cuts, where nothing else is asked for.
const CUTS: u32 = 1;

fn labels(guest: &Guest) -> BTreeSet<String> {
    let dump = "xargs -0 getfattr -h --absolute-names -e hex -n security.ima 2>/dev/null | paste - - -";
    guest.sh(&format!("find {FOLDER} -type f -print0 | {dump}")).stdout.lines().map(str::to_owned).collect()
}

/// What is to stay: content, mode, owner, times.
fn files(guest: &Guest) -> String {
    guest.sh(&format!("find {FOLDER} -type f -printf '%p %m %u %g %s %T@\\n' -exec cksum {{}} + | sort | cksum")).text()
}

/// A guest whose daemon looks after the folder only, its labels gone for good.
fn stripped() -> (Guest, BTreeSet<String>, String) {
    let guest = TRUSTED.guest();
    settled(&guest);
    let (labels, files) = (labels(&guest), files(&guest));
    assert!(labels.len() > 300, "{}", labels.len());
    guest
        .sh(&format!("systemctl stop imad; find {FOLDER} -type f -print0 | xargs -0 setfattr -x security.ima; sync"))
        .ok();
    (guest, labels, files)
}

/// Relabels as a unit. The disk gets everything as soon as it can: ext4 by itself writes its journal every five seconds.
fn relabel(guest: &Guest, wait: &str) {
    let line = format!("(while sync; do :; done) & imactl relabel {FOLDER}");
    guest.run(&["systemd-run", "--quiet", wait, "sh", "-c", &line]).ok();
}

#[test]
fn after_a_power_cut_the_next_run_ends_the_work() {
    let cuts = std::env::var("IMAD_CUTS").map_or(CUTS, |text| text.parse().unwrap());
    let (guest, all, _) = stripped();
    let begin = Instant::now();
    relabel(&guest, "--wait");
    let whole = begin.elapsed();
    assert_eq!(labels(&guest), all);
    drop(guest);

    for number in 1..=cuts {
        let (mut guest, all, kept) = stripped();
        let share = (f64::from(number) * 0.618_033_988_749_895).fract();
        relabel(&guest, "--no-block");
        std::thread::sleep(whole.mul_f64(share));
        guest.cut_power();
        guest.set_up(|setup| setup.command_line("systemd.mask=imad.service"));
        guest.start();
        let found = labels(&guest);
        assert!(found.is_subset(&all), "{:?}", found.difference(&all).next());
        println!("cut {number} after {share:.2} of {whole:?}: {} of {} labels were there", found.len(), all.len());
        relabel(&guest, "--wait");
        assert!(labels(&guest) == all && files(&guest) == kept, "cut {number}");
    }
}
