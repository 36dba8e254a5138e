#!/usr/bin/env bash
# What takes longer than a check may: setup with dracut, updates of what everything runs on, shutdowns, kexec and
# rescue, kernels that come and go, Secure Boot, SELinux, the model of verdicts against kernels that log or fix
# (tests/guest/campaign.rs), what user-mode Linux said of verdicts once more under QEMU, a hundred upgrades while their files are labelled and written (tests/host/race.rs), five
# hundred runs killed (tests/host/crash.rs), twenty of them with the power (tests/guest/power.rs), then faults of the
# parsers: first policy lines at random, a new seed every few seconds, then policies, package headers, labels and
# label journals by libFuzzer, which needs a nightly compiler and cargo-fuzz. What libFuzzer finds stays in
# target/fuzz-corpus, what it finds wrong in target/fuzz-artifacts.
#
#   tests/soak.sh [SECONDS]     the long tests, half a minute of lines at random, then so long for each parser (600)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-600}
export PATH=$PATH:$PWD/target/tools/bin

tests/guest/images/build.sh --soak
cargo test --locked --test campaign
# What a verdict may depend on besides the kernel's own code (clocks, i_version, how memory is mapped): the same predictions
# hold on a machine with a processor of its own.
IMAD_MACHINE=qemu cargo test --locked --test guest -- decisions:: language:: labels:: predictions:: proofs:: reads:: verity::

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
# fuzz TARGET LONGEST SEEDS OPTION…
fuzz() {
    local target=$1 longest=$2 seeds=$3
    shift 3
    mkdir -p "target/fuzz-corpus/$target" target/fuzz-artifacts
    cargo +nightly fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz "$target" "target/fuzz-corpus/$target" \
        ${seeds:+"$seeds"} -- -max_total_time="$seconds" -max_len="$longest" \
        -artifact_prefix="target/fuzz-artifacts/$target-" -print_final_stats=1 "$@"
}

fuzz policy 2000 tests/fuzz/seeds -dict=tests/fuzz/policy.dict
fuzz header 8000 tests/fuzz/seeds-header
fuzz label 600 tests/fuzz/seeds-label
fuzz journal 4000 ''
