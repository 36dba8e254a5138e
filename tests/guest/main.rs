//! Ring 3: real kernels, systemd, dracut, rpm and dnf under QEMU. How to write a test here: [`harness`].
#![forbid(unsafe_code)]

mod harness;
mod harness_test;
mod system;

mod boot;
mod certificates;
mod denials;
mod packages;
mod policies;
mod service;
mod stock;
