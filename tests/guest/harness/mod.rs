//! Guests in user-mode Linux or under QEMU, and how a test talks to them.
//!
//! A guest is a real kernel, systemd, dracut, rpm and dnf on throw-away disks. The agent inside it (the package
//! `imad-guest-agent`, `tests/guest/tools/guest_agent.rs`) carries out what the test asks, from the initramfs on:
//!
//! ```ignore
//! use crate::harness::{Setup, Shared};
//!
//! static TRUSTED: Shared = Shared::new(Setup::trusted);
//!
//! #[test]
//! fn an_unlabelled_script_is_denied() {
//!     let guest = TRUSTED.guest();
//!     guest.put("/root/s.sh", "#!/bin/sh\necho hello\n", 0o755);
//!     let output = guest.run(&["/root/s.sh"]);
//!     assert!(output.denied(), "{output}");
//! }
//! ```
//!
//! A test does not know what runs its guest: user-mode Linux does, unless the setup needs what that has not ([`Need`]).
//! [`Shared::guest`] gives each test its own copy of a machine that was made ready once.
//! A test of the boot itself boots: `Guest::boot(Setup::trusted().file("/etc/ima/ima-policy", "nonsense\n", 0o644))`.
//! Everything that goes wrong beside the test's subject (a guest that hangs, panics, does not answer) ends in bounded
//! time in a panic that shows the console's last lines.
//!
//! - `setup`, `images`: what a guest is made of ([`Setup`], [`Stage`], [`Images`])
//! - `guest`: [`Guest`], its commands ([`Run`], [`Output`]), files, reboots, power cuts
//! - `state`: saved machines ([`State`], [`Shared`])
//! - `machine`, `uml`, `qemu`, `qmp`, `agent`: the process of a guest, QEMU's monitor, the agent's port
//! - `network`: networks of guests ([`Network`])
//! - `wire`: the protocol, shared with the agent
//! - `disk`, `folder`: throw-away disks, changes before the first boot, temporary folders
//! - `limit`: how many guests run at once
#![forbid(unsafe_code)]
#![allow(dead_code, reason = "tests and demo each use a part of it")]

mod agent;
mod disk;
mod folder;
mod guest;
mod images;
mod limit;
mod machine;
mod network;
mod qemu;
mod qmp;
mod run;
mod setup;
mod state;
mod uml;
mod wire;

#[allow(unused_imports, reason = "tests and demo each use a part of it")]
pub(crate) use {
    guest::{Failure, Guest},
    images::Images,
    network::Network,
    run::{Output, Run},
    setup::{Kind, Need, Setup, Stage},
    state::{Shared, State},
    wire::{Hello, Status},
};

#[cfg(test)]
mod wire_test;
