//! The policy language: imad's parser and real kernels must agree, in verdict and errno, about every line and file.
//!
//! Lines come from a generator (`language/generator.rs`, `language/faults.rs`): rules that should be good, rules wrong in
//! one place, any mix of words, bytes damaged at random, and every action with every hook and option. The guest writes
//! each to its kernel in a dry run: a bad line comes first, after which the kernel judges every further write and applies
//! nothing (`tools/policy_feeder.pl`). A second set of policies is loaded in earnest and read back.
//!
//! Each test prints its seed, and so does a failure; `IMAD_SEED=0x… cargo test --test guest language` runs the same
//! again. Each line has a stream of numbers of its own, made of the seed and its number.
//!
//! The kernels boot with `audit=0`, because a record for every line would take longer than the lines, and the trusted one
//! with `init_on_alloc=1`, because it reads beyond the end of a file that does not end in a newline: what it finds there
//! is then always the same.

#[path = "language/suite.rs"]
mod suite;

use std::fs;

use imad::model::policy;
use policy::profile::{KernelProfile, Lsm, Names};
use policy::rule::LsmField;

use crate::harness::{Guest, Images, Setup, Shared};
use suite::{profile_of, without_modprobe};

/// The trusted kernel without a policy of its own.
static PLAIN: Shared = Shared::new(plain);

fn plain() -> Setup {
    suite::plain(Setup::base())
}

fn trusted_profile() -> KernelProfile {
    profile_of(&plain().kernel_config())
}

#[test]
fn the_trusted_kernel_says_the_same_to_lines() {
    suite::lines(&without_modprobe(PLAIN.guest()), &trusted_profile());
}

#[test]
fn the_trusted_kernel_says_the_same_to_lines_after_a_load() {
    suite::lines_after_a_load(&without_modprobe(PLAIN.guest()), &trusted_profile());
}

#[test]
fn the_trusted_kernel_says_the_same_to_files() {
    suite::files(&without_modprobe(PLAIN.guest()), &trusted_profile());
}

#[test]
fn the_trusted_kernel_shows_policies_as_imad_writes_them() {
    suite::shown_policies(&without_modprobe(PLAIN.guest()), &trusted_profile());
}

/// The distribution's kernel: other algorithms, no modsig, AppArmor, one load that is not used up here.
#[test]
fn the_stock_kernel_says_the_same_to_lines() {
    let guest = Guest::boot(Setup::stock().command_line("audit=0"));
    let images = Images::load();
    give_modules(&guest, &images);
    let config = fs::read_to_string(images.stock().join("config")).unwrap();
    let known = Names::Known(vec![(LsmField::SubjRole, b"unconfined".to_vec())]);
    let profile = KernelProfile { lsm: Lsm::AppArmor(known), ..profile_of(&config) };
    assert!(guest.get_text("/sys/kernel/security/lsm").contains("apparmor"));
    let more = APPARMOR.into_iter().map(|label| [b"measure subj_role=", label].concat());
    suite::few_lines(&guest, &profile, &[("subj_role=", "unconfined")], more);
}

/// Labels as AppArmor reads them, where `unconfined` is its only profile.
const APPARMOR: [&[u8]; 32] = [
    b"unconfined",
    b"u",
    b"unconfine",
    b"unconfinedx",
    b"Unconfined",
    b"nconfined",
    b"\runconfined",
    b"\x0b\x0cunconfined",
    b"\xa0unconfined",
    b"unconfined\r",
    b"\r",
    b"&",
    b"&unconfined",
    b"&u",
    b"&x",
    b"&&unconfined",
    b"\r&unconfined",
    b"&\runconfined",
    b"//&",
    b"unconfined//&unconfined",
    b"unconfined//&x",
    b"x//&unconfined",
    b"unconfined//&",
    b"unconfined//&u//&un",
    b"unconfined//x",
    b"/unconfined",
    b"///&u",
    b"u///&u",
    b"u//&//&u",
    b"u//&/&u",
    b"&//&u",
    b"u//&\ru",
];

/// Hash algorithms are modules there, and the image has none of its kernel's modules outside the initramfs.
fn give_modules(guest: &Guest, images: &Images) {
    let release = fs::read_to_string(images.stock().join("release")).unwrap();
    let release = release.trim_end();
    let all = images.stock().join("modules.tar");
    let folder = tempfile::tempdir().unwrap();
    let tar = |arguments: &[&str]| {
        let output = std::process::Command::new("tar").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let (all, folder) = (all.to_str().unwrap(), folder.path().to_str().unwrap());
    let wanted = [format!("{release}/modules.*"), format!("{release}/kernel/crypto"), format!("{release}/kernel/lib")];
    tar(&["-C", folder, "-xf", all, "--wildcards", &wanted[0], &wanted[1], &wanted[2]]);
    guest.put("/run/modules.tar", tar(&["-C", folder, "-c", "."]), 0o600);
    guest.sh("tar -C /usr/lib/modules -xf /run/modules.tar && rm /run/modules.tar && modprobe md4").ok();
}
