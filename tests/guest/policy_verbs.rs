//! `imactl policy` on real kernels: what they show of themselves, and the rules that they read back.

use imad::model::policy::origin::{ListReport, ReadFrom, ShowReport};
use imad::model::policy::report::CheckReport;

use crate::harness::Guest;
use crate::system::{POLICY, STOCK, TRUSTED};

fn json<T: serde::de::DeserializeOwned>(guest: &Guest, arguments: &[&str]) -> T {
    let output = guest.run(&[&["imactl", "--json", "policy"], arguments].concat());
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

/// What is known of the guest's kernel, and from where.
fn part(report: &CheckReport, name: &str) -> (String, String) {
    let part = report.kernels[0].parts.iter().rfind(|part| part.name == name);
    let part = part.unwrap_or_else(|| panic!("{name} is not told: {report:#?}"));
    (part.value.clone(), part.from.clone())
}

#[test]
fn active_rules_are_shown_with_their_lines() {
    let guest = TRUSTED.guest();
    let report: ShowReport = json(&guest, &["show"]);
    assert_eq!(report.read_from, ReadFrom::Kernel);
    assert_eq!(report.inactive, []);
    let shown: Vec<_> = report.rules.iter().map(|rule| (rule.line.unwrap_or(0), rule.rule.as_str())).collect();
    let policy = guest.get_text(POLICY);
    let rules = (1..).zip(policy.lines()).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    assert_eq!(shown, rules.collect::<Vec<_>>());
    assert!(report.rules.iter().all(|rule| rule.file.as_deref() == Some(POLICY)), "{report:?}");
    let read_back = guest.sh("cat /sys/kernel/security/ima/policy").text();
    let read_back: Vec<_> = read_back.lines().map(str::trim_end).collect();
    assert_eq!(report.rules.iter().map(|rule| rule.rule.as_str()).collect::<Vec<_>>(), read_back);

    let list: ListReport = json(&guest, &["list"]);
    let in_effect: Vec<_> = list.policies.iter().filter(|policy| policy.in_effect).collect();
    assert_eq!(in_effect[0].name, "01-appraise-executable-and-lib-signatures", "{list:?}");
}

#[test]
fn a_kernel_is_known_from_its_configuration_and_what_it_shows() {
    let guest = TRUSTED.guest();
    let report: CheckReport = json(&guest, &["check", POLICY]);
    assert!(report.files[0].accepted && report.files[0].warnings.is_empty(), "{report:#?}");
    assert_eq!(part(&report, "modsig").1, "/proc/config.gz");
    assert_eq!(part(&report, "rules can be read"), ("yes".into(), "/sys/kernel/security/ima/policy, mode 600".into()));
    assert_eq!(part(&report, "custom policy"), ("active".into(), "/sys/kernel/security/ima/policy: rules".into()));
    assert_eq!(report.problems, []);
    // With a custom policy active the kernel takes a label that nobody knows, and the rule is void.
    let input = "dont_appraise obj_type=nobody_t\nappraise func=BPRM_CHECK appraise_type=imasig\n";
    let output = guest.command(&["imactl", "policy", "check", "-"]).stdin(input).output();
    assert!(output.success() && output.stdout.contains("warning[void-rule]"), "{output}");
}

/// Debian's own kernel: one load, rules that cannot be read, type information.
#[test]
fn the_distributions_kernel_is_known_too() {
    let guest = STOCK.guest();
    let report: CheckReport = json(&guest, &["check", POLICY]);
    assert_eq!(part(&report, "dont_audit"), ("no".into(), "/sys/kernel/btf/vmlinux".into()));
    assert_eq!(part(&report, "fs_subtype=").1, "/sys/kernel/btf/vmlinux");
    assert_eq!(part(&report, "rules can be read").0, "no", "{report:#?}");
    let show = guest.run(&["imactl", "policy", "show"]);
    assert!(show.success() && show.stdout.contains("The kernel does not show its rules"), "{show}");
}
