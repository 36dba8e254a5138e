//! What a boot on trial records lasts on real file systems, also read-only and full ones; what would not last is no store.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use imad::model::trial::{Attempts, Sum};
use imad::ops::trial::{self, CONFIRMED_POLICY, Confirmation};
use imad::sys::efi_variable;
use imad::sys::root::Root;

use super::fixture::{fill, folder, output, run};

const LABEL: &str = "0x030204d33204490004aabbccdd";

/// A mount, gone when dropped.
pub(crate) struct Mount(PathBuf);

impl Mount {
    fn new(options: &[&str], source: &Path, target: PathBuf) -> Self {
        std::fs::create_dir_all(&target).unwrap();
        let options: Vec<&OsStr> = options.iter().map(AsRef::as_ref).collect();
        run("mount", &[&options[..], &[source.as_ref(), target.as_ref()]].concat());
        Self(target)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn root(&self) -> Root {
        Root::open(&self.0).unwrap()
    }

    /// Its options, and those of its file system.
    pub(crate) fn options(&self) -> (String, String) {
        let found = |column: &str| {
            let arguments = ["-n", "-o", column, "--mountpoint"].map(OsStr::new);
            let text = run("findmnt", &[&arguments[..], &[self.0.as_ref()]].concat()).stdout;
            String::from_utf8(text).unwrap().trim().to_owned()
        };
        (found("VFS-OPTIONS"), found("FS-OPTIONS"))
    }

    pub(crate) fn remount(&self, options: &str) {
        run("mount", &[OsStr::new("-o"), options.as_ref(), self.0.as_ref()]);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        output("umount", &[OsStr::new("-l"), self.0.as_ref()]);
    }
}

fn loop_device(image: &Path, options: &[&str]) -> PathBuf {
    let options: Vec<&OsStr> = options.iter().map(AsRef::as_ref).collect();
    let arguments = [&["--find", "--show"].map(OsStr::new)[..], &options, &[image.as_ref()]].concat();
    PathBuf::from(String::from_utf8(run("losetup", &arguments).stdout).unwrap().trim())
}

/// An image with a file system that holds the state folder.
pub(crate) struct Image {
    kind: &'static str,
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Image {
    pub(crate) fn new(kind: &'static str, mebibytes: u64) -> Self {
        let folder = folder();
        let path = folder.path().join("image");
        std::fs::File::create(&path).unwrap().set_len(mebibytes << 20).unwrap();
        run(format!("mkfs.{kind}"), &[OsStr::new("-q"), path.as_ref()]);
        let image = Self { kind, folder, path };
        let mounted = image.mount("rw");
        std::fs::create_dir_all(mounted.0.join("etc/imad/state")).unwrap();
        std::fs::create_dir_all(mounted.0.join("etc/ima")).unwrap();
        drop(mounted);
        image
    }

    pub(crate) fn mount(&self, options: &str) -> Mount {
        // mount(8) would make the device read-only too for a read-only mount.
        let device = loop_device(&self.path, &[]);
        let mounted = Mount::new(&["-o", options], &device, self.folder.path().join("mounted"));
        // It goes with the last mount.
        run("losetup", &[OsStr::new("--detach"), device.as_ref()]);
        mounted
    }

    /// What lies on the disk, seen by another mount of a copy: nothing of this kernel's caches is in it.
    pub(crate) fn copy(&self) -> Mount {
        let copy = self.folder.path().join("copy");
        std::fs::copy(&self.path, &copy).unwrap();
        // Read-write, since a journal is replayed first; and XFS takes no file system twice.
        let options = if self.kind == "xfs" { "loop,nouuid" } else { "loop" };
        Mount::new(&["-o", options], &copy, self.folder.path().join("elsewhere"))
    }

    fn on_disk(&self) -> Option<Attempts> {
        let mounted = self.copy();
        let (_, attempts, problems) = trial::read(&mounted.root());
        assert_eq!(problems, []);
        attempts
    }
}

fn attempt(before: Option<&Attempts>, boot: u8) -> Attempts {
    before.cloned().unwrap_or_default().with_attempt(Sum([7; 32]), [boot; 16]).0
}

#[test]
fn an_attempt_lasts_on_a_root_that_is_mounted_read_only() {
    for kind in ["ext4", "xfs"] {
        let image = Image::new(kind, if kind == "xfs" { 320 } else { 16 });
        let mounted = image.mount("ro,nodev,noatime");
        let before = mounted.options();
        assert!(before.0.starts_with("ro") && before.1.starts_with("ro"), "{before:?}");
        let mut known = None;
        for boot in 1..4 {
            let next = attempt(known.as_ref(), boot);
            let recorded = trial::record(&mounted.root(), &next).unwrap();
            assert_eq!(recorded.problems, []);
            let store = format!("/etc/imad/state/attempts ({kind}, {} mounted read-write for it)", mounted.0.display());
            assert_eq!(recorded.store, store);
            assert_eq!(mounted.options(), before);
            assert_eq!(
                std::fs::write(mounted.0.join("x"), "").unwrap_err().kind(),
                std::io::ErrorKind::ReadOnlyFilesystem
            );
            // Without an unmount: what a loss of power at this instant leaves.
            assert_eq!(image.on_disk(), Some(next.clone()));
            known = Some(next);
        }
    }
}

/// btrfs does not overwrite by itself, and knows a copy of itself as itself.
#[test]
fn an_attempt_lasts_on_btrfs() {
    let image = Image::new("btrfs", 128);
    let mut known = None;
    for boot in 1..4 {
        let mounted = image.mount("ro");
        let next = attempt(known.as_ref(), boot);
        assert_eq!(trial::record(&mounted.root(), &next).unwrap().problems, []);
        assert!(mounted.options().0.starts_with("ro"));
        run("umount", &[mounted.0.as_os_str()]);
        let (_, found, problems) = trial::read(&image.mount("ro").root());
        assert_eq!((found.as_ref(), problems), (Some(&next), vec![]));
        known = Some(next);
    }
}

#[test]
fn a_mount_that_alone_is_read_only_is_as_before() {
    let image = Image::new("ext4", 16);
    let mounted = image.mount("rw,nosuid");
    mounted.remount("remount,bind,ro,nosuid");
    let before = mounted.options();
    assert!(before.0.starts_with("ro") && before.1.starts_with("rw"), "{before:?}");
    let next = attempt(None, 1);
    trial::record(&mounted.root(), &next).unwrap();
    assert_eq!(mounted.options(), before);
    assert_eq!(image.on_disk(), Some(next));
    // One that is writable is left so, and not spoken of.
    mounted.remount("remount,bind,rw,nosuid");
    let recorded = trial::record(&mounted.root(), &attempt(None, 2)).unwrap();
    assert_eq!(recorded.store, "/etc/imad/state/attempts (ext4)");
    assert!(mounted.options().0.starts_with("rw"));
}

#[test]
fn a_full_disk_takes_the_next_attempt() {
    let image = Image::new("ext4", 4);
    let mounted = image.mount("rw");
    let mut known = attempt(None, 1);
    trial::record(&mounted.root(), &known).unwrap();
    fill(&mounted.0);
    mounted.remount("remount,ro");
    for boot in 2..5 {
        known = attempt(Some(&known), boot);
        assert_eq!(trial::record(&mounted.root(), &known).unwrap().problems, []);
        assert_eq!(image.on_disk(), Some(known.clone()));
    }
    assert_eq!(known.of(Sum([7; 32])).map(|attempt| attempt.count), Some(4));
    // The first record needs room, and says so where there is none.
    mounted.remount("remount,rw");
    std::fs::remove_file(mounted.0.join("etc/imad/state/attempts")).unwrap();
    fill(&mounted.0);
    mounted.remount("remount,ro");
    let problem = trial::record(&mounted.root(), &known).unwrap_err();
    assert!(problem.what.contains("No space left") && problem.next.contains("df -h"), "{problem:?}");
    assert!(mounted.options().0.starts_with("ro"));
}

#[test]
fn what_does_not_last_is_no_store() {
    let folder = folder();
    let refused = |mounted: &Mount, why: &str| {
        let before = mounted.options();
        let problem = trial::record(&mounted.root(), &attempt(None, 1)).unwrap_err();
        assert!(
            problem.what.contains("cannot be recorded so that it lasts") && problem.what.contains(why),
            "{problem:?}"
        );
        assert_eq!(mounted.options(), before);
    };
    let memory = Mount::new(&["-t", "tmpfs"], Path::new("none"), folder.path().join("memory"));
    std::fs::create_dir_all(memory.0.join("etc/imad/state")).unwrap();
    refused(&memory, "it lies in memory");

    let squashed = folder.path().join("squashed");
    run("mksquashfs", &[memory.0.as_os_str(), squashed.as_ref(), "-quiet".as_ref()]);
    refused(&Mount::new(&["-o", "loop,ro"], &squashed, folder.path().join("squash")), "it lies on an image");

    for name in ["upper", "work"] {
        std::fs::create_dir(memory.0.join(name)).unwrap();
    }
    let layers = format!("lowerdir={0},upperdir={0}/upper,workdir={0}/work", memory.0.display());
    let overlay = Mount::new(&["-t", "overlay", "-o", &layers], Path::new("none"), folder.path().join("overlay"));
    refused(&overlay, "it lies on an overlay");

    let image = Image::new("ext4", 16);
    let device = loop_device(&image.path, &["--read-only"]);
    let mounted = Mount::new(&["-o", "ro"], &device, folder.path().join("device"));
    refused(&mounted, "cannot be mounted read-write");
    run("umount", &[mounted.0.as_os_str()]);
    run("losetup", &[OsStr::new("--detach"), device.as_ref()]);

    let none = Root::open(folder.path()).unwrap();
    let problem = trial::record(&none, &attempt(None, 1)).unwrap_err();
    assert!(problem.what.contains("No such file"), "{problem:?}");
}

#[test]
fn the_confirmed_policy_is_kept_with_its_label() {
    let image = Image::new("ext4", 16);
    let mounted = image.mount("rw");
    let policy = mounted.0.join("etc/ima/ima-policy");
    std::fs::write(&policy, "appraise func=POLICY_CHECK appraise_type=imasig\n").unwrap();
    let set = |name: &str, value: &str| {
        let arguments = ["-n", name, "-v", value].map(OsStr::new);
        run("setfattr", &[&arguments[..], &[policy.as_ref()]].concat());
    };
    set("security.ima", LABEL);
    let confirmation = Confirmation {
        fingerprint: Sum([1; 32]),
        policy: Sum::of(&std::fs::read(&policy).unwrap()),
        policy_path: "/etc/ima/ima-policy".to_owned(),
        kernel: "6.12".to_owned(),
        units: Vec::new(),
    };
    trial::record(&mounted.root(), &Attempts::default().with_attempt(Sum([1; 32]), [1; 16]).0).unwrap();
    assert_eq!(trial::confirm(&mounted.root(), &confirmation), []);
    let copy = mounted.0.join(CONFIRMED_POLICY.trim_start_matches('/'));
    let label = |file: &Path| {
        let arguments = ["--only-values", "-n", "security.ima"].map(OsStr::new);
        run("getfattr", &[&arguments[..], &[file.as_ref()]].concat()).stdout
    };
    assert_eq!(std::fs::read(&copy).unwrap(), std::fs::read(&policy).unwrap());
    assert_eq!(label(&copy), label(&policy));
    let (state, attempts, _) = trial::read(&mounted.root());
    assert_eq!(attempts.unwrap().all(), []);
    assert_eq!(trial::fallback(&mounted.root(), state.as_ref(), Sum::ZERO), Some(confirmation.policy));

    // A policy that is signed anew is another file with the same rules: the copy follows.
    set("security.ima", "0x03020411223344000212345678");
    assert_eq!(trial::confirm(&mounted.root(), &confirmation), []);
    assert_eq!(label(&copy), label(&policy));
    assert_eq!(std::fs::read_dir(mounted.0.join("etc/imad/state")).unwrap().count(), 3);
}

#[test]
fn a_variable_that_the_kernel_made_immutable_is_written() {
    let folder = folder();
    efi_variable::write(folder.path(), "X-1", b"one").unwrap();
    run("chattr", &[OsStr::new("+i"), folder.path().join("X-1").as_ref()]);
    efi_variable::write(folder.path(), "X-1", b"two").unwrap();
    assert_eq!(efi_variable::read(folder.path(), "X-1").unwrap(), Some(b"two".to_vec()));
}

/// What a person sees, from the first boot on trial to the notice taken.
#[test]
fn imactl_tells_of_trials() {
    let image = Image::new("ext4", 16);
    let mounted = image.mount("rw");
    let imactl = |arguments: &[&str]| {
        let root: [&OsStr; 2] = ["--root".as_ref(), mounted.0.as_ref()];
        let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        let output = output(env!("CARGO_BIN_EXE_imactl"), &[&root[..], &arguments].concat());
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    trial::record(&mounted.root(), &attempt(None, 1)).unwrap();
    let (code, text) = imactl(&["trial", "status"]);
    assert!(code == Some(0) && text.contains("candidate 070707070707…: 1"), "{text}");
    let (code, text) = imactl(&["trial", "acknowledge"]);
    assert!(code == Some(1) && text.contains("Nothing was given up"), "{text}");

    let outcome = serde_json::json!({
        "fingerprint": Sum([7; 32]), "policy": Sum([8; 32]), "decision": "exhausted", "attempt": 2, "limit": 2, "store": null,
        "fallback": false, "fallback_fingerprint": null, "fallback_policy": null,
        "problem": { "what": "2 boots failed", "next": "look" },
    });
    let outcome = serde_json::from_value(outcome).unwrap();
    assert_eq!(trial::roll_back(&mounted.root(), &outcome, "6.12"), Ok(true));
    let (code, text) = imactl(&["trial", "status"]);
    assert!(code == Some(1) && text.contains("2 boots failed") && text.contains("imactl trial acknowledge"), "{text}");
    let (_, text) = imactl(&["status"]);
    assert!(text.contains("- 2 boots failed"), "{text}");
    let (code, text) = imactl(&["--json", "trial", "acknowledge"]);
    let done: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &done["given_up"][0]), (Some(0), &serde_json::json!(Sum([7; 32]))));
    let (_, text) = imactl(&["status"]);
    assert!(!text.contains("2 boots failed"), "{text}");
    let (_, attempts, _) = trial::read(&mounted.root());
    assert_eq!(attempts.unwrap().all(), []);
}
