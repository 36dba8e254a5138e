//! WHAT IMAD DOES, once, for all three programs: gather (`sys`), decide (`model`), carry out (`sys`), report.
#![forbid(unsafe_code)]

pub mod boot_files;
pub mod configuration;
pub mod doctor;
pub mod exitrd;
pub mod explain;
pub mod facts;
pub mod guard;
pub mod history;
pub mod in_force;
pub mod keys;
pub mod labels;
mod lasting;
pub mod loading;
pub mod manifest;
pub mod next_boot;
pub mod policy;
pub mod policy_diff;
pub mod policy_files;
pub mod policy_load;
pub mod predict;
pub mod profile;
mod record;
mod recorded;
pub mod rehearsal;
pub mod revert;
pub mod setup;
pub mod status;
pub mod trial;
