//! Writes what is generated from the code and kept in the repository: imactl's manual pages and completions, and the
//! introspection XML of the bus interfaces. `tests/generated.rs` compares them.
//!
//! `cargo run --example generate -- DIR` writes them below DIR, at their places in the repository.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use clap_complete::Shell;
use clap_mangen::Man;
use imad::model::policy::kernel::{Kernel, KernelFacts};
use imad::model::policy::lint;
use imad::model::policy::profile::KernelConfig;
use imad::model::policy::report::check;

/// What clap does not know and the manual page of imactl needs.
const MORE_OF_IMACTL_1: &str = include_str!("imactl-sections.roff");

/// The same for imactl-policy-check.
const MORE_OF_POLICY_CHECK: &str = include_str!("imactl-policy-check-sections.roff");

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
    let mut pages = vec![manual_page(&command, MORE_OF_IMACTL_1)?];
    for verb in command.get_subcommands() {
        pages.push(manual_page(verb, "")?);
        for verb in verb.get_subcommands() {
            let more = if verb.get_display_name() == Some("imactl-policy-check") {
                more_of_policy_check()?
            } else {
                String::new()
            };
            pages.push(manual_page(verb, &more)?);
        }
    }
    Ok(pages)
}

/// What `imactl policy check` warns of, and what it says to files that want it: made by the code that says it.
fn more_of_policy_check() -> io::Result<String> {
    let mut more = MORE_OF_POLICY_CHECK.to_owned();
    more.push_str(".SH WARNINGS AND NOTES\nEach has a name that stays.\n");
    for lint in lint::ALL {
        write!(more, ".TP\n.BR {} \" (\" {} )\n{}\n", roff(lint.id), lint.severity.name(), roff(lint.why))
            .map_err(io::Error::other)?;
    }
    more.push_str(
        ".SH EXAMPLES\nTen files, as they are judged for Linux 6.12 with the options of Fedora and RHEL, before SELinux has \
         its policy.\n",
    );
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let config = KernelConfig::parse(&std::fs::read_to_string(fixtures.join("kernel-config"))?);
    let kernel = Kernel::from_facts(&KernelFacts {
        config: Some(("kernel-config".to_owned(), config)),
        ..KernelFacts::default()
    });
    let mut files = std::fs::read_dir(fixtures.join("policies"))?.collect::<io::Result<Vec<_>>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files {
        let (name, source) = (file.file_name().to_string_lossy().into_owned(), std::fs::read(file.path())?);
        let checked = check(&name, &source, &kernel);
        let output = checked.text(false, false);
        write!(more, ".PP\n.nf\n.B $ imactl policy check {}\n{}.fi\n", roff(&name), roff(&output))
            .map_err(io::Error::other)?;
    }
    Ok(more)
}

/// Text as troff takes it.
fn roff(text: &str) -> String {
    let text = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('^', "\\(ha")
        .replace('`', "\\(ga")
        .replace('\'', "\\(aq");
    let lines = text
        .split_inclusive('\n')
        .map(|line| if line.starts_with('.') { format!("\\&{line}") } else { line.to_owned() });
    lines.collect()
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
