//! `imactl explain` and `imactl policy diff` on a private root: the rules of files, nothing loaded.

use std::path::Path;

use crate::fixture::{PrivateRoot, Signed};

const POLICY: &str = "/etc/ima/ima-policy";

fn root() -> PrivateRoot {
    let root = PrivateRoot::new();
    root.install(&[
        root.build("good", "1.0", &[("/usr/bin/good", "#!/usr/bin/bad\n", "0755")], Signed::Good),
        root.build("bad", "1.0", &[("/usr/bin/bad", "2\n", "0755"), ("/usr/share/bad", "3\n", "0644")], Signed::Not),
    ]);
    root.report(&["relabel"]);
    root
}

fn write(root: &PrivateRoot, path: &str, text: &str) {
    let file = root.join(path.trim_start_matches('/'));
    std::fs::create_dir_all(file.parent().unwrap_or(Path::new("/"))).unwrap();
    std::fs::write(file, text).unwrap();
}

#[test]
fn a_script_is_denied_by_its_interpreter_and_the_rule_is_shown() {
    let root = root();
    write(&root, POLICY, "# all programs\nappraise func=BPRM_CHECK appraise_type=imasig\n");
    let (code, text) = root.imactl(&["explain", "--uid", "1000", "/usr/bin/good"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("Label    good"), "{text}");
    assert!(text.contains("Denied (EACCES): exec by user 1000"), "{text}");
    assert!(text.contains("/etc/ima/ima-policy:2\n  2 | appraise func=BPRM_CHECK appraise_type=imasig\n"), "{text}");
    assert!(text.contains("program /usr/bin/bad: unsigned"), "{text}");
    assert!(text.contains("audit record: cause=IMA-signature-required"), "{text}");
    let (code, text) = root.imactl(&["explain", "--as", "read", "/usr/bin/good"]);
    assert!(code == 0 && text.contains("Allowed: read"), "{text}");
}

#[test]
fn a_policy_that_does_not_parse_is_named_and_the_label_told_all_the_same() {
    let root = root();
    write(&root, POLICY, "appraise func=NONSENSE\n");
    let (code, text) = root.imactl(&["explain", "/usr/bin/good"]);
    assert!(code == 0 && text.contains("/etc/ima/ima-policy:1:15: unknown hook `NONSENSE`"), "{text}");
    let (code, text) = root.imactl(&["explain", "--policy", POLICY, "/usr/bin/good"]);
    assert!(code == 2 && text.contains("imactl policy check"), "{text}");
}

#[test]
fn two_policies_are_compared_by_what_they_do_to_packaged_files() {
    let root = root();
    write(&root, "/etc/imad/policies/now", "measure func=BPRM_CHECK\n");
    write(&root, "/etc/imad/policies/then", "appraise func=BPRM_CHECK appraise_type=imasig\n");
    let (code, text) = root.imactl(&["policy", "diff", "now", "then"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("denied  exec  /usr/bin/bad  bad  /etc/imad/policies/then:1"), "{text}");
    assert!(text.contains("Of 3 packaged files 1 uses become denied, 0 become allowed."), "{text}");
    let (code, text) = root.imactl(&["policy", "diff", "then", "now"]);
    assert!(code == 0 && text.contains("0 uses become denied, 1 become allowed."), "{text}");

    // Signed files cannot be written where opening is appraised, and unlabelled ones cannot be read.
    write(&root, "/etc/imad/policies/reads", "appraise func=FILE_CHECK appraise_type=imasig\n");
    let (code, text) = root.imactl(&["--json", "policy", "diff", "now", "reads"]);
    let report: imad::model::prediction::DiffReport =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let uses: Vec<_> = report.files.iter().map(|file| (file.path.as_str(), file.way.as_str())).collect();
    assert_eq!(code, 1);
    let denied = [
        ("/usr/bin/bad", "exec"),
        ("/usr/bin/bad", "read"),
        ("/usr/bin/bad", "write"),
        ("/usr/bin/good", "write"),
        ("/usr/share/bad", "read"),
        ("/usr/share/bad", "write"),
    ];
    assert_eq!(uses, denied);
}
