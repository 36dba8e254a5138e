//! Certificates on disk, keys in the kernel, and which of them a label may be verified with.
#![forbid(unsafe_code)]

mod load;
mod untrusted;

use std::io;

pub use load::{load, load_files};
pub use untrusted::{make, prime};

use crate::model::cert::{Certificate, KernelKey, Refusal, SOON};
use crate::model::report::{CertificateInfo, KeyInfo, KeyringKind, Problem};
use crate::model::verify::Trust;
use crate::sys::keyring::{self, Key, Serial};
use crate::sys::root::Root;

/// IMA's trusted keyring.
pub const TRUSTED_KEYRING: &str = ".ima";
/// What IMA looks for on kernels without a trusted keyring.
pub const UNTRUSTED_KEYRING: &str = "_ima";
/// Keyrings whose keys vouch for the certificates of `.ima`.
const SIGNERS: [&str; 3] = [".builtin_trusted_keys", ".secondary_trusted_keys", ".machine"];
/// The one certificate that older tools, and kernels with `CONFIG_IMA_LOAD_X509`, know.
const SINGLE: &str = "/etc/keys/x509_ima.der";
/// Where EVM's certificates are, for dracut too.
const EVM_DIR: &str = "/etc/keys/evm";
/// The one that kernels with `CONFIG_EVM_LOAD_X509` know.
const EVM_SINGLE: &str = "/etc/keys/x509_evm.der";
/// No certificate is longer.
const LIMIT: u64 = 1 << 20;

/// A file of the keys folder.
#[derive(Debug)]
pub struct CertificateFile {
    /// Its path.
    pub file: String,
    /// The certificate, or why it is none.
    pub certificate: Result<Certificate, String>,
}

/// Reads every file of the keys folder, and `/etc/keys/x509_ima.der`; what is not there has none.
pub fn certificates(root: &Root, dir: &str) -> io::Result<Vec<CertificateFile>> {
    certificates_in(root, dir, SINGLE)
}

