//! The two trusted kernels: what they differ in, and that it is justified, symbol by symbol, in images/uml-config.fragment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::harness::Images;

const JUSTIFIED: &str = include_str!("images/uml-config.fragment");

/// Symbols that verdicts and boots depend on: no pattern covers one.
const OURS: [&str; 21] = [
    "ASYMMETRIC_",
    "AUDIT",
    "BTRFS_",
    "CRYPTO_",
    "DM_",
    "ENCRYPTED_",
    "EROFS_",
    "EVM",
    "EXT4_",
    "FS_",
    "IMA",
    "INTEGRITY",
    "KEYS",
    "LOAD_",
    "LSM",
    "MODULE",
    "OVERLAY_",
    "PKCS",
    "SECURITY",
    "SYSTEM_",
    "X509_",
];

/// A configuration's symbols and their values.
fn symbols(folder: &Path) -> BTreeMap<String, String> {
    let file = folder.join("config");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let lines = text.lines().filter_map(|line| line.strip_prefix("CONFIG_")?.split_once('='));
    lines.map(|(symbol, value)| (symbol.to_owned(), value.to_owned())).collect()
}

/// The list's entries: what each names, and whether it is a pattern.
fn justified() -> Vec<(&'static str, bool)> {
    let lines = JUSTIFIED.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entry = |line: &'static str| {
        let (kind, name) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(["with", "without", "follows"].contains(&kind), "{line}");
        let name = name.split_once('=').map_or(name, |(name, _)| name);
        name.strip_suffix('*').map_or((name, false), |name| (name, true))
    };
    lines.map(entry).collect()
}

#[test]
fn the_two_trusted_kernels_differ_in_what_is_justified_alone() {
    let images = Images::load();
    let (uml, qemu) = (symbols(images.uml()), symbols(images.kernel()));
    // Where the CA lies is the same; the compiler's own words are not the configuration's.
    assert_eq!(uml["SYSTEM_TRUSTED_KEYS"], qemu["SYSTEM_TRUSTED_KEYS"]);
    let all: BTreeSet<&String> = uml.keys().chain(qemu.keys()).collect();
    let differ: Vec<_> = all.into_iter().filter(|symbol| uml.get(*symbol) != qemu.get(*symbol)).collect();
    let list = justified();
    let (mut used, mut unjustified) = (vec![0; list.len()], Vec::new());
    for symbol in &differ {
        let ours = OURS.iter().any(|prefix| symbol.starts_with(prefix));
        let covers =
            |(name, pattern): &(&str, bool)| *symbol == name || (*pattern && !ours && symbol.starts_with(name));
        match list.iter().position(covers) {
            Some(at) => used[at] += 1,
            None => unjustified.push(format!("{symbol}: {:?}, under QEMU {:?}", uml.get(*symbol), qemu.get(*symbol))),
        }
    }
    println!("{} of {} symbols differ", differ.len(), uml.len().max(qemu.len()));
    for ((name, pattern), count) in list.iter().zip(&used) {
        println!("{count:4} {name}{}", if *pattern { "*" } else { "" });
    }
    assert_eq!(unjustified, Vec::<String>::new(), "not in uml-config.fragment");
    let unused: Vec<_> = list.iter().zip(&used).filter(|(_, count)| **count == 0).map(|((name, _), _)| name).collect();
    assert_eq!(unused, Vec::<&&str>::new(), "uml-config.fragment justifies what is no difference");
}
