//! imad: Linux file integrity (IMA appraisal) without bricked boots, every denial explained.
//!
//! One library, three thin programs (`src/bin`):
//!
//! ```text
//!  cli ──┐                 ┌─► sys ──► model (types only)
//!  boot ─┼──► ops ─────────┤
//! daemon ┘                 └─► model      cli, daemon ─► bus ─► model::report
//! ```
//!
//! - [`model`]: pure; bytes and values in, values out
//! - [`sys`]: the edge; one file per kernel or OS interface, and the only place for `unsafe`
//! - [`ops`]: what imad does, once for all three programs: gather (`sys`), decide (`model`), carry out (`sys`), report
//! - [`bus`]: the contract `org.imad1`: interfaces, clients, errors
//! - [`boot`]: imad-boot, in the initramfs and in the first moments of the real root; no async, no bus
//! - [`daemon`]: imad, the service
//! - [`cli`]: imactl, for people and scripts
//!
//! Facts (`sys`) become decisions (`model`), actions (`sys`) and a report, which is a table, JSON or D-Bus. `boot`, `cli`
//! and `daemon` never see one another; `tests/layers.rs` holds every arrow.

pub mod boot;
pub mod bus;
pub mod cli;
pub mod daemon;
pub mod model;
pub mod ops;
pub mod sys;
