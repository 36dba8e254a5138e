//! `imactl doctor` on a private root: what is wrong is named, and no more once it is mended.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

use imad::model::doctor::{Diagnosis, Finding, Severity};

use crate::fixture::{PrivateRoot, Signed};
use crate::next_boot::{NEW, OLD, root, sign, write};

const UNITS: [&str; 3] = ["imad.service", "imad-boot-check.service", "imad-confirm.service"];

fn ask(root: &PrivateRoot) -> (i32, Vec<Finding>) {
    let (code, text) = root.imactl(&["--json", "doctor"]);
    let diagnosis: Diagnosis = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(diagnosis.healthy, code == 0, "{text}");
    (code, diagnosis.findings)
}

fn names(findings: &[Finding]) -> BTreeSet<&str> {
    findings.iter().map(|finding| finding.name.as_str()).collect()
}

#[track_caller]
fn of<'f>(findings: &'f [Finding], name: &str) -> &'f Finding {
    findings.iter().find(|finding| finding.name == name).unwrap_or_else(|| panic!("no {name}: {findings:#?}"))
}

/// imad's units, as its packages bring them and systemd's presets enable them; its folders.
fn install_imad(root: &PrivateRoot) {
    for unit in UNITS {
        let source = format!("{}/units/{unit}", env!("CARGO_MANIFEST_DIR"));
        write(root, &format!("usr/lib/systemd/system/{unit}"), std::fs::read(source).unwrap());
    }
    let wants = root.join("etc/systemd/system/multi-user.target.wants");
    std::fs::create_dir_all(&wants).unwrap();
    symlink("/usr/lib/systemd/system/imad.service", wants.join("imad.service")).unwrap();
    for folder in ["etc/imad/state", "var/lib/imad"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
}

#[test]
fn a_root_where_nothing_is_armed_and_nothing_wrong_is_healthy() {
    let root = PrivateRoot::new();
    install_imad(&root);
    let (code, findings) = ask(&root);
    assert_eq!(code, 0, "{findings:#?}");
    assert_eq!(names(&findings), ["no-policy"].into());
    let (code, text) = root.imactl(&["doctor"]);
    assert!(
        code == 0 && text.starts_with("Found: 1 note.\n\nPolicy\n- note: /etc/ima/ima-policy is not there"),
        "{text}"
    );
    std::fs::remove_dir_all(root.join("etc/keys")).unwrap();
    let (code, findings) = ask(&root);
    assert_eq!((code, of(&findings, "no-certificate").severity), (1, Severity::Warning), "{findings:#?}");
}

#[test]
fn what_is_wrong_is_named_until_it_is_mended() {
    let root = root();
    for path in
        [format!("boot/loader/entries/3a6b-{OLD}.conf"), format!("boot/vmlinuz-{OLD}"), format!("boot/config-{OLD}")]
    {
        std::fs::remove_file(root.join(&path)).unwrap();
    }
    let entry = root.join(&format!("boot/loader/entries/3a6b-{NEW}.conf"));
    let plain_entry = std::fs::read_to_string(&entry).unwrap();
    let set_line = |words: &str| std::fs::write(&entry, plain_entry.replace("$tuned_params", words)).unwrap();
    set_line("ima_appraise=log ima_policy=tcb");
    write(&root, "etc/sysconfig/ima-policy", "measure func=BPRM_CHECK\n");
    write(&root, "etc/dracut.conf.d/98-integrity.conf", "add_dracutmodules+=\" integrity \"\n");
    write(&root, "usr/bin/rpm", "");
    root.install(&[root.build("own", "1.0", &[("/opt/own/tool", "#!/bin/sh\n", "0755")], Signed::Not)]);

    let (code, findings) = ask(&root);
    assert_eq!(code, 1);
    let found = names(&findings);
    let wrong = [
        "kernel-ecdsa",
        "kernel-option",
        "ima-appraise",
        "ima-policy",
        "policy-of-dracut",
        "dracut-integrity",
        "rpm-plugin",
        "package-unsigned",
        "unit",
        "folder",
    ];
    for name in wrong {
        assert!(found.contains(name), "{name}: {findings:#?}");
    }
    assert_eq!(of(&findings, "kernel-ecdsa").place, NEW);
    assert_eq!(of(&findings, "rpm-plugin").severity, Severity::Fault);
    assert_eq!(of(&findings, "dracut-integrity").place, "/etc/dracut.conf.d/98-integrity.conf");
    let unsigned = &of(&findings, "package-unsigned").problem.what;
    assert!(unsigned.starts_with("1 of 1 packages") && unsigned.contains("own-1.0-1.noarch (1)"), "{unsigned}");
    assert_eq!(findings.iter().filter(|finding| finding.name == "unit").count(), UNITS.len(), "{findings:#?}");

    set_line("quiet");
    let config = root.join(&format!("boot/config-{NEW}"));
    let more = "CONFIG_CRYPTO_ECDSA=y\nCONFIG_IMA_KEYRINGS_PERMIT_SIGNED_BY_BUILTIN_OR_SECONDARY=y\n";
    std::fs::write(&config, std::fs::read_to_string(&config).unwrap() + more).unwrap();
    for path in ["etc/sysconfig/ima-policy", "etc/dracut.conf.d/98-integrity.conf"] {
        std::fs::remove_file(root.join(path)).unwrap();
    }
    write(&root, "usr/lib64/rpm-plugins/ima.so", "");
    root.install(&[root.build("own", "2.0", &[("/opt/own/tool", "#!/bin/sh\n", "0755")], Signed::Good)]);
    install_imad(&root);
    let (_, findings) = ask(&root);
    for name in wrong {
        assert!(!names(&findings).contains(name), "{name}: {findings:#?}");
    }
}

#[test]
fn a_policy_that_denies_containers_is_told_where_there_are_any() {
    let root = root();
    let denies = |root: &PrivateRoot| {
        write(
            root,
            "etc/ima/ima-policy",
            "dont_appraise fsname=rootfs\nappraise func=BPRM_CHECK appraise_type=imasig\n",
        );
        sign(&root.join("etc/ima/ima-policy"));
    };
    let is_named = |root: &PrivateRoot| names(&ask(root).1).contains("containers");
    std::fs::create_dir_all(root.join("var/lib/containers/storage/overlay")).unwrap();
    assert!(!is_named(&root));
    denies(&root);
    assert!(is_named(&root));
    std::fs::remove_dir_all(root.join("var/lib/containers")).unwrap();
    assert!(!is_named(&root));
}

#[test]
fn masked_units_are_named() {
    let root = root();
    install_imad(&root);
    let of_unit = |findings: &[Finding]| -> Vec<String> {
        let units = findings.iter().filter(|finding| finding.name == "unit");
        units.map(|finding| finding.problem.what.clone()).collect()
    };
    assert_eq!(of_unit(&ask(&root).1), [""; 0]);
    std::fs::remove_file(root.join("etc/systemd/system/multi-user.target.wants/imad.service")).unwrap();
    symlink("/dev/null", root.join("etc/systemd/system/imad-confirm.service")).unwrap();
    let told = of_unit(&ask(&root).1);
    assert!(told.len() == 2 && told[0].starts_with("imad-confirm.service is masked"), "{told:?}");
    assert!(told[1].starts_with("imad.service is not enabled"), "{told:?}");
}
