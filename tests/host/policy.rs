//! `imactl policy`: its words, its JSON, its exit status.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use imad::model::policy::origin::{ListReport, ReadFrom, ShowReport};
use imad::model::policy::report::{CheckReport, LineVerdict};

use crate::machine::{folder, output};

const OURS_01: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/policies/01-appraise-executable-and-lib-signatures");

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// What imactl said and how it ended.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

fn said(command: Command) -> Said {
    let output = output(command);
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn imactl(dir: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imactl"));
    command.current_dir(dir).args(arguments);
    said(command)
}

/// With text on standard input.
fn imactl_reads(input: &[u8], arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imactl"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that finds its arguments wrong may be gone before it reads.
    match child.stdin.take().unwrap().write_all(input) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("{error}"),
        _ => {}
    }
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A check of this text for the kernel of the fixtures.
fn check(text: &[u8], more: &[&str]) -> Said {
    let config = fixtures().join("kernel-config");
    let arguments = ["policy", "check", "--kernel-config", config.to_str().unwrap(), "-"];
    imactl_reads(text, &[&arguments, more].concat())
}

#[test]
fn the_manual_page_shows_what_the_program_says() {
    let man = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/man/imactl-policy-check.1");
    let mut plain = Command::new("man");
    plain.env("MANWIDTH", "200").args(["--no-justification", "--no-hyphenation", "-E", "ascii", "-l"]).arg(man);
    let page = said(plain).out;
    // Without the page's own indentation.
    let lines: Vec<_> = page.lines().map(|line| line.strip_prefix("       ").unwrap_or(line)).collect();
    let page = lines.join("\n");
    let folder = fixtures().join("policies");
    let mut names: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names.len(), 10);
    for name in names {
        let said = imactl(&folder, &["policy", "check", "--kernel-config", "../kernel-config", &name]);
        let warned_only = name == "loads-and-bricks";
        assert_eq!(said.code, i32::from(!warned_only), "{name}: {said:?}");
        let shown = format!("$ imactl policy check {name}\n{}", said.out);
        assert!(page.contains(&shown), "the page lacks:\n{shown}\nin:\n{page}");
    }
}

#[test]
fn our_strict_policy_passes_strictly() {
    let config = fixtures().join("kernel-config");
    let arguments = ["policy", "check", "--strict", "--kernel-config", config.to_str().unwrap(), OURS_01];
    let said = imactl(Path::new("/"), &arguments);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(said.out, format!("{OURS_01}: 22 rules, no warning, 1 note (--verbose)\n"));
    // And for the running kernel, or what stands in for one without IMA.
    assert_eq!(imactl(Path::new("/"), &["policy", "check", OURS_01]).code, 0);
}

#[test]
fn exit_status_tells_good_from_bad_and_bad_from_unreadable() {
    assert_eq!(check(b"audit uid=0\n", &[]).code, 0);
    assert_eq!(check(b"measure pcr=40\n", &[]).code, 0);
    assert_eq!(check(b"measure pcr=40\n", &["--strict"]).code, 1);
    assert_eq!(check(b"allow\n", &[]).code, 1);
    assert_eq!(check(b"# nothing\n", &[]).code, 1);
    assert_eq!(check(b"", &[]).code, 1);
    let missing = check(b"allow\n", &["/nowhere/policy", "/nowhere/else"]);
    assert_eq!(missing.code, 2);
    assert!(missing.out.contains("unknown word `allow`"), "{missing:?}");
    assert!(
        missing.err.contains("/nowhere/policy: No such file") && missing.err.contains("/nowhere/else"),
        "{missing:?}"
    );
    assert_eq!(imactl_reads(b"", &["policy", "check"]).code, 2);
    assert_eq!(imactl_reads(b"", &["policy", "check", "--kernel-config", OURS_01, OURS_01]).code, 2);
    assert_eq!(imactl_reads(b"", &["policy", "check", "/"]).code, 2);
}

#[test]
fn a_kernel_without_ima_is_no_measure_when_it_is_named() {
    let dir = folder();
    std::fs::write(dir.path().join("config"), "CONFIG_64BIT=y\n").unwrap();
    let said = imactl(dir.path(), &["policy", "check", "--kernel-config", "config", OURS_01]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("CONFIG_IMA"), "{said:?}");
}

#[test]
fn colours_are_for_terminals() {
    assert!(!check(b"allow\n", &[]).out.contains('\x1b'));
    // script(1) gives the program a terminal.
    let run = |environment: &str| {
        let mut command = Command::new("script");
        let imactl = env!("CARGO_BIN_EXE_imactl");
        let config = fixtures().join("kernel-config");
        let program = format!(
            "env {environment} {imactl} policy check --kernel-config {} {}",
            config.display(),
            fixtures().join("policies/unknown-hook").display()
        );
        command.env_remove("NO_COLOR").args(["-qec", &program, "/dev/null"]).stdin(Stdio::null());
        said(command)
    };
    let coloured = run("TERM=xterm");
    assert!(coloured.out.contains("\x1b[1;31merror\x1b[0m"), "{coloured:?}");
    let plain = run("NO_COLOR=1");
    assert!(plain.out.contains("error: unknown hook") && !plain.out.contains('\x1b'), "{plain:?}");
}

