//! What the `rpm` program says of packages, made a header again.
//!
//! Databases that only rpm itself can read are read through its queries, so that everything behind them sees the same
//! headers. Texts are asked for as `:shescape` writes them, which every rpm has and which keeps any byte, line ends too.
#![forbid(unsafe_code)]

use std::fmt::Write;

/// What is asked: tag, rpm's name of it, and the type in which a header holds it.
///
/// Sizes are asked for in their long form, which rpm makes of the short one. The tag is one of rpm's own names: one that
/// an older rpm does not know would fail the whole query.
const ASKED: [(u32, &str, Kind); 20] = [
    (1000, "NAME", Kind::Text),
    (1001, "VERSION", Kind::Text),
    (1002, "RELEASE", Kind::Text),
    (1003, "EPOCH", Kind::Int(4)),
    (1008, "INSTALLTIME", Kind::Int(4)),
    (1022, "ARCH", Kind::Text),
    (1029, "FILESTATES", Kind::Int(1)),
    (1030, "FILEMODES", Kind::Int(2)),
    (1035, "FILEDIGESTS", Kind::Texts),
    (1037, "FILEFLAGS", Kind::Int(4)),
    (1095, "FILEDEVICES", Kind::Int(4)),
    (1096, "FILEINODES", Kind::Int(4)),
    (1116, "DIRINDEXES", Kind::Int(4)),
    (1117, "BASENAMES", Kind::Texts),
    (1118, "DIRNAMES", Kind::Texts),
    (1128, "INSTALLTID", Kind::Int(4)),
    (1140, "FILECOLORS", Kind::Int(4)),
    (5008, "LONGFILESIZES", Kind::Int(8)),
    (5011, "FILEDIGESTALGO", Kind::Int(4)),
    (5090, "FILESIGNATURES", Kind::Texts),
];

/// How a header holds values.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Texts,
    /// So many bytes wide.
    Int(usize),
}

impl Kind {
    /// `rpmTagType`.
    const fn number(self) -> u32 {
        match self {
            Self::Int(1) => 2,
            Self::Int(2) => 3,
            Self::Int(4) => 4,
            Self::Int(_) => 5,
            Self::Text => 6,
            Self::Texts => 8,
        }
    }
}

/// rpm's answer is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rpm's answer makes no sense at byte {0}")]
pub struct QueryError(pub usize);

/// The query format for whole packages, to be read by [`headers`].
pub fn format() -> String {
    let mut format = "%{DBINSTANCE}\\n".to_owned();
    for (tag, name, _) in ASKED {
        // Writing to a String cannot fail.
        write!(format, "{tag}[ %{{{name}:shescape}}]\\n").unwrap_or_default();
    }
    format + ".\\n"
}

/// The query format for the numbers of packages and the values of one tag, to be read by [`rows`].
pub fn row_format(tag: Option<&str>) -> String {
    tag.map_or_else(|| "%{DBINSTANCE}\\n".to_owned(), |tag| format!("%{{DBINSTANCE}}[ %{{{tag}:shescape}}]\\n"))
}

/// Numbers and header blobs of packages, from an answer to [`format`].
pub fn headers(answer: &[u8]) -> Result<Vec<(i64, Vec<u8>)>, QueryError> {
    let mut answer = Answer { bytes: answer, at: 0 };
    let mut packages = Vec::new();
    while !answer.is_at_end() {
        let number = answer.number()?;
        answer.expect(b'\n')?;
        packages.push((number, answer.header()?));
    }
    Ok(packages)
}

/// A package's number and its values of a tag.
pub type Row = (i64, Vec<Vec<u8>>);

/// Numbers of packages and their values, from an answer to [`row_format`].
pub fn rows(answer: &[u8]) -> Result<Vec<Row>, QueryError> {
    let mut answer = Answer { bytes: answer, at: 0 };
    let mut rows = Vec::new();
    while !answer.is_at_end() {
        rows.push((answer.number()?, answer.values()?));
    }
    Ok(rows)
}

/// The number of a header that rpm skips because it is damaged, from a line of its messages (`rpmdbNextIterator()`).
pub fn skipped(message: &str) -> Option<i64> {
    let (_, rest) = message.strip_prefix("error: rpmdbNextIterator: skipping ")?.split_once('#')?;
    let rest = rest.trim_start();
    rest.split_once(|c: char| !c.is_ascii_digit()).map_or(rest, |(number, _)| number).parse().ok()
}

