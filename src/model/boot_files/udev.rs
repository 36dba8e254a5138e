//! What udev rules execute, start and load (udev(7)).
#![forbid(unsafe_code)]

use super::command::{Command, words};

/// What a file of rules names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// `RUN`, `PROGRAM`, `IMPORT{program}`; names without a slash are of `/usr/lib/udev`.
    pub commands: Vec<Command>,
    /// `ENV{SYSTEMD_WANTS}`: units, those with a part that is known at run time only as instances of their template.
    pub units: Vec<Vec<u8>>,
    /// Kernel modules of `RUN{builtin}+="kmod load …"`.
    pub modules: Vec<Vec<u8>>,
}

impl Rules {
    /// Reads a file of rules.
    pub fn parse(text: &[u8]) -> Self {
        let mut rules = Self::default();
        for line in super::lines(text, b"#", b"") {
            let mut rest = line.as_slice();
            while let Some((token, after)) = token(rest) {
                rules.take(&token);
                rest = after;
            }
        }
        rules
    }

    fn take(&mut self, token: &Token<'_>) {
        let is_set = !matches!(token.operator, b"==" | b"!=" | b"-=");
        match (token.key, token.attribute) {
            (b"RUN", None | Some(b"program")) if is_set => self.command(&token.value),
            // What is executed to be compared is executed either way.
            (b"PROGRAM", None) | (b"IMPORT", None | Some(b"program")) => self.command(&token.value),
            (b"RUN" | b"IMPORT", Some(b"builtin")) => {
                let mut words = super::words(&token.value);
                if words.next() == Some(b"kmod") && words.next() == Some(b"load") {
                    self.modules.extend(words.filter(|word| is_literal(word)).map(<[u8]>::to_vec));
                }
            }
            (b"ENV", Some(b"SYSTEMD_WANTS")) if is_set => {
                self.units.extend(super::words(&token.value).filter_map(|unit| {
                    let Some(at) = unit.iter().position(|&byte| byte == b'@') else {
                        return is_literal(unit).then(|| unit.to_vec());
                    };
                    let kind = unit.iter().rposition(|&byte| byte == b'.').filter(|&dot| dot > at)?;
                    let (prefix, kind) = (unit.get(..at)?, unit.get(kind..)?);
                    // Whatever device it is for.
                    (is_literal(prefix) && is_literal(kind)).then(|| [prefix, b"@device", kind].concat())
                }));
            }
            _ => {}
        }
    }

    fn command(&mut self, line: &[u8]) {
        let command = Command::of_words(words(line, false));
        self.commands.extend(command.filter(|command| is_literal(&command.program)));
    }
}

/// Whether nothing is put in at run time.
fn is_literal(text: &[u8]) -> bool {
    !text.contains(&b'$') && !text.contains(&b'%')
}

struct Token<'a> {
    key: &'a [u8],
    attribute: Option<&'a [u8]>,
    operator: &'a [u8],
    value: Vec<u8>,
}

/// `KEY{ATTRIBUTE} OPERATOR "VALUE"`, and what follows; what is none is skipped up to the next comma.
fn token(line: &[u8]) -> Option<(Token<'_>, &[u8])> {
    let mut rest = line;
    loop {
        let start = rest.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != b',')?;
        rest = rest.get(start..)?;
        if let Some(found) = key_and_value(rest) {
            return Some(found);
        }
        let comma = rest.iter().position(|&byte| byte == b',')?;
        rest = rest.get(comma..)?;
    }
}

fn key_and_value(line: &[u8]) -> Option<(Token<'_>, &[u8])> {
    let end = line.iter().position(|byte| !byte.is_ascii_uppercase() && *byte != b'_')?;
    let (key, mut rest) = line.split_at_checked(end).filter(|(key, _)| !key.is_empty())?;
    let mut attribute = None;
    if let Some(inside) = rest.strip_prefix(b"{") {
        let close = inside.iter().position(|&byte| byte == b'}')?;
        attribute = inside.get(..close);
        rest = inside.get(close + 1..)?;
    }
    rest = rest.trim_ascii_start();
    let end = rest.iter().position(|byte| !b"=!+-:".contains(byte))?;
    let (operator, after) = rest.split_at_checked(end).filter(|(operator, _)| operator.ends_with(b"="))?;
    let after = after.trim_ascii_start();
    let (escapes, after) = match after.strip_prefix(b"e\"") {
        Some(after) => (true, after),
        None => (false, after.strip_prefix(b"\"")?),
    };
    let mut value = Vec::new();
    let mut at = 0;
    loop {
        match (after.get(at)?, after.get(at + 1)) {
            (b'"', _) => break,
            (b'\\', Some(b'"')) => {
                value.push(b'"');
                at += 2;
            }
            (b'\\', Some(&next)) if escapes => {
                value.extend([b'\\', next]);
                at += 2;
            }
            (&byte, _) => {
                value.push(byte);
                at += 1;
            }
        }
    }
    Some((Token { key, attribute, operator, value }, after.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(text: &[u8]) -> Vec<String> {
        let rules = Rules::parse(text);
        rules.commands.iter().map(|command| String::from_utf8_lossy(&command.program).into_owned()).collect()
    }

    #[test]
    fn programs_of_rules() {
        let text = br#"# do not edit this file
KERNEL=="sd*", ENV{DEVTYPE}=="disk", IMPORT{program}="ata_id --export $devnode"
IMPORT{program}=="kpartx_id %M %m $env{DM_UUID}", ACTION!="remove", \
  RUN+="/usr/lib/udev/hwclock-set $root/$name"
RUN{program}+="/sbin/dmsetup udevcomplete $env{DM_COOKIE}", RUN{builtin}+="uaccess"
PROGRAM="/bin/sh -ec 'D=$${DEVPATH#*/vio/}; echo \"$${D:-0}\"'"
ENV{REMOVE_CMD}!="", RUN+="$env{REMOVE_CMD}", IMPORT{builtin}="path_id", IMPORT{db}="X"
GOTO="end" RUN -= "/bin/no"
LABEL="end"
"#;
        let found = programs(text);
        assert_eq!(found, ["ata_id", "kpartx_id", "/usr/lib/udev/hwclock-set", "/sbin/dmsetup", "/bin/sh"]);
        let shell = Rules::parse(text).commands.pop().unwrap();
        assert_eq!(shell.arguments, [b"-ec".to_vec(), b"D=$${DEVPATH#*/vio/}; echo \"$${D:-0}\"".to_vec()]);
    }

    #[test]
    fn units_and_modules_of_rules() {
        let rules = Rules::parse(
            b"TAG+=\"systemd\", ENV{SYSTEMD_WANTS}+=\"systemd-backlight@backlight:$name.service bluetooth.target\"\n\
              ENV{SYSTEMD_WANTS}==\"no.service\", ENV{SYSTEMD_WANTS}+=\"$env{X}.service\"\n\
              RUN{builtin}+=\"kmod load $env{MODALIAS}\", RUN{builtin}+=\"kmod load ms_block mspro_block\"\n",
        );
        assert_eq!(rules.units, [b"systemd-backlight@device.service".to_vec(), b"bluetooth.target".to_vec()]);
        assert_eq!(rules.modules, [b"ms_block".to_vec(), b"mspro_block".to_vec()]);
        assert!(rules.commands.is_empty());
    }

    #[test]
    fn what_is_no_rule_is_skipped() {
        assert_eq!(
            programs(b"nonsense, RUN+=\"/bin/a\"\nRUN+=\"unfinished\nRUN+=/bin/b\nRUN+=\"/bin/c\""),
            ["/bin/a", "/bin/c"]
        );
    }
}
