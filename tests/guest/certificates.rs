//! Certificates of all kinds in one boot, each with the kernel's answer.

use imad::model::report::CertificateOutcome;

use crate::harness::{Guest, Setup};
use crate::system::{boot_report, in_haste, journal, key_file, status};

/// What the kernel refuses, and a word of the reason that imad gives.
const REFUSED: &[(&str, &str)] = &[
    ("ca-bit.der", "CA:TRUE"),
    ("key-cert-sign.der", "keyCertSign"),
    ("no-digital-signature.der", "lacks digitalSignature"),
    ("no-key-usage.der", "no keyUsage"),
    ("foreign.der", "not among the keys that this kernel trusts"),
    ("the-ca.der", "lacks digitalSignature"),
    ("garbage.der", "neither a DER nor a PEM certificate"),
    ("truncated.der", "neither a DER nor a PEM certificate"),
    ("empty.der", "the file is empty"),
];

/// What it takes: every key kind, expired, as PEM.
const ACCEPTED: &[&str] = &["rsa.der", "p384.pem", "expired.der", "no-skid.der"];

#[test]
fn certificates_are_accepted_and_refused_with_reasons() {
    let mut setup = in_haste(Setup::trusted());
    for (name, _) in REFUSED {
        setup = setup.file(&format!("/etc/keys/ima/{name}"), key_file(format!("refused/{name}")), 0o644);
    }
    for name in ACCEPTED {
        setup = setup.file(&format!("/etc/keys/ima/{name}"), key_file(format!("accepted/{name}")), 0o644);
    }
    let guest = Guest::boot(setup);
    let report = boot_report(&guest);
    let outcome = |name: &str| -> &CertificateOutcome {
        let file = format!("/etc/keys/ima/{name}");
        report.certificates.iter().find(|outcome| outcome.file == file).unwrap_or_else(|| panic!("{name}: {report:?}"))
    };
    let keyring = guest.run(&["keyctl", "show", "%keyring:.ima"]).text();
    for name in ACCEPTED.iter().copied().chain(["ima.der"]) {
        assert!(outcome(name).accepted, "{:?}", outcome(name));
        assert!(keyring.contains(&outcome(name).subject), "{name} is not in\n{keyring}");
    }
    assert!(outcome("no-skid.der").problem.as_ref().is_some_and(|p| p.what.contains("no subject key identifier")));
    let (journal, status) = (journal(&guest, "imad-boot"), status(&guest));
    for (name, reason) in REFUSED {
        let outcome = outcome(name);
        assert!(!outcome.accepted, "{outcome:?}");
        let problem = outcome.problem.as_ref().unwrap();
        assert!(problem.what.contains(reason) && !problem.next.is_empty(), "{name}: {problem:?}");
        assert!(journal.contains(&problem.what), "{name} is not in the journal:\n{journal}");
        assert!(status.problems.contains(problem), "{name} is not in the status");
        assert!(outcome.subject.is_empty() || !keyring.contains(&format!("{}:", outcome.subject)), "{name}: {keyring}");
    }
    // None of them kept the good ones from their work.
    assert!(report.policy.loaded, "{:?}", report.policy);
}
