//! THE EDGE: one file per kernel or OS interface. Thin, without decisions, and the only place for `unsafe`.

pub mod binfmt;
pub mod boot_entries;
pub mod clock;
pub mod durable;
pub mod file;
pub mod filesystem;
pub mod initramfs;
pub mod journal;
pub mod kernel;
pub mod kernel_config;
pub mod keyring;
pub mod kmsg;
pub mod label_journal;
pub mod lease;
pub mod lock;
pub mod mount;
pub mod process;
pub mod processes;
pub mod proofs;
pub mod root;
pub mod rpmdb;
pub mod sealed;
pub mod securityfs;
pub mod state_dir;
pub mod verity;
pub mod watch;
