//! All of the brick campaign, hours of it: `make campaign`.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what is missing ends the test")]
#![allow(dead_code, reason = "the harness and its questions serve the other tests too")]

mod bricks;
mod harness;
mod initramfs;
mod system;

#[test]
fn every_sabotage_can_be_done() {
    bricks::rehearse();
}

#[test]
fn a_machine_boots_whatever_is_broken() {
    bricks::campaign();
}