#[test]
fn json_tells_the_same() {
    let text = "dont_appraise fsname=tmpfs\nappraise func=BPRM_CHEK\nmeasure fsname=\u{6f22} pcr=64\n".as_bytes();
    let said = check(text, &["--json"]);
    assert_eq!(said.code, 1);
    let report: CheckReport = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    assert_eq!((report.version, report.kernels.len(), report.files.len()), (1, 1, 1));
    let file = &report.files[0];
    assert!(!file.accepted && file.errno == Some(22) && file.file == "-" && file.rules == 1);
    let places: Vec<_> = file.faults.iter().map(|fault| (fault.line, fault.column, fault.end_column)).collect();
    assert_eq!(places, [(2, 15, 24), (3, 22, 24)]);
    assert!(file.faults[0].help.as_deref().unwrap().contains("BPRM_CHECK"));
    assert_eq!(file.faults[1].text, "measure fsname=\u{6f22} pcr=64");
    let part = report.kernels[0].parts.iter().find(|part| part.name == "modsig").unwrap();
    assert!(part.value == "yes" && part.from.ends_with("kernel-config"), "{part:?}");

    let accepted = check(b"measure pcr=40\n", &["--json"]);
    let report: CheckReport = serde_json::from_str(&accepted.out).unwrap();
    let warning = &report.files[0].warnings[0];
    assert_eq!(warning.id.as_deref(), Some("pcr-above-31"));
    assert!(warning.why.is_some() && warning.help.is_some() && report.files[0].errno.is_none());
}

#[test]
fn each_line_is_a_policy_of_its_own() {
    let text = b"measure\n\n# c\nallow\nmeasure uid=99999999999999999999\nuid=0 audit";
    let said = check(text, &["--each-line"]);
    assert_eq!(said.code, 1);
    let lines: Vec<LineVerdict> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let verdicts: Vec<_> = lines.iter().map(|line| (line.line, line.accepted, line.errno)).collect();
    assert_eq!(
        verdicts,
        [
            (1, true, None),
            (2, true, None),
            (3, true, None),
            (4, false, Some(22)),
            (5, false, Some(34)),
            (6, true, None)
        ]
    );
    assert_eq!(lines[5].rule.as_deref(), Some("audit uid=0"));
    assert_eq!(check(b"measure\n", &["--each-line"]).code, 0);
    assert_eq!(check(b"measure\n", &["--each-line", OURS_01]).code, 2);
}

#[test]
fn verbose_tells_notes_and_where_the_kernel_is_known_from() {
    let said = check(b"appraise func=KEXEC_KERNEL_CHECK appraise_type=imasig\n", &["--verbose"]);
    assert!(said.out.contains("note[kexec-load-stops]"), "{said:?}");
    assert!(said.out.contains("more than one load") && said.out.contains("kernel-config"), "{said:?}");
    assert!(said.out.contains("version 6.12"), "{said:?}");
}

/// A root with kernels and policies.
fn image() -> tempfile::TempDir {
    let dir = folder();
    let put = |path: &str, content: &[u8]| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    let config = std::fs::read_to_string(fixtures().join("kernel-config")).unwrap();
    put("usr/lib/modules/6.12.0/config", config.as_bytes());
    put("usr/lib/modules/6.13.0/config", config.as_bytes());
    put("usr/lib/modules/6.14.0/config", config.replace("6.12.0", "6.14.0").as_bytes());
    put("usr/share/imad/policies/01-ours", b"# Ours.\nmeasure func=POLICY_CHECK\n");
    put("usr/share/imad/policies/02-both", b"# The vendor's.\nmeasure func=POLICY_CHECK uid=0\n");
    put("usr/share/ima/policies/sample", b"measure\n");
    put("etc/imad/policies/02-both", b"# The administrator's.\naudit func=BPRM_CHECK\nmeasure func=POLICY_CHECK\n");
    put("etc/imad/policies/02-both.rpmnew", b"measure\n");
    put("etc/imad/policies/broken", b"allow\n");
    put("etc/ima/ima-policy", b"# The administrator's.\naudit func=BPRM_CHECK\nmeasure func=POLICY_CHECK\n");
    put("commented", b"audit func=BPRM_CHECK # who runs what\n");
    dir
}

#[test]
fn an_images_own_kernels_judge_its_policies() {
    let dir = image();
    let root = dir.path().to_str().unwrap();
    let said = imactl(Path::new("/"), &["--root", root, "policy", "check", "/commented"]);
    assert_eq!(said.code, 1);
    // Kernels that are alike are one; comments behind rules came with 6.14.
    assert!(said.out.contains("For kernel 6.12.0, 6.13.0:\nerror: unknown word `#`"), "{said:?}");
    assert!(said.out.contains("For kernel 6.14.0:\n/commented: 1 rule"), "{said:?}");
    let said = imactl(Path::new("/"), &["--root", root, "--json", "policy", "check", "etc/ima/ima-policy"]);
    let report: CheckReport = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, report.kernels.len(), report.files.len()), (0, 2, 2));
    let several = imactl(Path::new("/"), &["--root", root, "policy", "check", "--each-line", "/commented"]);
    assert_eq!(several.code, 2, "{several:?}");
}

