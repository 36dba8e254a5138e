//! How a rule is written: in the kernel's order of words, aliases resolved (`ima_policy.c: ima_policy_show()`).
#![forbid(unsafe_code)]

use std::io::Write as _;

use super::parse::TEMPLATES;
use super::rule::{Comparison, Demands, IdCondition, OwnerCondition, Rule};

/// The rule as the kernel shows it when its rules are read: a blank after every word, user ids as signed numbers, names
/// of file systems cut after 63 bytes, and `appraise_type=sigv3` before the `digest_type=verity` that it needs, so that
/// this is not always loadable again. `None` for a rule that the kernel leaves out.
pub fn shown(rule: &Rule) -> Option<Vec<u8>> {
    (!rule.is_void()).then(|| write(rule, Style::Shown))
}

/// The rule as a policy file takes it.
pub fn loadable(rule: &Rule) -> Vec<u8> {
    let mut text = write(rule, Style::Loadable);
    // The blank after the last word, and no more: a value may end in what others take for a blank.
    text.pop();
    text
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Shown,
    Loadable,
}

/// How many bytes of a file system's name the kernel shows (`tbuf` of `ima_policy_show()`, without its NUL).
const SHOWN_NAME: usize = 63;

/// Writing to a vector cannot fail.
macro_rules! put {
    ($out:expr, $($what:tt)*) => { write!($out, $($what)*).unwrap_or_else(|_| unreachable!("vectors grow")) };
}

fn write(rule: &Rule, style: Style) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    put!(out, "{} ", rule.action.name());
    if let Some(func) = rule.func {
        put!(out, "func={} ", func.name());
    }
    if let Some(mask) = rule.mask {
        put!(out, "mask={}{} ", if mask.among { "^" } else { "" }, mask.mask.name());
    }
    if let Some(magic) = rule.fsmagic {
        put!(out, "fsmagic={magic:#x} ");
    }
    let cut = |name: &[u8]| match style {
        Style::Shown => name.len().min(SHOWN_NAME),
        Style::Loadable => name.len(),
    };
    text(&mut out, b"fsname=", rule.fsname.as_deref().map(|name| &name[..cut(name)]));
    text(&mut out, b"fs_subtype=", rule.fs_subtype.as_deref().map(|name| &name[..cut(name)]));
    list(&mut out, b"keyrings=", rule.keyrings.as_deref());
    list(&mut out, b"label=", rule.label.as_deref());
    if let Some(pcr) = rule.pcr {
        put!(out, "pcr={pcr} ");
    }
    if let Some(uuid) = rule.fsuuid {
        put!(out, "fsuuid={} ", uuid_text(&uuid));
    }
    id(&mut out, "uid", rule.uid, style);
    id(&mut out, "gid", rule.gid, style);
    owner(&mut out, "fowner", rule.fowner, style);
    owner(&mut out, "fgroup", rule.fgroup, style);
    if let Some(algos) = rule.algos {
        put!(out, "appraise_algos={} ", algos.names().collect::<Vec<_>>().join(","));
    }
    for condition in &rule.lsm {
        text(&mut out, condition.field.name().as_bytes(), Some(&condition.value));
    }
    match (&rule.template, style) {
        // The template of ima_template_fmt= has no name.
        (Some(template), Style::Shown) if !TEMPLATES.iter().any(|(name, _)| name.as_bytes() == template) => {
            text(&mut out, b"template=", Some(b""));
        }
        (template, _) => text(&mut out, b"template=", template.as_deref()),
    }
    demands(&mut out, rule.demands, style);
    if rule.permit_directio {
        put!(out, "permit_directio ");
    }
    out
}

fn demands(out: &mut Vec<u8>, demands: Demands, style: Style) {
    let Demands { signature, modsig, verity, sigv3 } = demands;
    let mut types = Vec::new();
    if signature && modsig && (style == Style::Loadable || !sigv3) {
        types.push("appraise_type=imasig|modsig");
    }
    if signature && sigv3 {
        types.push("appraise_type=sigv3");
    }
    if signature && !modsig && !sigv3 {
        types.push("appraise_type=imasig");
    }
    // Kernels before 7.1 take sigv3 after verity alone; no kernel takes imasig after verity.
    if verity && sigv3 && style == Style::Loadable {
        types.insert(0, "digest_type=verity");
    } else if verity {
        types.push("digest_type=verity");
    }
    for word in types {
        put!(out, "{word} ");
    }
}

fn text(out: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    if let Some(value) = value {
        out.extend_from_slice(key);
        out.extend_from_slice(value);
        out.push(b' ');
    }
}

fn list(out: &mut Vec<u8>, key: &[u8], items: Option<&[Vec<u8>]>) {
    text(out, key, items.map(|items| items.join(&b'|')).as_deref());
}

fn id(out: &mut Vec<u8>, key: &str, condition: Option<IdCondition>, style: Style) {
    if let Some(IdCondition { effective, comparison, id }) = condition {
        put!(out, "{}", if effective { "e" } else { "" });
        number(out, key, comparison, id, style);
    }
}

fn owner(out: &mut Vec<u8>, key: &str, condition: Option<OwnerCondition>, style: Style) {
    if let Some(OwnerCondition { comparison, id }) = condition {
        number(out, key, comparison, id, style);
    }
}

fn number(out: &mut Vec<u8>, key: &str, comparison: Comparison, id: u32, style: Style) {
    let symbol = comparison.symbol();
    match style {
        Style::Shown => put!(out, "{key}{symbol}{} ", id.cast_signed()),
        Style::Loadable => put!(out, "{key}{symbol}{id} "),
    }
}

/// A UUID in its usual form, lower case.
pub fn uuid_text(uuid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text
}
