//! Name services (nsswitch.conf(5)).
#![forbid(unsafe_code)]

/// The services that it names, each once, e.g. `files`, `systemd`.
pub fn services(text: &[u8]) -> Vec<Vec<u8>> {
    let mut services: Vec<Vec<u8>> = Vec::new();
    for line in super::lines(text, b"#", b" ") {
        let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let mut in_action = false;
        for word in super::words(line.get(colon + 1..).unwrap_or_default()) {
            in_action |= word.starts_with(b"[");
            if !in_action && word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte)) {
                services.push(word.to_vec());
            }
            in_action &= !word.ends_with(b"]");
        }
    }
    services.sort();
    services.dedup();
    services
}

/// The library of a service (glibc's `nss/nss_module.c: module_load()`).
pub fn library(service: &[u8]) -> Vec<u8> {
    [b"libnss_", service, b".so.2"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_all_databases() {
        let found = services(
            b"# /etc/nsswitch.conf\npasswd:         files systemd # sss\ngroup: files [SUCCESS=merge] systemd\n\
              hosts:\tmymachines resolve [ !UNAVAIL=return ] files myhostname ../x dns\nnonsense\n",
        );
        let found: Vec<String> = found.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(found, ["dns", "files", "myhostname", "mymachines", "resolve", "systemd"]);
        assert_eq!(library(b"sss"), b"libnss_sss.so.2");
    }
}