/// The backend that a file of rpm's macros chooses (`%_db_backend`), the last one if several are named.
pub fn backend(macros: &[u8]) -> Option<&[u8]> {
    last_value(macros, b"%_db_backend")
}

/// What a file of rpm's macros sets this one to, as it is written, by the last line that does.
pub fn last_value<'m>(macros: &'m [u8], name: &[u8]) -> Option<&'m [u8]> {
    let lines = macros.split(|&byte| byte == b'\n').rev();
    let mut values = lines.filter_map(|line| line.trim_ascii_start().strip_prefix(name));
    values.find(|value| value.first().is_some_and(u8::is_ascii_whitespace)).map(<[u8]>::trim_ascii)
}

/// An answer, read from its begin.
#[derive(Debug)]
struct Answer<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Answer<'_> {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn is_at_end(&self) -> bool {
        self.rest().is_empty()
    }

    const fn wrong<T>(&self) -> Result<T, QueryError> {
        Err(QueryError(self.at))
    }

    /// Takes this byte, if it is the next one.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.rest().first() == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<(), QueryError> {
        if self.take(byte) { Ok(()) } else { self.wrong() }
    }

    fn digits(&mut self) -> Result<u64, QueryError> {
        let length = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = self.rest().get(..length).and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(number) = digits.and_then(|digits| digits.parse().ok()) else { return self.wrong() };
        self.at += length;
        Ok(number)
    }

    fn number(&mut self) -> Result<i64, QueryError> {
        let at = self.at;
        i64::try_from(self.digits()?).map_err(|_| QueryError(at))
    }

    /// A text between apostrophes; `'\''` stands for one in it.
    fn text(&mut self) -> Result<Vec<u8>, QueryError> {
        let mut text = Vec::new();
        self.expect(b'\'')?;
        loop {
            let Some(length) = self.rest().iter().position(|&byte| byte == b'\'') else { return self.wrong() };
            text.extend_from_slice(self.rest().get(..length).unwrap_or_default());
            self.at += length + 1;
            if !self.rest().starts_with(br"\''") {
                return Ok(text);
            }
            text.push(b'\'');
            self.at += 3;
        }
    }

    /// The texts of a line.
    fn values(&mut self) -> Result<Vec<Vec<u8>>, QueryError> {
        let mut values = Vec::new();
        while self.take(b' ') {
            values.push(self.text()?);
        }
        self.expect(b'\n')?;
        Ok(values)
    }

    /// The tags of a package, as a header.
    fn header(&mut self) -> Result<Vec<u8>, QueryError> {
        let (mut index, mut data) = (Vec::new(), Vec::new());
        let (mut entries, begin) = (0_u32, self.at);
        let word = |size: usize| u32::try_from(size).map_err(|_| QueryError(begin));
        while !self.take(b'.') {
            let at = self.at;
            let tag = self.digits()?;
            let asked = ASKED.iter().find(|(number, ..)| u64::from(*number) == tag);
            let &(tag, _, kind) = asked.ok_or(QueryError(at))?;
            if let Kind::Int(width) = kind {
                data.resize(data.len().next_multiple_of(width), 0);
            }
            let (offset, mut count) = (word(data.len())?, 0_u32);
            while self.take(b' ') {
                count += 1;
                let at = self.at;
                match kind {
                    Kind::Int(width) => {
                        let bytes = self.digits()?.to_be_bytes();
                        let (high, low) = bytes.split_at_checked(8 - width).ok_or(QueryError(at))?;
                        if high.iter().any(|&byte| byte != 0) {
                            return Err(QueryError(at));
                        }
                        data.extend_from_slice(low);
                    }
                    Kind::Text | Kind::Texts => {
                        data.extend(self.text()?);
                        data.push(0);
                    }
                }
            }
            self.expect(b'\n')?;
            // What a header does not hold has no values in rpm's answer, either.
            if count == 0 {
                continue;
            }
            entries += 1;
            index.extend([tag, kind.number(), offset, count].map(u32::to_be_bytes).concat());
        }
        self.expect(b'\n')?;
        let sizes = [entries, word(data.len())?].map(u32::to_be_bytes).concat();
        Ok([sizes, index, data].concat())
    }
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
