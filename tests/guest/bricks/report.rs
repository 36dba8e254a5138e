//! `docs/boot-safety.md`: what the campaign showed, as a table.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::Write;

use super::case::{Armed, Case, Expected, Kind};
use super::result::{CaseResult, Seen, Sources};

/// The head of the report.
const HEAD: &str = "\
# Does a machine boot, whatever is broken?

Written by `make campaign` (`tests/guest/bricks`); do not edit it by hand.

Every line is a sabotage of a machine that was booted under a policy which denies whatever carries no good signature
(`01-appraise-executable-and-lib-signatures`) and was confirmed: a real kernel, systemd, dracut and rpm, in user-mode
Linux (UML) or, where a case needs firmware, a clock or a kernel for real machines, under QEMU. The sabotage is done as root,
or to the kernel's command line, the kernel or the initramfs; then the power goes, and the machine is switched on until
there is a login, two or three times at most.

- **Login**: a getty waits on the console, sessions of root and of another user open through PAM, and a shell runs in them.
- **Armed**: unlabelled programs, on ext4 and on a tmpfs, are denied as root and as another user, and labelled ones run.
  *Open*: they run, and `imactl status` says why.
- **Boots**: at which boot the login came, the sabotaged one counted.
- **Expected** was written down, in the sources, before the case was run. A case passes when login, armed or open, and the
  words of the status are as expected.
- **Without imad** is the control: the same sabotage of the same system without imad, where dracut's `integrity` module
  loads the certificate and systemd the policy. It is switched on as often as imad may need; nothing is expected of it. A
  dash: not tried, the sabotage is of something that it does not have.

A result of other sources than today's (`src/`, `units/`, `dracut-module/`, `conf/`, the images' recipes, and the kind's own
cases) counts as not run; *sources* is the SHA-256 of all of them.
";

/// The report on these cases.
pub(super) fn report(cases: &[Case], results: &BTreeMap<String, CaseResult>, sources: &Sources) -> String {
    let current = |case: &Case| {
        let source = sources.of(case.kind);
        results.get(&case.name).filter(|result| result.source == source && result.expected == case.expected)
    };
    let count = |wanted: &dyn Fn(&CaseResult) -> bool| cases.iter().filter_map(current).filter(|r| wanted(r)).count();
    let (run, passed) = (count(&|_| true), count(&|result| result.passed));
    let mut text = HEAD.to_owned();
    let controls: Vec<&CaseResult> =
        cases.iter().filter_map(current).filter(|result| result.control.is_some()).collect();
    let came = |seen: Option<&Seen>| seen.is_some_and(|seen| seen.login().is_some());
    let without = controls.iter().filter(|result| came(result.control.as_ref())).count();
    let with = controls.iter().filter(|result| came(Some(&result.seen))).count();
    let _ = write!(
        text,
        "\n**{passed} of {} cases passed**, {} did not, {} were not run. Of {} sabotages that were tried without imad too, \
         {without} came to a login there, and {with} with imad.\n",
        cases.len(),
        run - passed,
        cases.len() - run,
        controls.len(),
    );
    for kind in Kind::ALL {
        let _ = write!(
            text,
            "\n## {}\n\nSources: `{}`\n\n| sabotage | expected | seen | boots | without imad | run |\n|---|---|---|---|---|---|\n",
            kind.heading(),
            sources.of(kind),
        );
        for case in cases.iter().filter(|case| case.kind == kind) {
            text.push_str(&row(case, current(case)));
        }
    }
    let failed: Vec<_> = cases.iter().filter_map(current).filter(|result| !result.passed).collect();
    if !failed.is_empty() {
        text.push_str("\n## What did not pass\n\n");
        for result in failed {
            let _ = writeln!(text, "- `{}`: {}", result.name, cell(result.why.as_deref().unwrap_or_default()));
        }
    }
    text
}

