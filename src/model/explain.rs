//! From a label's state to the step that mends it.
#![forbid(unsafe_code)]

use super::plan::{Judged, State};

/// What to do about a file in this state; empty where nothing needs mending. `package` owns it.
pub fn next_step(path: &str, judged: &Judged, package: Option<&str>) -> String {
    let package = package.unwrap_or("PACKAGE");
    match judged.state {
        State::Good | State::Excluded | State::Absent => String::new(),
        State::Missing | State::Stale | State::Hash => format!("imactl relabel {}", quote(path)),
        State::Modified => format!("dnf reinstall {package}, or find out who changed it (rpm -Vf {})", quote(path)),
        State::UntrustedKey => match judged.key_id {
            Some(id) => format!(
                "put the certificate of key {id} into /etc/keys/ima (it must be signed by a key that the kernel trusts) \
                 and reboot"
            ),
            None => "put the signer's certificate into /etc/keys/ima and reboot".to_owned(),
        },
        State::Immutable => format!("chattr -i -a {0} && imactl relabel {0}", quote(path)),
        State::Unsigned => format!("install a build of {package} whose files are signed (rpmsign --signfiles)"),
        State::Foreign => {
            format!("install it from a signed package, or sign it: evmctl ima_sign --key KEY {}", quote(path))
        }
        State::Unsupported => format!("evmctl ima_verify {}", quote(path)),
        State::Unreadable => format!("look at the file and its file system: stat {}", quote(path)),
    }
}

/// What running or mapping the file means under a policy that demands signatures.
pub const fn effect(state: State) -> &'static str {
    match state {
        State::Good => "a rule that demands such a signature lets it through",
        State::Absent => "there is nothing to run",
        State::Excluded => {
            "imad does not label it; a rule that demands a signature denies it unless it is labelled otherwise"
        }
        State::Unsupported => "imad cannot tell what the kernel will say",
        State::Unreadable => "imad could not read it",
        State::Modified
        | State::UntrustedKey
        | State::Immutable
        | State::Stale
        | State::Hash
        | State::Missing
        | State::Unsigned
        | State::Foreign => "a rule that demands a signature denies it",
    }
}

/// A path as a shell takes it.
pub fn quote(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !path.is_empty() && path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_the_shell() {
        assert_eq!(quote("/usr/bin/ip"), "/usr/bin/ip");
        assert_eq!(quote("/a b"), "'/a b'");
        assert_eq!(quote("/a'b"), r"'/a'\''b'");
    }
}
