//! The main job, shown: a guest with a strict policy, step by step, each with its real output.
//!
//! `make demo` builds what it needs and runs this. A step that does not turn out as it says ends the story with an
//! error.
#![forbid(unsafe_code)]

#[path = "../harness/mod.rs"]
mod harness;

#[path = "../story.rs"]
mod story;

use std::process::ExitCode;
use std::time::Instant;

use harness::{Kind, Setup};

fn main() -> ExitCode {
    let begin = Instant::now();
    println!(
        "Booting a guest: Debian trixie, kernel with a test CA built in, imad installed by dnf, the strict policy"
    );
    let setup = Setup::trusted();
    let machine = match setup.kind() {
        Kind::Uml => "In user-mode Linux: the kernel is a program of this machine's (DEMO=qemu: an emulated machine).",
        Kind::Qemu => "Under QEMU, emulated: this takes some minutes.",
    };
    println!("01-appraise-executable-and-lib-signatures in /etc/ima. {machine}");
    let failed = story::tell(setup);
    println!("\nThe whole story took {} s.", begin.elapsed().as_secs());
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("\nThese steps did not show what they should:");
    for line in &failed {
        eprintln!("  {line}");
    }
    ExitCode::FAILURE
}
