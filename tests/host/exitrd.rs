//! `imactl labels exitrd` on a private root: what dracut unpacked for the shutdown, labelled, or out of systemd's way.

use std::os::unix::fs::{PermissionsExt, symlink};

use imad::model::report::Exitrd;

use crate::fixture::{PrivateRoot, Signed};

const STRICT: &str =
    "appraise func=MMAP_CHECK mask=MAY_EXEC appraise_type=imasig\nappraise func=BPRM_CHECK appraise_type=imasig\n";
const SCRIPT: &str = "#!/bin/sh\nreboot -f -n\n";

fn write(root: &PrivateRoot, path: &str, text: &str, mode: u32) {
    let file = root.join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A root with a policy, packages, and an initramfs unpacked as dracut does it: copies under other names, a link, a program
/// of nobody's that the shutdown does not need.
fn root(policy: &str) -> PrivateRoot {
    let root = PrivateRoot::new();
    root.install(&[root.build(
        "tools",
        "1.0",
        &[
            ("/usr/lib/dracut/modules.d/99shutdown/shutdown.sh", SCRIPT, "0755"),
            ("/usr/bin/dash", "a shell\n", "0755"),
            ("/usr/sbin/reboot", "what reboots\n", "0755"),
            ("/usr/lib64/libx.so.1", "a library\n", "0644"),
        ],
        Signed::Good,
    )]);
    write(&root, "etc/ima/ima-policy", policy, 0o644);
    write(&root, "run/initramfs/shutdown", SCRIPT, 0o755);
    write(&root, "run/initramfs/usr/bin/dash", "a shell\n", 0o755);
    write(&root, "run/initramfs/usr/sbin/reboot", "what reboots\n", 0o755);
    write(&root, "run/initramfs/usr/lib64/libx.so.1", "a library\n", 0o644);
    write(&root, "run/initramfs/usr/bin/own", "of nobody\n", 0o755);
    write(&root, "run/initramfs/etc/settings", "a shell\n", 0o644);
    symlink("dash", root.join("run/initramfs/usr/bin/sh")).unwrap();
    symlink("usr/bin", root.join("run/initramfs/bin")).unwrap();
    root
}

fn exitrd(root: &PrivateRoot) -> (i32, Exitrd) {
    let (code, text) = root.imactl(&["--json", "labels", "exitrd"]);
    (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

#[test]
fn copies_get_the_labels_of_their_packages() {
    let root = root(STRICT);
    let (code, report) = exitrd(&root);
    assert_eq!(
        (code, report.unpacked, report.kept, report.files, report.labelled),
        (0, true, true, 5, 4),
        "{report:?}"
    );
    assert_eq!(report.problems, []);
    root.report(&["relabel"]);
    for (copy, original) in [
        ("shutdown", "usr/lib/dracut/modules.d/99shutdown/shutdown.sh"),
        ("usr/bin/dash", "usr/bin/dash"),
        ("usr/sbin/reboot", "usr/sbin/reboot"),
        ("usr/lib64/libx.so.1", "usr/lib64/libx.so.1"),
    ] {
        let label = root.label(&format!("run/initramfs/{copy}"));
        assert!(label.is_some() && label == root.label(original), "{copy}: {label:?}");
    }
    for other in ["usr/bin/own", "etc/settings"] {
        assert_eq!(root.label(&format!("run/initramfs/{other}")), None, "{other}");
    }
    let (code, text) = root.imactl(&["labels", "exitrd"]);
    assert!(
        code == 0 && text.contains("4 of 5 programs and libraries labelled; systemd ends the system by it"),
        "{text}"
    );
}

#[test]
fn what_would_not_come_to_its_end_is_not_begun() {
    let root = root(STRICT);
    write(&root, "run/initramfs/usr/sbin/reboot", "what reboots, stripped\n", 0o755);
    let (code, report) = exitrd(&root);
    assert_eq!((code, report.unpacked, report.kept, report.labelled), (1, true, false, 3), "{report:?}");
    assert!(report.problems[0].what.starts_with("/run/initramfs/usr/sbin/reboot: "), "{report:?}");
    assert!(!root.join("run/initramfs/shutdown").exists() && root.join("run/initramfs/usr/bin/dash").exists());
    let (code, text) = root.imactl(&["labels", "exitrd"]);
    assert!(code == 0 && text.contains("Nothing is unpacked"), "{text}");
}

#[test]
fn without_a_policy_that_wants_labels_it_is_kept_as_it_is() {
    let root = root("measure func=BPRM_CHECK\n");
    write(&root, "run/initramfs/usr/sbin/reboot", "what reboots, stripped\n", 0o755);
    let (code, report) = exitrd(&root);
    assert_eq!((code, report.kept), (0, true), "{report:?}");
    assert!(root.join("run/initramfs/shutdown").exists());
}

#[test]
fn without_a_package_database_a_strict_policy_has_systemd_end_the_system() {
    let root = root(STRICT);
    std::fs::remove_dir_all(root.join(crate::fixture::DATABASE)).unwrap();
    let (code, text) = root.imactl(&["labels", "exitrd"]);
    assert!(code == 3 && text.contains("Next: "), "{code} {text}");
    assert!(!root.join("run/initramfs/shutdown").exists());
}
