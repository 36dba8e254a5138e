//! glibc's own loader says what a program pulls in.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use imad::model::program::Role;
use imad::ops::loading::loading;
use imad::sys::root::Root;

use crate::machine::run;

/// Programs that tests/packages.txt or every Debian brings, with many libraries, few, and none.
const PROGRAMS: [&str; 8] = [
    "/usr/bin/rpm",
    "/usr/bin/openssl",
    "/usr/bin/evmctl",
    "/usr/bin/qemu-system-x86_64",
    "/bin/sh",
    "/usr/bin/busctl",
    "/usr/sbin/ldconfig",
    "/usr/bin/true",
];

fn ldd(program: &str) -> BTreeSet<String> {
    let mut command = Command::new("ldd");
    command.arg(program);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let paths = text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    paths.map(|path| std::fs::canonicalize(path).unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn programs_pull_in_what_ldd_says() {
    let root = Root::running().unwrap();
    let mut libraries = 0;
    for program in PROGRAMS {
        assert!(Path::new(program).exists(), "{program} is missing: install the packages of tests/packages.txt");
        let found = loading(&root, program.as_bytes(), &[]);
        assert_eq!(found.gaps, [], "{program}");
        let ours: BTreeSet<String> = found
            .parts
            .iter()
            .filter(|part| matches!(part.role, Role::Loader | Role::Library))
            .map(|part| String::from_utf8(part.path.clone()).unwrap())
            .collect();
        libraries += ours.len();
        assert_eq!(ours, ldd(program), "{program}");
    }
    assert!(libraries > 50, "{libraries}");
}

#[test]
fn scripts_pull_in_their_interpreters() {
    let folder = crate::machine::folder();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        run({
            let mut chmod = Command::new("chmod");
            chmod.arg("755").arg(&path);
            chmod
        });
        path.to_str().unwrap().to_owned()
    };
    let inner = write("inner", "#!/bin/sh -e\n");
    let outer = write("outer", &format!("#!{inner}\n"));
    let found = loading(&Root::running().unwrap(), outer.as_bytes(), &[]);
    let roles: Vec<Role> = found.parts.iter().map(|part| part.role).collect();
    assert_eq!(roles[..4], [Role::Script, Role::Script, Role::Program, Role::Loader]);
    assert_eq!(found.parts[1].path, inner.as_bytes());

    let itself = write("itself", &format!("#!{}/itself\n", folder.path().display()));
    let found = loading(&Root::running().unwrap(), itself.as_bytes(), &[]);
    assert!(found.gaps[0].why.contains("ELOOP"), "{found:?}");
}
