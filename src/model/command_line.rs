//! The kernel's command line, parted as the kernel parts it.
#![forbid(unsafe_code)]

/// The parameters of a command line, `NAME` or `NAME=VALUE` (`lib/cmdline.c: next_arg()`): blanks part them except
/// within double quotes, and quotes around a whole parameter or a whole value are taken off.
pub fn parameters(line: &str) -> Vec<String> {
    let (mut parameters, mut current, mut quoted) = (Vec::new(), String::new(), false);
    for character in line.chars() {
        quoted ^= character == '"';
        if character.is_ascii_whitespace() && !quoted {
            parameters.push(std::mem::take(&mut current));
        } else {
            current.push(character);
        }
    }
    parameters.push(current);
    parameters.iter().map(|parameter| unquoted(parameter)).filter(|parameter| !parameter.is_empty()).collect()
}

fn unquoted(parameter: &str) -> String {
    let parameter = bare(parameter);
    match parameter.split_once('=') {
        Some((name, value)) => format!("{name}={}", bare(value)),
        None => parameter.to_owned(),
    }
}

fn bare(text: &str) -> &str {
    text.strip_prefix('"').map_or(text, |rest| rest.strip_suffix('"').unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_blanks() {
        assert_eq!(
            parameters("root=/dev/vda  dyndbg=\"file a +p\" \"ima_policy=tcb appraise_tcb\" a=b\"c d\" quiet\n"),
            ["root=/dev/vda", "dyndbg=file a +p", "ima_policy=tcb appraise_tcb", "a=b\"c d\"", "quiet"]
        );
        assert!(parameters(" \n").is_empty());
    }
}
