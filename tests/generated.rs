//! The committed manual pages, completions and introspection XML are what the code makes today.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[path = "../packaging/generate.rs"]
mod generate;

#[test]
fn committed_files_are_what_the_code_makes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = generate::files().expect("the generator runs");
    let stale: Vec<_> = files
        .iter()
        .filter(|(path, content)| std::fs::read(root.join(path)).ok().as_ref() != Some(content))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(stale.is_empty(), "run `make generate` and commit: {stale:?}");
}

#[test]
fn nothing_is_left_of_what_the_code_made_before() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made: BTreeSet<PathBuf> =
        generate::files().expect("the generator runs").into_iter().map(|(path, _)| path).collect();
    let generated = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        path.starts_with("docs/completions") || name.starts_with("imactl") || path.extension() == Some("xml".as_ref())
    };
    for folder in ["docs/man", "docs/completions", "conf/dbus"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("the folder is there") {
            let path = Path::new(folder).join(entry.expect("it can be listed").file_name());
            assert!(!generated(&path) || made.contains(&path), "{} is made by nothing any more", path.display());
        }
    }
}
