//! Each finding comes with its fact and goes with it.

use super::*;
use crate::model::evm::Evm;
use crate::model::initramfs::Contents;
use crate::model::next_boot::{BootKernel, NextBoot, Outcome, RefusedFile};
use crate::model::plan::State;
use crate::model::policy::builtin::Boot;
use crate::model::policy::profile::{KernelConfig, KernelProfile};
use crate::model::report::LabelCounts;

const OPTIONS: [&str; 8] = [
    "IMA",
    "IMA_APPRAISE",
    "INTEGRITY_TRUSTED_KEYRING",
    "IMA_WRITE_POLICY",
    "IMA_READ_POLICY",
    "IMA_APPRAISE_BOOTPARAM",
    "IMA_KEYRINGS_PERMIT_SIGNED_BY_BUILTIN_OR_SECONDARY",
    "CRYPTO_ECDSA",
];

/// A kernel that lacks this option.
fn kernel_without(option: &str) -> KernelBuild {
    let options: Vec<_> =
        OPTIONS.iter().filter(|name| **name != option).map(|name| format!("CONFIG_{name}=y")).collect();
    let config = KernelConfig::parse(&format!("CONFIG_64BIT=y\n{}\n", options.join("\n")));
    KernelBuild { release: "6.12".to_owned(), config: Some(("/boot/config".to_owned(), config)) }
}

fn certificate(subject: &str, days_left: i32) -> CertificateFacts {
    let (file, subject) = (format!("/etc/keys/ima/{subject}{days_left}.der"), subject.to_owned());
    CertificateFacts { file, subject, key: "EC 256".to_owned(), days_left, days_until_begin: -10 }
}

fn unit(name: &str, state: &str) -> Unit {
    Unit { name: name.to_owned(), state: Ok(state.to_owned()) }
}

fn place(labels: LabelSupport) -> Place {
    let [mounted_at, filesystem, folder] = ["/opt", "vfat", "/opt/bin"].map(str::to_owned);
    Place { mounted_at, filesystem, folder, labels }
}

/// A machine with which nothing is wrong.
fn well() -> Facts {
    let contents = Contents { imad_boot: true, imad_boot_starts: true, ..Contents::default() };
    let kernel = BootKernel { release: "6.12".to_owned(), outcome: Outcome::Protected, ..BootKernel::default() };
    Facts {
        policy: Policy { path: "/etc/ima/ima-policy".to_owned(), exists: true, refuses_files: true },
        kernels: vec![kernel_without("")],
        command_lines: vec![line("root=/dev/vda ro quiet")],
        keys_dir: "/etc/keys/ima".to_owned(),
        certificates: vec![certificate("signer", 400)],
        next_boot: Some(NextBoot { kernels: vec![kernel], ready: true, ..NextBoot::default() }),
        images: vec![ImageFacts { release: "6.12".to_owned(), contents }],
        plugin: Plugin::Enabled { path: "/usr/lib64/rpm-plugins/ima.so".to_owned() },
        packages: Some(Packages { count: 200, ..Packages::default() }),
        labels: Some(LabelCounts { by_state: [(State::Good, 4000)].into(), ..LabelCounts::default() }),
        places: vec![place(LabelSupport::Kept), place(LabelSupport::Image)],
        units: vec![unit("imad.service", "enabled"), unit("imad-confirm.service", "static")],
        folders: vec![Folder { path: "/etc/imad/state".to_owned(), state: FolderState::Writable }],
        ..Facts::default()
    }
}

fn line(text: &str) -> CommandLine {
    let (of, boot) = ("the running kernel".to_owned(), Boot::from_command_line(text));
    CommandLine { of, boot, profile: KernelProfile::default() }
}

/// What is found of a machine that is well but for this.
fn found(change: impl FnOnce(&mut Facts)) -> Vec<Finding> {
    let mut facts = well();
    change(&mut facts);
    diagnose(&facts).findings
}

/// Exactly one finding, of this name and severity, whose words have these.
#[track_caller]
fn one(name: &str, severity: Severity, words: &str, change: impl FnOnce(&mut Facts)) {
    let findings = found(change);
    let [finding] = &findings[..] else { panic!("{name}: {findings:#?}") };
    assert_eq!((finding.name.as_str(), finding.severity), (name, severity), "{finding:#?}");
    let Problem { what, next } = &finding.problem;
    assert!(what.contains(words) && !next.is_empty() && !finding.place.is_empty(), "{words}: {finding:#?}");
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let diagnosis = diagnose(&well());
    assert!(diagnosis.healthy && diagnosis.findings.is_empty(), "{diagnosis:#?}");
}

