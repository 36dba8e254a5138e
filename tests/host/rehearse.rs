//! A rehearsal asked for, taken back, taken by a boot, and reported, on private roots.

use std::os::unix::fs::PermissionsExt;

use imad::model::rehearsal::{
    Plan, RehearsalOutcome, RehearsalReport, RehearsalStatus, RehearsalWay, Request, WouldBeDenied,
};
use imad::model::report::{BootReport, Step};
use imad::model::trial::Sum;
use imad::ops::rehearsal;
use imad::sys::root::Root;

use crate::confirm::Booted;
use crate::fixture::{PrivateRoot, Signed};
use crate::next_boot::{NEW, OLD, root, sign, write};
use crate::trial::Image;

const STATE: &str = "etc/imad/state";

fn ask<T: serde::de::DeserializeOwned>(root: &PrivateRoot, arguments: &[&str]) -> (i32, T) {
    let (code, text) = root.imactl(&[&["--json", "rehearse"], arguments].concat());
    (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// A root whose named policy `strict` is signed.
fn ready() -> PrivateRoot {
    let root = root();
    write(
        &root,
        "etc/imad/policies/strict",
        "dont_appraise fsname=rootfs\nappraise func=BPRM_CHECK appraise_type=imasig\n",
    );
    sign(&root.join("etc/imad/policies/strict"));
    root
}

fn files(root: &PrivateRoot) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(root.join(STATE)) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_rehearsal_is_asked_for_and_taken_back() {
    let root = ready();
    let (code, plan): (_, Plan) = ask(&root, &["--policy", "strict", "--dry-run"]);
    assert!(code == 0 && plan.dry_run && !plan.armed, "{plan:?}");
    assert_eq!((plan.way, plan.rules), (RehearsalWay::Measure, 2));
    assert!(
        plan.next_reboot.starts_with("The next boot would be a rehearsal of /etc/imad/policies/strict"),
        "{plan:?}"
    );
    assert_eq!(files(&root), [""; 0]);

    let (code, plan): (_, Plan) = ask(&root, &["--policy", "strict"]);
    assert!(code == 0 && plan.armed && plan.problems.is_empty(), "{plan:?}");
    assert_eq!(files(&root), ["rehearsal", "rehearsal-policy"]);
    assert_eq!(root.label("etc/imad/state/rehearsal-policy"), root.label("etc/imad/policies/strict"));
    let mode = std::fs::metadata(root.join("etc/imad/state/rehearsal")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (code, status): (_, RehearsalStatus) = ask(&root, &[]);
    assert_eq!((code, status.armed), (1, Some(plan.request)));
    let (_, text) = root.imactl(&["status"]);
    assert!(text.contains("the next boot is a rehearsal of /etc/imad/policies/strict and protects nothing"), "{text}");

    let (code, _): (_, serde_json::Value) = ask(&root, &["--cancel"]);
    assert_eq!((code, files(&root)), (0, Vec::new()));
    let (code, text) = root.imactl(&["rehearse", "--cancel"]);
    assert!(code == 1 && text.contains("No rehearsal was armed"), "{text}");
    let (code, text) = root.imactl(&["rehearse"]);
    assert!(code == 1 && text.contains("imactl rehearse --policy"), "{text}");
}

#[test]
fn what_cannot_be_rehearsed_is_not_armed() {
    let root = ready();
    write(&root, "measures", "measure func=BPRM_CHECK\n");
    write(&root, "wrong", "appraise func=NONSENSE\n");
    write(&root, "labels", "appraise func=BPRM_CHECK obj_type=bin_t\n");
    for (policy, why) in [
        ("no-such", "there is no policy no-such; there are strict"),
        ("/no/such", "/no/such is not there"),
        ("/measures", "appraises no file"),
        ("/wrong", "/wrong:1:"),
        ("/labels", "/labels:1:"),
    ] {
        let (code, text) = root.imactl(&["rehearse", "--policy", policy]);
        assert!(code == 2 && text.contains(why), "{policy}: {text}");
    }
    write(&root, "etc/imad/imad.toml", "[boot]\nguard = 'closed'\n");
    let (code, text) = root.imactl(&["rehearse", "--policy", "strict"]);
    assert!(code == 2 && text.contains("a closed guard stops every boot"), "{text}");
    assert_eq!(files(&root), [""; 0]);
}

#[test]
fn what_the_next_boot_lacks_is_told_when_it_is_asked() {
    let root = ready();
    write(&root, "unsigned", "appraise func=BPRM_CHECK\nappraise func=SETXATTR_CHECK appraise_algos=sha256\n");
    write(&root, "usr/lib/imad/imad-boot", "imad-boot of tomorrow");
    let (_, plan): (_, Plan) = ask(&root, &["--policy", "/unsigned", "--dry-run"]);
    let told: Vec<_> = plan.problems.iter().map(|problem| problem.what.as_str()).collect();
    assert!(told[0].contains(&format!("the initramfs of {NEW} holds another imad-boot")), "{told:?}");
    assert!(told[1].contains("/unsigned is not signed"), "{told:?}");
    assert!(told[2].contains("/unsigned:2: this rule is not rehearsed"), "{told:?}");

    // The other kernel by default, whose image has none, started so that it records denials.
    write(
        &root,
        "boot/grub2/grubenv",
        format!("# GRUB Environment Block\nsaved_entry=3a6b-{OLD}\nkernelopts=ro ima_appraise=log\n###"),
    );
    let (_, plan): (_, Plan) = ask(&root, &["--policy", "strict", "--dry-run"]);
    assert_eq!(plan.way, RehearsalWay::Log);
    assert!(plan.problems[0].what.contains(&format!("imad-boot does not run in the initramfs of {OLD}")), "{plan:?}");
    // Nor is there a way where policies have to be signed.
    write(
        &root,
        "boot/grub2/grubenv",
        format!("# GRUB Environment Block\nsaved_entry=3a6b-{NEW}\nkernelopts=ima_policy=secure_boot\n###"),
    );
    let (_, plan): (_, Plan) = ask(&root, &["--policy", "strict", "--dry-run"]);
    assert!(plan.way == RehearsalWay::Nothing && plan.next_reboot.contains("nothing is loaded"), "{plan:?}");
}

#[test]
fn a_boot_takes_it_once_though_its_root_is_mounted_read_only() {
    let image = Image::new("ext4", 16);
    let request = Request { policy: "/p".to_owned(), ..Request::default() };
    let mounted = image.mount("rw");
    let path = |name: &str| mounted.path().join(STATE).join(name);
    std::fs::write(path("rehearsal"), serde_json::to_vec(&request).unwrap()).unwrap();
    std::fs::write(path("rehearsal-policy"), "appraise\n").unwrap();
    mounted.remount("remount,ro");
    let (before, root) = (mounted.options(), mounted.root());
    assert!(before.1.starts_with("ro"), "{before:?}");
    let (store, problem) = rehearsal::take(&root).unwrap();
    assert!(store.starts_with("/etc/imad/state/rehearsal.taken (ext4, ") && problem.is_none(), "{store} {problem:?}");
    assert_eq!(mounted.options(), before);
    assert!(!path("rehearsal").exists() && path("rehearsal.taken").exists());
    // What a loss of power at this instant leaves.
    let on_disk = image.copy();
    assert!(!on_disk.path().join(STATE).join("rehearsal").exists());
    assert!(rehearsal::take(&root).unwrap_err().what.contains("so that no later boot is one too"));
    // It came to no report.
    let told = rehearsal::problems(&root, None);
    assert!(told[0].what.contains("a rehearsal of /p came to no report"), "{told:?}");
}

/// The boot of a root, rehearsed so.
fn booted(policy: &str, way: RehearsalWay) -> (BootReport, RehearsalOutcome) {
    let outcome = RehearsalOutcome {
        policy: "/policy".to_owned(),
        policy_sha256: Sum::of(policy.as_bytes()).to_string(),
        way,
        ..RehearsalOutcome::default()
    };
    (BootReport { kernel: "6.12".to_owned(), rehearsal: Some(outcome.clone()), ..BootReport::default() }, outcome)
}

fn paths(report: &RehearsalReport) -> Vec<&str> {
    report.refused.iter().map(|denied: &WouldBeDenied| denied.file.path.as_str()).collect()
}

#[test]
fn the_report_names_what_a_login_needs_first_and_goes_by_what_is_labelled_now() {
    const POLICY: &str = "dont_appraise fsname=rootfs\nappraise func=BPRM_CHECK appraise_type=imasig\n";
    let root = root();
    let tool = |version, signed| root.build("tool", version, &[("/usr/bin/tool", "#!/bin/sh\n", "0755")], signed);
    let shell = |version, signed| root.build("shell", version, &[("/bin/sh", "#!/bin/sh\n", "0755")], signed);
    root.install(&[shell("1.0", Signed::Not), tool("1.0", Signed::Good)]);
    let unit = "usr/lib/systemd/system";
    write(&root, &format!("{unit}/default.target"), "[Unit]\nWants=tool.service\n");
    write(&root, &format!("{unit}/tool.service"), "[Service]\nExecStart=/usr/bin/tool\n");
    write(&root, "etc/imad/state/rehearsal-policy", POLICY);
    write(&root, "etc/imad/state/rehearsal.taken", "{}");
    let (boot, outcome) = booted(POLICY, RehearsalWay::Nothing);
    let open = Root::open(root.path()).unwrap();
    let report = rehearsal::report(&open, &boot, &outcome).unwrap();
    assert!(!report.passes && !report.comes_through, "{report:?}");
    assert_eq!(paths(&report), ["/bin/sh", "/usr/bin/tool"], "{report:?}");
    let shell_denied = &report.refused[0];
    assert!(shell_denied.file.core && !shell_denied.used, "{shell_denied:?}");
    assert!(shell_denied.file.package.as_deref().is_some_and(|package| package.starts_with("shell-1.0")), "{report:?}");
    assert_eq!(report.refused[1].file.next, "imactl relabel /usr/bin/tool");
    assert!(report.summary.contains("would have kept this machine from a login"), "{}", report.summary);
    assert_eq!(files(&root), ["rehearsal-policy"]);
    let (code, text) = root.imactl(&["rehearse"]);
    assert!(code == 1 && text.contains("- /bin/sh, without which nothing starts: "), "{text}");
    assert!(text.contains("  Next: imactl relabel /usr/bin/tool\n"), "{text}");

    root.install(&[shell("1.1", Signed::Good)]);
    root.report(&["relabel"]);
    let report = rehearsal::report(&open, &boot, &outcome).unwrap();
    assert!(report.passes && report.comes_through && report.refused_count == 0, "{report:?}");
    let (code, text) = root.imactl(&["rehearse"]);
    assert!(code == 0 && text.contains("/policy would have denied nothing"), "{text}");

    // Another policy lies there than was rehearsed: the report stays.
    write(&root, "etc/imad/state/rehearsal-policy", "appraise\n");
    assert!(rehearsal::report(&open, &boot, &outcome).unwrap_err().what.contains("it is not the policy"));
    let (_, status): (_, RehearsalStatus) = ask(&root, &[]);
    assert_eq!(status.report, Some(report));
}

/// What the kernel recorded in its log mode, by the audit daemon's log.
#[test]
fn imad_boot_confirm_writes_the_report_and_confirms_nothing() {
    const POLICY: &str = "dont_appraise fsname=rootfs\nappraise func=BPRM_CHECK fowner=4711 appraise_type=imasig\n";
    let booted_system = Booted::new();
    booted_system.write("etc/imad/state/rehearsal-policy", POLICY);
    let record = |name: &str| {
        format!(
            "type=INTEGRITY_DATA msg=audit(1700000000.123:45): pid=1 op=appraise_data cause=IMA-signature-required \
             comm=\"x\" name=\"{name}\" dev=\"vda\" ino=1 res=0 errno=0\n"
        )
    };
    booted_system.write("log/audit/audit.log", &(record("/run/no/such") + &record("/usr/bin/true")));
    let (mut boot, _) = booted(POLICY, RehearsalWay::Log);
    boot.steps.push(Step {
        name: "rehearsal".to_owned(),
        // No message of this machine's kernel is later.
        begin_us: u64::MAX,
        end_us: u64::MAX,
        cpu_us: 0,
        outcome: imad::model::report::Outcome::Done,
    });
    let (code, after) = booted_system.confirm_report(&boot);
    assert_eq!((code, after), (Some(0), boot));
    assert_eq!(booted_system.state(), None);
    let text = booted_system.read("lib-upper/imad/rehearsal.json");
    let report: RehearsalReport = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    // Nobody's file is 4711's here; what is gone is told by the kernel's record alone.
    assert_eq!(paths(&report), ["/run/no/such"], "{report:?}");
    assert!(report.refused[0].used && report.refused[0].file.why.contains("IMA-signature-required"), "{report:?}");
    assert_eq!((report.used, report.comes_through, report.passes), (2, true, false));
}
