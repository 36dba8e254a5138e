//! Roots that are images, and processes that may write no labels: everything is verified, nothing is written.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use imad::model::plan::State;
use imad::model::report::LabelReport;

use super::fixture::{PrivateRoot, Signed, folder, output, run};

const FILES: &[(&str, &str, &str)] =
    &[("/usr/bin/hello", "#!/bin/sh\necho hello\n", "0755"), ("/usr/share/hello", "data\n", "0644")];

/// A mount, gone when dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(options: &[&OsStr], target: PathBuf) -> Self {
        std::fs::create_dir_all(&target).unwrap();
        run("mount", &[options, &[target.as_ref()]].concat());
        Self(target)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        output("umount", &[OsStr::new("-l"), self.0.as_ref()]);
    }
}

fn relabel(root: &Path) -> LabelReport {
    let output = output(
        env!("CARGO_BIN_EXE_imactl"),
        &["--json".as_ref(), "--root".as_ref(), root.as_os_str(), "relabel".as_ref()],
    );
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Nothing was written, and the reason says why.
fn assert_only_verified(report: &LabelReport, state: State, reason: &str) {
    assert_eq!((report.counts.written, report.counts.by_state.get(&state)), (0, Some(&2)), "{report:?}");
    for file in report.files.iter().filter(|file| file.state == State::Missing) {
        assert!(file.reason.contains("verifies") && file.reason.contains(reason), "{file:?}");
    }
}

#[test]
fn read_only_images_are_verified() {
    for kind in ["squashfs", "erofs"] {
        let root = PrivateRoot::new();
        root.install(&[root.build("hello", "1.0", FILES, Signed::Good)]);
        let folder = folder();
        let mounted = |name: &str| {
            let image = folder.path().join(name);
            match kind {
                "squashfs" => run("mksquashfs", &[root.path().as_ref(), image.as_os_str(), "-quiet".as_ref()]),
                _ => run("mkfs.erofs", &[OsStr::new("--quiet"), image.as_ref(), root.path().as_ref()]),
            };
            let options = ["-t", kind, "-o", "loop,ro"].map(OsStr::new);
            Mount::new(&[&options[..], &[image.as_ref()]].concat(), folder.path().join(format!("{name}-mounted")))
        };
        let bare = mounted("bare");
        assert_only_verified(&relabel(&bare.0), State::Missing, &format!("{kind} image").replace("erofs", "EROFS"));
        root.report(&["relabel"]);
        let labelled = mounted("labelled");
        assert_only_verified(&relabel(&labelled.0), State::Good, "");
    }
}

#[test]
fn a_composefs_image_is_verified() {
    let root = PrivateRoot::new();
    root.install(&[root.build("hello", "1.0", FILES, Signed::Good)]);
    let folder = folder();
    let objects = folder.path().join("objects");
    std::fs::create_dir(&objects).unwrap();
    let layers = format!("ro,lowerdir={}:{}", root.path().display(), objects.display());
    let options = ["-t", "overlay", "-o", &layers, "composefs"].map(OsStr::new);
    let mounted = Mount::new(&options, folder.path().join("mounted"));
    assert_only_verified(&relabel(&mounted.0), State::Missing, "a composefs image");
}

/// Its files are hard links into the object store: a label would damage the object.
#[test]
fn a_deployment_of_ostree_is_verified() {
    let folder = folder();
    let path = folder.path().join("ostree/deploy/os/deploy/0123.0");
    let root = PrivateRoot::at(folder, path);
    root.install(&[root.build("hello", "1.0", FILES, Signed::Good)]);
    assert_only_verified(&relabel(root.path()), State::Missing, "a deployment of ostree");
    assert_eq!(root.label("usr/bin/hello"), None);
}

#[test]
fn what_may_write_no_labels_says_so() {
    let root = PrivateRoot::new();
    root.install(&[root.build("hello", "1.0", FILES, Signed::Good)]);
    let imactl = env!("CARGO_BIN_EXE_imactl");
    let path = root.path().to_str().unwrap();
    let call = ["--json", "--root", path, "relabel"];
    for (program, arguments, why) in [
        ("unshare", &["-U", "-r", imactl][..], "in a user namespace"),
        ("setpriv", &["--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin", imactl][..], "without CAP_SYS_ADMIN"),
    ] {
        let output = output(program, &[arguments, &call].concat());
        let report: LabelReport =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        assert_only_verified(&report, State::Missing, "");
        assert!(report.problems.iter().any(|problem| problem.what.contains(why)), "{report:?}");
        assert_eq!(output.status.code(), Some(1));
    }
    assert_eq!(root.label("usr/bin/hello"), None);
}
