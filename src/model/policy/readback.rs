//! Rules as the kernel shows them, back to rules (the reverse of [`super::canonical::shown`]).
#![forbid(unsafe_code)]

use super::builtin::{Boot, default_rules};
use super::canonical::shown;
use super::error::RuleError;
use super::lex::Line;
use super::parse::{PlacedRule, parse_line};
use super::profile::{KernelProfile, Lsm, Names};
use super::rule::Rule;

/// Reads a rule that the kernel showed. It took the rule and knows all that is in it, and what it shows is not always
/// what it takes: user ids above 2147483647 are shown as negative numbers, and `digest_type=` after `appraise_type=`.
pub fn parse_shown(line: &[u8], profile: &KernelProfile) -> Result<Option<Rule>, RuleError> {
    let mut words: Vec<Vec<u8>> = Line::alone(line).words().map(|word| unsigned(word.text)).collect();
    // Kernels since 7.1 take it where they show it.
    let verity = words.iter().position(|word| word.starts_with(b"digest_type="));
    if let Some(verity) = verity.filter(|_| !profile.sigv3_files) {
        let verity = words.remove(verity);
        words.insert(1.min(words.len()), verity);
    }
    let text = words.join(&b' ');
    let profile = KernelProfile { lsm: Lsm::Selinux(Names::Any), ..profile.clone() };
    parse_line(&Line::alone(&text), &profile)
}

/// `fowner<-2` as `fowner<4294967294`.
fn unsigned(word: &[u8]) -> Vec<u8> {
    const KEYS: [&str; 6] = ["uid", "euid", "gid", "egid", "fowner", "fgroup"];
    let at = word.iter().position(|byte| b"=<>".contains(byte));
    let Some((key, value)) = at.map(|at| word.split_at(at + 1)) else { return word.to_vec() };
    let is_id = KEYS.iter().any(|known| known.as_bytes() == &key[..key.len() - 1]);
    let number = std::str::from_utf8(value).ok().filter(|_| is_id).and_then(|value| value.parse::<i32>().ok());
    match number {
        Some(number) => [key, number.cast_unsigned().to_string().as_bytes()].concat(),
        None => word.to_vec(),
    }
}

/// How many of the active rules stand in front of a file's, if the file's are the last of them: that file was loaded
/// last, and its lines can be named.
pub fn rules_before_file(active: &[Rule], file: &[PlacedRule]) -> Option<usize> {
    let shown_of_file: Vec<_> = file.iter().filter_map(|placed| shown(&placed.rule)).collect();
    let before = active.len().checked_sub(shown_of_file.len())?;
    let same = active[before..].iter().zip(&shown_of_file).all(|(rule, text)| shown(rule).as_ref() == Some(text));
    (same && !shown_of_file.is_empty()).then_some(before)
}

/// Whether the active rules, as the kernel shows them, are those that it has without any policy file
/// (`ima_policy.c: ima_init_policy`).
pub fn are_built_in<R: AsRef<[u8]>>(active: &[R], boot: &Boot, profile: &KernelProfile) -> bool {
    let built_in = default_rules(boot, profile).into_iter().filter_map(|(_, rule)| shown(&rule));
    let built_in: Vec<_> = built_in.map(|rule| rule.trim_ascii_end().to_vec()).collect();
    active.iter().map(|rule| rule.as_ref().trim_ascii_end()).eq(built_in)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy::parse::parse;

    #[test]
    fn what_secure_boot_brings_is_no_loaded_policy() {
        let profile = KernelProfile {
            arch_policy: true,
            arch_policy_signed: true,
            module_sig: true,
            kexec_sig: true,
            ..KernelProfile::default()
        };
        let boot = Boot { secure_boot: true, ..Boot::default() };
        // As Linux 6.12 shows them.
        let active = [
            "measure func=KEXEC_KERNEL_CHECK ",
            "appraise func=POLICY_CHECK appraise_type=imasig ",
            "measure func=MODULE_CHECK ",
        ];
        assert!(are_built_in(&active, &boot, &profile));
        assert!(!are_built_in(&active[..2], &boot, &profile));
        assert!(!are_built_in(&[&active[..], &["audit "]].concat(), &boot, &profile));
        assert!(!are_built_in(&active, &Boot::default(), &profile));
        assert!(are_built_in(&[""; 0], &Boot::default(), &profile));
    }

    #[test]
    fn what_the_kernel_shows_is_read_back() {
        let profile = KernelProfile::default();
        for text in [
            "appraise digest_type=verity appraise_type=sigv3 permit_directio",
            "measure uid=4294967294 fowner<3000000000",
            "appraise func=BPRM_CHECK appraise_type=imasig",
            "dont_measure fsname=a-2",
        ] {
            let rule = parse_line(&Line::alone(text.as_bytes()), &profile).unwrap().unwrap();
            let shown = shown(&rule).unwrap();
            assert_eq!(parse_shown(&shown, &profile), Ok(Some(rule)), "{text}");
        }
        let newer = KernelProfile { sigv3_files: true, ..KernelProfile::default() };
        for text in ["appraise appraise_type=imasig digest_type=verity ", "appraise appraise_type=sigv3 "] {
            let rule = parse_line(&Line::alone(text.as_bytes()), &newer).unwrap();
            assert_eq!(parse_shown(text.as_bytes(), &newer), Ok(rule), "{text}");
        }
    }

    #[test]
    fn a_file_is_found_behind_what_was_there_before() {
        let profile = KernelProfile::default();
        let file = parse(b"# c\nmeasure func=BPRM_CHECK\n\nappraise uid=0\n", &profile).rules;
        let rules = |text: &[u8]| parse(text, &profile).rules.into_iter().map(|placed| placed.rule).collect::<Vec<_>>();
        let active = rules(b"audit\nmeasure func=BPRM_CHECK\nappraise uid=0\n");
        assert_eq!(rules_before_file(&active, &file), Some(1));
        assert_eq!(rules_before_file(&active[..2], &file), None);
        assert_eq!(rules_before_file(&rules(b"appraise uid=0\n"), &file), None);
    }
}
