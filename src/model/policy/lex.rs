//! Lines and words of a policy, as `ima_parse_add_rule()` and `ima_parse_rule()` cut them.
#![forbid(unsafe_code)]

use std::ops::Range;

/// A line of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its number, from 1.
    pub number: usize,
    /// Where it begins in the file, in bytes.
    pub offset: usize,
    /// The line without what ends it.
    pub bytes: &'a [u8],
    /// What ends it.
    pub end: LineEnd,
}

/// What ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    /// `\n`.
    Newline,
    /// A NUL byte: the kernel takes lines as C strings.
    Nul,
    /// The end of the file, beyond which the kernel would read on.
    Nothing,
}

/// What a line is to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// Nothing but blanks.
    Empty,
    /// The first character that is no blank is `#`.
    Comment,
    /// Everything else.
    Rule,
}

/// The lines of a policy that the kernel reads by path.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut offset = 0;
    let mut number = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(offset..).filter(|rest| !rest.is_empty())?;
        let length = rest.iter().position(|&byte| byte == b'\n' || byte == 0);
        let (length, end) = match length {
            Some(length) if rest[length] == b'\n' => (length, LineEnd::Newline),
            Some(length) => (length, LineEnd::Nul),
            None => (rest.len(), LineEnd::Nothing),
        };
        number += 1;
        let line = Line { number, offset, bytes: &rest[..length], end };
        offset += length + 1;
        Some(line)
    })
}

/// Whether the kernel cuts words here. Tab and space only: a carriage return belongs to its word.
pub const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

impl<'a> Line<'a> {
    /// A line that stands alone, as one write of a rule's text to the kernel does.
    pub fn alone(bytes: &'a [u8]) -> Self {
        lines(bytes).next().unwrap_or(Line { number: 1, offset: 0, bytes: &[], end: LineEnd::Nothing })
    }

    /// What the line is.
    pub fn kind(&self) -> LineKind {
        match self.bytes.iter().find(|&&byte| !is_blank(byte)) {
            None => LineKind::Empty,
            Some(b'#') => LineKind::Comment,
            Some(_) => LineKind::Rule,
        }
    }

    /// The line's words, blanks left out.
    pub fn words(&self) -> impl Iterator<Item = Word<'a>> + use<'a> {
        let bytes = self.bytes;
        let mut at = 0;
        std::iter::from_fn(move || {
            at += bytes[at..].iter().position(|&byte| !is_blank(byte))?;
            let start = at;
            at += bytes[at..].iter().position(|&byte| is_blank(byte)).unwrap_or(bytes.len() - at);
            Some(Word { start, text: &bytes[start..at] })
        })
    }
}

/// A word of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<'a> {
    /// Where it begins in its line, in bytes.
    pub start: usize,
    /// The word.
    pub text: &'a [u8],
}

impl<'a> Word<'a> {
    /// Where the word stands in its line.
    pub fn span(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    /// The key up to and with its operator (`uid>`), and the value; no value where there is no operator.
    pub fn split(&self) -> (&'a [u8], Option<&'a [u8]>) {
        match self.text.iter().position(|byte| b"=<>".contains(byte)) {
            Some(at) => (&self.text[..=at], Some(&self.text[at + 1..])),
            None => (self.text, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_newline_or_nul() {
        let all: Vec<_> = lines(b"a\n\nb\0c").map(|line| (line.number, line.offset, line.bytes, line.end)).collect();
        assert_eq!(
            all,
            [
                (1, 0, &b"a"[..], LineEnd::Newline),
                (2, 2, b"", LineEnd::Newline),
                (3, 3, b"b", LineEnd::Nul),
                (4, 5, b"c", LineEnd::Nothing)
            ]
        );
        assert_eq!(lines(b"").count(), 0);
    }

    #[test]
    fn words_keep_their_places() {
        let line = Line::alone(b" \tappraise  uid>5\r\n");
        assert_eq!(line.kind(), LineKind::Rule);
        let words: Vec<_> = line.words().map(|word| (word.start, word.split())).collect();
        assert_eq!(words, [(2, (&b"appraise"[..], None)), (12, (b"uid>", Some(&b"5\r"[..])))]);
    }
}
