//! What takes longer than a check may: `make soak`.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "what is missing ends the test")]
#![allow(dead_code, reason = "the harness and its questions serve the other tests too")]

mod harness;
mod ima_setup;
mod maintenance;
mod plain;
mod secure_boot;
mod selinux;
mod setup;
mod system;
mod updates;
mod verdicts;

#[test]
fn the_kernel_decides_as_predicted_where_it_only_logs() {
    verdicts::try_all("ima_appraise=log");
}

#[test]
fn the_kernel_decides_as_predicted_where_it_fixes() {
    verdicts::try_all("ima_appraise=fix");
}
