//! The outline of a policy file: enough to count its rules and to see what the kernel would drop whole.
//!
//! Lexing as in `security/integrity/ima/ima_policy.c: ima_parse_add_rule()`.
#![forbid(unsafe_code)]

/// What a policy file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The rules: number of the line (from 1) and text.
    pub rules: Vec<(usize, String)>,
    /// Lines of rules with conditions on LSM labels, which no kernel accepts as first policy before SELinux.
    pub lsm_lines: Vec<usize>,
}

impl Outline {
    /// What to say of a refused policy that has conditions on labels; nothing where it has none.
    pub fn about_labels(&self) -> String {
        self.lsm_lines.first().map_or_else(String::new, |line| {
            format!(
                "; line {line} has a condition on LSM labels, which no kernel accepts before SELinux has its policy"
            )
        })
    }
}

/// Why the kernel would not take a policy file, whatever its rules say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutlineError {
    /// Nothing in it.
    #[error("the file is empty")]
    Empty,
    /// `ima_read_policy()` needs the final newline.
    #[error("line {line} has no newline at its end, and the kernel reads beyond it")]
    NoFinalNewline {
        /// The last line.
        line: usize,
    },
    /// A NUL ends a line for the kernel, and loading by path stops there.
    #[error("line {line} holds a NUL byte")]
    Nul {
        /// The line.
        line: usize,
    },
    /// `\r` is an ordinary character to the kernel.
    #[error("line {line} ends in a carriage return, which the kernel takes for part of the last word")]
    CarriageReturn {
        /// The line.
        line: usize,
    },
    /// Rules are ASCII.
    #[error("line {line} is not UTF-8")]
    NotText {
        /// The line.
        line: usize,
    },
    /// Only comments: the kernel fails such a load at close.
    #[error("it holds no rule")]
    NoRules,
}

const LSM_CONDITIONS: [&str; 6] = ["subj_user=", "subj_role=", "subj_type=", "obj_user=", "obj_role=", "obj_type="];

/// Reads a policy file's outline.
pub fn outline(bytes: &[u8]) -> Result<Outline, OutlineError> {
    if bytes.is_empty() {
        return Err(OutlineError::Empty);
    }
    let mut outline = Outline { rules: Vec::new(), lsm_lines: Vec::new() };
    let mut last = 0;
    for (line, text) in (1..).zip(bytes.split_inclusive(|&byte| byte == b'\n')) {
        last = line;
        if text.contains(&0) {
            return Err(OutlineError::Nul { line });
        }
        let text = std::str::from_utf8(text).map_err(|_| OutlineError::NotText { line })?;
        let rule = text.trim_end_matches('\n').trim_start_matches([' ', '\t']);
        if rule.is_empty() || rule.starts_with('#') {
            continue;
        }
        if rule.ends_with('\r') {
            return Err(OutlineError::CarriageReturn { line });
        }
        let mut words = rule.split([' ', '\t']);
        if words.any(|word| LSM_CONDITIONS.iter().any(|condition| word.starts_with(condition))) {
            outline.lsm_lines.push(line);
        }
        outline.rules.push((line, rule.to_owned()));
    }
    if !bytes.ends_with(b"\n") {
        return Err(OutlineError::NoFinalNewline { line: last });
    }
    if outline.rules.is_empty() { Err(OutlineError::NoRules) } else { Ok(outline) }
}

/// Whether a rule refuses any file but a policy for want of a good label; the rule as a file holds it, or as the kernel
/// shows it.
pub fn refuses_files(rule: &[u8]) -> bool {
    let words = || rule.split(|byte| b" \t".contains(byte));
    // The one is about further policies, the other about the algorithms of labels.
    let other = |word: &[u8]| word == b"func=POLICY_CHECK" || word == b"func=SETXATTR_CHECK";
    words().any(|word| word == b"appraise") && !words().any(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_appraises_more_than_policies_refuses_files() {
        for (rule, expected) in [
            ("appraise func=BPRM_CHECK appraise_type=imasig ", true),
            ("fowner=0\tappraise", true),
            ("appraise func=POLICY_CHECK appraise_type=imasig", false),
            ("appraise func=SETXATTR_CHECK appraise_algos=sha256", false),
            ("dont_appraise fsname=rootfs", false),
            ("measure func=BPRM_CHECK", false),
        ] {
            assert_eq!(refuses_files(rule.as_bytes()), expected, "{rule}");
        }
    }

    #[test]
    fn counts_rules_with_their_lines() {
        let policy = outline(b"# one\n\n  appraise func=BPRM_CHECK\n\tdont_appraise obj_type=x_t\n").unwrap();
        assert_eq!(policy.rules[0], (3, "appraise func=BPRM_CHECK".to_owned()));
        assert_eq!(policy.rules.len(), 2);
        assert_eq!(policy.lsm_lines, [4]);
    }

    #[test]
    fn names_what_the_kernel_drops_whole() {
        assert_eq!(outline(b""), Err(OutlineError::Empty));
        assert_eq!(outline(b"# only\n\n"), Err(OutlineError::NoRules));
        assert_eq!(outline(b"appraise"), Err(OutlineError::NoFinalNewline { line: 1 }));
        assert_eq!(outline(b"#\nappraise\r\n"), Err(OutlineError::CarriageReturn { line: 2 }));
        assert_eq!(outline(b"a\0b\n"), Err(OutlineError::Nul { line: 1 }));
        assert_eq!(outline(b"\xff\n"), Err(OutlineError::NotText { line: 1 }));
    }
}
