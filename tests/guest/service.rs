//! The daemon on a real system: its bus, its confinement, and what it does when things go wrong.

use std::time::Duration;

use imad::model::plan::State;

use crate::harness::Guest;
use crate::system::{TRUSTED, boot_report, journal, settled, status, wait};

/// The daemon may have to look at every label before it is well again, which takes a busy host's guest minutes.
const LIMIT: Duration = Duration::from_secs(300);

/// Waits until the daemon says that something is wrong, and gives it back.
fn degraded(guest: &Guest, words: &str) {
    wait(guest, LIMIT, &format!("a problem with \"{words}\""), || {
        let status = status(guest);
        let problem = status.problems.iter().find(|problem| problem.what.contains(words))?;
        assert!(!problem.next.is_empty(), "{problem:?}");
        (status.daemon == "degraded").then_some(())
    });
    assert!(journal(guest, "imad").contains(words), "not in the journal: {words}");
    assert_eq!(guest.run(&["systemctl", "is-active", "imad"]).text(), "active");
}

/// Waits until the daemon is well again.
fn recovered(guest: &Guest) {
    wait(guest, LIMIT, "the daemon to recover", || (status(guest).daemon == "running").then_some(()));
}

fn good(guest: &Guest) -> u64 {
    settled(guest).labels.unwrap().by_state.get(&State::Good).copied().unwrap_or(0)
}

#[test]
fn any_user_may_introspect_and_read() {
    let guest = TRUSTED.guest();
    settled(&guest);
    let text = guest.run_as("nobody", &["busctl", "--no-pager", "introspect", "org.imad1", "/org/imad1"]).text();
    println!("{text}");
    for interface in ["Manager", "Policy", "Keyring", "Labels"] {
        assert!(text.contains(&format!("org.imad1.{interface}")), "{interface}:\n{text}");
    }
    let state = ["busctl", "get-property", "org.imad1", "/org/imad1", "org.imad1.Manager", "State"];
    assert_eq!(guest.run_as("nobody", &state).text(), "s \"running\"");
    // Changes are another matter.
    let relabel = ["busctl", "call", "org.imad1", "/org/imad1", "org.imad1.Labels", "Relabel", "a{sv}", "0"];
    let refused = guest.run_as("nobody", &relabel);
    assert!(!refused.success(), "{refused}");
    guest.run(&relabel).ok();
}

#[test]
fn the_service_is_confined_and_still_works() {
    let guest = TRUSTED.guest();
    let text = guest.command(&["systemd-analyze", "--no-pager", "security", "imad.service"]).output().text();
    let score = text.lines().last().unwrap().to_owned();
    println!("{score}");
    let number = score.split_whitespace().find_map(|word| word.parse::<f64>().ok()).unwrap();
    assert!(number <= 2.5, "{score}");
    settled(&guest);
    guest.sh("setfattr -x security.ima /usr/bin/lsattr && imactl relabel /usr/bin/lsattr").ok();
    guest.run(&["getfattr", "-n", "security.ima", "/usr/bin/lsattr"]).ok();
}

#[test]
fn a_killed_daemon_finishes_what_it_began() {
    let guest = TRUSTED.guest();
    let before = good(&guest);
    // Hundreds of files lose their labels; nothing of them is running. Each restart is killed after a moment.
    let stripped = "find /usr/share -xdev -type f -print0 | xargs -0 setfattr -x security.ima 2>/dev/null; true";
    guest.sh(&format!("systemctl stop imad; {stripped}")).ok();
    let kill = "systemctl start --no-block imad; sleep 0.4; systemctl kill -s KILL imad; sleep 0.2";
    for _ in 0..5 {
        guest.sh(kill);
    }
    guest.sh("systemctl reset-failed imad; systemctl start imad").ok();
    assert_eq!(good(&guest), before);
    guest.run(&["imactl", "check", "/usr/share"]).ok();
}

