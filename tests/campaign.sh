#!/usr/bin/env bash
# The brick campaign (tests/guest/bricks): every sabotage that has no result of today's sources yet, or a failed one. It can
# be stopped at any time and goes on where it was; all of it takes hours. It writes docs/boot-safety.md.
#
#   IMAD_CASES=a,b tests/campaign.sh   these cases, whatever results there are
#   IMAD_CAMPAIGN=FOLDER               where the results are kept (target/campaign)
#
# Whether every sabotage can be done at all, in minutes and without a boot:
# cargo test --test bricks -- --nocapture --exact every_sabotage_can_be_done
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tests/guest/images/build.sh
cargo test --locked --test bricks -- --nocapture --exact a_machine_boots_whatever_is_broken
