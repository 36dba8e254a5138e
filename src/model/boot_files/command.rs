//! Command lines of units (systemd.service(5), "COMMAND LINES").
#![forbid(unsafe_code)]

/// A program and what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program: a path, or a name that is looked for in the usual folders.
    pub program: Vec<u8>,
    /// What it is given, without its own name.
    pub arguments: Vec<Vec<u8>>,
}

impl Command {
    /// A command of words; `None` where there is none.
    pub fn of_words(words: Vec<Vec<u8>>) -> Option<Self> {
        let mut words = words.into_iter();
        let program = words.next().filter(|program| !program.is_empty())?;
        Some(Self { program, arguments: words.collect() })
    }
}

/// What may stand before a program: `@ - : + !` and, since systemd 256, `|`.
const PREFIXES: &[u8] = b"@-:+!|";

/// The commands of an `Exec…=` line.
pub fn commands(line: &[u8]) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut words = split(line, true);
    words.push(Word { text: b";".to_vec(), is_bare: true });
    let mut current = Vec::new();
    for word in words {
        if word.is_bare && word.text == b";" {
            commands.extend(command(std::mem::take(&mut current)));
        } else if word.is_bare && word.text == b"\\;" {
            current.push(b";".to_vec());
        } else {
            current.push(word.text);
        }
    }
    commands
}

fn command(words: Vec<Vec<u8>>) -> Option<Command> {
    let mut command = Command::of_words(words)?;
    let end = command.program.iter().position(|byte| !PREFIXES.contains(byte))?;
    let has_own_name = command.program.drain(..end).any(|byte| byte == b'@');
    if has_own_name && !command.arguments.is_empty() {
        command.arguments.remove(0);
    }
    Some(command)
}

/// The words of a command line, quotes taken away; backslashes mean what they mean in C where `escapes` says so.
pub fn words(line: &[u8], escapes: bool) -> Vec<Vec<u8>> {
    split(line, escapes).into_iter().map(|word| word.text).collect()
}

struct Word {
    text: Vec<u8>,
    /// Nothing of it was quoted.
    is_bare: bool,
}

/// As `extract_first_word()` of systemd splits, which does not mind quotes in the middle of a word.
fn split(line: &[u8], escapes: bool) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote = None;
    let mut rest = line;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match (quote, first) {
            (Some(open), _) if first == open => quote = None,
            (None, b'"' | b'\'') => {
                quote = Some(first);
                word.get_or_insert(Word { text: Vec::new(), is_bare: true }).is_bare = false;
            }
            (None, b' ' | b'\t' | b'\n' | b'\r') => words.extend(word.take()),
            (_, b'\\') if escapes => {
                let word = word.get_or_insert(Word { text: Vec::new(), is_bare: true });
                rest = unescape(after, &mut word.text);
            }
            _ => word.get_or_insert(Word { text: Vec::new(), is_bare: true }).text.push(first),
        }
    }
    words.extend(word);
    words
}

/// What a backslash and the next characters stand for; an escape that C does not know keeps its backslash.
fn unescape<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let Some((&first, after)) = rest.split_first() else {
        out.push(b'\\');
        return rest;
    };
    let one = match first {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b's' => b' ',
        b'\\' | b'"' | b'\'' => first,
        b'x' => return number(rest, after, 2, 16, out),
        b'0'..=b'7' => return number(rest, rest, 3, 8, out),
        _ => {
            out.extend([b'\\', first]);
            return after;
        }
    };
    out.push(one);
    after
}

fn number<'a>(whole: &'a [u8], digits: &'a [u8], count: usize, radix: u32, out: &mut Vec<u8>) -> &'a [u8] {
    let value = digits.split_at_checked(count).and_then(|(number, after)| {
        let text = std::str::from_utf8(number).ok().filter(|text| !text.starts_with('+'))?;
        Some((u8::from_str_radix(text, radix).ok()?, after))
    });
    match value {
        Some((byte, after)) => {
            out.push(byte);
            after
        }
        None => {
            out.push(b'\\');
            whole
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &[u8]) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        commands(line)
            .iter()
            .map(|command| {
                let words: Vec<String> = command.arguments.iter().map(|word| text(word)).collect();
                format!("{}<{}>", text(&command.program), words.join("|"))
            })
            .collect()
    }

    #[test]
    fn prefixes_are_taken_off() {
        assert_eq!(shown(b"-/bin/a x"), ["/bin/a<x>"]);
        assert_eq!(shown(b"!!-:+/bin/a"), ["/bin/a<>"]);
        assert_eq!(shown(b"@/usr/bin/dbus-daemon @dbus-daemon --system"), ["/usr/bin/dbus-daemon<--system>"]);
        assert_eq!(shown(b"-@/bin/a"), ["/bin/a<>"]);
        assert_eq!(shown(b"|/bin/a"), ["/bin/a<>"]);
        assert_eq!(shown(b"--"), Vec::<String>::new());
        assert_eq!(shown(b""), Vec::<String>::new());
    }

    #[test]
    fn quotes_escapes_and_semicolons() {
        assert_eq!(shown(b"/bin/a 'b c' \"d 'e'\" f"), ["/bin/a<b c|d 'e'|f>"]);
        assert_eq!(shown(b"/bin/a ; -/bin/b x ;"), ["/bin/a<>", "/bin/b<x>"]);
        assert_eq!(shown(b"/bin/a \\; b ';' c;d"), ["/bin/a<;|b|;|c;d>"]);
        assert_eq!(shown(b"-/sbin/agetty -o '-p -- \\\\u' %I"), ["/sbin/agetty<-o|-p -- \\u|%I>"]);
        assert_eq!(shown(b"/bin/a\\x20b \\143 \\xg \\"), ["/bin/a b<c|\\xg|\\>"]);
        assert_eq!(words(b"ata_id 'a b' \\x", false), [b"ata_id".to_vec(), b"a b".to_vec(), b"\\x".to_vec()]);
    }
}
