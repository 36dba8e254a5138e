//! Writes what is generated from the code and kept in the repository: imactl's manual pages and completions, and the
//! introspection XML of the bus interfaces. `tests/generated.rs` compares them.
//!
//! `cargo run --example generate -- DIR` writes them below DIR, at their places in the repository.
#![forbid(unsafe_code)]

use std::io;
use std::path::{Path, PathBuf};

use clap_complete::Shell;
use clap_mangen::Man;

/// What clap does not know and the manual page of imactl needs.
const MORE_OF_IMACTL_1: &str = include_str!("imactl-sections.roff");

/// Every generated file: its place in the repository, and its content.
pub(crate) fn files() -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = manual_pages()?;
    for (shell, name) in [(Shell::Bash, "imactl"), (Shell::Zsh, "_imactl"), (Shell::Fish, "imactl.fish")] {
        let mut content = Vec::new();
        clap_complete::generate(shell, &mut imad::cli::command(), "imactl", &mut content);
        files.push((Path::new("docs/completions").join(name), content));
    }
    for (interface, xml) in imad::bus::xml() {
        files.push((PathBuf::from(format!("conf/dbus/{interface}.xml")), xml.into_bytes()));
    }
    Ok(files)
}

fn manual_pages() -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut command = imad::cli::command().disable_help_subcommand(true);
    // Gives the verbs their full names and the global options.
    command.build();
    let verbs = command.get_subcommands().map(|verb| manual_page(verb, ""));
    std::iter::once(manual_page(&command, MORE_OF_IMACTL_1)).chain(verbs).collect()
}

fn manual_page(command: &clap::Command, more: &str) -> io::Result<(PathBuf, Vec<u8>)> {
    let man = Man::new(command.clone()).manual("User commands").source("imad").date("");
    let mut page = Vec::new();
    man.render(&mut page)?;
    let page = String::from_utf8(page)
        .map_err(io::Error::other)?
        // clap_mangen leaves an empty date out, so that what follows slips into its place.
        .replacen(" 1  imad ", " 1 \"\" imad ", 1)
        .replacen(".SH EXTRA\nExit status: ", ".SH \"EXIT STATUS\"\n", 1);
    Ok((Path::new("docs/man").join(man.get_filename()), (page + more).into_bytes()))
}

#[allow(dead_code, reason = "tests/generated.rs takes this file in as a module")]
fn main() -> io::Result<()> {
    let dir = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    for (path, content) in files()? {
        let path = dir.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, content)?;
        println!("{}", path.display());
    }
    Ok(())
}
