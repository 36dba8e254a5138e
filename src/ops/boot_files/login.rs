//! What a login opens: PAM and NSS modules, shells.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use super::collection::{Collection, lossy};
use crate::model::boot_files::{accounts, nss, pam};
use crate::ops::loading::FOLDERS;

/// Where PAM services are; the first that has one counts.
const PAM: [&str; 3] = ["/etc/pam.d", "/usr/lib/pam.d", "/usr/etc/pam.d"];
/// Services of the programs that let somebody in, or make somebody root.
const PAM_SERVICES: [&str; 10] =
    ["login", "remote", "sshd", "systemd-user", "su", "su-l", "sudo", "sudo-i", "runuser", "other"];
/// What is read where there is no nsswitch.conf (glibc's `nss/nss_database.c`).
const NSS_DEFAULT: &[u8] = b"passwd: files\nhosts: files dns\n";
/// Also what a shell reads at a login.
const PROFILE: &str = "/etc/profile";

/// Modules of these PAM services too.
pub(super) fn gather(found: &mut Collection<'_>, services: BTreeSet<Vec<u8>>) {
    let mut next: Vec<Vec<u8>> = PAM_SERVICES.iter().map(|name| name.as_bytes().to_vec()).chain(services).collect();
    let mut seen = BTreeSet::new();
    while let Some(service) = next.pop() {
        if seen.insert(service.clone()) {
            next.extend(of_service(found, &service));
        }
    }
    let text = ["/etc/nsswitch.conf", "/usr/etc/nsswitch.conf"].iter().find_map(|path| found.tree.settings(path));
    for service in nss::services(text.as_deref().unwrap_or(NSS_DEFAULT)) {
        // Those that libc has built in have no library.
        found.map(&nss::library(&service), &format!("name service {}", lossy(&service)));
    }
    shells(found);
    found.read(PROFILE.as_bytes(), "a login");
}

/// Takes a service's modules, and says which other services it includes.
fn of_service(found: &mut Collection<'_>, service: &[u8]) -> Vec<Vec<u8>> {
    let file = |folder: &str| [folder.as_bytes(), b"/", service].concat();
    // Included ones may be paths.
    let paths = if service.starts_with(b"/") { vec![service.to_vec()] } else { PAM.map(file).to_vec() };
    let text = paths.iter().find_map(|path| found.tree.read(path, super::tree::SETTINGS_LIMIT));
    let why = format!("PAM service {}", lossy(service));
    let mut included = Vec::new();
    for entry in pam::entries(&text.unwrap_or_default()) {
        match entry {
            pam::Entry::Include(name) => included.push(name),
            pam::Entry::Module { name, arguments } => {
                if name.starts_with(b"/") {
                    found.map(&name, &why);
                } else {
                    let paths: Vec<_> =
                        FOLDERS.iter().map(|folder| [folder.as_bytes(), b"/security/", &name].concat()).collect();
                    paths.iter().any(|path| found.map(path, &why));
                }
                for helper in pam::helpers(&name, &arguments) {
                    found.program(&helper, &[], &why);
                }
            }
        }
    }
    included
}

/// Shells of those who may log in: by a password, or by a key.
fn shells(found: &mut Collection<'_>) {
    let passwd = found.tree.settings("/etc/passwd").unwrap_or_default();
    let shadow = found.tree.settings("/etc/shadow").unwrap_or_default();
    for account in accounts::accounts(&passwd, &shadow) {
        let keys = [&account.home[..], b"/.ssh/authorized_keys"].concat();
        if account.may_log_in || account.home.starts_with(b"/") && found.tree.real(&keys).is_some() {
            found.execute(&account.shell, &format!("login shell of {}", lossy(&account.name)));
        }
    }
}
