//! imad-boot: in the initramfs, certificates into `.ima` and the signed policy into the kernel; early in the real root,
//! `/etc/ima` shown again; after the boot, whether it is confirmed. No async, no bus.
#![forbid(unsafe_code)]

mod certificates;
mod confirm;
mod emergency;
mod guard;
mod initrd;
mod load;
mod policy;
mod real_root;
mod rehearsal;
mod run;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::sys::journal;

const USAGE: &str = "\
Usage: imad-boot initrd [--sysroot DIR]
       imad-boot check
       imad-boot confirm
       imad-boot --help | --version

initrd  in the initramfs, before the switch to the real root: load the certificates of
        DIR/etc/keys/ima into the kernel's .ima keyring and the policy DIR/etc/ima/ima-policy
        into the kernel, and keep systemd from loading it again. DIR is /sysroot by default.
check   early in the real root: show /etc/ima again.
confirm after the boot: see whether the system does what it should under the policy, and
        write down that it carried this boot, so that it is not on trial any more.

All write down what they did in /run/imad/boot.json; see imad-boot(8) and `imactl status`.
Exit status: 0 done, whatever the kernel said; 1 this boot is not confirmed; 2 wrong usage;
3 the report could not be written; 4 the boot is to stop, since it must not go on without a
policy.
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Verb {
    Initrd { sysroot: PathBuf },
    Check,
    Confirm,
    Help,
    Version,
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Verb, String> {
    let verb = match arguments.next().as_deref() {
        Some("initrd") => {
            let sysroot = match arguments.next().as_deref() {
                None => PathBuf::from("/sysroot"),
                Some("--sysroot") => arguments.next().ok_or("--sysroot needs a folder")?.into(),
                Some(other) => return Err(format!("unknown argument \"{other}\"")),
            };
            Verb::Initrd { sysroot }
        }
        Some("check") => Verb::Check,
        Some("confirm") => Verb::Confirm,
        Some("--help") => Verb::Help,
        Some("--version") => Verb::Version,
        Some(other) => return Err(format!("unknown verb \"{other}\"")),
        None => return Err("a verb is needed".to_owned()),
    };
    match arguments.next() {
        Some(extra) => Err(format!("unknown argument \"{extra}\"")),
        None => Ok(verb),
    }
}

/// The program.
pub fn main() -> ExitCode {
    const NOT_CONFIRMED: u8 = 1;
    const WRONG_USAGE: u8 = 2;
    const NO_REPORT: u8 = 3;
    let result = match parse(std::env::args().skip(1)) {
        Ok(Verb::Help) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Ok(Verb::Version) => {
            println!("imad-boot {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Ok(Verb::Initrd { sysroot }) => {
            journal::init("imad-boot");
            let report = initrd::initrd(&sysroot);
            let written = run::write(&report);
            if report.stopped {
                return emergency::stop(&report);
            }
            written
        }
        Ok(Verb::Check) => {
            journal::init("imad-boot");
            real_root::check().and_then(|report| run::write(&report))
        }
        Ok(Verb::Confirm) => {
            journal::init("imad-boot");
            match confirm::confirm().and_then(|(report, confirmed)| run::write(&report).map(|()| confirmed)) {
                Ok(false) => return ExitCode::from(NOT_CONFIRMED),
                Ok(true) => Ok(()),
                Err(why) => Err(why),
            }
        }
        Err(why) => {
            eprint!("imad-boot: {why}\n{USAGE}");
            return ExitCode::from(WRONG_USAGE);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            tracing::error!("{why}");
            run::on_console(&why);
            ExitCode::from(NO_REPORT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Result<Verb, String> {
        parse(words.iter().map(ToString::to_string))
    }

    #[test]
    fn reads_its_command_line() {
        assert_eq!(words(&["initrd"]), Ok(Verb::Initrd { sysroot: "/sysroot".into() }));
        assert_eq!(words(&["initrd", "--sysroot", "/x"]), Ok(Verb::Initrd { sysroot: "/x".into() }));
        assert_eq!(words(&["check"]), Ok(Verb::Check));
        assert_eq!(words(&["confirm"]), Ok(Verb::Confirm));
        for wrong in [&[][..], &["x"], &["initrd", "x"], &["initrd", "--sysroot"], &["check", "x"], &["confirm", "x"]] {
            assert!(words(wrong).is_err(), "{wrong:?}");
        }
    }
}
