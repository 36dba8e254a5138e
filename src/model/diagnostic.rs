//! Faults shown in their lines, as a compiler shows them: text in, text out.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::ops::Range;

use unicode_width::UnicodeWidthChar;

/// How grave it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It keeps the whole from working.
    Error,
    /// It works, but not as its author may think.
    Warning,
    /// It works as written, at a cost.
    Note,
}

impl Severity {
    /// The word at the head of a diagnostic.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }

    /// The colour of the word and the carets (SGR).
    const fn colour(self) -> &'static str {
        match self {
            Self::Error => "1;31",
            Self::Warning => "1;33",
            Self::Note => "1;36",
        }
    }
}

/// Something to say about a place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How grave it is.
    pub severity: Severity,
    /// A stable name, to look it up by.
    pub id: Option<&'static str>,
    /// What it is.
    pub message: String,
    /// Number of the line, from 1.
    pub line: usize,
    /// Where in the line, in bytes.
    pub span: Range<usize>,
    /// What follows the carets: a word (`help`, `why`) and its text.
    pub remarks: Vec<(&'static str, String)>,
}

/// A line longer than this is cut around the place.
const LINE_WIDTH: usize = 120;
/// Remarks are wrapped at this width.
const REMARK_WIDTH: usize = 80;
/// Tab stops.
const TAB: usize = 4;

/// A piece of a line: where it begins and ends in bytes, what is shown for it, and how wide that is.
struct Cell {
    bytes: Range<usize>,
    shown: String,
    width: usize,
}

/// What a terminal shows of a line: tabs as blanks; bytes that are not UTF-8, and characters that would move the cursor
/// or colour the rest, as escapes.
fn cells(line: &[u8]) -> Vec<Cell> {
    let mut cells = Vec::with_capacity(line.len());
    let (mut start, mut column) = (0, 0);
    let mut put = |length: usize, shown: String, width: usize| {
        cells.push(Cell { bytes: start..start + length, shown, width });
        start += length;
    };
    for chunk in line.utf8_chunks() {
        for c in chunk.valid().chars() {
            let (shown, width) = match (c, c.width()) {
                ('\t', _) => {
                    let width = TAB - column % TAB;
                    (" ".repeat(width), width)
                }
                (c, Some(width)) if !is_invisible(c) => (c.to_string(), width),
                (c, _) => {
                    let shown = c.escape_default().to_string();
                    let width = shown.len();
                    (shown, width)
                }
            };
            column += width;
            put(c.len_utf8(), shown, width);
        }
        for byte in chunk.invalid() {
            column += 4;
            put(1, format!("\\x{byte:02x}"), 4);
        }
    }
    cells
}

/// Characters that have a width but turn the reading order or cannot be seen.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The column of a byte of a line, from 1: characters, and bytes that belong to none, count one each.
pub fn column(line: &[u8], byte: usize) -> usize {
    1 + cells(line).iter().take_while(|cell| cell.bytes.end <= byte).count()
}