#[test]
fn notes_alone_are_healthy_and_findings_are_told_once_by_area_and_severity() {
    let mut facts = well();
    facts.kernels[0].config = None;
    assert!(diagnose(&facts).healthy);
    let problem = Problem::new("no kernel has imad-boot", "dracut");
    facts.status = vec![problem.clone()];
    facts.next_boot.as_mut().unwrap().problems = vec![problem];
    facts.units[0].state = Ok("disabled".to_owned());
    facts.units[1].state = Ok("masked".to_owned());
    let diagnosis = diagnose(&facts);
    let told: Vec<_> = diagnosis.findings.iter().map(|finding| (finding.area, finding.severity)).collect();
    let expected = [
        (Area::Status, Severity::Warning),
        (Area::Kernel, Severity::Note),
        (Area::Imad, Severity::Fault),
        (Area::Imad, Severity::Warning),
    ];
    assert!(!diagnosis.healthy && told == expected, "{diagnosis:#?}");
}

#[test]
fn a_kernel_is_asked_for_its_options() {
    for (option, severity, words) in [
        ("IMA", Severity::Fault, "nothing is appraised"),
        ("IMA_APPRAISE", Severity::Fault, "no file is denied"),
        ("INTEGRITY_TRUSTED_KEYRING", Severity::Fault, "no keyring .ima"),
        ("IMA_WRITE_POLICY", Severity::Warning, "one policy a boot"),
        ("IMA_READ_POLICY", Severity::Note, "cannot be read back"),
        ("IMA_APPRAISE_BOOTPARAM", Severity::Note, "ima_appraise= has no effect"),
        ("IMA_KEYRINGS_PERMIT_SIGNED_BY_BUILTIN_OR_SECONDARY", Severity::Note, "mokutil"),
    ] {
        one("kernel-option", severity, words, |facts| facts.kernels[0] = kernel_without(option));
    }
    let without_ecdsa = |facts: &mut Facts| facts.kernels[0] = kernel_without("CRYPTO_ECDSA");
    one("kernel-ecdsa", Severity::Fault, "signer400.der (EC 256)", without_ecdsa);
    let rsa = found(|facts| {
        without_ecdsa(facts);
        facts.certificates[0].key = "RSA 2048".to_owned();
    });
    assert_eq!(rsa, []);
}

#[test]
fn words_of_the_command_line_are_told_with_what_they_do_here() {
    let with = |text: &'static str| move |facts: &mut Facts| facts.command_lines.push(line(text));
    one("ima-appraise", Severity::Warning, "none enforced", with("ima_appraise=log"));
    one("ima-appraise", Severity::Warning, "mere hashes", with("ima_appraise=fix"));
    one("ima-appraise", Severity::Warning, "switches appraisal off", with("ima_appraise=off"));
    one("ima-appraise", Severity::Warning, "no mode that the kernel knows", with("ima_appraise=of"));
    assert_eq!(found(with("ima_appraise=enforce")), []);
    let secure_boot = |facts: &mut Facts| {
        with("ima_appraise=log")(facts);
        facts.command_lines[1].boot.secure_boot = true;
    };
    one("ima-appraise", Severity::Note, "Secure Boot is on", secure_boot);
    let not_built = |facts: &mut Facts| {
        with("ima_appraise=log")(facts);
        facts.command_lines[1].profile.appraise_bootparam = false;
    };
    one("ima-appraise", Severity::Note, "CONFIG_IMA_APPRAISE_BOOTPARAM", not_built);

    one("ima-policy", Severity::Warning, "first process on", with("ima_policy=appraise_tcb"));
    one("ima-policy", Severity::Note, "asks for a signature", with("ima_policy=secure_boot"));
    one("ima-policy", Severity::Note, "ima_tcb on", with("ima_tcb"));
    one("ima-policy", Severity::Note, "measure what root runs", with("ima_policy=tcb"));
    one("ima-policy", Severity::Note, "critical data", with("ima_policy=critical_data"));
    one("ima-policy", Severity::Note, "FUSE", with("ima_policy=fail_securely"));
    one("ima-policy", Severity::Warning, "ima_policy=tbc on", with("ima_policy=tbc"));
}

#[test]
fn evm_is_told_where_it_is_in_the_way() {
    let evm = |bits, locked| move |facts: &mut Facts| facts.evm = Some(Evm { bits, locked, fix: false });
    let names = |bits, locked| found(evm(bits, locked)).into_iter().map(|finding| finding.name).collect::<Vec<_>>();
    assert_eq!(names(0, None), [""; 0]);
    assert_eq!(names(2, Some(false)), ["evm-refuses-labels", "evm-active"]);
    one("evm-active", Severity::Warning, "without security.evm is denied", evm(2, Some(true)));
    let measuring = found(|facts| {
        evm(6, None)(facts);
        facts.policy.refuses_files = false;
    });
    assert!(measuring.iter().all(|finding| finding.severity == Severity::Note), "{measuring:#?}");
}

