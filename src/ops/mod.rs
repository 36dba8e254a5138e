//! WHAT IMAD DOES, once, for all three programs: gather (`sys`), decide (`model`), carry out (`sys`), report.
#![forbid(unsafe_code)]

pub mod configuration;
pub mod explain;
pub mod keys;
pub mod labels;
pub mod loading;
pub mod policy;
pub mod profile;
pub mod status;