#[test]
fn named_policies_are_listed_and_shown() {
    let dir = image();
    let root = dir.path().to_str().unwrap();
    let said = imactl(Path::new("/"), &["--root", root, "--json", "policy", "list"]);
    let list: ListReport = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    let shown: Vec<_> = list
        .policies
        .iter()
        .map(|policy| (policy.name.as_str(), policy.path.as_str(), policy.description.as_deref(), policy.in_effect))
        .collect();
    assert_eq!(
        shown,
        [
            ("01-ours", "/usr/share/imad/policies/01-ours", Some("Ours."), false),
            ("02-both", "/etc/imad/policies/02-both", Some("The administrator's."), true),
            ("broken", "/etc/imad/policies/broken", None, false),
            ("sample", "/usr/share/ima/policies/sample", None, false),
        ]
    );
    let said = imactl(Path::new("/"), &["--root", root, "policy", "list"]);
    assert_eq!(said.code, 0);
    assert!(said.out.contains("* 02-both\n    The administrator's."), "{said:?}");
    assert!(said.out.ends_with("/etc/ima/ima-policy holds the same as 02-both.\n"), "{said:?}");

    let show = |policy: &[&str]| imactl(Path::new("/"), &[&["--root", root, "policy", "show"], policy].concat());
    let said = show(&["02-both"]);
    assert_eq!(
        said.out,
        "Rules (2):\n  /etc/imad/policies/02-both\n      2  audit func=BPRM_CHECK\n      3  measure func=POLICY_CHECK\n"
    );
    assert_eq!(show(&["/usr/share/ima/policies/sample"]).code, 0);
    assert_eq!(show(&["nothing"]).code, 2);
    let broken = show(&["broken"]);
    assert!(broken.code == 2 && broken.err.contains("unknown word `allow`"), "{broken:?}");
    let said = imactl(Path::new("/"), &["--root", root, "--json", "policy", "show"]);
    let report: ShowReport = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report.read_from, ReadFrom::File);
    assert_eq!(report.rules[0].line, Some(2));
    std::fs::remove_file(dir.path().join("etc/ima/ima-policy")).unwrap();
    let said = show(&[]);
    assert!(said.code == 2 && said.err.contains("/etc/ima/ima-policy is not there"), "{said:?}");
}

#[test]
fn files_are_laid_out_in_place_whole_or_not_at_all() {
    let dir = folder();
    let path = dir.path().join("policy");
    let (messy, tidy) =
        (" #  why\nuid=0\tmeasure\nmeasure  func=FILE_MMAP\n", "#  why\nmeasure uid=0\nmeasure func=MMAP_CHECK\n");
    std::fs::write(&path, messy).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("policy", dir.path().join("link")).unwrap();

    let said = imactl(dir.path(), &["policy", "fmt", "--check", "link"]);
    assert_eq!((said.code, said.out.as_str()), (1, "link would be laid out\n"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), messy);
    let said = imactl(dir.path(), &["policy", "fmt", "link"]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "link is laid out\n", ""));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), tidy);
    assert!(dir.path().join("link").is_symlink());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    let said = imactl(dir.path(), &["--json", "policy", "fmt", "--check", "policy"]);
    let document: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &document["files"][0]["changed"]), (0, &serde_json::Value::Bool(false)));

    std::fs::write(&path, "measure\nallow\n").unwrap();
    let said = imactl(dir.path(), &["policy", "fmt", "policy"]);
    assert!(said.code == 2 && said.err.contains("unknown word `allow`"), "{said:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "measure\nallow\n");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    assert_eq!(imactl(dir.path(), &["policy", "fmt", "nothing"]).code, 2);

    let said = imactl_reads(messy.as_bytes(), &["policy", "fmt", "-"]);
    assert_eq!((said.code, said.out.as_str()), (0, tidy));
    assert_eq!(imactl_reads(messy.as_bytes(), &["policy", "fmt", "--check", "-"]).code, 1);
    assert_eq!(imactl_reads(b"allow\n", &["policy", "fmt", "-"]).code, 2);
}

#[test]
fn a_lost_signature_is_said() {
    let dir = folder();
    let path = dir.path().join("policy");
    std::fs::write(&path, "uid=0 measure\n").unwrap();
    let mut label = Command::new("setfattr");
    label.args(["-n", "security.ima", "-v", "0x0404aabb"]).arg(&path);
    crate::machine::run(label);
    let said = imactl(dir.path(), &["policy", "fmt", "policy"]);
    assert!(said.code == 0 && said.err.contains("policy had a label"), "{said:?}");
}
