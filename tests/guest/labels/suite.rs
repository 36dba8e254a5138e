//! Files with labels of every kind, and what a guest's kernel says to each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use imad::model::plan::State;
use imad::model::report::LabelReport;

use crate::corpus::{Draw, Kind, Signers};
use crate::harness::{Guest, Setup};
use crate::machine::{folder, run};
use crate::system::{in_haste, key_file};

/// Tries to execute each file of a folder and prints name and errno. No file is a program: what the kernel does not deny
/// ends in ENOEXEC, and this process goes on.
const EXECUTE: &str = "\
import os
for name in os.listdir('/mnt'):
    if not name.startswith('file'):
        continue
    try:
        os.execv('/mnt/' + name, [name])
    except OSError as error:
        print(name, error.errno)
";

/// An ext4 image on which `fill` has put files.
fn image(folder: &Path, fill: impl FnOnce(&Path)) -> PathBuf {
    let (image, mount) = (folder.join("labels.img"), folder.join("mount"));
    std::fs::create_dir(&mount).unwrap();
    let command = |program: &str, arguments: &[&str], paths: &[&Path]| {
        let mut command = Command::new(program);
        command.args(arguments).args(paths);
        run(command);
    };
    command("truncate", &["-s", "256M"], &[&image]);
    command("mkfs.ext4", &["-q", "-I", "256"], &[&image]);
    command("mount", &["-o", "loop"], &[&image, &mount]);
    fill(&mount);
    command("umount", &[], &[&mount]);
    image
}

/// imad's state of each file.
fn states(guest: &Guest, names: &[String]) -> BTreeMap<String, State> {
    let mut states = BTreeMap::new();
    for names in names.chunks(500) {
        let paths: Vec<String> = names.iter().map(|name| format!("/mnt/{name}")).collect();
        let arguments = ["imactl", "--json", "relabel", "--dry-run"].map(str::to_owned);
        let text = guest.run(&[&arguments[..], &paths].concat()).stdout;
        let report: LabelReport = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        states.extend(report.files.into_iter().map(|file| (file.path.replace("/mnt/", ""), file.state)));
    }
    states
}

/// imad's state of each file against what becomes of executing it, on a guest under the strict policy.
pub(crate) fn fare_as_with_the_kernel(setup: Setup) {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let signers = Signers::of_test_keys();
    let mut draw = Draw(0x1a_3b);
    let mut kinds = BTreeMap::new();
    let image = image(folder.path(), |mount| {
        for (kind, rounds) in Kind::ALL {
            for _ in 0..2 * rounds {
                let mut number = kinds.len();
                let mut name = || {
                    number += 1;
                    mount.join(format!("file{number}"))
                };
                for file in signers.make(kind, &mut draw, &mut name) {
                    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
                    kinds.insert(file.file_name().unwrap().to_str().unwrap().to_owned(), kind);
                }
            }
        }
    });
    let mut setup = in_haste(setup).disk(image);
    for name in ["rsa", "p384"] {
        setup = setup.file(&format!("/etc/keys/ima/{name}.der"), key_file(format!("accepted/{name}.der")), 0o644);
    }
    let guest = Guest::boot(setup);
    // Behind the root and the packages.
    guest.run(&["mount", &guest.device(2), "/mnt"]).ok();

    let names: Vec<String> = kinds.keys().cloned().collect();
    let states = states(&guest, &names);
    let text =
        guest.command(&["python3", "-c", EXECUTE]).timeout(std::time::Duration::from_secs(600)).output().ok().stdout;
    let (mut counts, mut wrong) = (BTreeMap::<_, BTreeMap<_, u32>>::new(), Vec::new());
    for line in text.lines() {
        let (name, errno) = line.split_once(' ').unwrap();
        let (kind, state) = (kinds[name], states[name]);
        let runs = match errno {
            "8" => true,
            "13" => false,
            _ => panic!("{name}, {kind:?}: errno {errno}"),
        };
        *counts.entry((state, runs)).or_default().entry(kind).or_default() += 1;
        // What imad cannot tell it does not tell.
        if state != State::Unsupported && runs != (state == State::Good) {
            wrong.push(format!("{name}, {kind:?}: imad says {state}, the kernel {errno}"));
        }
    }
    for ((state, runs), kinds) in &counts {
        println!("{state}, {}: {kinds:?}", if *runs { "runs" } else { "denied" });
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), names.len(), wrong.join("\n"));
    let count = |state, runs| counts.get(&(state, runs)).map_or(0, |kinds| kinds.values().sum::<u32>());
    let (good, denied) = (count(State::Good, true), count(State::Foreign, false));
    assert!(good >= 200 && denied >= 500 && good + denied >= 1000, "{good} run, {denied} are denied");
}
