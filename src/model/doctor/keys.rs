//! Certificates whose time ends soon, or has not begun.
#![forbid(unsafe_code)]

use super::{Area, Facts, Findings, Severity};
use crate::model::cert::SOON;
use crate::model::report::Problem;

/// Days before a certificate's end from which on it is named here, until the status does ([`SOON`]).
const DAYS: i32 = 90;

pub(super) fn judge(facts: &Facts, found: &mut Findings) {
    if facts.certificates.is_empty() {
        let dir = &facts.keys_dir;
        let severity = if facts.policy.exists { Severity::Fault } else { Severity::Warning };
        let what = format!("there is no certificate in {dir}, so no label can be verified");
        let next = "imactl setup --cert FILE with the certificate of your packages' signer";
        found.add("no-certificate", Area::Keys, severity, dir, Problem::new(what, next));
    }
    for certificate in &facts.certificates {
        let (file, subject) = (&certificate.file, &certificate.subject);
        if certificate.days_until_begin > 0 {
            let what = format!(
                "{file}: the time of \"{subject}\" begins in {} days by this machine's clock; the kernel does not look at \
                 that, but the clock may be wrong",
                certificate.days_until_begin
            );
            let problem = Problem::new(what, "timedatectl");
            found.add("certificate-begins", Area::Keys, Severity::Warning, file, problem);
        }
        let days = certificate.days_left;
        let follows = |other: &super::CertificateFacts| other.subject == *subject && other.days_left > DAYS;
        if (SOON..DAYS).contains(&days) && !facts.certificates.iter().any(follows) {
            let what = format!(
                "{file}: the time of \"{subject}\" ends in {days} days, and no certificate of that name follows it: what \
                 its signer signs by its next key will not verify here"
            );
            let next = "add the signer's next certificate beside it as soon as there is one (imactl setup --cert FILE)";
            found.add("certificate-ends", Area::Keys, Severity::Warning, file, Problem::new(what, next));
        }
    }
}
