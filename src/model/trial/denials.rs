//! Denials of boot-critical files, out of the kernel's messages or the audit daemon's log.
//!
//! The record (`integrity_audit_message()`, type 1800) is the same in both, its head is not:
//!
//! ```text
//! audit: type=1800 audit(1700000000.123:45): pid=… op=appraise_data cause=… comm="…" name="/usr/bin/x" … res=0 errno=0
//! type=INTEGRITY_DATA msg=audit(1700000000.123:45): pid=… op=appraise_data …
//! ```
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use crate::model::hex;

/// A file that the kernel denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Its path, as the kernel gave it.
    pub path: Vec<u8>,
    /// The kernel's word for why.
    pub cause: String,
    /// The time of the record, milliseconds since 1970.
    pub time_ms: u64,
}

/// A denial by appraisal, if this line tells one.
pub fn denial(line: &str) -> Option<Denial> {
    let of_this_kind = line.contains("type=1800 ") || line.contains("type=INTEGRITY_DATA ");
    if !of_this_kind || word(line, "op") != Some("appraise_data") || word(line, "res") != Some("0") {
        return None;
    }
    let stamp = line.split_once("audit(")?.1.split_once(':')?.0;
    let (seconds, millis) = stamp.split_once('.')?;
    let time_ms = seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(millis.parse().ok()?)?;
    let (path, cause) = (text(line, "name")?, text(line, "cause").unwrap_or_default());
    Some(Denial { path, cause: String::from_utf8_lossy(&cause).into_owned(), time_ms })
}

/// Whether this line says that records were dropped before anyone could read them (`printk_ratelimit()`,
/// `audit_log_lost()`).
pub fn tells_of_lost_records(line: &str) -> bool {
    line.contains("kauditd_printk_skb: ") && line.contains("callbacks suppressed")
        || line.contains("audit_lost=")
        || line.contains("audit: rate limit exceeded")
        || line.contains("audit: backlog limit exceeded")
}

/// Those of the denials that are of these files, each file once.
pub fn of_files<'a>(denials: &'a [Denial], files: &BTreeSet<&[u8]>) -> Vec<&'a Denial> {
    let mut seen = BTreeSet::new();
    denials.iter().filter(|it| files.contains(&it.path[..]) && seen.insert(&it.path)).collect()
}

/// A field's value as it stands in the line, without quotes.
fn word<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    field(line, name).map(|(value, _)| value)
}

/// A field's value and whether it stood in quotes. A quoted value cannot hold a quote or a blank
/// (`audit_log_untrustedstring()`), so no value can be taken for a field.
fn field<'a>(line: &'a str, name: &str) -> Option<(&'a str, bool)> {
    let value = line.split([' ', '\n']).rev().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map_or((value, false), |inner| (inner, true)))
}

/// A field that is quoted, or in hexadecimal digits where it holds what quotes cannot.
fn text(line: &str, name: &str) -> Option<Vec<u8>> {
    let (value, quoted) = field(line, name)?;
    if quoted {
        return Some(value.as_bytes().to_vec());
    }
    // Words of the kernel's own stand there bare.
    Some(hex::decode(value.as_bytes()).unwrap_or_else(|| value.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OF_KERNEL: &str = "audit: type=1800 audit(1700000000.123:45): pid=1 uid=0 auid=4294967295 ses=4294967295 \
        subj=kernel op=appraise_data cause=IMA-signature-required comm=\"bash\" name=\"/root/s.sh\" dev=\"vda\" ino=7843 res=0 errno=0";

    #[test]
    fn are_read_from_messages_and_from_the_log() {
        let expected = Denial {
            path: b"/root/s.sh".to_vec(),
            cause: "IMA-signature-required".to_owned(),
            time_ms: 1_700_000_000_123,
        };
        assert_eq!(denial(OF_KERNEL), Some(expected.clone()));
        let of_log = OF_KERNEL.replace("audit: type=1800 audit(", "type=INTEGRITY_DATA msg=audit(");
        assert_eq!(denial(&of_log), Some(expected));
        let odd = OF_KERNEL.replace("\"/root/s.sh\"", "2F726F6F742F6120622E7368");
        assert_eq!(denial(&odd).map(|it| it.path), Some(b"/root/a b.sh".to_vec()));
    }

    #[test]
    fn other_lines_are_none() {
        for (from, to) in [("1800", "1802"), ("appraise_data", "collect_data"), ("res=0", "res=1"), ("name=", "nam=")] {
            assert_eq!(denial(&OF_KERNEL.replace(from, to)), None, "{to}");
        }
        // A file's own name makes no record: it is in hexadecimal digits once it holds a blank.
        assert_eq!(denial("random text type=1800 name=\"/usr/bin/x\""), None);
        assert!(tells_of_lost_records("kauditd_printk_skb: 12 callbacks suppressed"));
        assert!(!tells_of_lost_records(OF_KERNEL) && !tells_of_lost_records("net_ratelimit: 3 callbacks suppressed"));
    }

    #[test]
    fn a_file_counts_once_and_others_do_not() {
        let denials: Vec<Denial> = ["/usr/bin/x", "/home/x", "/usr/bin/x"]
            .iter()
            .filter_map(|path| denial(&OF_KERNEL.replace("/root/s.sh", path)))
            .collect();
        assert_eq!(denials.len(), 3);
        let found = of_files(&denials, &BTreeSet::from([&b"/usr/bin/x"[..]]));
        assert_eq!(found.iter().map(|it| &it.path[..]).collect::<Vec<_>>(), [b"/usr/bin/x"]);
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line: String) {
            let _ = denial(&line);
            let _ = denial(&format!("type=1800 op=appraise_data res=0 audit({line}"));
        }
    }
}
