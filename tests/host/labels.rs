//! Labelling on real file systems, with real packages.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use imad::model::plan::State;

use super::fixture::{DATABASE, PrivateRoot, Signed, folder, output, run};

const FILES: &[(&str, &str, &str)] = &[
    ("/usr/bin/hello", "#!/bin/sh\necho hello\n", "0755"),
    ("/usr/share/hello/with space", "data\n", "0644"),
    ("/etc/hello.conf", "config\n", "0644"),
];

fn count(report: &imad::model::report::LabelReport, state: State) -> u64 {
    report.counts.by_state.get(&state).copied().unwrap_or(0)
}

#[test]
fn a_signed_package_is_labelled_once_and_stays() {
    let root = PrivateRoot::new();
    let package = root.build("hello", "1.0", FILES, Signed::Good);
    let checked = run("rpm", &[OsStr::new("-K"), "--nosignature".as_ref(), package.as_ref()]);
    assert!(String::from_utf8_lossy(&checked.stdout).contains("digests OK"));
    root.install(std::slice::from_ref(&package));
    assert_eq!(root.label("usr/bin/hello"), None);

    let before = std::fs::metadata(root.join("usr/bin/hello")).unwrap().modified().unwrap();
    let (code, text) = root.imactl(&["relabel", "--dry-run"]);
    assert_eq!((code, root.label("usr/bin/hello")), (1, None), "{text}");
    let report = root.report(&["relabel"]);
    assert_eq!((report.counts.written, count(&report, State::Good), count(&report, State::Excluded)), (2, 2, 1));
    // What rpm says the signature is, is what is on the file.
    let query: [&OsStr; 4] =
        ["-q".as_ref(), "hello".as_ref(), "--qf".as_ref(), "[%{FILENAMES}|%{FILESIGNATURES}\n]".as_ref()];
    let signatures = String::from_utf8(root.rpm(&query).stdout).unwrap();
    for line in signatures.lines().filter(|line| !line.starts_with("/etc")) {
        let (path, signature) = line.split_once('|').unwrap();
        assert_eq!(root.label(&path[1..]).as_deref(), Some(signature), "{path}");
    }
    assert_eq!(root.label("etc/hello.conf"), None);
    assert_eq!(std::fs::metadata(root.join("usr/bin/hello")).unwrap().modified().unwrap(), before);

    let report = root.report(&["relabel"]);
    assert_eq!(report.counts.written, 0);
    assert_eq!(root.imactl(&["check"]).0, 0);
}

#[test]
fn a_run_is_recorded_and_can_be_put_back() {
    let root = PrivateRoot::new();
    root.install(&[root.build("hello", "1.0", FILES, Signed::Good)]);
    // A run that has nothing to write leaves no trace.
    root.report(&["check"]);
    assert!(!root.join("var/lib/imad/labels.journal").exists());
    assert_eq!(root.report(&["relabel"]).counts.written, 2);
    let (code, text) = root.imactl(&["labels", "history", "/usr/bin/hello"]);
    assert!(code == 0 && text.contains("imactl relabel by uid 0") && text.contains("signature by key"), "{text}");
    let (code, text) = root.imactl(&["labels", "revert", "1"]);
    assert_eq!((code, root.label("usr/bin/hello")), (0, None), "{text}");
    assert_eq!(root.report(&["relabel"]).counts.written, 2);
    let (_, text) = root.imactl(&["labels", "history", "/usr/bin/hello"]);
    assert_eq!(text.matches("by uid 0").count(), 3, "{text}");
}

/// Labels are not held up for long by somebody else who writes them; what is written then is not recorded, and that is said.
#[test]
fn a_lock_that_is_held_does_not_keep_labels_back() {
    let root = PrivateRoot::new();
    root.install(&[root.build("hello", "1.0", FILES, Signed::Good)]);
    std::fs::create_dir_all(root.join("var/lib/imad")).unwrap();
    let lock = std::fs::File::create(root.join("var/lib/imad/labels.lock")).unwrap();
    lock.lock().unwrap();
    let report = root.report(&["relabel"]);
    assert_eq!(report.counts.written, 2);
    assert!(report.problems.iter().any(|problem| problem.what.contains("not recorded")), "{report:?}");
    assert!(!root.join("var/lib/imad/labels.journal").exists());
}

