//! Databases of other kinds, read through `rpm` itself.
//!
//! `rpm --query` takes no transaction lock (`rpmdb --exportdb` does, and would wait for a transaction and hold the next
//! one back). It is told the database's folder by a descriptor of this process, so that no macro in a path is expanded
//! and no link leaves the root; the root's own programs and macros are not used.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};

use super::locate::Found;
use super::{DbError, Index};
use crate::model::rpm::query;

/// Headers that one call of rpm brings: a call costs as much as many headers.
const TOGETHER: usize = 64;

/// A database behind `rpm`.
#[derive(Debug)]
pub(super) struct Program {
    folder: OwnedFd,
    path: &'static str,
    backend: &'static str,
    read: RefCell<Read>,
}

/// What was read of it.
#[derive(Debug, Default)]
struct Read {
    /// The numbers that were listed last: whoever asks for the header of one asks for the next ones soon.
    listed: Vec<i64>,
    /// Headers that came along with another.
    ahead: BTreeMap<i64, Vec<u8>>,
}

/// An answer of rpm: what it wrote, and its errors.
struct Answer {
    output: Vec<u8>,
    errors: Vec<String>,
}

impl Program {
    pub(super) fn new(found: Found) -> Self {
        Self { folder: found.folder, path: found.name, backend: found.backend.name(), read: RefCell::default() }
    }

    pub(super) const fn path(&self) -> &str {
        self.path
    }

    pub(super) fn numbers(&self) -> Result<Vec<i64>, DbError> {
        let mut numbers = self.rows(None, |_| true)?;
        numbers.sort_unstable();
        self.read.borrow_mut().listed.clone_from(&numbers);
        Ok(numbers)
    }

    pub(super) fn numbers_by(&self, index: Index, key: &[u8]) -> Result<Vec<i64>, DbError> {
        let tag = match index {
            Index::Name => "NAME",
            Index::BaseName => "BASENAMES",
        };
        let mut numbers = self.rows(Some(tag), |values| values.iter().any(|value| value == key))?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    pub(super) fn read(&self, number: i64, blob: &mut Vec<u8>) -> Result<bool, DbError> {
        blob.clear();
        let mut read = self.read.borrow_mut();
        let mut found = read.ahead.remove(&number);
        if found.is_none() {
            let alone = [number];
            let listed = read.listed.binary_search(&number).ok().and_then(|at| read.listed.get(at..));
            let numbers = listed.map_or(&alone[..], |listed| listed.get(..TOGETHER).unwrap_or(listed));
            // A damaged header is the affair of whoever asks for it, not of its neighbours.
            let headers = self.headers(numbers).or_else(|_| self.headers(&alone))?;
            read.ahead = headers.into_iter().collect();
            found = read.ahead.remove(&number);
        }
        let is_there = found.is_some();
        *blob = found.unwrap_or_default();
        Ok(is_there)
    }

    /// Numbers of the packages whose values of a tag please. A header that rpm skips because it is damaged has a number,
    /// too: reading it will say what is wrong.
    fn rows(&self, tag: Option<&str>, pleases: impl Fn(&[Vec<u8>]) -> bool) -> Result<Vec<i64>, DbError> {
        let answer = self.ask(&query::row_format(tag), &["--all"])?;
        let mut numbers = Vec::new();
        for error in answer.errors {
            numbers.push(query::skipped(&error).ok_or_else(|| self.failed(error))?);
        }
        let rows = query::rows(&answer.output).map_err(|error| self.failed(error.to_string()))?;
        numbers.extend(rows.into_iter().filter(|(_, values)| pleases(values)).map(|(number, _)| number));
        Ok(numbers)
    }

    /// The headers with these numbers, without those that went away.
    fn headers(&self, numbers: &[i64]) -> Result<Vec<(i64, Vec<u8>)>, DbError> {
        let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
        let mut arguments = vec!["--querybynumber"];
        arguments.extend(numbers.iter().map(String::as_str));
        let answer = self.ask(&query::format(), &arguments)?;
        let is_gone = |error: &String| error.starts_with("error: record ") && error.ends_with(" could not be read");
        if let Some(error) = answer.errors.into_iter().find(|error| !is_gone(error)) {
            return Err(self.failed(error));
        }
        query::headers(&answer.output).map_err(|error| self.failed(error.to_string()))
    }

    /// Asks rpm. A backend that it does not know it replaces by an empty database, with a warning.
    fn ask(&self, format: &str, arguments: &[&str]) -> Result<Answer, DbError> {
        let folder = format!("/proc/{}/fd/{}", std::process::id(), self.folder.as_raw_fd());
        let define = format!("_db_backend {}", self.backend);
        let output = Command::new("rpm")
            .args(["--query", "--dbpath", &folder, "--define", &define])
            .args(["--nodigest", "--nosignature", "--noplugins", "--queryformat", format])
            .args(arguments)
            .env_clear()
            // rpm's messages are read; a user's own macros are not wanted.
            .envs([("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"), ("LC_ALL", "C"), ("HOME", "/nonexistent")])
            .stdin(Stdio::null())
            .output()
            .map_err(|source| DbError::Open { path: "rpm".to_owned(), source })?;
        let messages = String::from_utf8_lossy(&output.stderr);
        if messages.contains("using dummy database") {
            return Err(self.failed(format!("this system's rpm cannot read the {} backend", self.backend)));
        }
        let errors: Vec<_> = messages.lines().filter(|line| line.starts_with("error: ")).map(str::to_owned).collect();
        if !output.status.success() && errors.is_empty() {
            return Err(self.failed(format!("{}: {}", output.status, messages.trim())));
        }
        Ok(Answer { output: output.stdout, errors })
    }

    fn failed(&self, what: String) -> DbError {
        DbError::Program { path: self.path.to_owned(), backend: self.backend, what }
    }
}
