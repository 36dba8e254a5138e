#!/usr/bin/env bash
# The second generation (tests/guest/next.rs): Debian forky's system on Linux 7.3 in user-mode Linux. The policy language,
# the model of verdicts, a thousand labels and the demo's story, against what distributions will have one day. The first run
# builds a kernel and a root, a quarter of an hour with the network; what it built is kept. The kernel is not the one of
# tests/packages.txt: its source comes from trixie-backports, and only here.
#
#   tests/next.sh [TEST…]     all, or these, by parts of their names
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tests/guest/images/build.sh --next
cargo test --locked --test next -- --nocapture "$@"
