//! Modules of PAM services (pam.conf(5)).
#![forbid(unsafe_code)]

/// What a line of `/etc/pam.d/SERVICE` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A module: a name in the distribution's folder for them, or a path.
    Module {
        /// The name.
        name: Vec<u8>,
        /// What it is given.
        arguments: Vec<Vec<u8>>,
    },
    /// Another service's lines (`@include`, `include`, `substack`).
    Include(Vec<u8>),
}

/// The entries of a service's file.
pub fn entries(text: &[u8]) -> Vec<Entry> {
    super::lines(text, b"#", b" ").iter().filter_map(|line| entry(line)).collect()
}

fn entry(line: &[u8]) -> Option<Entry> {
    let line = line.split(|&byte| byte == b'#').next()?.trim_ascii();
    if let Some(rest) = line.strip_prefix(b"@include") {
        return super::words(rest).next().map(|name| Entry::Include(name.to_vec()));
    }
    let (kind, rest) = word(line)?;
    let kind = kind.strip_prefix(b"-").unwrap_or(kind);
    if ![&b"auth"[..], b"account", b"password", b"session"].iter().any(|known| kind.eq_ignore_ascii_case(known)) {
        return None;
    }
    let rest = rest.trim_ascii_start();
    let (control, rest) = if rest.starts_with(b"[") {
        let close = rest.iter().position(|&byte| byte == b']')?;
        rest.split_at_checked(close + 1)?
    } else {
        word(rest)?
    };
    let mut words = super::words(rest).map(<[u8]>::to_vec);
    let name = words.next()?;
    if control.eq_ignore_ascii_case(b"include") || control.eq_ignore_ascii_case(b"substack") {
        return Some(Entry::Include(name));
    }
    Some(Entry::Module { name, arguments: words.collect() })
}

fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(u8::is_ascii_whitespace)?;
    line.split_at_checked(end)
}

/// Programs that a module starts, of those that Linux-PAM brings: by name, or what it was given.
pub fn helpers(name: &[u8], arguments: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let base = name.rsplit(|&byte| byte == b'/').next().unwrap_or(name);
    let known: &[&[u8]] = match base {
        b"pam_unix.so" => &[b"unix_chkpwd", b"unix_update"],
        b"pam_mkhomedir.so" => &[b"mkhomedir_helper"],
        b"pam_timestamp.so" => &[b"pam_timestamp_check"],
        b"pam_namespace.so" => &[b"/etc/security/namespace.init"],
        b"pam_xauth.so" => &[b"xauth"],
        b"pam_sss.so" => &[b"/usr/libexec/sssd/p11_child"],
        b"pam_exec.so" => {
            return arguments.iter().find(|argument| argument.starts_with(b"/")).into_iter().cloned().collect();
        }
        _ => &[],
    };
    known.iter().map(|name| name.to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_and_includes() {
        let found = entries(
            b"#%PAM-1.0\nauth [success=1 default=ignore]\tpam_unix.so nullok # a comment\n\
              -session   optional  pam_systemd.so\n@include common-auth\nauth include system-auth\n\
              password substack postlogin\naccount required \\\n  /opt/pam_x.so\nnonsense\nother required pam_no.so\nauth\n\
              session [success=ok ignore=ignore\nSESSION Optional pam_exec.so quiet /usr/bin/hook x\n",
        );
        let names: Vec<String> = found
            .iter()
            .map(|entry| match entry {
                Entry::Module { name, arguments } => {
                    format!("{} {}", String::from_utf8_lossy(name), arguments.len())
                }
                Entry::Include(name) => format!("<{}>", String::from_utf8_lossy(name)),
            })
            .collect();
        assert_eq!(
            names,
            [
                "pam_unix.so 1",
                "pam_systemd.so 0",
                "<common-auth>",
                "<system-auth>",
                "<postlogin>",
                "/opt/pam_x.so 0",
                "pam_exec.so 3"
            ]
        );
        let Some(Entry::Module { name, arguments }) = found.last() else { panic!("{found:?}") };
        assert_eq!(helpers(name, arguments), [b"/usr/bin/hook".to_vec()]);
        assert_eq!(helpers(b"pam_unix.so", &[]).len(), 2);
        assert!(helpers(b"pam_deny.so", &[]).is_empty());
    }
}
