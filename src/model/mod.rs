//! PURE: bytes and values in, values out. No files, no clock but a certificate's expiry, no printing.
#![forbid(unsafe_code)]

pub mod algo;
pub mod binfmt;
pub mod boot_entry;
pub mod boot_files;
pub mod boot_switches;
pub mod cert;
pub mod command_line;
pub mod config;
pub mod cpio;
mod der;
pub mod diagnostic;
pub mod ecdsa;
pub mod evm;
pub mod explain;
pub mod guard;
pub mod hex;
pub mod image;
pub mod initramfs;
pub mod journal;
pub mod label;
pub mod manifest;
pub mod message_id;
pub mod next_boot;
pub mod plan;
pub mod policy;
pub mod prediction;
pub mod program;
pub mod proof;
pub mod report;
pub mod rpm;
pub mod space;
pub mod uki;
pub mod verify;
pub mod verity;
