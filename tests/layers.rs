//! The arrows of the module map: who may name whom, and where `unsafe` may stand.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// From a module to the modules that it may name. A module may always name itself.
const ARROWS: [(&str, &[&str]); 8] = [
    ("model", &[]),
    ("sys", &["model"]),
    ("ops", &["sys", "model"]),
    ("bus", &["model"]),
    ("boot", &["ops", "sys", "model"]),
    ("daemon", &["ops", "sys", "model", "bus"]),
    ("cli", &["ops", "sys", "model", "bus"]),
    ("bin", &["boot", "daemon", "cli"]),
];

/// Of `model`, `bus` may name its reports alone.
const OF_MODEL_IN_BUS: &str = "report";

fn sources() -> BTreeMap<PathBuf, String> {
    fn walk(dir: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in std::fs::read_dir(dir).expect("src can be listed") {
            let path = entry.expect("src can be listed").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension() == Some("rs".as_ref()) {
                let text = std::fs::read_to_string(&path).expect("a source can be read");
                found.insert(path, text);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found
}

/// The top-level module of a file; `None` for `lib.rs`.
fn module_of(path: &Path) -> Option<String> {
    let below = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("it lies in src");
    let first = below.components().next()?.as_os_str().to_str()?;
    (first != "lib.rs").then(|| first.trim_end_matches(".rs").to_owned())
}

/// A source without its comments, strings and characters, so that only code is left.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw_string(rest, code.chars().last()) {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = hashes + 2;
            rest[open..].find(&close).map_or(rest.len(), |end| open + end + close.len())
        } else if first == '"' {
            end_of_string(rest)
        } else if let Some(length) = character(rest) {
            length
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.push(' ');
        rest = &rest[skipped..];
    }
    code
}

/// The number of hashes where a raw string begins.
fn raw_string(rest: &str, before: Option<char>) -> Option<usize> {
    let tail = rest.strip_prefix('r')?;
    let hashes = tail.len() - tail.trim_start_matches('#').len();
    let begins_a_word = before.is_none_or(|c| !c.is_alphanumeric() && c != '_') || before == Some('b');
    (begins_a_word && tail[hashes..].starts_with('"')).then_some(hashes)
}

fn end_of_string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a character literal; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    let length = match inner.strip_prefix('\\') {
        Some(escape) => 1 + escape.char_indices().skip(1).find(|(_, c)| *c == '\'')?.0,
        None => inner.chars().next()?.len_utf8(),
    };
    inner[length..].starts_with('\'').then_some(length + 2)
}

/// Every path that code names with the given head (`crate::`, `imad::`), braces spread out: `model::report`, …
fn paths_below(code: &str, head: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices(head) {
        if code[..at].chars().last().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        spread(&code[at + head.len()..], "", &mut paths);
    }
    paths
}

/// Reads one path, or a braced list of paths, below a prefix; returns how much was read.
fn spread(text: &str, prefix: &str, paths: &mut Vec<String>) -> usize {
    let word = text.len() - text.trim_start().len();
    let text_at = &text[word..];
    if text_at.starts_with('{') {
        let mut at = word + 1;
        loop {
            at += spread(&text[at..], prefix, paths);
            at += text[at..].len() - text[at..].trim_start().len();
            match text[at..].chars().next() {
                Some(',') => at += 1,
                Some('}') => return at + 1,
                // `as` and whatever else may follow a path within braces.
                Some(c) => at += c.len_utf8(),
                None => return at,
            }
        }
    }
    let name: String = text_at.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '*').collect();
    if name.is_empty() {
        return word;
    }
    let after = word + name.len();
    let path = if prefix.is_empty() { name } else { format!("{prefix}::{name}") };
    match text[after..].strip_prefix("::") {
        Some(deeper) if !deeper.starts_with('<') => after + 2 + spread(deeper, &path, paths),
        _ => {
            paths.push(path);
            after
        }
    }
}

#[test]
fn modules_name_only_what_the_map_allows() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let Some(module) = module_of(&file) else { continue };
        let allowed = ARROWS.iter().find(|(from, _)| *from == module).map(|(_, to)| *to);
        let Some(allowed) = allowed else {
            wrong.push(format!("{}: the map has no module \"{module}\"", file.display()));
            continue;
        };
        let head = if module == "bin" { "imad::" } else { "crate::" };
        for path in paths_below(&code_of(&text), head) {
            let mut parts = path.split("::");
            let (target, inner) = (parts.next().unwrap_or_default(), parts.next());
            let report_only = module == "bus" && target == "model" && inner != Some(OF_MODEL_IN_BUS);
            if target != module && (!allowed.contains(&target) || report_only) {
                wrong.push(format!("{}: \"{module}\" names {head}{path}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_stands_in_sys_alone() {
    const FORBID: &str = "#![forbid(unsafe_code)]";
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let code = code_of(&text);
        let words = || code.split(|c: char| !c.is_alphanumeric() && c != '_');
        let forbids = text.lines().any(|line| line == FORBID);
        if module_of(&file).as_deref() == Some("sys") {
            if words().any(|word| word == "unsafe") == forbids && file.file_name() != Some("mod.rs".as_ref()) {
                wrong.push(format!("{}: {FORBID} belongs there unless it has unsafe code", file.display()));
            }
        } else if !forbids && module_of(&file).is_some() && !is_test_module(&file) {
            wrong.push(format!("{}: {FORBID} is missing at its head", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Tests that lie beside a long file; the file that takes them in forbids for them.
fn is_test_module(file: &Path) -> bool {
    file.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| stem == "tests" || stem.ends_with("_tests"))
}

#[test]
fn code_is_told_from_text() {
    let code =
        code_of("use crate::a; // crate::b\nlet x = \"crate::c\\\"\"; r#\"crate::d\"#; 'x'; '\\''; &'a str; /* e */ f");
    assert!(code.contains("use crate::a;") && code.contains("&'a str") && code.ends_with('f'), "{code}");
    assert!(["crate::b", "crate::c", "crate::d", "e */"].iter().all(|text| !code.contains(text)), "{code}");
}

#[test]
fn paths_are_found_with_braces_spread_out() {
    let mut paths = paths_below(
        "use crate::{model::{report::Status, plan}, sys}; crate::ops::status::read(); xcrate::no; use crate::bus as b;",
        "crate::",
    );
    paths.sort();
    assert_eq!(paths, ["bus", "model::plan", "model::report::Status", "ops::status::read", "sys"]);
}
