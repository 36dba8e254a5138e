//! What the kernel denies, and what imad says of it.

use crate::system::{TRUSTED, settled};

#[test]
fn copies_are_denied_wherever_they_lie() {
    let guest = TRUSTED.guest();
    guest.run(&["ip", "link"]).ok();
    for copy in ["/tmp/ip", "/dev/shm/ip", "/root/ip"] {
        guest.sh(&format!("cp \"$(command -v ip)\" {copy}")).ok();
        let output = guest.run(&[copy, "link"]);
        assert!(output.denied(), "{output}");
        let explained = guest.run(&["imactl", "explain", copy]);
        assert_eq!(explained.status, crate::harness::Status::Exited(1), "{explained}");
        assert!(explained.stdout.contains("foreign: no package owns it, and it has no label"), "{explained}");
        assert!(explained.stdout.contains("Denied (EACCES): exec by user 0"), "{explained}");
    }
    // /tmp and /dev/shm are what the distributions' sample policy exempts.
    assert_eq!(guest.sh("stat -f -c %T /tmp /dev/shm").text(), "tmpfs\ntmpfs");
    // A copy that keeps its label is as good as the original.
    guest.sh("cp --preserve=xattr \"$(command -v ip)\" /root/labelled && /root/labelled link").ok();
}

#[test]
fn an_unlabelled_script_is_denied() {
    let guest = TRUSTED.guest();
    guest.put("/root/s.sh", "#!/bin/sh\necho hello\n", 0o755);
    let output = guest.run(&["/root/s.sh"]);
    assert!(output.denied(), "{output}");
}

#[test]
fn a_tampered_file_is_denied_and_explained() {
    let guest = TRUSTED.guest();
    settled(&guest);
    guest.run(&["imactl", "check", "/usr/bin/lsattr"]).ok();
    guest.sh("printf x >> /usr/bin/lsattr").ok();
    let output = guest.run(&["/usr/bin/lsattr", "/root"]);
    assert!(output.denied(), "{output}");
    let explained = guest.run(&["imactl", "explain", "/usr/bin/lsattr"]);
    assert!(explained.stdout.contains("modified: the content is not what the package installed"), "{explained}");
    assert!(explained.stdout.contains("dnf reinstall e2fsprogs"), "{explained}");
}

#[test]
fn an_unlabelled_library_is_denied() {
    let guest = TRUSTED.guest();
    guest.sh("mkdir /root/lib && cp /usr/lib/x86_64-linux-gnu/libselinux.so.1 /root/lib/").ok();
    let output = guest.command(&["ls", "/"]).env("LD_LIBRARY_PATH", "/root/lib").output();
    assert!(!output.success() && output.stderr.contains("failed to map segment"), "{output}");
}