#[test]
fn states_of_changed_foreign_and_unsigned_files() {
    let root = PrivateRoot::new();
    root.install(&[
        root.build("good", "1.0", &[("/usr/bin/good", "1\n", "0755"), ("/usr/bin/gone", "x\n", "0755")], Signed::Good),
        root.build("foreign", "1.0", &[("/usr/bin/foreign", "2\n", "0755")], Signed::Foreign),
        root.build("unsigned", "1.0", &[("/usr/bin/unsigned", "3\n", "0755")], Signed::Not),
    ]);
    std::fs::remove_file(root.join("usr/bin/gone")).unwrap();
    let report = root.report(&["relabel"]);
    let states = [State::Good, State::Absent, State::UntrustedKey, State::Unsigned].map(|state| count(&report, state));
    assert_eq!(states, [1, 1, 1, 1]);
    assert_eq!(root.label("usr/bin/foreign"), None);

    std::fs::write(root.join("usr/bin/good"), "tampered\n").unwrap();
    let (code, text) = root.imactl(&["explain", "/usr/bin/good"]);
    assert_eq!(code, 1);
    assert!(text.contains("modified: the content is not what the package installed"), "{text}");
    assert!(text.contains("dnf reinstall good"), "{text}");
    let (_, text) = root.imactl(&["explain", "/usr/bin/unsigned"]);
    assert!(text.contains("unsigned: its package carries no signature"), "{text}");
    let (_, text) = root.imactl(&["explain", "/usr/bin/foreign"]);
    assert!(text.contains("untrusted-key") && text.contains("put the certificate of key"), "{text}");
    std::fs::write(root.join("usr/bin/mine"), "mine\n").unwrap();
    let (_, text) = root.imactl(&["explain", "/usr/bin/mine"]);
    assert!(text.contains("foreign: no package owns it"), "{text}");
}

#[test]
fn an_upgrade_makes_labels_stale_and_hash_labels_are_replaced() {
    let root = PrivateRoot::new();
    let version = |version: &str| {
        let content = format!("version {version}\n");
        root.build("hello", version, &[("/usr/bin/hello", &content, "0755")], Signed::Good)
    };
    root.install(&[version("1.0")]);
    root.report(&["relabel"]);
    let old = root.label("usr/bin/hello").unwrap();
    // rpm renames a new file into place; an in-place writer leaves the old label on new content.
    let new = version("2.0");
    root.install(&[new]);
    let value = format!("0x{old}");
    let file = root.join("usr/bin/hello");
    let set = |value: &str| {
        let arguments: [&OsStr; 5] =
            ["-n".as_ref(), "security.ima".as_ref(), "-v".as_ref(), value.as_ref(), file.as_ref()];
        run("setfattr", &arguments);
    };
    set(&value);
    assert_eq!(count(&root.report(&["check"]), State::Stale), 1);
    assert_eq!(root.report(&["relabel"]).counts.written, 1);
    run("evmctl", &[OsStr::new("ima_hash"), file.as_ref()]);
    assert_eq!(count(&root.report(&["check"]), State::Hash), 1);
    assert_eq!(root.report(&["relabel"]).counts.written, 1);
    assert_eq!(root.imactl(&["check"]).0, 0);
}

