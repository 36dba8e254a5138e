//! Ring 2: real file systems, a private rpm root, a private bus; needs root and the packages of tests/packages.txt.
//!
//! What is missing fails the test and is named.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what is missing ends the test")]

mod access;
mod boot_files;
mod confirm;
mod crash;
mod daemon;
mod database;
mod doctor;
mod exitrd;
mod fixture;
mod images;
mod journal;
mod labels;
#[path = "../machine.rs"]
mod machine;
mod next_boot;
mod policies;
mod policy;
mod prediction;
mod race;
mod rehearse;
mod service;
mod setup;
mod trial;
