//! Sabotages of certificates and keyrings.
#![forbid(unsafe_code)]

use super::case::{Case, Kind};
use super::deeds::root;
use crate::harness::Guest;
use crate::system::key_file;

const FILE: &str = "/etc/keys/ima/ima.der";

fn case(name: &str, what: &str) -> Case {
    Case::new(Kind::Keys, format!("keys-{name}"), what)
}

/// Other bytes in the place of the certificate.
fn replaced(name: &str, what: &str, bytes: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> Case {
    case(name, what).running(move |guest: &Guest| {
        guest.put(FILE, bytes(), 0o644);
        root(guest, ":");
    })
}

/// Another certificate of the test keys in its place.
fn other(name: &str, what: &str, certificate: &'static str) -> Case {
    replaced(name, what, move || key_file(certificate))
}

pub(super) fn cases() -> Vec<Case> {
    const NONE: &str = "the kernel took no certificate";
    vec![
        case("no-folder", "the folder of the certificates is gone")
            .running(|guest| root(guest, "rm -r /etc/keys"))
            .open(NONE)
            .controlled(),
        case("none", "every certificate is removed")
            .running(|guest| root(guest, "rm /etc/keys/ima/*"))
            .open(NONE)
            .controlled()
            .checked(),
        other("ca-flag", "the only certificate is a CA's", "refused/ca-bit.der").open(NONE).controlled(),
        other("cert-sign", "the only certificate may sign certificates", "refused/key-cert-sign.der")
            .open("keyCertSign"),
        other("wrong-usage", "the only certificate may not sign files", "refused/no-digital-signature.der")
            .open("lacks digitalSignature")
            .controlled(),
        other("no-usage", "the only certificate names no usage", "refused/no-key-usage.der").open("no keyUsage"),
        other("foreign", "the only certificate is by a CA that the kernel does not know", "foreign.der")
            .open("not among the keys that this kernel trusts")
            .controlled(),
        other("garbage", "the only certificate is random bytes", "refused/garbage.der")
            .open("neither a DER nor a PEM certificate")
            .controlled(),
        other("truncated", "the only certificate is cut off", "refused/truncated.der").open(NONE),
        replaced("empty", "the only certificate is an empty file", Vec::new).open("the file is empty").controlled(),
        case("folder-in-its-place", "the certificate's name is a folder's")
            .running(|guest| root(guest, &format!("rm {FILE}; mkdir {FILE}")))
            .open(NONE),
        // Everything is labelled by a key whose certificate is not there any more.
        other(
            "replaced",
            "the certificate of those who signed everything gives way to another that is good",
            "accepted/rsa.der",
        )
        .open("it is not signed by a key of the .ima keyring")
        .controlled(),
        case("one-more-that-is-bad", "a second certificate, which the kernel refuses, lies beside the good one")
            .running(|guest| {
                guest.put("/etc/keys/ima/other.der", key_file("foreign.der"), 0o644);
                root(guest, ":");
            })
            .armed("not among the keys that this kernel trusts"),
        replaced("pem", "the certificate is written again as PEM", || key_file("ima.pem")).armed("").controlled(),
        // A keyring lasts until the power goes.
        case("keyring-emptied", "root empties the kernel's keyring .ima")
            .running(|guest| {
                guest.run(&["keyctl", "clear", "%keyring:.ima"]).ok();
            })
            .armed("")
            .controlled(),
    ]
}
