//! Certificates into a keyring of the running kernel, and for each the kernel's answer with its reason.
#![forbid(unsafe_code)]

use std::io;

use super::{CertificateFile, certificates, signers};
use crate::model::cert::{Certificate, KernelKey};
use crate::model::report::{CertificateOutcome, Problem};
use crate::sys::keyring::{self, Serial};
use crate::sys::root::Root;

/// Loads every certificate of a root's keys folder. Returns what became of each, and the certificates that the kernel
/// took.
pub fn load(root: &Root, dir: &str, keyring: Serial) -> io::Result<(Vec<CertificateOutcome>, Vec<Certificate>)> {
    Ok(load_files(certificates(root, dir)?, keyring))
}

/// The same for files that were read already.
pub fn load_files(files: Vec<CertificateFile>, keyring: Serial) -> (Vec<CertificateOutcome>, Vec<Certificate>) {
    let signers = signers();
    let (mut outcomes, mut taken) = (Vec::new(), Vec::new());
    for CertificateFile { file, certificate } in files {
        outcomes.push(match certificate {
            Ok(certificate) => {
                let outcome = add(&file, &certificate, keyring, signers.as_deref());
                if outcome.accepted {
                    taken.push(certificate);
                }
                outcome
            }
            Err(why) => CertificateOutcome {
                subject: String::new(),
                key_id: None,
                accepted: false,
                errno: None,
                problem: Some(Problem::new(format!("{file}: {why}"), format!("remove or replace {file}"))),
                file,
            },
        });
    }
    (outcomes, taken)
}

fn add(file: &str, certificate: &Certificate, keyring: Serial, signers: Option<&[KernelKey]>) -> CertificateOutcome {
    let refusals = certificate.refusals(signers);
    let outcome = |accepted, errno, problem| CertificateOutcome {
        file: file.to_owned(),
        subject: certificate.subject().to_owned(),
        key_id: certificate.key_id().map(|id| id.to_string()),
        accepted,
        errno,
        problem,
    };
    match keyring::add_certificate(keyring, certificate.der()) {
        // Taken, but perhaps of no use.
        Ok(_) => {
            let warning = refusals.iter().find(|refusal| refusal.is_warning());
            outcome(true, None, warning.map(|warning| Problem::new(format!("{file}: {warning}"), warning.remedy())))
        }
        Err(error) => {
            let reason = refusals.iter().find(|refusal| !refusal.is_warning());
            let problem = match reason {
                Some(reason) => {
                    Problem::new(format!("{file}: the kernel refused it ({error}): {reason}"), reason.remedy())
                }
                None => {
                    Problem::new(format!("{file}: the kernel refused it: {}", meaning(&error)), "keyctl show %:.ima")
                }
            };
            outcome(false, error.raw_os_error(), Some(problem))
        }
    }
}

/// What an errno of `add_key` means where the certificate itself shows no fault (`restrict.c`, `x509_public_key.c`).
fn meaning(error: &io::Error) -> String {
    let meaning = match error.raw_os_error() {
        Some(libc::ENOKEY) => "no key that the kernel trusts signed it",
        Some(libc::EKEYREJECTED) => "it is in the kernel's blacklist, or its signer's signature does not verify",
        Some(libc::ENOPKG) => "the kernel lacks its key or hash algorithm",
        Some(libc::EBADMSG) => "the kernel cannot read it",
        Some(libc::EACCES) => "the keyring takes keys from root alone",
        Some(libc::EPERM) => "ca_keys= on the kernel command line names another signer",
        Some(libc::EDQUOT) => "root's key quota is used up (/proc/sys/kernel/keys/root_maxbytes)",
        _ => return error.to_string(),
    };
    format!("{meaning} ({error})")
}
