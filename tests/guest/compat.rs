//! imactl under the name of the distributions' script: its flags, its messages, its exit status.

use crate::harness::{Guest, Output, Status};
use crate::system::{TRUSTED, settled};

const PROGRAM: &str = "/usr/bin/imad-hello";

fn add_sigs(guest: &Guest, arguments: &[&str]) -> Output {
    guest.run(&[&["/usr/lib/imad/compat/ima-add-sigs"], arguments].concat())
}

fn install_time(guest: &Guest) -> String {
    guest.run(&["rpm", "-q", "--qf", "%{INSTALLTIME}", "imad-hello"]).text()
}

/// Only this repository is asked from now on.
fn enable(guest: &Guest, repository: &str) {
    guest
        .sh(&format!(
            "cd /etc/yum.repos.d && sed -i s/^enabled=1/enabled=0/ *.repo && \
             sed -i '/^\\[imad-{repository}]/,/^$/s/^enabled=0/enabled=1/' *.repo"
        ))
        .ok();
}

#[test]
fn ima_add_sigs_does_what_the_script_does() {
    let guest = TRUSTED.guest();
    settled(&guest);
    let usage = add_sigs(&guest, &["--package", "bash"]);
    assert_eq!(usage.status, Status::Exited(1), "{usage}");
    assert!(usage.stdout.starts_with("Add IMA signatures to installed packages.\nusage: ima-add-sigs "), "{usage}");

    // A package that is not there is installed.
    enable(&guest, "good");
    add_sigs(&guest, &["--package=imad-hello"]).ok();
    assert!(!install_time(&guest).is_empty());

    guest.sh(&format!("systemctl stop imad; setfattr -x security.ima {PROGRAM}")).ok();
    assert!(guest.run(&[PROGRAM]).denied());
    let output = add_sigs(&guest, &["--package=imad-hello"]).ok();
    assert_eq!(output.stdout, "", "{output}");
    assert!(guest.run(&[PROGRAM]).success());

    guest.sh(&format!("cp {PROGRAM} /run/copy && echo more >>/run/copy && cp /run/copy {PROGRAM}")).ok();
    let output = add_sigs(&guest, &["--package=imad-hello", "--ima_cert=/etc/keys/ima/ima.der"]).ok();
    assert_eq!(output.stdout, format!("Failed to verify {PROGRAM}\n"));

    // A package without file signatures is installed once more, which mends nothing here.
    guest.sh("rpm -U --oldpackage --replacepkgs /srv/repo/unsigned/imad-hello-*.rpm").ok();
    enable(&guest, "unsigned");
    let before = install_time(&guest);
    guest.sh("sleep 1").ok();
    add_sigs(&guest, &["--package=imad-hello", "--reinstall_threshold=2"]).ok();
    assert_eq!(install_time(&guest), before);
    add_sigs(&guest, &["--package=imad-hello"]).ok();
    assert_ne!(install_time(&guest), before);
}
