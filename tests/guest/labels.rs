//! More than a thousand labels: what imad calls good the kernel lets run, and nothing else.

#[path = "labels/suite.rs"]
mod suite;

use crate::harness::Setup;

#[test]
fn a_thousand_labels_fare_as_with_the_kernel() {
    suite::fare_as_with_the_kernel(Setup::trusted());
}