/// Colours text, if it is to be coloured.
fn paint(text: &str, colour: &str, coloured: bool) -> String {
    if coloured { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Shows a diagnostic; `line` is the text of its line, without what ends it.
pub fn render(file: &str, line: &[u8], diagnostic: &Diagnostic, coloured: bool) -> String {
    let Diagnostic { severity, id, message, line: number, span, remarks } = diagnostic;
    let id = id.map_or_else(String::new, |id| format!("[{id}]"));
    let head = paint(&format!("{}{id}", severity.name()), severity.colour(), coloured);
    let frame = |text: &str| paint(text, "1;34", coloured);
    let gutter = " ".repeat(number.to_string().len());
    let (shown, before, carets) = excerpt(line, span);
    let carets = paint(&"^".repeat(carets), severity.colour(), coloured);
    let mut out = format!("{head}{}\n", paint(&format!(": {}", printable(message)), "1", coloured));
    let arrow = frame("-->");
    let bar = frame("|");
    // Writing to a String cannot fail.
    writeln!(out, "{gutter}{arrow} {}:{number}:{}", printable(file), column(line, span.start)).unwrap_or_default();
    writeln!(out, "{gutter} {bar}").unwrap_or_default();
    writeln!(out, "{} {bar} {shown}", frame(&number.to_string())).unwrap_or_default();
    writeln!(out, "{gutter} {bar} {}{carets}", " ".repeat(before)).unwrap_or_default();
    for (word, text) in remarks {
        let lead = gutter.len() + " = ".len() + word.len() + ": ".len();
        let text = wrap(text, REMARK_WIDTH.saturating_sub(lead), lead);
        writeln!(out, "{gutter} {} {}: {text}", frame("="), paint(word, "1", coloured)).unwrap_or_default();
    }
    out
}

/// A line as it is shown, how many columns stand before the carets, and how many carets there are.
fn excerpt(line: &[u8], span: &Range<usize>) -> (String, usize, usize) {
    let cells = cells(line);
    let width = |cells: &[Cell]| cells.iter().map(|cell| cell.width).sum::<usize>();
    let first = cells.iter().position(|cell| cell.bytes.end > span.start).unwrap_or(cells.len());
    let last = cells.iter().position(|cell| cell.bytes.start >= span.end).unwrap_or(cells.len()).max(first);
    let (mut from, mut to) = (0, cells.len());
    if width(&cells) > LINE_WIDTH {
        // The place is shown with as much after it as before it, and cut where it is itself too long.
        let room = LINE_WIDTH.saturating_sub(width(&cells[first..last])) / 2;
        from = first;
        while from > 0 && width(&cells[from - 1..first]) <= room {
            from -= 1;
        }
        to = first;
        while to < cells.len() && width(&cells[from..=to]) <= LINE_WIDTH {
            to += 1;
        }
    }
    let text = |cells: &[Cell]| cells.iter().map(|cell| cell.shown.as_str()).collect::<String>();
    let lead = if from > 0 { "..." } else { "" };
    let tail = if to < cells.len() { "..." } else { "" };
    let shown = format!("{lead}{}{tail}", text(&cells[from..to]));
    let carets = width(&cells[first..last.min(to).max(first)]);
    (shown.trim_end().to_owned(), lead.len() + width(&cells[from..first]), carets.max(1))
}

/// Text without characters that would do something to a terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || is_invisible(c) { c.escape_default().to_string() } else { c.into() })
        .collect()
}

/// Wraps text; lines after the first are indented.
fn wrap(text: &str, width: usize, indent: usize) -> String {
    let (mut out, mut column) = (String::new(), 0);
    for word in printable(text).split(' ') {
        let length = word.chars().map(|c| c.width().unwrap_or(0)).sum::<usize>();
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &[u8], span: Range<usize>) -> String {
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            id: None,
            message: "no".to_owned(),
            line: 12,
            span,
            remarks: vec![("help", "yes".to_owned())],
        };
        render("policy", line, &diagnostic, false)
    }

    #[test]
    fn carets_stand_below_the_word() {
        assert_eq!(
            shown(b"appraise func=X", 14..15),
            "error: no\n  --> policy:12:15\n   |\n12 | appraise func=X\n   |               ^\n   = help: yes\n"
        );
    }

    /// Columns, place and length of the carets.
    fn carets(line: &[u8], span: Range<usize>) -> (usize, usize, usize) {
        let text = shown(line, span.clone());
        let last = text.lines().find(|line| line.contains('^')).unwrap();
        let bar = last.find("| ").unwrap() + 2;
        (column(line, span.start), last.find('^').unwrap() - bar, last.matches('^').count())
    }

    #[test]
    fn tabs_wide_characters_and_bytes_keep_their_columns() {
        assert_eq!(carets(b"\ta X", 3..4), (4, 6, 1));
        assert_eq!(carets(b"a\tX", 2..3), (3, 4, 1));
        // Two characters, each two columns wide.
        assert_eq!(carets("\u{6f22}\u{5b57} X".as_bytes(), 7..8), (4, 5, 1));
        // A combining accent has no width.
        assert_eq!(carets("e\u{301} X".as_bytes(), 4..5), (4, 2, 1));
        assert_eq!(carets(b"\xff\xfe X", 3..4), (4, 9, 1));
        assert_eq!(carets(b"a\xff", 1..2), (2, 1, 4));
        assert_eq!(carets(b"a\r", 1..2), (2, 1, 2));
        // Beyond the end, where something is missing.
        assert_eq!(carets(b"a", 1..1), (2, 1, 1));
        assert_eq!(carets(b"", 0..0), (1, 0, 1));
    }

    #[test]
    fn a_file_cannot_steer_the_terminal() {
        let text = shown(b"\x1b[2J \xe2\x80\xae", 0..4);
        assert!(!text.contains('\x1b') && text.contains("\\u{1b}[2J") && text.contains("\\u{202e}"), "{text}");
        assert!(!printable("a\x1bb\n").contains(['\x1b', '\n']));
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let mut line = vec![b'x'; 5000];
        line[2500] = b'Y';
        let text = shown(&line, 2500..2501);
        let rows: Vec<_> = text.lines().collect();
        assert!(rows[3].len() < LINE_WIDTH + 12, "{text}");
        assert_eq!(rows[3].find('Y'), rows[4].find('^'), "{text}");
        assert!(shown(&line, 0..5000).lines().all(|row| row.len() < LINE_WIDTH + 12));
    }

    #[test]
    fn colours_are_all_that_colours_add() {
        let diagnostic = Diagnostic {
            severity: Severity::Warning,
            id: Some("some-id"),
            message: "no".to_owned(),
            line: 1,
            span: 0..1,
            remarks: vec![("why", "a reason ".repeat(20))],
        };
        let plain = render("f", b"x", &diagnostic, false);
        let coloured = render("f", b"x", &diagnostic, true);
        let mut stripped = String::new();
        for (at, part) in coloured.split('\x1b').enumerate() {
            stripped.push_str(if at == 0 { part } else { part.split_once('m').unwrap().1 });
        }
        assert_eq!(stripped, plain);
        assert!(plain.starts_with("warning[some-id]: no\n"));
        assert!(plain.lines().all(|line| line.len() <= REMARK_WIDTH));
    }
}
