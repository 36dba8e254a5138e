//! Other kernels, command lines and initramfs images.
#![forbid(unsafe_code)]

use super::case::{Case, Kind};
use super::run;
use crate::harness::{Images, Setup};

fn case(name: &str, what: impl Into<String>) -> Case {
    Case::new(Kind::Kernels, format!("kernels-{name}"), what)
}

/// A word on the kernel's command line.
fn word(name: &str, word: &'static str) -> Case {
    case(name, format!("the kernel is booted with `{word}`")).hereafter(move |setup| setup.command_line(word))
}

/// Something that no machine comes through, in one boot: it need not be waited for long.
fn hopeless(case: Case) -> Case {
    case.once(run::hopeless).within(2)
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("stock", "the distribution's kernel is booted, which has no trusted keyring")
            .hereafter(|setup| {
                let images = Images::load();
                setup.kernel(images.stock().join("vmlinuz")).initrd(images.imad().join("initrd-stock.img"))
            })
            .open("no trusted keyring")
            .checked(),
        case("without-ima", "a kernel without IMA is booted")
            .hereafter(|setup| setup.kernel(Images::load().kernel().join("bzImage-without-ima")))
            .open("this kernel has no IMA")
            .controlled(),
        // systemd loads the policy itself there, and no key is in the keyring.
        hopeless(case("older-entry", "an older entry is booted once, whose initramfs knows nothing of imad"))
            .once(|setup| setup.initrd(Images::load().base().join("initrd-base.img"))),
        hopeless(case("without-initramfs", "the kernel is booted without an initramfs once"))
            .once(Setup::without_initrd)
            .controlled(),
        word("appraise-log", "ima_appraise=log").open("ima_appraise=log").controlled(),
        word("appraise-fix", "ima_appraise=fix").open("ima_appraise=fix").controlled(),
        word("appraise-off", "ima_appraise=off").open("ima_appraise=off").controlled(),
        word("policy-tcb", "ima_policy=tcb").armed("").controlled(),
        word("policy-secure-boot", "ima_policy=secure_boot").armed("").controlled(),
        word("policy-critical-data", "ima_policy=critical_data").armed(""),
        word("policy-fail-securely", "ima_policy=fail_securely").armed(""),
        // The built-in rules deny the certificate itself, which is needed to satisfy them: no boot can come of it.
        hopeless(case("policy-appraise-tcb", "the kernel is booted with `ima_policy=appraise_tcb` once"))
            .once(|setup| setup.command_line("ima_policy=appraise_tcb"))
            .controlled(),
        word("hash-sha512", "ima_hash=sha512").armed(""),
        word("template-ima", "ima_template=ima").armed(""),
        word("evm-fix", "evm=fix").armed(""),
        word("audit-off", "audit=0").armed("").controlled(),
        word("lockdown", "lockdown=confidentiality").armed(""),
        word("imad-policy-off", "imad.policy=off").open("imad.policy=off"),
        word("imad-guard-off", "imad.guard=off").armed(""),
    ]
}
