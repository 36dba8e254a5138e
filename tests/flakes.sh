#!/usr/bin/env bash
# Runs the guest tests again and again, and fails where one ever fails: those in user-mode Linux N times, those under QEMU a
# quarter as often. Each run has a seed of its own for what the tests draw. A run that was cut off is run again, those that
# ended are not; target/flakes keeps for each run its seed, its result and its output.
#
#   tests/flakes.sh [N]        N runs (20)
#   IMAD_FLAKES=FOLDER         another folder than target/flakes
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

runs=${1:-20}
folder=${IMAD_FLAKES:-target/flakes}
mkdir -p "$folder"
tests/guest/images/build.sh
cargo build --locked --quiet --bins --examples
program=$(cargo test --locked --test guest --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"name":"guest".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
[ -x "$program" ] || { echo "cargo names no program for the guest tests" >&2; exit 1; }

# result NUMBER: what came of a run, if it ended.
result() { sed -n "s/^$1 //p" "$folder/results" 2>/dev/null | tail -n 1; }

# under_qemu: the tests that had a guest under QEMU in the runs so far.
under_qemu() { cat "$folder"/machines.* 2>/dev/null | awk -F '\t' '$2 == "Qemu" { print $1 }' | sort -u; }

for run in $(seq "$runs"); do
    [ -z "$(result "$run")" ] || continue
    options=()
    if [ $((run % 4)) != 1 ]; then
        while IFS= read -r name; do options+=(--skip "$name"); done < <(under_qemu)
    fi
    seed=$(od -An -N6 -tu8 /dev/urandom | tr -d ' ')
    begin=$SECONDS
    : >"$folder/machines.$run"
    status=passed
    IMAD_SEED=$seed IMAD_MACHINE_LOG=$folder/machines.$run "$program" --exact "${options[@]}" >"$folder/run.$run" 2>&1 || status=FAILED
    counts=$(sed -n 's/^test result: [^.]*\. //p' "$folder/run.$run")
    printf '%s %s, seed %s, %d s: %s\n' "$run" "$status" "$seed" $((SECONDS - begin)) "$counts" | tee -a "$folder/results"
done

failed=$(for run in $(seq "$runs"); do result "$run"; done | grep -c ^FAILED || true)
echo "$runs runs, $failed failed; $(under_qemu | wc -l) tests ran under QEMU in every fourth of them"
[ "$failed" = 0 ] || { grep -h '^test .* FAILED$' "$folder"/run.* | sort | uniq -c; exit 1; }
