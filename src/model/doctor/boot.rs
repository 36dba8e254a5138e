//! The policy, the next boot, the images of its initramfs.
#![forbid(unsafe_code)]

use super::{Area, Facts, Findings, Severity};
use crate::model::next_boot::{BootKernel, NextBoot, Outcome};
use crate::model::report::Problem;

/// Denied files that are named of each kernel; more are counted.
const NAMED: usize = 10;

pub(super) fn judge(facts: &Facts, found: &mut Findings) {
    policy(facts, found);
    if let Some(next_boot) = &facts.next_boot {
        kernels(next_boot, found);
    }
    for image in facts.images.iter().filter(|image| image.contents.imad_boot) {
        if image.contents.loads_keys || image.contents.loads_policy {
            let release = &image.release;
            let what = format!(
                "dracut's module \"integrity\" is in the initramfs of {release} beside imad-boot: it loads certificates \
                 and a policy that nothing has checked"
            );
            let problem = Problem::new(what, format!("dracut --force --kver {release} --omit integrity"));
            found.add("image-integrity", Area::Boot, Severity::Warning, release, problem);
        }
    }
    for file in &facts.dracut.settings {
        let what = format!("{file} puts dracut's module \"integrity\" into images, beside imad-boot");
        let next = format!("rm {file}; dracut --force --regenerate-all");
        found.add("dracut-integrity", Area::Boot, Severity::Warning, file, Problem::new(what, next));
    }
}

fn policy(facts: &Facts, found: &mut Findings) {
    let path = &facts.policy.path;
    if !facts.policy.exists {
        let what = format!("{path} is not there: the next boot appraises nothing");
        let problem = Problem::new(what, "imactl policy list; imactl setup --policy NAME");
        found.add("no-policy", Area::Policy, Severity::Note, path, problem);
    } else if !facts.policy.refuses_files {
        let problem = Problem::new(format!("{path} measures and refuses no file"), "imactl policy list");
        found.add("policy-refuses-nothing", Area::Policy, Severity::Note, path, problem);
    }
    let Some(other) = &facts.dracut.policy else { return };
    let (severity, what) = if facts.policy.exists {
        let what =
            format!("{other} is there beside {path}: dracut's module \"integrity\" loads the one, imad-boot the other");
        (Severity::Warning, what)
    } else {
        (Severity::Note, format!("{other} is there, which dracut's module \"integrity\" loads and imad-boot does not"))
    };
    let next = format!("keep one: imactl policy diff {path} {other}");
    found.add("policy-of-dracut", Area::Policy, severity, other, Problem::new(what, next));
}

fn kernels(next_boot: &NextBoot, found: &mut Findings) {
    for problem in &next_boot.problems {
        found.add("next-boot-unsure", Area::Boot, Severity::Warning, &next_boot.policy, problem.clone());
    }
    for kernel in &next_boot.kernels {
        let release = if kernel.release.is_empty() { &kernel.kernel } else { &kernel.release };
        // What cannot be looked into may stop the boot, too.
        let severity = if kernel.outcome == Outcome::Protected { Severity::Warning } else { Severity::Fault };
        for problem in &kernel.problems {
            found.add("next-boot", Area::Boot, severity, release, problem.clone());
        }
        refused(kernel, release, found);
        for note in &kernel.notes {
            found.add("next-boot-note", Area::Boot, Severity::Note, release, note.clone());
        }
    }
}

fn refused(kernel: &BootKernel, release: &str, found: &mut Findings) {
    for file in kernel.refused.iter().take(NAMED) {
        let package = file.package.as_ref().map_or_else(String::new, |package| format!(" of {package}"));
        let (severity, without) = match (file.core, file.needed) {
            (true, _) => (Severity::Fault, ", without which nothing starts"),
            (false, true) => (Severity::Fault, ", without which nobody logs in"),
            (false, false) => (Severity::Warning, ""),
        };
        let what = format!("the policy denies {}{package}{without}: {}", file.path, file.why);
        found.add("next-boot-denied", Area::Boot, severity, &file.path, Problem::new(what, file.next.clone()));
    }
    let more = kernel.refused_count.saturating_sub(kernel.refused.len().min(NAMED) as u64);
    if more > 0 {
        let what = format!("the policy denies {more} more files to the boot of {release}");
        let problem = Problem::new(what, "imactl check --next-boot");
        found.add("next-boot-denied", Area::Boot, Severity::Warning, release, problem);
    }
}