fn certificates_in(root: &Root, dir: &str, single: &str) -> io::Result<Vec<CertificateFile>> {
    let names = match root.list(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let files = names.into_iter().map(|name| format!("{}/{}", dir.trim_end_matches('/'), name.display()));
    let files = files.chain(root.exists(single).then(|| single.to_owned()));
    Ok(files
        .map(|file| {
            let certificate = root
                .read(&file, LIMIT)
                .map_err(|error| error.to_string())
                .and_then(|bytes| Certificate::parse(&bytes).map_err(|error| error.to_string()));
            CertificateFile { file, certificate }
        })
        .collect())
}

/// The keyring that this kernel's IMA uses.
pub fn ima_keyring() -> io::Result<(KeyringKind, Option<Serial>)> {
    if let Some(serial) = keyring::find(TRUSTED_KEYRING)? {
        return Ok((KeyringKind::Trusted, Some(serial)));
    }
    let untrusted = keyring::find(UNTRUSTED_KEYRING)?;
    Ok((if untrusted.is_some() { KeyringKind::Untrusted } else { KeyringKind::Absent }, untrusted))
}

/// The keys that may vouch for a certificate of `.ima`; `None` where no such keyring can be listed.
pub fn signers() -> Option<Vec<KernelKey>> {
    let mut found = None;
    for name in SIGNERS {
        // A keyring that is missing or may not be listed vouches for nothing that could be named.
        let Ok(Some(serial)) = keyring::find(name) else { continue };
        let Ok(keys) = keyring::members(serial) else { continue };
        found
            .get_or_insert_with(Vec::new)
            .extend(keys.iter().filter(|key| key.kind == "asymmetric").map(|key| KernelKey::new(&key.description)));
    }
    found
}

/// What a root's labels may be verified with, and what is wrong with the rest.
#[derive(Debug, Default)]
pub struct Keys {
    /// The certificates that count.
    pub trust: Trust,
    /// Which keyring the running kernel uses.
    pub keyring: KeyringKind,
    /// The keys in it.
    pub keys: Vec<KeyInfo>,
    /// The certificates on disk.
    pub certificates: Vec<CertificateInfo>,
    /// What could not be found out.
    pub problems: Vec<Problem>,
}

/// Gathers the keys of a root.
///
/// On the running system a certificate counts if its key is in `.ima` now, or if the kernel will take it at the next
/// boot. Where there is no `.ima` to ask (another root, a kernel without it), it counts if nothing in the certificate
/// itself makes a trusted keyring refuse it.
pub fn gather(root: &Root, dir: &str) -> Keys {
    let mut found = Keys::default();
    let files = certificates(root, dir).unwrap_or_else(|error| {
        found.problems.push(Problem::new(format!("{dir}: {error}"), format!("ls -ld {dir}")));
        Vec::new()
    });
    let mut members: Vec<Key> = Vec::new();
    let mut vouching = None;
    if root.is_running() {
        match ima_keyring() {
            Ok((kind, serial)) => {
                found.keyring = kind;
                match serial.map(keyring::members).transpose() {
                    Ok(keys) => members = keys.unwrap_or_default(),
                    Err(error) => found.problems.push(Problem::new(
                        format!("the keys of the kernel's IMA keyring cannot be listed: {error}"),
                        "run it as root",
                    )),
                }
            }
            Err(error) => {
                found.problems.push(Problem::new(format!("/proc/keys: {error}"), "run it as root"));
            }
        }
        if found.keyring == KeyringKind::Trusted {
            vouching = signers();
        }
    }

    let in_kernel: Vec<KernelKey> = members.iter().map(|key| KernelKey::new(&key.description)).collect();
    let mut trusted: Vec<(String, Certificate)> = Vec::new();
    let mut file_of = vec![None; members.len()];
    for CertificateFile { file, certificate } in files {
        let certificate = match certificate {
            Ok(certificate) => certificate,
            Err(why) => {
                let problem = Problem::new(format!("{file}: {why}"), format!("remove or replace {file}"));
                found.certificates.push(unreadable(file, problem));
                continue;
            }
        };
        let place =
            certificate.skid().and_then(|skid| in_kernel.iter().position(|key| key.skid.as_ref() == Some(&skid)));
        if let Some(place) = place.and_then(|place| file_of.get_mut(place)) {
            *place = Some(file.clone());
        }
        let refusals = certificate.refusals(vouching.as_deref());
        let acceptable = refusals.iter().all(Refusal::is_warning);
        let problems = refusals.iter().map(|refusal| Problem::new(format!("{file}: {refusal}"), refusal.remedy()));
        found.certificates.push(CertificateInfo {
            subject: certificate.subject().to_owned(),
            issuer: certificate.issuer().to_owned(),
            key_id: certificate.key_id().map(|id| id.to_string()),
            key: certificate.key_kind(),
            not_after: certificate.not_after().to_owned(),
            in_keyring: place.is_some(),
            problems: problems.collect(),
            file: file.clone(),
        });
        if place.is_some() || acceptable {
            trusted.push((file, certificate));
        }
    }
    found.keys = members
        .into_iter()
        .zip(file_of)
        .map(|(key, file)| KeyInfo { serial: key.serial, description: key.description, file })
        .collect();
    found.problems.extend(renewal(&trusted));
    found.trust = Trust::new(trusted.into_iter().map(|(_, certificate)| certificate));
    evm(root, found)
}

/// Adds the certificates for `security.evm`. The keyring `.evm` takes them on the same terms.
fn evm(root: &Root, mut found: Keys) -> Keys {
    let files = certificates_in(root, EVM_DIR, EVM_SINGLE).unwrap_or_else(|error| {
        found.problems.push(Problem::new(format!("{EVM_DIR}: {error}"), format!("ls -ld {EVM_DIR}")));
        Vec::new()
    });
    let mut trusted = Vec::new();
    for CertificateFile { file, certificate } in files {
        match certificate {
            Ok(certificate) if certificate.refusals(None).iter().all(Refusal::is_warning) => trusted.push(certificate),
            Ok(certificate) => found.problems.extend(
                certificate
                    .refusals(None)
                    .iter()
                    .map(|refusal| Problem::new(format!("{file}: {refusal}"), refusal.remedy())),
            ),
            Err(why) => {
                found.problems.push(Problem::new(format!("{file}: {why}"), format!("remove or replace {file}")));
            }
        }
    }
    found.trust = found.trust.with_evm(trusted);
    found
}

/// Certificates whose time is over or soon will be: the kernel does not look at that, but whoever signs packages goes on
/// with another key, and what is signed by that does not verify here before its certificate is.
fn renewal(trusted: &[(String, Certificate)]) -> Vec<Problem> {
    let ends = |(file, certificate): &(String, Certificate)| {
        let days = certificate.days_left();
        let successor = trusted
            .iter()
            .find(|(_, other)| other.subject() == certificate.subject() && other.days_left() > days.max(SOON));
        if days >= SOON || successor.is_some() {
            return None;
        }
        let end = if days < 0 { "ended" } else { "ends" };
        let id = certificate.key_id().map_or_else(|| "none".to_owned(), |id| id.to_string());
        let what = format!(
            "{file}: the certificate of \"{}\" {end} on {}, and none of that name follows it; labels by key {id} verify all the same",
            certificate.subject(),
            certificate.not_after(),
        );
        let next =
            "add the signer's next certificate beside it, and keep this one while files carry its labels: imactl check";
        Some(Problem::new(what, next))
    };
    trusted.iter().filter_map(ends).collect()
}

fn unreadable(file: String, problem: Problem) -> CertificateInfo {
    CertificateInfo {
        file,
        subject: String::new(),
        issuer: String::new(),
        key_id: None,
        key: String::new(),
        not_after: String::new(),
        in_keyring: false,
        problems: vec![problem],
    }
}

#[cfg(test)]
mod tests {
    use openssl::pkey::PKey;

    use super::*;
    use crate::model::cert::ending_for_tests;

    #[test]
    fn a_certificate_that_ends_is_named_unless_another_follows() {
        let key = || PKey::from_rsa(openssl::rsa::Rsa::generate(2048).unwrap()).unwrap();
        let of = |name: &str, days| (format!("{name}{days}"), ending_for_tests(name, &key(), days));
        let named = |certificates: &[(String, Certificate)]| {
            let found = renewal(certificates).into_iter();
            found.map(|problem| problem.what.split_once(':').unwrap().0.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            named(&[of("a", 31), of("b", 29), of("c", 0), of("d", -1), of("e", -400)]),
            ["b29", "c0", "d-1", "e-400"]
        );
        assert_eq!(named(&[of("a", -400), of("a", 400), of("b", 10), of("b", 20)]), ["b10", "b20"]);
        let ended = renewal(&[of("a", -1)]).remove(0).what;
        assert!(ended.contains("the certificate of \"a\" ended on "), "{ended}");

        // The same key may go on under a certificate that lasts longer.
        let same = key();
        let renewed = [5, 500].map(|days| (format!("a{days}"), ending_for_tests("a", &same, days)));
        assert_eq!(named(&renewed), [""; 0]);
    }
}
