//! The model of verdicts against a kernel that enforces; `campaign.rs` has those that do not.

use crate::verdicts::try_all;

#[test]
fn the_kernel_decides_as_predicted() {
    try_all("ima_policy=fail_securely");
}
