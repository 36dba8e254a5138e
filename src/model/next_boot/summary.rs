//! The answer in one sentence.
#![forbid(unsafe_code)]

use super::{BootKernel, NextBoot, Outcome};

/// Fills in `ready` and `summary` by what the kernels came to. `has_policy`: there is a policy file.
pub fn summarize(report: &mut NextBoot, has_policy: bool) {
    report.ready = !report.kernels.is_empty() && report.kernels.iter().all(|kernel| kernel.ready);
    report.summary = sentence(report, has_policy);
}

fn sentence(report: &NextBoot, has_policy: bool) -> String {
    let kernels = &report.kernels;
    let count = counted(kernels.len() as u64, "kernel");
    if kernels.is_empty() {
        return "It is not known what the next boot would start: no boot entry and no kernel was found.".to_owned();
    }
    let unready = kernels.iter().filter(|kernel| !kernel.ready);
    // The one that is started unless somebody chooses; else the worst.
    let worst = unready.clone().max_by_key(|kernel| (kernel.is_default == Some(true), kernel.outcome));
    if let Some(worst) = worst {
        let more = match unready.count() - 1 {
            0 => String::new(),
            others => format!("; {} more would not be ready either", counted(others as u64, "boot entry")),
        };
        let verdict = match worst.outcome {
            Outcome::Fails => "The next boot would fail",
            Outcome::Unknown => "It cannot be told whether the next boot comes through",
            Outcome::Unprotected | Outcome::Protected => "The next boot would not be protected",
        };
        return format!("{verdict}: {}{more}.", reason(worst));
    }
    let protected = kernels.iter().filter(|kernel| kernel.outcome == Outcome::Protected).count();
    match protected {
        _ if !has_policy => {
            format!("The next boot is not protected: {} is not there, and nothing is denied ({count}).", report.policy)
        }
        all if all == kernels.len() => {
            format!("The next boot is protected: {count}, {}.", counted(report.files, "file"))
        }
        some => {
            let other = kernels.iter().find(|kernel| kernel.outcome != Outcome::Protected);
            let note = other.and_then(|kernel| kernel.notes.first()).map_or("it is not enforced", |note| &note.what);
            format!("The next boot comes through, protected with {some} of {count}: {note}.")
        }
    }
}

/// What is in the way of a kernel.
fn reason(kernel: &BootKernel) -> String {
    if let Some(problem) = kernel.problems.first() {
        return problem.what.clone();
    }
    let release = &kernel.release;
    let denied = counted(kernel.refused_count, "file");
    match kernel.refused.first() {
        Some(file) => {
            let package = file.package.as_ref().map_or_else(String::new, |package| format!(" of {package}"));
            format!("with kernel {release} {denied} would be denied, first {}{package}: {}", file.path, file.why)
        }
        None => format!("kernel {release} is not ready"),
    }
}

/// `1,204 files`
fn counted(number: u64, thing: &str) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    let plural = match (number, thing.strip_suffix('y')) {
        (1, _) => thing.to_owned(),
        (_, Some(stem)) => format!("{stem}ies"),
        (_, None) => format!("{thing}s"),
    };
    format!("{text} {plural}")
}

#[cfg(test)]
mod tests {
    use super::super::RefusedFile;
    use super::*;
    use crate::model::report::Problem;

    fn kernel(release: &str, outcome: Outcome, problem: Option<&str>) -> BootKernel {
        BootKernel {
            release: release.to_owned(),
            outcome,
            ready: problem.is_none(),
            problems: problem.iter().map(|what| Problem::new(*what, "")).collect(),
            ..BootKernel::default()
        }
    }

    fn said(kernels: Vec<BootKernel>, has_policy: bool) -> (bool, String) {
        let policy = "/etc/ima/ima-policy".to_owned();
        let mut report = NextBoot { kernels, files: 1204, policy, ..NextBoot::default() };
        summarize(&mut report, has_policy);
        (report.ready, report.summary)
    }

    #[test]
    fn the_sentence_tells_the_worst() {
        let good = || kernel("6.12", Outcome::Protected, None);
        let fails = kernel("6.1", Outcome::Fails, Some("the initramfs of 6.1 does not hold imad-boot"));
        let open = kernel("6.2", Outcome::Unprotected, Some("no trusted keyring"));
        let all = [good(), good(), good()].to_vec();
        assert_eq!(said(all, true), (true, "The next boot is protected: 3 kernels, 1,204 files.".to_owned()));
        let (ready, text) = said(vec![good(), open.clone(), fails], true);
        assert!(!ready);
        assert_eq!(
            text,
            "The next boot would fail: the initramfs of 6.1 does not hold imad-boot; 1 boot entry more would not be ready either."
        );
        assert_eq!(said(vec![open], true).1, "The next boot would not be protected: no trusted keyring.");
        let unknown = kernel("6", Outcome::Unknown, Some("/boot/initrd: zstd is not installed"));
        assert!(said(vec![unknown], true).1.starts_with("It cannot be told"));
        assert!(!said(vec![], true).0);
        assert!(said(vec![kernel("6", Outcome::Unprotected, None)], false).1.contains("is not there"));
        let mut noted = kernel("6", Outcome::Unprotected, None);
        noted.notes.push(Problem::new("the command line has ima_appraise=log", ""));
        assert_eq!(
            said(vec![good(), noted], true),
            (
                true,
                "The next boot comes through, protected with 1 of 2 kernels: the command line has ima_appraise=log."
                    .to_owned()
            )
        );
    }

    #[test]
    fn refused_files_are_named_with_their_package() {
        let mut refusing = kernel("6.12", Outcome::Unprotected, None);
        refusing.ready = false;
        refusing.refused_count = 2;
        refusing.refused.push(RefusedFile {
            path: "/usr/bin/bash".to_owned(),
            why: "its label is none".to_owned(),
            label: None,
            package: Some("bash-5.2-1.x86_64".to_owned()),
            rule: None,
            next: String::new(),
            core: true,
        });
        assert_eq!(
            said(vec![refusing], true).1,
            "The next boot would not be protected: with kernel 6.12 2 files would be denied, first /usr/bin/bash of \
             bash-5.2-1.x86_64: its label is none."
        );
    }
}