#[test]
fn paths_packages_and_folders_select() {
    let root = PrivateRoot::new();
    root.install(&[root.build("hello", "1.0", FILES, Signed::Good)]);
    std::os::unix::fs::symlink("usr/bin", root.join("bin")).unwrap();
    // By another name than the package's: the same inode.
    let report = root.report(&["relabel", "/bin/hello"]);
    assert_eq!((report.counts.files, report.counts.written), (1, 1), "{report:?}");
    let report = root.report(&["relabel", "/usr/share"]);
    assert_eq!((report.counts.files, report.counts.written), (1, 1), "{report:?}");
    assert_eq!(root.report(&["check", "--package", "hello"]).counts.files, 3);
    let (code, text) = root.imactl(&["check", "--package", "nothing"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("package nothing is not installed"), "{text}");
}

#[test]
fn bad_databases_and_immutable_files_are_named() {
    let root = PrivateRoot::new();
    let (code, text) = root.imactl(&["check"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("there is no package database"), "{text}");

    root.install(&[root.build("hello", "1.0", FILES, Signed::Good)]);
    let file = root.join("usr/bin/hello");
    run("chattr", &[OsStr::new("+i"), file.as_ref()]);
    let report = root.report(&["relabel"]);
    run("chattr", &[OsStr::new("-i"), file.as_ref()]);
    assert_eq!(count(&report, State::Immutable), 1, "{report:?}");

    std::fs::write(root.join(&format!("{DATABASE}/rpmdb.sqlite")), vec![7; 20_000]).unwrap();
    let (code, text) = root.imactl(&["check"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("rpmdb --rebuilddb"), "{text}");
}

/// A file system in a file, unmounted when dropped.
struct Loop {
    target: PathBuf,
}

impl Loop {
    fn new(kind: &str, folder: &std::path::Path) -> Self {
        Self::sized(kind, folder, 400 << 20, &[])
    }

    fn sized(kind: &str, folder: &std::path::Path, size: u64, options: &[&str]) -> Self {
        let (image, target) = (folder.join("image"), folder.join("root"));
        std::fs::File::create(&image).unwrap().set_len(size).unwrap();
        std::fs::create_dir(&target).unwrap();
        let options: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
        run(format!("mkfs.{kind}"), &[&options[..], &[OsStr::new("-q"), image.as_ref()]].concat());
        run("mount", &[OsStr::new("-o"), "loop".as_ref(), image.as_ref(), target.as_ref()]);
        Self { target }
    }

    fn remount(&self, options: &str) {
        run("mount", &[OsStr::new("-o"), format!("remount,{options}").as_ref(), self.target.as_ref()]);
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        output("umount", &[OsStr::new("-l"), self.target.as_ref()]);
    }
}

#[test]
fn each_file_system_keeps_labels_and_a_read_only_one_is_named() {
    for kind in ["ext4", "xfs", "btrfs"] {
        let folder = folder();
        let mounted = Loop::new(kind, folder.path());
        let root = PrivateRoot::at(folder, mounted.target.clone());
        root.install(&[root.build("hello", "1.0", FILES, Signed::Good)]);
        std::fs::set_permissions(root.join("usr/bin/hello"), std::fs::Permissions::from_mode(0o000)).unwrap();
        mounted.remount("ro");
        let report = root.report(&["relabel"]);
        assert_eq!((report.counts.written, count(&report, State::Missing)), (0, 2), "{kind}: {report:?}");
        assert!(report.files[0].reason.contains("mount it read-write"), "{kind}: {report:?}");
        mounted.remount("rw");
        assert_eq!(root.report(&["relabel"]).counts.written, 2, "{kind}");
        assert!(root.label("usr/bin/hello").is_some(), "{kind}");
    }
}

/// A run that would fill the file system writes nothing, and names what it needs.
#[test]
fn too_little_space_is_said_before_anything_is_written() {
    let folder = folder();
    // 256-byte inodes and 4 KiB blocks, as distributions make them: each label takes a block.
    let mounted = Loop::sized("ext4", folder.path(), 24 << 20, &["-I", "256", "-b", "4096", "-m", "0"]);
    let root = PrivateRoot::at(folder, mounted.target.clone());
    let files: Vec<_> = (0..100).map(|number| (format!("/usr/lib/many/{number}"), format!("{number}\n"))).collect();
    let files: Vec<_> = files.iter().map(|(path, content)| (path.as_str(), content.as_str(), "0755")).collect();
    root.install(&[root.build("many", "1.0", &files, Signed::Good)]);
    // What is left is less than a hundred blocks, but some.
    let filler = root.join("filler");
    let left = || {
        let stat = rustix::fs::statfs(root.path()).unwrap();
        stat.f_bavail * u64::try_from(stat.f_bsize).unwrap()
    };
    std::fs::write(&filler, vec![0; usize::try_from(left() - (60 << 12)).unwrap()]).unwrap();
    std::fs::File::open(&filler).unwrap().sync_all().unwrap();
    assert!((1 << 12..100 << 12).contains(&left()), "{}", left());

    let (code, text) = root.imactl(&["relabel"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("100 labels may take 409600 bytes") && text.contains("free some space: df -h /"), "{text}");
    assert!(files.iter().all(|(path, ..)| root.label(&path[1..]).is_none()));
    // Few enough find their room, and all once there is some.
    assert_eq!(root.report(&["relabel", "/usr/lib/many/7"]).counts.written, 1);
    std::fs::remove_file(filler).unwrap();
    assert_eq!(root.report(&["relabel"]).counts.written, 99);
}

/// A file system that is full all the same, as somebody else filled it meanwhile: what found room stays, the rest is named,
/// and the next run writes it.
#[test]
fn a_full_file_system_in_the_middle_costs_only_what_found_no_room() {
    let root = PrivateRoot::new();
    let paths: Vec<String> = (0..60).map(|number| format!("/usr/lib/many/{number}")).collect();
    let files: Vec<_> = paths.iter().map(|path| (path.as_str(), "content\n", "0755")).collect();
    root.install(&[root.build("many", "1.0", &files, Signed::Good)]);
    // The twentieth label of each thread, and those after it.
    let mut command = std::process::Command::new("strace");
    command.args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fsetxattr",
        "-e",
        "inject=fsetxattr:error=ENOSPC:when=20+",
    ]);
    command.arg(env!("CARGO_BIN_EXE_imactl")).arg("--root").arg(root.path()).args(["--json", "relabel"]);
    let output = crate::machine::output(command);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let report: imad::model::report::LabelReport = serde_json::from_slice(&output.stdout).unwrap();
    let written = report.counts.written;
    assert!((19..60).contains(&written), "{written}");
    assert_eq!((count(&report, State::Good), count(&report, State::Missing)), (written, 60 - written));
    let said =
        report.files.iter().filter(|file| file.reason.contains("No space left on device (os error 28) (a label may"));
    assert_eq!(said.count() as u64, 60 - written);
    let labelled = paths.iter().filter(|path| root.label(&path[1..]).is_some()).count();
    assert_eq!(labelled as u64, written);
    assert_eq!(root.report(&["relabel"]).counts.written, 60 - written);
    assert_eq!(root.imactl(&["check"]).0, 0);
}
