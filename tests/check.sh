#!/usr/bin/env bash
# All that CI runs, with the wall time of each part. The guests' images are built beside the quick parts: most of that is
# one compiler, one package manager or one network connection at work.
#
#   tests/check.sh          everything
#   tests/check.sh lint     formatting, clippy, shell scripts, units and other static files
#   tests/check.sh test     the tests without a guest
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

what=${1:-all}
times=
images=

# step NAME COMMAND…: runs it, notes its time.
step() {
    local name=$1 begin=$SECONDS status=0
    shift
    printf '\n=== %s\n' "$name"
    "$@" || status=$?
    times+=$(printf '%6d s  %s%s' $((SECONDS - begin)) "$name" "$([ $status = 0 ] || echo ' FAILED')")$'\n'
    [ $status = 0 ] || exit "$status"
}

finish() {
    local status=$?
    # The images' build is a process group of its own; what it finished stays in the cache.
    if [ -n "$images" ] && kill -0 "$images" 2>/dev/null; then kill -- "-$images" 2>/dev/null || true; fi
    printf '\n%s%6d s  in all\n' "$times" "$SECONDS"
    exit "$status"
}
trap finish EXIT

# Every shell script: those that run by themselves, then those that others take in, whose variables come from and go to
# their users.
scripts() {
    local file alone=() taken_in=()
    while IFS= read -rd '' file; do
        [ -f "$file" ] || continue
        if head -c 30 "$file" | grep -qaE '^#!(/usr)?/bin/(env )?(ba|da|)sh'; then
            alone+=("$file")
        elif [[ $file == *.sh ]]; then
            taken_in+=("$file")
        fi
    done < <(git ls-files -z --cached --others --exclude-standard)
    shellcheck "${alone[@]}" && shellcheck --severity=warning --exclude=SC2034,SC2154 "${taken_in[@]}"
}

lint() {
    step formatting cargo fmt --check
    step 'shell scripts' scripts
    step 'static files' tests/static.sh
    step clippy cargo clippy --locked --quiet --all-targets -- -D warnings
}

tests() {
    step 'build' cargo build --locked --quiet --bins --examples
    step 'tests' cargo test --locked --quiet --lib --bins --example sign-rpm --test layers --test generated --test peers --test host
    step 'initramfs image' tests/dracut.sh
}

# The guest tests, and which of them QEMU ran.
guests() {
    local status=0
    export IMAD_MACHINE_LOG=$PWD/target/guest-machines
    rm -f "$IMAD_MACHINE_LOG"
    cargo test --locked --quiet --test guest || status=$?
    awk -F '\t' '{ kind[$1] = kind[$1] == "Qemu" ? "Qemu" : $2 } END { for (name in kind) print kind[name], name }' \
        "$IMAD_MACHINE_LOG" | sort
    return $status
}

wait_for_images() {
    local status=0
    wait "$images" || status=$?
    images=
    if [ $status != 0 ]; then tail -n 60 target/images.log; else tail -n 3 target/images.log; fi
    return $status
}

step setup tests/setup.sh
case $what in
lint) lint ;;
test) tests ;;
all)
    mkdir -p target
    set -m
    tests/guest/images/build.sh >target/images.log 2>&1 &
    images=$!
    set +m
    lint
    tests
    step 'images (what was left of them)' wait_for_images
    step 'guest tests' guests
    ;;
*)
    echo "usage: $0 [lint|test]" >&2
    exit 2
    ;;
esac
