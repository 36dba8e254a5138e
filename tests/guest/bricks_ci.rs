//! The part of the brick campaign that belongs to every check: of each kind a sabotage; `make campaign` has them all.

use crate::bricks::{Kind, check};

#[test]
fn a_policy_is_broken() {
    check(Kind::Policy);
}

#[test]
fn keys_are_lost() {
    check(Kind::Keys);
}

#[test]
fn labels_are_lost() {
    check(Kind::Labels);
}

#[test]
fn an_update_is_not_signed() {
    check(Kind::Packages);
}

#[test]
fn storage_fails() {
    check(Kind::Storage);
}

#[test]
fn a_boot_is_cut_off() {
    check(Kind::Boots);
}

#[test]
fn another_kernel_is_booted() {
    check(Kind::Kernels);
}

#[test]
fn imad_itself_is_broken() {
    check(Kind::Imad);
}