fn row(case: &Case, result: Option<&CaseResult>) -> String {
    let what = format!("`{}`: {}", case.name, cell(&case.what));
    let expected = in_words(&case.expected);
    let Some(result) = result else { return format!("| {what} | {expected} | **not run** | | | |\n") };
    let seen = if result.passed { outcome(&result.seen) } else { format!("**failed**: {}", outcome(&result.seen)) };
    let boots = result.seen.login().map_or_else(|| "none".to_owned(), |number| number.to_string());
    let control = result.control.as_ref().map_or_else(|| "–".to_owned(), without_imad);
    let run = result.seed.map_or_else(|| result.date.clone(), |seed| format!("{}, seed {seed}", result.date));
    let machine = if result.seen.emulated { "QEMU" } else { "UML" };
    format!("| {what} | {expected} | {seen} | {boots} | {control} | {machine}, {run} |\n")
}

fn in_words(expected: &Expected) -> String {
    let armed = match expected.armed {
        Armed::Yes => "armed",
        Armed::No => "open",
        Armed::Either => "armed, or open and said so",
    };
    let cause = if expected.cause.is_empty() { String::new() } else { format!(", \"{}\"", cell(&expected.cause)) };
    format!("{armed}{cause}, within {}", expected.boots)
}

fn outcome(seen: &Seen) -> String {
    if let Some(broken) = &seen.broken {
        return cell(broken);
    }
    match (seen.login(), seen.armed) {
        (None, _) => "no login".to_owned(),
        (_, Some(true)) => format!("armed: {}", cell(seen.summary())),
        (_, Some(false)) => format!("open: {}", cell(seen.summary())),
        (_, None) => "a login, and nothing more is known".to_owned(),
    }
}

fn without_imad(seen: &Seen) -> String {
    let armed = match seen.armed {
        Some(true) => "armed",
        Some(false) => "open, and nobody says so",
        None => "half of it is in force",
    };
    match (seen.login(), &seen.broken) {
        (Some(number), _) => format!("login at boot {number}, {armed}"),
        (None, Some(broken)) => cell(broken),
        (None, None) => format!("**no login** in {} boots", seen.boots.len()),
    }
}

/// Text that does not break a table.
fn cell(text: &str) -> String {
    const LONGEST: usize = 300;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    if line.chars().count() <= LONGEST { line } else { line.chars().take(LONGEST).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::super::result::Boot;
    use super::*;

    fn seen(login: bool, armed: bool, summary: &str) -> Seen {
        let boots = vec![Boot { login, ..Boot::default() }];
        Seen { boots, armed: login.then_some(armed), said: vec![summary.to_owned()], broken: None, emulated: false }
    }

    #[test]
    fn what_passed_failed_and_was_not_run_is_told_apart() {
        let cases = [
            Case::new(Kind::Policy, "good", "a|b").open("because").controlled(),
            Case::new(Kind::Policy, "bad", "worse").armed(""),
            Case::new(Kind::Boots, "old", "older").cut(7),
            Case::new(Kind::Boots, "never", "not yet"),
        ];
        let sources = Sources::now();
        let now = |case: &Case| sources.of(case.kind).to_owned();
        let results = [
            CaseResult::new(
                &cases[0],
                &now(&cases[0]),
                seen(true, false, "Not protected: because."),
                Some(seen(false, false, "")),
            ),
            CaseResult::new(&cases[1], &now(&cases[1]), seen(true, false, "Not protected: why."), None),
            CaseResult::new(&cases[2], "then", seen(true, true, "Protected: yes."), None),
        ];
        let text = report(&cases, &results.map(|result| (result.name.clone(), result)).into(), &sources);
        for words in [
            "**1 of 4 cases passed**, 1 did not, 2 were not run. Of 1 sabotages that were tried without imad too, 0 came to a \
             login there, and 1 with imad.",
            "| `good`: a\\|b | open, \"because\", within 1 | open: Not protected: because. | 1 | **no login** in 1 boots |",
            "| `bad`: worse | armed, within 1 | **failed**: open: Not protected: why. | 1 | – |",
            "| `old`: older | armed, within 1 | **not run** |",
            "| `never`: not yet | armed, within 1 | **not run** |",
            "- `bad`: the policy is not in force: Not protected: why.",
        ] {
            assert!(text.contains(words), "{words}\n{text}");
        }
    }
}
