//! What a shell script names that may be executed. It is not understood, only read: a name is what stands where a command
//! may stand, a path is any word that is one. Whoever asks looks whether there is such a program.
#![forbid(unsafe_code)]

/// What is named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mention {
    /// A command's name.
    Name(Vec<u8>),
    /// An absolute path.
    Path(Vec<u8>),
    /// The path of a script that is read (`.`, `source`).
    Sourced(Vec<u8>),
}

/// Shells, by the base name of their program.
const SHELLS: [&[u8]; 8] = [b"sh", b"bash", b"dash", b"ash", b"ksh", b"mksh", b"zsh", b"busybox"];

/// Words after which a command follows.
const BEFORE_COMMANDS: [&[u8]; 20] = [
    b"if", b"then", b"else", b"elif", b"do", b"while", b"until", b"!", b"{", b"time", b"exec", b"command", b"env",
    b"nohup", b"nice", b"setsid", b"ionice", b"eval", b"xargs", b"in",
];

/// What the shell does itself though there may be a program of that name, and its own words.
const BUILT_IN: [&[u8]; 26] = [
    b"echo",
    b"test",
    b"[",
    b"[[",
    b"printf",
    b"kill",
    b"true",
    b"false",
    b"pwd",
    b"cd",
    b":",
    b"fi",
    b"done",
    b"esac",
    b"case",
    b"for",
    b"select",
    b"function",
    b"}",
    b"return",
    b"local",
    b"export",
    b"read",
    b"set",
    b"umask",
    b"wait",
];

/// Whether this program is a shell.
pub fn is_shell(path: &[u8]) -> bool {
    SHELLS.contains(&path.rsplit(|&byte| byte == b'/').next().unwrap_or(path))
}

/// The script that a shell is given in its arguments (`sh -c SCRIPT`).
pub fn script_of(arguments: &[Vec<u8>]) -> Option<&[u8]> {
    let is_c = |argument: &Vec<u8>| {
        argument.starts_with(b"-")
            && !argument.starts_with(b"--")
            && argument.get(1..).is_some_and(|o| o.contains(&b'c'))
    };
    let at = arguments.iter().position(is_c)?;
    arguments.get(at + 1..)?.iter().find(|argument| !argument.starts_with(b"-")).map(Vec::as_slice)
}

/// What a script names, each once.
pub fn mentions(script: &[u8]) -> Vec<Mention> {
    let mut reader = Reader { found: Vec::new(), word: Vec::new(), is_literal: true, place: Place::Command };
    let (mut single, mut double, mut depth) = (false, false, 0_usize);
    let mut rest = script;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'\'' if !double => single = !single,
            _ if single => reader.word.push(first),
            b'\\' => match after.split_first() {
                Some((b'\n', after)) => rest = after,
                Some((&next, after)) => {
                    reader.word.push(next);
                    rest = after;
                }
                None => {}
            },
            b'"' => double = !double,
            b'`' => reader.command(),
            b'$' if after.starts_with(b"(") => {
                depth += 1;
                reader.command();
                rest = after.get(1..).unwrap_or_default();
            }
            b'$' | b'*' | b'?' => {
                reader.is_literal = false;
                reader.word.push(first);
            }
            b')' if depth > 0 => {
                depth -= 1;
                reader.command();
            }
            _ if double => reader.word.push(first),
            b'#' if reader.word.is_empty() => {
                let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
                rest = rest.get(end..).unwrap_or_default();
            }
            // A pattern of `case`.
            b')' => {
                reader.word.clear();
                reader.command();
            }
            b'(' => {
                depth += 1;
                reader.command();
            }
            b'\n' | b';' | b'|' | b'&' => reader.command(),
            b' ' | b'\t' | b'\r' | b'<' | b'>' => reader.end(),
            _ => reader.word.push(first),
        }
    }
    reader.end();
    let mut found = reader.found;
    found.sort();
    found.dedup();
    found
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Command,
    Sourced,
    Argument,
}

struct Reader {
    found: Vec<Mention>,
    word: Vec<u8>,
    is_literal: bool,
    place: Place,
}

impl Reader {
    /// A word ends, and a command may begin.
    fn command(&mut self) {
        self.end();
        self.place = Place::Command;
    }

    /// A word ends.
    fn end(&mut self) {
        let word = std::mem::take(&mut self.word);
        let is_literal = std::mem::replace(&mut self.is_literal, true);
        if word.is_empty() {
            return;
        }
        let assigned = assigned(&word);
        let path = assigned.unwrap_or(&word);
        if is_literal && path.starts_with(b"/") {
            let is_sourced = self.place == Place::Sourced && assigned.is_none();
            self.found.push(if is_sourced { Mention::Sourced(path.to_vec()) } else { Mention::Path(path.to_vec()) });
        }
        if self.place != Place::Command {
            self.place = Place::Argument;
            return;
        }
        let is_name = word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-+.".contains(byte));
        if word == b"." || word == b"source" {
            self.place = Place::Sourced;
        } else if assigned.is_none() && !word.starts_with(b"-") && !BEFORE_COMMANDS.contains(&&word[..]) {
            if is_literal && is_name && !BUILT_IN.contains(&&word[..]) {
                self.found.push(Mention::Name(word));
            }
            self.place = Place::Argument;
        }
    }
}

/// What `NAME=VALUE` assigns.
fn assigned(word: &[u8]) -> Option<&[u8]> {
    let equals = word.iter().position(|&byte| byte == b'=')?;
    let (name, value) = word.split_at_checked(equals)?;
    let is_name = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    is_name.then(|| value.get(1..)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(script: &[u8]) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        mentions(script)
            .iter()
            .map(|mention| match mention {
                Mention::Name(name) => text(name),
                Mention::Path(path) => text(path),
                Mention::Sourced(path) => format!(". {}", text(path)),
            })
            .collect()
    }

    #[test]
    fn commands_and_paths_of_a_script() {
        let script =
            b"#!/bin/sh -e\n# mkfs would be bad\nPATH=/sbin:/bin\nDAEMON=/usr/sbin/sshd\n. /lib/lsb/init-functions\n\
            [ -x \"$DAEMON\" ] || exit 0\nif grep -q 'rm -rf; dd' /etc/x; then sort -u; fi\n\
            X=$(uname -r) LC_ALL=C awk '{print}' | sed s/a/b/ && exec \"/usr/lib/h elper\" --x=`id -u`\n\
            case \"$1\" in\n  start|again) start-stop-daemon --exec $DAEMON ;;\nesac\nfoo$BAR x\necho tar\nmou\\\nnt -a\n";
        assert_eq!(
            shown(script),
            [
                "awk",
                "exit",
                "grep",
                "id",
                "mount",
                "sed",
                "sort",
                "start-stop-daemon",
                "uname",
                "/etc/x",
                "/sbin:/bin",
                "/usr/lib/h elper",
                "/usr/sbin/sshd",
                ". /lib/lsb/init-functions"
            ]
        );
    }

    #[test]
    fn shells_and_their_scripts() {
        assert!(is_shell(b"/usr/bin/bash") && is_shell(b"sh") && !is_shell(b"/usr/bin/bashful"));
        let arguments = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>();
        assert_eq!(script_of(&arguments(&[b"-ec", b"true"])), Some(&b"true"[..]));
        assert_eq!(script_of(&arguments(&[b"-c", b"-e", b"a b"])), Some(&b"a b"[..]));
        assert_eq!(script_of(&arguments(&[b"/x", b"y"])), None);
        assert_eq!(script_of(&arguments(&[b"-c"])), None);
    }
}