#[test]
fn a_replaced_daemon_labels_its_successor_and_becomes_it() {
    let guest = TRUSTED.guest();
    settled(&guest);
    let pid = guest.run(&["systemctl", "show", "-P", "MainPID", "imad"]).text();
    let exe = format!("stat -L -c %i /proc/{pid}/exe");
    let old = guest.sh(&exe).text();
    guest
        .command(&["dnf", "-q", "-y", "--disablerepo=*", "--enablerepo=imad-imad", "reinstall", "imad"])
        .timeout(Duration::from_secs(300))
        .output()
        .ok();
    let new = guest.sh("stat -c %i /usr/sbin/imad").text();
    assert_ne!(old, new);
    wait(&guest, LIMIT, "the daemon to become the new program", || (guest.sh(&exe).text() == new).then_some(()));
    // The same process, labelled, and on the bus again.
    assert_eq!(guest.run(&["systemctl", "show", "-P", "MainPID", "imad"]).text(), pid);
    guest.run(&["getfattr", "-n", "security.ima", "/usr/sbin/imad"]).ok();
    wait(&guest, LIMIT, "the daemon on the bus", || (status(&guest).daemon == "running").then_some(()));
    assert_eq!(guest.run(&["systemctl", "show", "-P", "NRestarts", "imad"]).text(), "0");
}

#[test]
fn a_corrupt_database_degrades_until_it_is_mended() {
    let guest = TRUSTED.guest();
    settled(&guest);
    guest.sh("cp -a /var/lib/rpm /root/rpm && systemctl stop imad").ok();
    guest.sh("rm -f /var/lib/rpm/rpmdb.sqlite-*; head -c 100000 /dev/urandom > /var/lib/rpm/rpmdb.sqlite").ok();
    guest.sh("systemctl start imad").ok();
    degraded(&guest, "rpmdb.sqlite");
    guest.sh("rm -rf /var/lib/rpm && mv /root/rpm /var/lib/rpm").ok();
    recovered(&guest);
}

#[test]
fn no_database_degrades_until_there_is_one() {
    let guest = TRUSTED.guest();
    settled(&guest);
    guest.sh("systemctl stop imad; mv /var/lib/rpm /root/rpm; systemctl start imad").ok();
    degraded(&guest, "there is no package database");
    guest.sh("mv /root/rpm /var/lib/rpm").ok();
    recovered(&guest);
}

#[test]
fn a_full_or_read_only_var_degrades_and_labels_all_the_same() {
    let guest = TRUSTED.guest();
    settled(&guest);
    let label = "setfattr -x security.ima /usr/bin/lsattr; systemctl restart imad";
    guest
        .sh(&format!(
            "mount -t tmpfs -o size=4k,nr_inodes=4 full /var/lib/imad && cat /dev/zero > /var/lib/imad/x; {label}"
        ))
        .ok();
    degraded(&guest, "/var/lib/imad");
    settled(&guest);
    guest.run(&["getfattr", "-n", "security.ima", "/usr/bin/lsattr"]).ok();
    guest
        .sh(&format!("umount /var/lib/imad && mount --bind /var /var && mount -o remount,ro,bind /var && {label}"))
        .ok();
    degraded(&guest, "/var/lib/imad");
    settled(&guest);
    guest.run(&["getfattr", "-n", "security.ima", "/usr/bin/lsattr"]).ok();
}

#[test]
fn a_lock_held_for_long_is_waited_for() {
    let guest = TRUSTED.guest();
    settled(&guest);
    // A transaction whose scriptlet takes its time holds the lock; another package is erased meanwhile by nobody.
    guest.sh("rpm -i /srv/repo/good/imad-slow-*.rpm > /dev/null 2>&1 &").ok();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(guest.run(&["systemctl", "is-active", "imad"]).text(), "active");
    wait(&guest, LIMIT, "the long transaction to be seen through", || {
        status(&guest).last_transaction.filter(|seen| seen.added.iter().any(|name| name.starts_with("imad-slow-")))
    });
    assert!(boot_report(&guest).policy.loaded);
}
