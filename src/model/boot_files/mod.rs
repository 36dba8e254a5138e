//! What the files that a boot reads say of what it executes, maps and loads: units, udev rules, PAM, NSS, scripts,
//! the kernel's own records. Each parser takes one file's bytes, whatever they are.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod command;
pub mod dlopen;
pub mod maps;
pub mod measured;
pub mod modules;
pub mod nss;
pub mod pam;
pub mod settings;
pub mod shell;
pub mod udev;
pub mod unit;

/// Lines with what follows a backslash at their end put behind them, and `between` in place of the backslash; without
/// those that are empty or begin with one of these characters.
fn lines(text: &[u8], comments: &[u8], between: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    let mut begun: Option<Vec<u8>> = None;
    for line in text.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let trimmed = line.trim_ascii_start();
        if trimmed.first().is_some_and(|first| comments.contains(first)) {
            continue;
        }
        let mut whole = begun.take().unwrap_or_default();
        if let Some(part) = line.strip_suffix(b"\\") {
            whole.extend_from_slice(part);
            whole.extend_from_slice(between);
            begun = Some(whole);
        } else {
            whole.extend_from_slice(line);
            lines.push(whole);
        }
    }
    lines.extend(begun);
    lines.retain(|line| !line.trim_ascii().is_empty());
    lines
}

/// What blanks separate.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_backslash_puts_lines_together() {
        let text = b"# no\na \\\n# not this\n b\r\n\n  ; neither\nc\\";
        assert_eq!(lines(text, b"#;", b" "), [b"a   b".to_vec(), b"c ".to_vec()]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_any_parser_panic(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"\\\n\"'{}()=+;:/-x$`[]|,#@ "[..])], 0..200),
        ) {
            let mut unit = unit::Unit::default();
            unit.take(&[b"[Service]\nExecStart=", &bytes[..]].concat());
            unit.take(&bytes);
            let _ = command::commands(&bytes);
            let _ = command::words(&bytes, false);
            let _ = unit::UnitName::parse(&bytes).map(|name| (name.drop_ins(), name.template(), name.of_kind(b"x")));
            let _ = unit::UnitName::parse(&[&bytes[..], b".service"].concat()).map(|name| name.drop_ins());
            let _ = unit::specified(&bytes, &bytes);
            let _ = udev::Rules::parse(&bytes);
            let _ = udev::Rules::parse(&[b"RUN+=\"", &bytes[..]].concat());
            let _ = pam::entries(&bytes);
            let _ = nss::services(&bytes);
            let _ = measured::paths(&bytes);
            let _ = maps::executable(&bytes);
            let _ = shell::mentions(&bytes);
            let _ = accounts::accounts(&bytes, &bytes);
            let _ = modules::wanted(&bytes);
            let _ = modules::loaded(&bytes);
            let _ = modules::Options::parse(&bytes);
            let _ = modules::Modules::parse(&bytes).with_needed(&bytes);
            let _ = settings::piped_program(&bytes);
            let _ = settings::setting(&bytes, b"kernel.modprobe");
            let _ = settings::request_key_programs(&bytes);
            let _ = settings::mounts(&bytes);
            let _ = settings::bus_service(&bytes);
            let _ = dlopen::alternatives(bytes.as_slice());
            let _ = dlopen::alternatives([&b"\x7fELF\x02\x01\x01"[..], &bytes].concat().as_slice());
        }
    }
}
