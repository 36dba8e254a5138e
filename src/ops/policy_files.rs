//! Policy files: read, listed by name, laid out in place; and the active rules, with the lines that they come from.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::model::policy::fmt;
use crate::model::policy::origin::{self, NamedPolicy, Source};
use crate::model::policy::parse::{Policy, parse};
use crate::model::report::Problem;
use crate::sys::file::OpenFile;
use crate::sys::root::Root;
use crate::sys::{durable, kernel, securityfs};

/// Folders of named policies; a later one's files take the place of an earlier one's with the same name.
pub const FOLDERS: [&str; 3] = ["/usr/share/imad/policies", "/usr/share/ima/policies", "/etc/imad/policies"];
/// No policy is longer.
const LIMIT: u64 = 1 << 26;
/// Standard input, where a file is asked for.
pub const STANDARD_INPUT: &str = "-";

/// Reads a policy file; `-` is standard input. On the running system the path is this process's, elsewhere the root's.
pub fn read(root: &Root, path: &Path) -> io::Result<Vec<u8>> {
    if path == Path::new(STANDARD_INPUT) {
        return limited(io::stdin().lock());
    }
    if root.is_running() {
        // Not only regular files: a shell's <(…) is a pipe.
        return limited(File::open(path)?);
    }
    let fd = root.open_with(path.as_os_str().as_bytes(), OFlags::RDONLY | OFlags::NONBLOCK)?;
    crate::sys::root::read_limited(File::from(fd), LIMIT)
}

fn limited(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {LIMIT} bytes")));
    }
    Ok(bytes)
}

/// The format of `ima_template_fmt=`, by which the running kernel knows one template more.
pub fn custom_template() -> Option<Vec<u8>> {
    let words = kernel::command_line().unwrap_or_default();
    words.iter().rev().find_map(|word| word.strip_prefix("ima_template_fmt=")).map(|format| format.as_bytes().to_vec())
}

/// What laying a file out came to.
#[derive(Debug)]
pub enum Layout {
    /// It is as it should be.
    Same {
        /// The content.
        text: Vec<u8>,
    },
    /// It was, or would be, changed; whether a label was lost by it.
    Changed {
        /// The new content.
        text: Vec<u8>,
        /// The file had a label (`security.ima`), which does not fit the new content.
        labelled: bool,
    },
    /// Faults keep it from being read.
    Faulty {
        /// What it holds.
        source: Vec<u8>,
        /// The faults.
        policy: Policy,
    },
}

/// Lays a file out, and writes it in place if asked to.
pub fn lay_out(root: &Root, path: &Path, write: bool) -> io::Result<Layout> {
    let source = read(root, path)?;
    let text = match fmt::format(&source, custom_template()) {
        Ok(text) => text,
        Err(policy) => return Ok(Layout::Faulty { source, policy }),
    };
    if text == source {
        return Ok(Layout::Same { text });
    }
    let is_file = path != Path::new(STANDARD_INPUT);
    let labelled = is_file && has_label(root, path)?;
    if is_file && write {
        durable::rewrite(&host_path(root, path)?, &text)?;
    }
    Ok(Layout::Changed { text, labelled })
}

/// Where a file really is: what takes its place must not take the place of a link to it.
fn host_path(root: &Root, path: &Path) -> io::Result<std::path::PathBuf> {
    if root.is_running() {
        return std::fs::canonicalize(path);
    }
    let fd = root.open_with(path.as_os_str().as_bytes(), OFlags::PATH)?;
    std::fs::read_link(Root::fd_path(&fd))
}

fn has_label(root: &Root, path: &Path) -> io::Result<bool> {
    let path = host_path(root, path)?;
    let file = OpenFile::open(&Root::running()?, path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    Ok(file.label()?.is_some())
}

/// The named policies of a root, by name; `in_effect` is the content of the file that is loaded at boot.
pub fn named(root: &Root, in_effect: Option<&[u8]>) -> io::Result<Vec<NamedPolicy>> {
    let mut found = Vec::<NamedPolicy>::new();
    for folder in FOLDERS {
        let names = match root.list(folder) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io::Error::new(error.kind(), format!("{folder}: {error}"))),
        };
        for name in names {
            let Some(name) = name.to_str().filter(|name| origin::is_policy_name(name)) else { continue };
            let path = format!("{folder}/{name}");
            let bytes = match root.read(&path, LIMIT) {
                Ok(bytes) => bytes,
                // A folder, say.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => continue,
                Err(error) => return Err(io::Error::new(error.kind(), format!("{path}: {error}"))),
            };
            found.retain(|other| other.name != name);
            found.push(NamedPolicy {
                name: name.to_owned(),
                description: origin::description(&bytes),
                in_effect: in_effect == Some(bytes.as_slice()),
                path,
            });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The file of a policy that is named by its name, or by its path in the root.
pub fn path_of(root: &Root, name: &str) -> Result<String, Problem> {
    if name.contains('/') {
        return Ok(name.to_owned());
    }
    let policies = named(root, None).map_err(|error| Problem::new(error.to_string(), "run it as root"))?;
    let known: Vec<_> = policies.iter().map(|named| named.name.clone()).collect();
    policies.into_iter().find(|named| named.name == name).map(|named| named.path).ok_or_else(|| {
        Problem::new(format!("there is no policy {name}; there are {}", known.join(", ")), "imactl policy list")
    })
}

/// The content of the file that is loaded at boot; `None` where there is none.
pub fn in_effect(root: &Root, path: &str) -> io::Result<Option<Vec<u8>>> {
    match root.read(path, LIMIT) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The active rules of the running kernel; `None` where it does not show them.
pub fn active(root: &Root) -> io::Result<Option<Vec<Vec<u8>>>> {
    if root.is_running() { securityfs::active_rules() } else { Ok(None) }
}

/// Files that active rules may come from: the one that is loaded at boot, then the named ones. What has faults was not
/// loaded.
pub fn sources(root: &Root, at_boot: &str) -> io::Result<Vec<Source>> {
    let in_effect = in_effect(root, at_boot)?;
    let mut sources = Vec::new();
    if let Some(bytes) = &in_effect {
        sources.push(source(at_boot, bytes));
    }
    for policy in named(root, in_effect.as_deref())? {
        sources.push(source(&policy.path, &root.read(&policy.path, LIMIT)?));
    }
    Ok(sources)
}

/// A file's rules with their lines.
pub fn source(path: &str, bytes: &[u8]) -> Source {
    Source { path: path.to_owned(), policy: parse(bytes, &fmt::every_word(custom_template())) }
}
