#!/usr/bin/env bash
# What takes longer than a check may: the model of verdicts against kernels that log or fix (tests/guest/campaign.rs), a
# hundred upgrades while their files are labelled and written (tests/host/race.rs), five hundred runs killed
# (tests/host/crash.rs), twenty of them with the power (tests/guest/power.rs), then faults of the policy parser: first
# with lines at random, a new seed every few seconds, then by libFuzzer, which needs a nightly compiler and cargo-fuzz.
# What libFuzzer finds stays in target/fuzz-corpus, what it finds wrong in target/fuzz-artifacts.
# What takes longer than a check may: the model of verdicts against kernels that log or fix (tests/guest/campaign.rs), then
# faults of the policy parser with lines at random, a new seed every few seconds, then of the parsers of policies and of
# the label journal by libFuzzer, which needs a nightly compiler and cargo-fuzz. What libFuzzer finds stays in
# target/fuzz-corpus*, what it finds wrong in target/fuzz-artifacts.
#
#   tests/soak.sh [SECONDS]     the campaign, half a minute of lines at random, then so long for each parser by libFuzzer (600)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-600}
export PATH=$PATH:$PWD/target/tools/bin

tests/guest/images/build.sh
cargo test --locked --test campaign

cargo build --locked --quiet --bins --examples
IMAD_UPGRADES=100 IMAD_KILLS=500 cargo test --locked --test host -- race:: crash:: --nocapture
IMAD_CUTS=20 cargo test --locked --test guest -- power:: --nocapture

cargo test --locked --lib --no-run
until=$((SECONDS + 30))
while [ $SECONDS -lt $until ]; do
    cargo test --locked --quiet --lib language_tests
done

if ! rustup run nightly rustc --version >/dev/null 2>&1; then
    rustup toolchain install nightly --profile minimal
fi
if ! cargo fuzz --version >/dev/null 2>&1; then
    cargo install --locked --root target/tools cargo-fuzz
fi
mkdir -p target/fuzz-corpus target/fuzz-artifacts
cargo +nightly fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz policy target/fuzz-corpus tests/fuzz/seeds -- \
    -max_total_time="$seconds" -max_len=2000 -dict=tests/fuzz/policy.dict -artifact_prefix=target/fuzz-artifacts/ \
    -print_final_stats=1
mkdir -p target/fuzz-corpus-journal
cargo +nightly fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz journal target/fuzz-corpus-journal -- \
    -max_total_time="$seconds" -max_len=4000 -artifact_prefix=target/fuzz-artifacts/ -print_final_stats=1