#[test]
fn a_certificate_s_time_is_looked_at_from_both_ends() {
    let ends = |days| move |facts: &mut Facts| facts.certificates = vec![certificate("signer", days)];
    one("certificate-ends", Severity::Warning, "ends in 89 days", ends(89));
    one("certificate-ends", Severity::Warning, "ends in 30 days", ends(30));
    // Nearer to its end the status names it.
    for days in [90, 29, -5] {
        assert_eq!(found(ends(days)), [], "{days}");
    }
    let followed = found(|facts| facts.certificates.push(certificate("signer", 50)));
    assert_eq!(followed, []);
    one("certificate-ends", Severity::Warning, "\"other\"", |facts| facts.certificates.push(certificate("other", 50)));
    one("certificate-begins", Severity::Warning, "begins in 3 days", |facts| {
        facts.certificates[0].days_until_begin = 3;
    });
    one("no-certificate", Severity::Fault, "/etc/keys/ima", |facts| facts.certificates.clear());
}

#[test]
fn the_policy_is_told_of_where_it_does_nothing_or_is_not_alone() {
    one("no-policy", Severity::Note, "is not there", |facts| facts.policy.exists = false);
    one("policy-refuses-nothing", Severity::Note, "refuses no file", |facts| facts.policy.refuses_files = false);
    let other = |facts: &mut Facts| facts.dracut.policy = Some("/etc/sysconfig/ima-policy".to_owned());
    one("policy-of-dracut", Severity::Warning, "beside /etc/ima/ima-policy", other);
    let alone = found(|facts| {
        other(facts);
        facts.policy.exists = false;
    });
    assert!(alone.iter().all(|finding| finding.severity == Severity::Note), "{alone:#?}");
}

#[test]
fn dracuts_own_module_beside_imad_boot_is_named() {
    one("image-integrity", Severity::Warning, "initramfs of 6.12", |facts| facts.images[0].contents.loads_keys = true);
    let alone = found(|facts| {
        facts.images[0].contents.loads_policy = true;
        facts.images[0].contents.imad_boot = false;
    });
    assert_eq!(alone, []);
    let setting = "/etc/dracut.conf.d/98-integrity.conf";
    one("dracut-integrity", Severity::Warning, setting, |facts| facts.dracut.settings.push(setting.to_owned()));
}

#[test]
fn what_is_in_the_way_of_the_next_boot_is_named_by_what_it_comes_to() {
    let kernel = |change: fn(&mut BootKernel)| {
        move |facts: &mut Facts| facts.next_boot.as_mut().unwrap().kernels.iter_mut().for_each(change)
    };
    let problem = || Problem::new("no imad-boot in it", "dracut");
    one("next-boot", Severity::Fault, "no imad-boot", |facts| {
        kernel(|kernel| kernel.outcome = Outcome::Fails)(facts);
        facts.next_boot.as_mut().unwrap().kernels[0].problems.push(problem());
    });
    one("next-boot-note", Severity::Note, "no imad-boot", |facts| {
        facts.next_boot.as_mut().unwrap().kernels[0].notes.push(problem());
    });
    let refused = |core, needed| RefusedFile {
        path: "/usr/bin/bash".to_owned(),
        why: "its label is none".to_owned(),
        label: None,
        package: Some("bash-5.2".to_owned()),
        rule: None,
        next: "imactl relabel".to_owned(),
        needed_for: None,
        core,
        needed,
    };
    for (core, needed, severity, words) in [
        (true, true, Severity::Fault, "/usr/bin/bash of bash-5.2, without which nothing starts"),
        (false, true, Severity::Fault, "without which nobody logs in"),
        (false, false, Severity::Warning, "its label is none"),
    ] {
        one("next-boot-denied", severity, words, |facts| {
            let kernel = &mut facts.next_boot.as_mut().unwrap().kernels[0];
            (kernel.refused, kernel.refused_count) = (vec![refused(core, needed)], 1);
        });
    }
    let many = found(|facts| {
        let kernel = &mut facts.next_boot.as_mut().unwrap().kernels[0];
        let files = (0..100).map(|number| RefusedFile { path: format!("/{number}"), ..refused(false, false) });
        (kernel.refused, kernel.refused_count) = (files.collect(), 150);
    });
    assert_eq!(many.len(), 11);
    assert!(many[10].problem.what.contains("denies 140 more files"), "{many:#?}");
}

