//! Ring 3: real kernels, systemd, dracut, rpm and dnf under QEMU. How to write a test here: [`harness`].
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what is missing ends the test")]

#[path = "../peers/corpus.rs"]
#[allow(dead_code, reason = "its other users make keys of their own")]
mod corpus;
mod harness;
mod harness_test;
#[path = "../machine.rs"]
#[allow(dead_code, reason = "the rings without a guest ask for more")]
mod machine;
mod system;

mod boot;
mod bricks;
mod bricks_ci;
mod certificates;
mod compat;
mod decisions;
mod denials;
mod evm;
mod first_start;
mod guard;
mod initramfs;
mod kernel_configs;
mod kernels;
mod labels;
mod language;
mod named;
mod network;
mod packages;
mod policies;
mod policy_verbs;
mod power;
mod predictions;
mod proofs;
mod reads;
mod rehearse;
mod service;
mod trial;
mod verdicts;
mod verity;
