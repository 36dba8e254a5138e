//! `org.imad1.Labels`: the labels of packaged files, and the work on them.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use zbus::message::Header;
use zbus::{OwnedObjectPath, interface};

use super::error::{Error, Failure};
use super::request::{Ask, Desk, How, Options, Subject, known, option};
use super::view::counts;
use crate::model::report::LabelCounts;

/// The interface's object.
#[derive(Debug)]
pub struct Labels {
    desk: Desk,
}

/// A page of files (path, state, package, reason, next step), and how many files are in the states asked for.
pub type Page = (Vec<(String, String, String, String, String)>, u64);

impl Labels {
    /// An object that reads and asks at this desk.
    pub const fn new(desk: Desk) -> Self {
        Self { desk }
    }

    fn read<T: Default>(&self, read: impl FnOnce(&LabelCounts) -> T) -> T {
        self.desk.view().status.labels.as_ref().map(read).unwrap_or_default()
    }
}

/// Reads the options of `Relabel`.
fn relabel_options(options: &Options) -> Result<(Subject, How), Error> {
    known(options, &["packages", "paths", "write", "full"])?;
    let packages: Option<Vec<String>> = option(options, "packages", "as")?;
    let write = option(options, "write", "b")?.unwrap_or(true);
    let full = option(options, "full", "b")?.unwrap_or(false);
    let subject = match (packages, paths(options)?) {
        (None, None) => Subject::All,
        (Some(packages), None) => Subject::Packages(packages),
        (None, Some(paths)) => Subject::Paths(paths),
        (Some(_), Some(_)) => {
            return Err(Error::InvalidArgument("packages and paths exclude each other".to_owned()));
        }
    };
    if let Subject::Paths(paths) = &subject
        && let Some(path) = paths.iter().find(|path| !path.starts_with(b"/"))
    {
        let path = PathBuf::from(std::ffi::OsString::from_vec(path.clone()));
        return Err(Error::InvalidArgument(format!("\"{}\" is not an absolute path", path.display())));
    }
    Ok((subject, How { write, full }))
}

/// The option `paths`: strings, or arrays of bytes for names that are not UTF-8.
fn paths(options: &Options) -> Result<Option<Vec<Vec<u8>>>, Error> {
    match option::<Vec<String>>(options, "paths", "as or aay") {
        Ok(paths) => Ok(paths.map(|paths| paths.into_iter().map(String::into_bytes).collect())),
        Err(_) => option::<Vec<Vec<u8>>>(options, "paths", "as or aay"),
    }
}

#[interface(
    name = "org.imad1.Labels",
    proxy(default_service = "org.imad1", default_path = "/org/imad1", visibility = "pub")
)]
impl Labels {
    /// Packaged files by the state of their label: "good", "missing", "stale", "hash", "modified", "untrusted-key",
    /// "unsigned", "immutable", "unsupported", "unreadable", "absent", "excluded". Kept up to date by the
    /// daemon's own work; what others change shows after the next job.
    #[zbus(property)]
    fn counts(&self) -> BTreeMap<String, u64> {
        self.read(counts)
    }

    /// Packaged files that were looked at.
    #[zbus(property)]
    fn files(&self) -> u64 {
        self.read(|labels| labels.files)
    }

    /// Packages that were looked at.
    #[zbus(property)]
    fn packages(&self) -> u64 {
        self.read(|labels| labels.packages)
    }

    /// When the counts were last brought up to date; 0 before the first time.
    #[zbus(property)]
    fn counted_time(&self) -> u64 {
        self.read(|labels| labels.counted_time_us)
    }

    /// Labels files anew, in a job. Options: packages (as) or paths (as, or aay for names that are not UTF-8; a folder
    /// means the packaged files below it), else every packaged file; write (b, default true; false only looks),
    /// full (b, default false; true reads every file, also those whose content cannot have changed since their labels were
    /// verified).
    /// Asks polkit for org.imad1.manage-labels.
    #[zbus(out_args("job"))]
    async fn relabel(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath, Failure> {
        let (subject, how) = relabel_options(&options)?;
        self.desk.ask(&header, |reply| Ask::Relabel(subject, how, reply)).await
    }

    /// What is with a file: its label's state, why, and the next step, as JSON with the members "file" and "problems".
    /// There are no options yet. Asks polkit for org.imad1.inspect-files.
    #[zbus(out_args("report"))]
    async fn explain(
        &self,
        path: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, Failure> {
        known(&options, &[])?;
        if !path.starts_with('/') {
            return Err(Error::InvalidArgument(format!("\"{path}\" is not an absolute path")).into());
        }
        self.desk.ask(&header, |reply| Ask::Explain(path, reply)).await
    }

    /// Files in a state, or in every state that is neither good nor excluded nor absent where the state is empty: path,
    /// state, package, reason, next step; sorted by path, from an offset on, at most so many. The daemon keeps the
    /// first thousand; total counts all. There are no options yet. Asks polkit for org.imad1.inspect-files.
    #[zbus(out_args("files", "total"))]
    async fn list(
        &self,
        state: String,
        offset: u64,
        limit: u64,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Page, Failure> {
        known(&options, &[])?;
        self.desk.ask(&header, |reply| Ask::List(state, offset, limit, reply)).await
    }
}

#[cfg(test)]
mod tests {
    use zbus::Variant;

    use super::*;

    fn options(values: &[(&str, Variant<'_>)]) -> Options {
        values.iter().map(|(name, value)| ((*name).to_owned(), value.try_to_owned().unwrap())).collect()
    }

    #[test]
    fn options_of_relabel() {
        let write = How { write: true, full: false };
        let full = options(&[("full", true.into())]);
        assert_eq!(relabel_options(&full), Ok((Subject::All, How { write: true, full: true })));
        assert_eq!(relabel_options(&options(&[])), Ok((Subject::All, write)));
        let packages = options(&[("packages", vec!["bash"].into()), ("write", false.into())]);
        assert_eq!(
            relabel_options(&packages),
            Ok((Subject::Packages(vec!["bash".to_owned()]), How { write: false, full: false }))
        );
        let paths = options(&[("paths", vec!["/usr/bin/ip"].into())]);
        assert_eq!(relabel_options(&paths), Ok((Subject::Paths(vec![b"/usr/bin/ip".to_vec()]), write)));
        let bytes = options(&[("paths", vec![b"/a\xff".to_vec()].into())]);
        assert_eq!(relabel_options(&bytes), Ok((Subject::Paths(vec![b"/a\xff".to_vec()]), write)));
        for wrong in [
            options(&[("path", "/usr".into())]),
            options(&[("paths", "/usr".into())]),
            options(&[("paths", vec!["usr"].into())]),
            options(&[("write", 1u32.into())]),
            options(&[("packages", vec!["a"].into()), ("paths", vec!["/a"].into())]),
        ] {
            assert!(matches!(relabel_options(&wrong), Err(Error::InvalidArgument(_))), "{wrong:?}");
        }
    }
}
