//! Sabotages of file systems, of imad's state in them, and of the clock.
#![forbid(unsafe_code)]

use super::case::{Case, Kind};
use super::deeds::{policy, python, root};
use crate::harness::Guest;
use crate::system::STRICT;

fn case(name: &str, what: &str) -> Case {
    Case::new(Kind::Storage, format!("storage-{name}"), what)
}

/// Something done to the files of `/etc/imad/state`.
fn state(name: &str, what: &str, line: &'static str) -> Case {
    case(name, what).running(move |guest| root(guest, &format!("cd /etc/imad/state\n{line}")))
}

/// Leaves no block free.
pub(super) fn fill(guest: &Guest) {
    let program = "
size, number = 1 << 30, 0
while size >= 4096:
    try:
        with open('/opt/bricks/full%d' % number, 'wb') as file: os.posix_fallocate(file.fileno(), 0, size)
        number += 1
    except OSError: size //= 2
assert os.statvfs('/').f_bavail * os.statvfs('/').f_frsize < 65536, os.statvfs('/')";
    python(guest, program, &[]);
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("read-only-root", "the root stays mounted read-only")
            .running(|guest| root(guest, "sed -i '/imad-root/s/defaults/ro/' /etc/fstab; grep -q 'ext4 ro ' /etc/fstab"))
            .hereafter(|setup| setup.command_line("ro"))
            .armed("")
            .controlled(),
        case("full-disk", "no block of the root is free").running(fill).armed("").controlled(),
        case("full-disk-and-a-new-policy", "no block of the root is free, and the policy is one that was never tried")
            .running(|guest| {
                policy(guest, format!("# Another one.\n{STRICT}"), Some("ima"));
                fill(guest);
            })
            .armed("")
            .controlled(),
        state("trial-damaged", "imad's record of confirmed boots is cut in half", "truncate -s $(($(stat -c %s trial.json) / 2)) trial.json")
            .armed("trial.json"),
        state("trial-garbage", "imad's record of confirmed boots is random bytes", "head -c 4096 /dev/urandom >trial.json")
            .armed("trial.json"),
        state("trial-missing", "imad's record of confirmed boots is gone", "rm trial.json").armed(""),
        state(
            "trial-of-another-machine",
            "imad's record of confirmed boots is another machine's",
            "sed -i \"s/$(cat /etc/machine-id)/ffffffffffffffffffffffffffffffff/\" trial.json; grep -q ffffffffffffffff trial.json",
        )
        .armed("it was written on the machine with the id ffffffff"),
        state("attempts-damaged", "imad's record of attempts is random bytes", "head -c 8192 /dev/urandom >attempts").armed(""),
        state("attempts-missing", "imad's record of attempts is gone", "rm -f attempts").armed(""),
        state("manifest-damaged", "the list of what the boot needs is cut in half", "truncate -s $(($(stat -c %s manifest) / 2)) manifest")
            .armed("manifest"),
        state("manifest-garbage", "the list of what the boot needs is random bytes", "head -c 4096 /dev/urandom >manifest")
            .armed("manifest"),
        state("state-missing", "the folder of imad's state is gone", "rm -r /etc/imad/state").armed(""),
        case("cache-garbage", "what imad keeps in /var is random bytes")
            .running(|guest| {
                root(guest, "systemctl stop imad; for file in $(find /var/lib/imad -type f); do head -c 4096 /dev/urandom >$file; done");
            })
            .armed(""),
        case("cache-missing", "what imad keeps in /var is gone").running(|guest| root(guest, "rm -rf /var/lib/imad")).armed(""),
        case("clock-in-1970", "the clock is at 1970")
            .hereafter(|setup| setup.clock("1970-01-01T00:00:00"))
            .armed("")
            .controlled()
            .checked(),
        case("clock-in-2099", "the clock is far in the future")
            .hereafter(|setup| setup.clock("2099-12-31T00:00:00"))
            .armed("")
            .controlled(),
    ]
}
