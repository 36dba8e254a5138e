//! Where rules come from: named files, and the lines of the active rules.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

use super::canonical::{loadable, shown};
use super::lex::{LineKind, lines};
use super::parse::Policy;

/// A policy that has a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedPolicy {
    /// Its name: the file's.
    pub name: String,
    /// Where it is.
    pub path: String,
    /// The first line of its first comment.
    pub description: Option<String>,
    /// The file that is loaded at boot holds the same.
    pub in_effect: bool,
}

/// `imactl --json policy list`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListReport {
    /// Version of the schema.
    pub version: u32,
    /// The file that is loaded at boot.
    pub path: String,
    /// It is there.
    pub exists: bool,
    /// The named policies, by name.
    pub policies: Vec<NamedPolicy>,
}

/// Where the rules of a [`ShowReport`] were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadFrom {
    /// The kernel.
    Kernel,
    /// A file.
    File,
}

/// `imactl --json policy show`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowReport {
    /// Version of the schema.
    pub version: u32,
    /// Where the rules were read.
    pub read_from: ReadFrom,
    /// The rules, in the order in which they are asked.
    pub rules: Vec<ShownRule>,
    /// Rules of the file that is loaded at boot which are not active.
    pub inactive: Vec<ShownRule>,
}

/// A rule and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownRule {
    /// The rule, in the kernel's order of words; bytes that are not UTF-8 are replaced.
    pub rule: String,
    /// The file that it comes from; absent for a rule of no known file, such as one that is built in.
    pub file: Option<String>,
    /// Number of the line there, from 1.
    pub line: Option<u64>,
}

/// A file that rules may come from.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its path.
    pub path: String,
    /// What it holds.
    pub policy: Policy,
}

/// Whether a file of this name is a policy, and no editor's or package manager's left-over.
pub fn is_policy_name(name: &str) -> bool {
    !name.starts_with('.')
        && !name.ends_with('~')
        && ![".rpmnew", ".rpmsave", ".rpmorig", ".sig", ".bak"].iter().any(|end| name.ends_with(end))
}

/// The first line of a policy's first comment.
pub fn description(source: &[u8]) -> Option<String> {
    let comment = lines(source).find(|line| line.kind() == LineKind::Comment)?;
    let text = String::from_utf8_lossy(comment.bytes);
    let text = text.trim_start_matches(['#', ' ', '\t']).trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A file's rules with their lines.
pub fn rules_of(source: &Source) -> Vec<ShownRule> {
    let rules = source.policy.rules.iter().map(|placed| ShownRule {
        rule: String::from_utf8_lossy(&loadable(&placed.rule)).into_owned(),
        file: Some(source.path.clone()),
        line: Some(placed.line as u64),
    });
    rules.collect()
}

/// Finds the lines of active rules: each line is found once, in the first of the files that has it. The second list holds
/// the rules of the first file that are not active, where any rule of it is.
pub fn origins(active: &[Vec<u8>], sources: &[Source]) -> (Vec<ShownRule>, Vec<ShownRule>) {
    let loadable_sources = || sources.iter().filter(|source| source.policy.faults.is_empty());
    let mut open: Vec<_> = loadable_sources()
        .flat_map(|source| {
            let rules = source.policy.rules.iter();
            rules.map(move |placed| (source, placed, shown(&placed.rule)))
        })
        .collect();
    let rules: Vec<_> = active
        .iter()
        .map(|rule| {
            let rule = rule.trim_ascii_end();
            let place = open.iter().position(|(.., text)| text.as_deref().map(<[u8]>::trim_ascii_end) == Some(rule));
            let place = place.map(|place| open.remove(place));
            ShownRule {
                rule: String::from_utf8_lossy(rule).into_owned(),
                file: place.as_ref().map(|(source, ..)| source.path.clone()),
                line: place.as_ref().map(|(_, placed, _)| placed.line as u64),
            }
        })
        .collect();
    let first = sources.first().filter(|first| rules.iter().any(|rule| rule.file.as_deref() == Some(&first.path)));
    let inactive = first.map_or_else(Vec::new, |first| {
        let left = open.iter().filter(|(source, ..)| source.path == first.path);
        left.map(|(source, placed, _)| ShownRule {
            rule: String::from_utf8_lossy(&loadable(&placed.rule)).into_owned(),
            file: Some(source.path.clone()),
            line: Some(placed.line as u64),
        })
        .collect()
    });
    (rules, inactive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy::fmt::every_word;
    use crate::model::policy::parse::parse;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), policy: parse(text.as_bytes(), &every_word(None)) }
    }

    #[test]
    fn active_rules_are_found_in_their_files() {
        let sources = [
            source("/etc/ima/ima-policy", "# c\nfunc=FILE_MMAP measure\naudit uid=4294967294\naudit\n"),
            source("/etc/imad/policies/x", "audit\nhash\n"),
            source("/etc/imad/policies/faulty", "appraise\nallow\n"),
        ];
        // As the kernel shows them: a blank behind each word, ids as signed numbers.
        let active =
            ["measure func=MMAP_CHECK ", "audit uid=-2 ", "hash ", "appraise "].map(|rule| rule.as_bytes().to_vec());
        let (rules, inactive) = origins(&active, &sources);
        let places: Vec<_> = rules.iter().map(|rule| (rule.file.as_deref(), rule.line)).collect();
        assert_eq!(
            places,
            [
                (Some("/etc/ima/ima-policy"), Some(2)),
                (Some("/etc/ima/ima-policy"), Some(3)),
                (Some("/etc/imad/policies/x"), Some(2)),
                (None, None)
            ]
        );
        assert_eq!(inactive.iter().map(|rule| rule.line).collect::<Vec<_>>(), [Some(4)]);
        // Where nothing of the file is active, nothing of it is missing.
        assert_eq!(origins(&active[2..], &sources).1, []);
        assert_eq!(rules_of(&sources[0])[1].rule, "audit uid=4294967294");
    }

    #[test]
    fn descriptions_and_names() {
        assert_eq!(description(b"\n## Appraise all. \n# x\nmeasure\n").as_deref(), Some("Appraise all."));
        assert_eq!(description(b"measure\n"), None);
        assert!(is_policy_name("01-x") && !is_policy_name(".01.partial") && !is_policy_name("01-x.rpmnew"));
    }
}
