//! Ring 1: evmctl, openssl and rpm say what is right.
//!
//! Needs root (labels are `security.*` attributes) and the packages of tests/packages.txt; what is missing fails the
//! test and is named.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what is missing ends the test")]

mod corpus;
mod evmctl;
mod loading;
#[path = "../machine.rs"]
#[allow(dead_code, reason = "the other rings ask for more")]
mod machine;
mod rpm;
mod rpm_ima;
mod verdicts;