#[test]
fn rpms_plugin_is_wanted() {
    let plugin = |plugin: Plugin| move |facts: &mut Facts| facts.plugin = plugin;
    let missing = Plugin::Missing { path: "/usr/lib64/rpm-plugins/ima.so".to_owned() };
    one("rpm-plugin", Severity::Fault, "/usr/lib64/rpm-plugins/ima.so", plugin(missing.clone()));
    one("rpm-plugin", Severity::Fault, "%__transaction_ima is not set", plugin(Plugin::Disabled));
    one("rpm-plugin", Severity::Warning, "no exec", plugin(Plugin::Unknown { why: "no exec".to_owned() }));
    assert_eq!(found(plugin(Plugin::NoRpm)), []);
    let measuring = found(|facts| {
        facts.plugin = missing;
        facts.policy.refuses_files = false;
    });
    let severity = measuring.iter().find(|finding| finding.name == "rpm-plugin").map(|finding| finding.severity);
    assert_eq!(severity, Some(Severity::Warning));
}

#[test]
fn packages_without_signatures_are_counted_and_the_largest_named() {
    let package = |number: u64| Unsigned {
        name: format!("p{number}"),
        nevra: format!("p{number}-1-1.noarch"),
        files: 10,
        programs: number,
    };
    let with = |count: u64| {
        move |facts: &mut Facts| {
            facts.packages.as_mut().unwrap().unsigned = (0..count).map(package).collect();
        }
    };
    one("package-unsigned", Severity::Warning, "1 of 200 packages bring no signatures for their 10 files", with(1));
    let words = "28 programs and libraries: p7-1-1.noarch (7), p6-1-1.noarch (6), p5-1-1.noarch (5), p4-1-1.noarch (4), \
                 p3-1-1.noarch (3) and 3 more";
    one("package-unsigned", Severity::Warning, words, with(8));
    let damaged = |facts: &mut Facts| {
        facts.packages.as_mut().unwrap().problems.push(Problem::new("header 7: cut off", "rpmdb --rebuilddb"));
    };
    one("package-unreadable", Severity::Warning, "header 7", damaged);
    assert_eq!(found(|facts| facts.packages = None), []);
}

#[test]
fn containers_are_named_where_the_policy_denies_them() {
    let storage = |denied| {
        move |facts: &mut Facts| {
            facts.containers = Containers { storage: vec!["/var/lib/docker/overlay2".to_owned()], denied };
        }
    };
    one("containers", Severity::Warning, "/var/lib/docker/overlay2", storage(true));
    assert_eq!(found(storage(false)), []);
    assert_eq!(found(|facts| facts.containers.denied = true), []);
}

#[test]
fn labels_that_are_not_good_are_counted_by_what_mends_them() {
    let state = |state| {
        move |facts: &mut Facts| {
            facts.labels.as_mut().unwrap().by_state.insert(state, 12);
        }
    };
    for written in [State::Missing, State::Stale, State::Hash] {
        one("label-missing", Severity::Warning, "12 packaged files", state(written));
    }
    one("label-modified", Severity::Warning, "not what their packages brought", state(State::Modified));
    one("label-untrusted", Severity::Warning, "signed by keys", state(State::UntrustedKey));
    one("label-immutable", Severity::Warning, "immutable", state(State::Immutable));
    for fine in [State::Good, State::Excluded, State::Absent] {
        assert_eq!(found(state(fine)), []);
    }
}

#[test]
fn file_systems_that_keep_no_labels_are_named() {
    let with = |labels| move |facts: &mut Facts| facts.places.push(place(labels));
    one("place-without-labels", Severity::Fault, "vfat at /opt", with(LabelSupport::NotKept));
    one("place-read-only", Severity::Warning, "mounted read-only", with(LabelSupport::ReadOnly));
}

#[test]
fn imads_own_units_and_folders_are_looked_at() {
    let state =
        |unit: usize, state: &'static str| move |facts: &mut Facts| facts.units[unit].state = Ok(state.to_owned());
    one("unit", Severity::Warning, "imad.service is not enabled", state(0, "disabled"));
    one("unit", Severity::Fault, "imad.service is not there", state(0, "not-found"));
    one("unit", Severity::Fault, "no boot is confirmed", state(1, "masked"));
    one("unit", Severity::Warning, "cannot be told", |facts| facts.units[0].state = Err("no systemctl".to_owned()));
    let folder = |state: FolderState| move |facts: &mut Facts| facts.folders[0].state = state;
    one("folder", Severity::Warning, "it is not there", folder(FolderState::Missing));
    let refused = FolderState::Refused { why: "Read-only file system".to_owned() };
    one("folder", Severity::Warning, "Read-only file system", folder(refused));
}
