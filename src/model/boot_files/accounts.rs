//! Who may log in, with which shell (passwd(5), shadow(5)).
#![forbid(unsafe_code)]

/// Somebody who is known to the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub name: Vec<u8>,
    /// Its number is 0, or a password lets somebody in.
    pub may_log_in: bool,
    /// The home folder.
    pub home: Vec<u8>,
    /// The shell.
    pub shell: Vec<u8>,
}

/// The accounts of `/etc/passwd` and `/etc/shadow`; of one that the latter does not name nothing keeps a password from
/// being right.
pub fn accounts(passwd: &[u8], shadow: &[u8]) -> Vec<Account> {
    let fields = |line: &[u8]| line.split(|&byte| byte == b':').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let hashes: Vec<(Vec<u8>, Vec<u8>)> = super::lines(shadow, b"#", b"")
        .iter()
        .filter_map(|line| {
            let mut fields = fields(line).into_iter();
            Some((fields.next()?, fields.next()?))
        })
        .collect();
    let account = |line: &Vec<u8>| {
        let fields = fields(line);
        let [name, password, uid, _, _, home, shell] = fields.as_slice() else { return None };
        let hash = if password == b"x" {
            hashes.iter().find(|(known, _)| known == name).map(|(_, hash)| hash.as_slice())
        } else {
            Some(password.as_slice())
        };
        // `!` and `*` begin what no password is hashed to.
        let has_password = hash.is_none_or(|hash| !hash.starts_with(b"!") && !hash.starts_with(b"*"));
        let shell = if shell.is_empty() { b"/bin/sh".to_vec() } else { shell.clone() };
        Some(Account { name: name.clone(), may_log_in: uid == b"0" || has_password, home: home.clone(), shell })
    };
    super::lines(passwd, b"#", b"").iter().filter_map(account).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_who_has_a_password_may_log_in() {
        let passwd = b"root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\nann:x:1000:1000:,,:/home/ann:/bin/zsh\n\
                       bob:!:1001:1001::/home/bob:/bin/sh\neve::1002:1002::/home/eve:\nnew:x:1003:1003::/home/new:/bin/ksh\n+::::::\nbad\n";
        let shadow = b"root:!:19000:0:99999:7:::\ndaemon:*:19000::::::\nann:$y$j9T$x:19000::::::\n";
        let found = accounts(passwd, shadow);
        let may: Vec<(String, bool)> =
            found.iter().map(|a| (String::from_utf8_lossy(&a.shell).into_owned(), a.may_log_in)).collect();
        let expected = [
            ("/bin/bash", true),
            ("/usr/sbin/nologin", false),
            ("/bin/zsh", true),
            ("/bin/sh", false),
            ("/bin/sh", true),
            ("/bin/ksh", true),
            ("/bin/sh", true),
        ];
        assert_eq!(may, expected.map(|(shell, may)| (shell.to_owned(), may)));
    }
}
