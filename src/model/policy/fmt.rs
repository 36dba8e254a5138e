//! How a policy file is laid out: the kernel's order of words, one blank between them; comments and order stay.
#![forbid(unsafe_code)]

use super::canonical::loadable;
use super::lex::{Line, LineKind, lines};
use super::parse::{Policy, parse, parse_line};
use super::profile::{KernelProfile, Lsm, Names};
use super::rule::{HASH_NAMES, HashSet, Rule, Text};

/// A kernel that knows every word: laying out a file is no question of which kernel runs.
pub fn every_word(custom_template: Option<Text>) -> KernelProfile {
    KernelProfile {
        hashes: HashSet::of(&HASH_NAMES),
        trailing_comments: true,
        fs_subtype: true,
        dont_audit: true,
        sigv3_files: true,
        lsm: Lsm::Selinux(Names::Any),
        custom_template,
        ..KernelProfile::default()
    }
}

/// Lays a policy file out, or tells the faults that keep it from being read. The format of `ima_template_fmt=` counts as
/// a template.
pub fn format(source: &[u8], custom_template: Option<Text>) -> Result<Vec<u8>, Policy> {
    let profile = every_word(custom_template);
    let policy = parse(source, &profile);
    if !policy.faults.is_empty() {
        return Err(policy);
    }
    let mut out = Vec::with_capacity(source.len());
    for line in lines(source) {
        if line.kind() == LineKind::Comment {
            out.extend_from_slice(trim(line.bytes));
        } else if let Ok(Some(rule)) = parse_line(&line, &profile) {
            out.extend_from_slice(&laid_out(&line, &rule));
        }
        out.push(b'\n');
    }
    Ok(out)
}

/// A line without the blanks around it.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// A rule, what the kernel passes over in it, and the comment behind it.
fn laid_out(line: &Line<'_>, rule: &Rule) -> Vec<u8> {
    let mut out = loadable(rule);
    let comment = line.words().find(|word| word.text.starts_with(b"#"));
    let end = comment.map_or(line.bytes.len(), |word| word.start);
    // It says something to older kernels.
    let passed_over = line.words().filter(|word| word.start < end && word.text.starts_with(b"appraise_flag="));
    for word in passed_over {
        out.push(b' ');
        out.extend_from_slice(word.text);
    }
    if end < line.bytes.len() {
        out.push(b' ');
        out.extend_from_slice(trim(&line.bytes[end..]));
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn formatted(source: &str) -> String {
        String::from_utf8(format(source.as_bytes(), Some(b"d-ng|n-ng|iuid".to_vec())).unwrap()).unwrap()
    }

    #[test]
    fn words_are_ordered_and_comments_stay() {
        for (source, expected) in [
            ("\t# why \nmeasure\n", "# why\nmeasure\n"),
            ("\n \n func=PATH_CHECK\tmeasure  uid=0 \n\n", "\n\nmeasure func=FILE_CHECK uid=0\n\n"),
            ("uid=0 measure # for  root \n", "measure uid=0 # for  root\n"),
            ("appraise_flag=check_blacklist appraise fowner=0\n", "appraise fowner=0 appraise_flag=check_blacklist\n"),
            (
                "appraise digest_type=verity appraise_type=sigv3 fsmagic=EF53\n",
                "appraise fsmagic=0xef53 digest_type=verity appraise_type=sigv3\n",
            ),
            ("measure template=d-ng|n-ng|iuid\n", "measure template=d-ng|n-ng|iuid\n"),
            ("measure template=d-ng|n-ng\n", "measure template=ima-ng\n"),
            ("measure subj_type=a_t obj_type=b_t\n", "measure obj_type=b_t subj_type=a_t\n"),
            ("measure\0", "measure\n"),
        ] {
            assert_eq!(formatted(source), expected, "{source:?}");
        }
        let bytes = b"measure fsname=\xff #\xfe\n";
        assert_eq!(format(bytes, None).unwrap(), bytes);
    }

    #[test]
    fn files_with_faults_are_refused() {
        let policy = format(b"measure\nallow\n", None).unwrap_err();
        assert_eq!(policy.faults[0].line, 2);
        assert!(format(b"measure", None).is_err());
        assert!(format(b"", None).is_err());
    }

    /// Words that go with `measure`, words that go with `appraise`, comments, and what goes with nothing.
    fn line() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec![
            "measure",
            "dont_measure",
            "appraise",
            "dont_appraise",
            "audit",
            "hash",
            "dont_audit",
            "func=FILE_MMAP",
            "func=BPRM_CHECK",
            "func=KEY_CHECK",
            "func=SETXATTR_CHECK",
            "mask=^MAY_READ",
            "mask=MAY_EXEC",
            "fsmagic=0X01021994",
            "fsmagic=0",
            "fsname=ext4",
            "fsname=a",
            "fs_subtype=s",
            "fsuuid=DEADBEEF-0000-0000-0000-00000000000Fxyz",
            "uid=+0",
            "euid>5",
            "egid<4294967294",
            "fowner=007",
            "fgroup>1",
            "obj_type=b_t",
            "subj_user=u",
            "appraise_type=imasig",
            "appraise_type=imasig|modsig",
            "digest_type=verity",
            "appraise_type=sigv3",
            "permit_directio",
            "appraise_algos=sha512,sha256",
            "pcr=-0",
            "template=d-ng|n-ng",
            "template=d-ng|n-ng|iuid",
            "keyrings=.ima|.evm",
            "label=x",
            "appraise_flag=check_blacklist",
            "# and why",
            "#",
            "nonsense",
        ]);
        let blank = prop::sample::select(vec![" ", "\t", "  "]);
        vec((word, blank), 0..5).prop_map(|words| words.into_iter().flat_map(|(word, blank)| [word, blank]).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn layout_changes_no_rule_and_is_stable(lines in vec(line(), 1..4)) {
            let template = Some(b"d-ng|n-ng|iuid".to_vec());
            // A rule that is always good keeps policies of comments alone from being all there is.
            let source = format!("measure func=POLICY_CHECK\n{}\n", lines.join("\n"));
            let profile = every_word(template.clone());
            let before = parse(source.as_bytes(), &profile);
            match format(source.as_bytes(), template.clone()) {
                Err(policy) => prop_assert_eq!(policy, before),
                Ok(text) => {
                    prop_assert_eq!(&parse(&text, &profile), &before);
                    let comments = |text: &[u8]| String::from_utf8_lossy(text).matches('#').count();
                    prop_assert_eq!(comments(&text), comments(source.as_bytes()));
                    prop_assert_eq!(format(&text, template).unwrap(), text);
                }
            }
        }
    }

    /// The property above is worth something only where enough of its lines can be read.
    #[test]
    fn enough_generated_lines_are_rules() {
        use proptest::strategy::ValueTree;
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let profile = every_word(None);
        let good = (0..2000).filter(|_| {
            let text = line().new_tree(&mut runner).unwrap().current();
            matches!(parse_line(&Line::alone(text.as_bytes()), &profile), Ok(Some(_)))
        });
        let good = good.count();
        assert!(good > 200, "{good}");
    }
}
